"""One run as a report draws it: how its values spread, and how it went, in a size that no run makes
larger.

A distribution counts requests as a clause of the SLO does: of those offered in the window, failed
ones are never below any value. So at a clause's limit its curve is the clause's share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latok.analysis.digest import Digest
from latok.analysis.metrics import arrivals, cut_short, in_window, judged, steady_part
from latok.analysis.point import Interval
from latok.analysis.stats import Floats
from latok.records import Manifest, Open
from latok.workload.slo import Clause, parse_slo

# What every report shows the distribution of; the SLO adds what it names.
SHOWN = ("ttft", "tpot", "gap", "e2e")
# Latencies that are drawn request by request over the time of a run.
OVER_TIME = ("ttft", "tpot")

_STEPS = 120  # of a distribution: its curve is off by less than 1 %
_DOTS, _SLOWEST = 400, 20  # requests that are drawn one by one, and of these the slowest ones
_FAILURES = 60
_STRETCHES, _EACH = 40, 10  # of time, for a median; so many requests in each
_BINS = 120  # of time, for rates


class Ecdf(NamedTuple):
    """The share of requests with at most this value, for a rising series of values.

    `n`: requests that count. `never`: those among them without a value (failed, or given up).
    """

    values: Floats
    shares: Floats
    n: int
    never: int

    def at(self, value: float) -> float:
        """The share up to `value`, as the curve is drawn."""
        place = int(np.searchsorted(self.values, value, side="right"))
        return float(self.shares[place - 1]) if place else 0.0

    def quantile(self, q: float) -> float | None:
        """The first drawn value that at least the share `q` does not pass."""
        place = int(np.searchsorted(self.shares, q - 1e-9))
        return float(self.values[place]) if place < len(self.values) else None


class Dots(NamedTuple):
    """One latency (seconds) of single requests, `at` when each was sent. `of`: how many there were,
    of which the slowest are all here and the others evenly thinned out. `middle`: the median of
    all of them over time, as (from, to, seconds)."""

    at: Floats
    values: Floats
    of: int
    middle: list[tuple[float, float, float]]


class Failed(NamedTuple):
    """A request that failed: which, when it was sent and over, and why."""

    id: int
    sent: float
    over: float
    why: str


class Course(NamedTuple):
    """A run. `window`: in which the load was held; `steady`: what of it counts. `edges` are those
    of the bins of `in_flight` (requests, mean) and `tokens_per_s`; seconds from the run's start.
    `failed` are the first of `failures`.
    """

    window: Interval | None
    steady: Interval | None
    spread: dict[str, Ecdf]
    dots: dict[str, Dots]
    edges: Floats
    in_flight: Floats
    tokens_per_s: Floats
    failed: tuple[Failed, ...]
    failures: int


def course(manifest: Manifest, requests: Sequence[Digest]) -> Course:
    """All of a run's requests, taken together."""
    part, _ = steady_part(manifest, requests)
    window = [each for each in requests if in_window(each.record, part)]
    sent = sorted(
        (each for each in requests if each.record.sent_first is not None),
        key=lambda each: each.record.sent_first or 0.0,
    )
    spans = np.asarray(
        [(r.sent_first, r.closed_at or r.sent_first) for r in (each.record for each in sent)],
        dtype=np.float64,
    ).reshape(-1, 2)
    end = float(max(spans.max(initial=0.0), (manifest.window or (0.0, 0.0))[1])) or 1.0
    edges = np.linspace(0.0, end, _BINS + 1)
    arrived, weights = arrivals(requests)
    failed = [
        Failed(r.id, r.sent_first or 0.0, r.closed_at or r.sent_first or 0.0, r.error.kind)
        for r in (each.record for each in sent)
        if r.error is not None and not cut_short(r)
    ]
    return Course(
        window=manifest.window,
        steady=part.window,
        spread=spread(manifest.slo, isinstance(manifest.load, Open), window),
        dots={name: dots for name in OVER_TIME if (dots := _dots(sent, name, end)) is not None},
        edges=edges,
        in_flight=_in_flight(spans, edges),
        tokens_per_s=np.histogram(arrived, bins=edges, weights=weights)[0] / np.diff(edges),
        failed=tuple(failed[:_FAILURES]),
        failures=len(failed),
    )


def spread(slo: str, open_loop: bool, window: Sequence[Digest]) -> dict[str, Ecdf]:
    """The distribution of each metric that any of these requests has; in an open loop `ttft` counts
    from when the request was due."""
    clauses = parse_slo(slo).clauses
    found = {}
    for name in dict.fromkeys([*SHOWN, *(clause.metric for clause in clauses)]):
        mine = [clause for clause in clauses if clause.metric == name]
        curve = ecdf(
            _offered(window, name, mine, open_loop), limits=[clause.limit for clause in mine]
        )
        if curve is not None:
            found[name] = curve
    return found


def _offered(
    window: Sequence[Digest], name: str, clauses: Sequence[Clause], open_loop: bool
) -> Floats:
    """The value of each request that counts, infinite where it never had one.

    Of a request that we cut short only that is known which a clause can tell: where there are
    several, the most lenient, so that nothing unknown counts as a miss.
    """
    lenient = max(clauses, key=lambda clause: clause.limit, default=None)
    source = "ttft_user" if open_loop and name == "ttft" else name
    values = []
    for each in window:
        value = each.metrics[source]
        if cut_short(each.record):
            if lenient is not None and judged(each, lenient, open_loop) is False:
                values.append(np.inf)
        elif not each.ok:
            values.append(np.inf)
        elif value is not None:
            values.append(value)
    return np.asarray(values, dtype=np.float64)


def ecdf(values: Floats, *, limits: Sequence[float] = ()) -> Ecdf | None:
    """The empirical distribution in at most some hundred steps: exact at `limits` (the share below
    each), within 1 % elsewhere. Infinite values count, but are never reached. None of no value."""
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return None
    ranks = np.unique(np.linspace(0, len(finite) - 1, min(len(finite), _STEPS)).round().astype(int))
    inside = [limit for limit in limits if finite[0] < limit < finite[-1]]
    steps = np.unique(np.concatenate([finite[ranks], inside]))
    upto = np.searchsorted(finite, steps, side="right").astype(np.float64)
    # a clause asks for less than its limit
    for limit in inside:
        upto[np.searchsorted(steps, limit)] = np.searchsorted(finite, limit, side="left")
    return Ecdf(steps, upto / len(values), len(values), len(values) - len(finite))


def _dots(sent: Sequence[Digest], name: str, end: float) -> Dots | None:
    """The thinned requests of one latency, and its median over time."""
    rows = [
        (each.record.sent_first, value)
        for each in sent
        if each.ok and (value := each.metrics[name]) is not None
    ]
    if not rows:
        return None
    at, values = np.asarray(rows, dtype=np.float64).T
    kept = np.unique(
        np.concatenate(
            [
                np.linspace(0, len(at) - 1, min(len(at), _DOTS)).round().astype(int),
                np.argsort(values)[-_SLOWEST:],
            ]
        )
    )
    edges = np.linspace(0.0, end, max(min(_STRETCHES, len(at) // _EACH), 1) + 1)
    of = np.digitize(at, edges[1:-1])
    middle = [
        (float(edges[n]), float(edges[n + 1]), float(np.median(values[of == n])))
        for n in range(len(edges) - 1)
        if np.any(of == n)
    ]
    return Dots(at[kept], values[kept], len(at), middle)


def _in_flight(spans: Floats, edges: Floats) -> Floats:
    """The mean number of requests in flight in each bin: their time in it, over its length."""

    def served_until(times: Floats) -> Floats:
        """Request-seconds up to each edge, of requests that began at `times` and never end."""
        ordered = np.sort(times)
        begun = np.searchsorted(ordered, edges, side="right")
        served: Floats = begun * edges - np.concatenate([[0.0], np.cumsum(ordered)])[begun]
        return served

    held = served_until(spans[:, 0]) - served_until(spans[:, 1])
    flying: Floats = np.diff(held) / np.diff(edges)
    return flying
