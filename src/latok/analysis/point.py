"""A Point: one run summarised, in the shape that `--json` prints. Seconds and tokens.

Only the values are here; `latok.analysis.metrics` makes them from records.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from latok.records import Load, Prices, Target

Interval = tuple[float, float]
# The quantiles that are printed; `speed` has its bad tail at the low end.
QUANTILES = {"p5": 0.05, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Summary(msgspec.Struct, frozen=True):
    """One metric over the requests of a window. A quantile is None where too few requests tell it.

    `ci95`: 95 % interval by name of the quantile. `ess`: how many independent requests would tell
    as much as these `n`, of which neighbours are alike.
    """

    n: int
    mean: float | None = None
    p5: float | None = None
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    ci95: dict[str, Interval] = {}
    ess: float | None = None


class Counts(msgspec.Struct, frozen=True):
    """Requests of the window. `unfinished`: the run ended before they did. `cancelled`: we went
    away, as some clients do; neither a success nor a failure."""

    offered: int
    ok: int
    failed: int
    unfinished: int
    cancelled: int = 0


class Throughput(msgspec.Struct, frozen=True):
    """What came in the window, per second; `whole_run_…`: over everything, ramp and drain too."""

    output_tokens_per_s: float | None
    input_tokens_per_s: float | None
    requests_per_s: float
    window_s: float
    ci95: Interval | None = None
    whole_run_output_tokens_per_s: float | None = None


class ClauseResult(msgspec.Struct, frozen=True):
    """How many of the offered requests met a clause; `met`: None where that is undecided."""

    clause: str
    share: float | None
    ci95: Interval | None
    met: bool | None


class Goodput(msgspec.Struct, frozen=True):
    """`attainment`: share of the offered requests that met all clauses at once."""

    slo: str
    met: bool | None
    clauses: tuple[ClauseResult, ...]
    attainment: float | None
    ci95: Interval | None
    requests_per_s: float
    output_tokens_per_s: float | None


class Users(msgspec.Struct, frozen=True):
    """What the users of the answered requests saw, as shares of them.

    `waits`: a reader who takes `reading` tokens per second ever waits for more than 0.1 s.
    `on_time`: token k came by the SLO's first token + k × its time per token, for each k; None
    where the SLO does not name both.
    """

    reading: float
    waits: float | None
    waits_ci95: Interval | None
    on_time: float | None
    on_time_ci95: Interval | None


class Instrument(msgspec.Struct, frozen=True):
    """What the client itself did to the numbers. `bent`: the metrics that it made invalid.

    `client_share`: CPU of the driver's processes, in cores' worth of each of them. `stall_s`: the
    longest that a driver was away from its sockets. `delivered`: of an open loop, requests sent per
    request due, and the Kolmogorov–Smirnov distance of the sent from the due gaps.
    """

    verdict: Literal["valid", "invalid", "unknown"]  # unknown: another tool measured it
    why: tuple[str, ...]
    bent: tuple[str, ...]
    error_s: dict[str, dict[str, float]]
    lag_s: dict[str, float | None]
    lateness_s: dict[str, float | None]
    reads: int
    chunks: int
    coalesced: int
    client_cpu_s: float
    kernel_stamps: bool
    client_share: float | None = None
    stall_s: float | None = None
    delivered: dict[str, float] | None = None


class Check(msgspec.Struct, frozen=True):
    """A law that the records must obey. `ok`: None where it does not apply."""

    name: str
    ok: bool | None
    detail: str


class Billed(msgspec.Struct, frozen=True):
    """Sums over the answered requests whose prompts are of one length class, as price sheets class
    them: longer than `above_input_tokens`. Input includes what came from a cache."""

    above_input_tokens: int
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What serving at a point costs, in US dollars by `prices`. None where it cannot be said.

    Hosted: input, output and cached tokens each at their own price. Own hardware: the whole bill
    over the tokens of that kind, so input and output are two views of one sum, not parts of it.
    All that is paid in the window is divided by what ended in it (`throughput`), and for
    `usd_per_good_request` by the good requests that were sent in it (`goodput`).
    """

    prices: Prices
    usd_per_hour: float | None
    usd_per_million_tokens: float | None
    usd_per_million_input_tokens: float | None
    usd_per_million_output_tokens: float | None
    usd_per_request: float | None
    usd_per_good_request: float | None


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """What serving at a point takes, by `source`; of the whole machine, not of the model alone."""

    source: str
    mean_w: float
    joules_per_token: float | None
    joules_per_output_token: float | None
    joules_per_good_request: float | None


class TaskQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How many items of a task were graded, and their mean score, from 0 to 1."""

    items: int
    accuracy: float
    ci95: Interval


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge did: how many answers it read, and how many of them it gave no grade; `why`: in
    the first such case. Tokens are those of its questions and replies; `usd`: None where its price
    is not known."""

    judge: str
    answers: int
    ungraded: int
    why: str
    input_tokens: int
    output_tokens: int
    usd: float | None


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good the answers were, of the requests that were graded; failures count as wrong.

    `accuracy`: mean score, from 0 to 1. `tasks`: that of each. `good`: share that were right, whole
    (not cut at their length) and within the SLO at once; `good_per_s`: that share of the requests
    that were offered, per second of the window. `cut`: share that ended at their length. `judge`:
    what grading by a judge took; None where only rules graded.
    """

    items: int
    accuracy: float
    ci95: Interval
    tasks: dict[str, TaskQuality]
    good: float
    good_ci95: Interval
    good_per_s: float
    usd_per_thousand_good: float | None
    cut: float
    failed: int
    judge: Judging | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One operating point. `billed` is empty where the tokens of a request are not known;
    `ended_by`: what ended the window, where it could end as soon as enough was known."""

    id: str
    target: Target
    app: str
    load: Load
    levers: dict[str, Any]
    counts: Counts
    errors: dict[str, int]
    metrics: dict[str, Summary]
    throughput: Throughput
    goodput: Goodput
    instrument: Instrument
    checks: tuple[Check, ...]
    tokens: dict[str, float | None]
    token_source: str
    billed: tuple[Billed, ...] = ()
    users: Users | None = None
    cost: Cost | None = None
    energy: Energy | None = None
    quality: Quality | None = None
    run: str = ""
    ended_by: str = ""
    schema: str = "latok.point/1"

    @property
    def valid(self) -> bool:
        """Whether it may enter a frontier, an advice or a comparison."""
        return self.instrument.verdict == "valid"

    @property
    def bent(self) -> bool:
        """Whether the client itself spoilt it (of another tool's points nobody knows)."""
        return self.instrument.verdict == "invalid"


def value_of(point: Point, axis: str) -> float | None:
    """The number at a dotted path of the point's JSON, such as `speed.p50` or `throughput.…`.

    A metric may be named without `metrics.` before it. None where the point does not know it.
    """
    first, _, rest = axis.partition(".")
    found: Any = point.metrics.get(first) if first in point.metrics else getattr(point, first, None)
    for name in rest.split(".") if rest else ():
        found = getattr(found, name, None)
    return float(found) if isinstance(found, int | float) else None
