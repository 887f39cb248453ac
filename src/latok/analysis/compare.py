"""Two sides compared: better, worse, the same, or not yet known, and then what would decide.

Noise is not a difference. Neighbouring requests are alike, so whole blocks are drawn anew (Künsch
1989): stretches of time of a stored run; of interleaved runs the pairs A-B, so that what drifts
drifts on both sides and cancels. The spread of the drawn ratios is their standard error; with few
blocks its own doubt is in Student's t. Holm's procedure (1979) keeps the chance that any of the
metrics is called different, where none is, within one in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from latok.analysis.digest import Digest
from latok.analysis.metrics import arrivals, cut_short, in_window, judged, steady_part
from latok.analysis.point import Interval
from latok.analysis.stats import Floats, alike, allowed, holm
from latok.records import Manifest, Open
from latok.workload.slo import parse_slo

Verdict = Literal["better", "worse", "same", "undecided"]

_RESAMPLES = 300
_AT_ONCE = 4_000_000  # numbers in memory while blocks are drawn
_LEAST_BLOCKS, _MOST_BLOCKS = 8, 20  # fewer do not tell their spread, more hardly better
_POWER = 0.8416212335729143  # standard errors of a difference that is found in four of five times

# name → (latency, quantile)
_LATENCIES = {
    "ttft.p50": ("ttft", 0.5),
    "ttft.p95": ("ttft", 0.95),
    "tpot.p50": ("tpot", 0.5),
    "tpot.p95": ("tpot", 0.95),
    "e2e.p50": ("e2e", 0.5),
}
# Shares are compared by their difference: a ratio of failures says nothing where there are none.
SHARES = ("attainment", "failures")
_MORE_IS_BETTER = ("throughput", "attainment")


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on both sides: seconds, tokens per second, or shares.

    `ratio`: b ÷ a. `ci95`: its interval; for `attainment` and `failures`, which are shares, that of
    b − a. `needed`: how many more requests on each side would probably decide; None where it is
    decided, or where nothing is known of it.
    """

    a: float | None
    b: float | None
    ratio: float | None
    ci95: Interval | None
    verdict: Verdict
    needed: int | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """B judged against A. `requests`: how many on each side. `blocks`: that were drawn.

    `advised`: with so many requests on each side a difference of twice the margin is found four
    times in five, in every latency and rate.
    """

    a: str
    b: str
    metrics: dict[str, Compared]
    verdict: Verdict
    margin: float
    requests: tuple[int, int]
    blocks: int
    advised: int | None
    design: Literal["stored", "interleaved"]
    notes: tuple[str, ...] = ()
    runs: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    schema: str = "latok.compare/1"


class Stretch(NamedTuple):
    """One run of one side, as far as it is compared: a row for each request of its window.

    `at`: when each was due. `latency`: by name, seconds, NaN where a request has none. `met`: 1
    where it met the SLO, 0 where not, NaN where that is open. `arrived`, `tokens`: what came when.
    """

    window: Interval
    at: Floats
    latency: Mapping[str, Floats]
    met: Floats
    failed: Floats
    arrived: Floats
    tokens: Floats


class _Estimate(NamedTuple):
    """A metric's difference (of logarithms, or of shares) and its standard error."""

    a: float | None
    b: float | None
    difference: float
    error: float
    freedom: float


def stretch(
    manifest: Manifest, requests: Sequence[Digest], slo: str, *, whole: bool = False
) -> Stretch:
    """The steady part of a run, to be compared; `whole`: all of its window, where what is compared
    is how it begins. `slo`: what both sides are judged by."""
    if not whole:
        manifest, _ = steady_part(manifest, requests)
    rows = [each for each in requests if in_window(each.record, manifest)]
    rows.sort(key=lambda each: each.record.due)
    open_loop, clauses = isinstance(manifest.load, Open), parse_slo(slo).clauses

    def latency(name: str) -> Floats:
        values = (each.metrics[name] if each.ok else None for each in rows)
        return np.asarray([math.nan if v is None else v for v in values], dtype=np.float64)

    def met(each: Digest) -> float:
        verdicts = [judged(each, clause, open_loop) for clause in clauses]
        return 0.0 if False in verdicts else 1.0 if True in verdicts and each.ok else math.nan

    arrived, tokens = arrivals(requests)
    return Stretch(
        window=manifest.window or (0.0, 0.0),
        at=np.asarray([each.record.due for each in rows], dtype=np.float64),
        latency={name: latency(name) for name in ("ttft", "tpot", "e2e")},
        met=np.asarray([met(each) for each in rows], dtype=np.float64),
        # what our own end cut off is no failure of the target's
        failed=np.asarray(
            [not (each.ok or cut_short(each.record)) for each in rows], dtype=np.float64
        ),
        arrived=arrived,
        tokens=tokens.astype(np.float64),
    )


# --- the verdict ---------------------------------------------------------------------------------


def compare(
    sides: Mapping[str, tuple[Sequence[Stretch], Sequence[Stretch]]],
    *,
    a: str,
    b: str,
    margin: float,
    interleaved: bool,
    seed: int,
    alpha: float = 0.05,
    **said: Any,
) -> Comparison:
    """Compares B against A at each load in `sides`, whose name ("" if there is but one) stands
    before a metric's. Interleaved: the nth stretches of the two sides were measured together.

    A metric is better or worse where Holm's test of all of them shows a difference and the estimate
    is beyond the margin; the same where its interval lies within the margin. All together are worse
    where one is; undecided where one may be; better where one is and none is worse; else the same.
    """
    found: dict[str, _Estimate] = {}
    counts, drawn = np.zeros(2, dtype=int), 0
    for load, (ours, theirs) in sides.items():
        estimates, blocks = _estimates(ours, theirs, interleaved, seed)
        found |= {f"{load}.{name}" if load else name: e for name, e in estimates.items()}
        counts += [sum(len(s.at) for s in ours), sum(len(s.at) for s in theirs)]
        drawn += blocks
    each = int(counts.min()) // max(len(sides), 1)
    shown = _shown(found, alpha)
    metrics = {
        name: _judged(name, e, margin, name in shown, each, len(found), alpha)
        for name, e in found.items()
    }
    may_be_worse = any(
        one.verdict == "undecided" and _may_be_worse(name, found[name], margin, alpha)
        for name, one in metrics.items()
    )
    verdicts = {one.verdict for one in metrics.values()}
    return Comparison(
        a=a,
        b=b,
        metrics=metrics,
        verdict="worse"
        if "worse" in verdicts
        else "undecided"
        if may_be_worse or not metrics
        else "better"
        if "better" in verdicts
        else "same",
        margin=margin,
        requests=(int(counts[0]), int(counts[1])),
        blocks=drawn,
        advised=_advised(found, margin, each),
        design="interleaved" if interleaved else "stored",
        **said,
    )


def _quantile_t(p: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))


def _p_value(e: _Estimate) -> float:
    from scipy.special import stdtr

    if not e.error:
        return 0.0 if e.difference else 1.0
    return 2.0 * float(stdtr(e.freedom, -abs(e.difference) / e.error))


def _shown(found: Mapping[str, _Estimate], alpha: float) -> set[str]:
    """Those whose difference is shown, by Holm's test of all of them."""
    values = {name: _p_value(e) for name, e in found.items() if e.freedom > 0}
    return {name for name, p in holm(values).items() if p <= alpha}


def _interval(e: _Estimate, alpha: float) -> Interval:
    half = _quantile_t(1.0 - alpha / 2.0, e.freedom) * e.error
    return e.difference - half, e.difference + half


def metric_of(name: str) -> str:
    """The metric without the load before it."""
    return next(
        kind for kind in (*_LATENCIES, "throughput", *SHARES) if f".{name}".endswith(f".{kind}")
    )


def _limit(name: str, margin: float) -> float:
    """The margin on the scale of the differences."""
    return margin if metric_of(name) in SHARES else math.log1p(margin)


def _may_be_worse(name: str, e: _Estimate, margin: float, alpha: float) -> bool:
    """Whether the interval reaches beyond the margin on the bad side."""
    if e.freedom <= 0:
        return True
    low, high = _interval(e, alpha)
    return (
        -low > _limit(name, margin)
        if metric_of(name) in _MORE_IS_BETTER
        else high > _limit(name, margin)
    )


def _judged(
    name: str,
    e: _Estimate,
    margin: float,
    shown: bool,
    each: int,
    family: int,
    alpha: float,
) -> Compared:
    ratio = e.b / e.a if e.a and e.b is not None else None
    if e.freedom <= 0:
        return Compared(a=e.a, b=e.b, ratio=ratio, ci95=None, verdict="undecided", needed=None)
    limit, share = _limit(name, margin), metric_of(name) in SHARES
    low, high = _interval(e, alpha)
    verdict: Verdict = "undecided"
    if -limit <= low and high <= limit:
        verdict = "same"
    elif shown and abs(e.difference) > limit:
        more = metric_of(name) in _MORE_IS_BETTER
        verdict = "better" if (e.difference > 0) == more else "worse"
    low, high = _interval(e, 0.05)
    return Compared(
        a=e.a,
        b=e.b,
        ratio=ratio,
        ci95=(max(low, -1.0), min(high, 1.0)) if share else (math.exp(low), math.exp(high)),
        verdict=verdict,
        needed=_needed(e, limit, each, family) if verdict == "undecided" else None,
    )


def _needed(e: _Estimate, limit: float, each: int, family: int) -> int:
    """How many more requests a side, as an error shrinks with √n: until an interval around the
    difference lies within the margin, if it is within; else until a difference of the margin is
    shown, so that it will be decided although this one be chance."""
    beyond = abs(e.difference) > limit
    # nobody knows a difference to be so near to the margin: a quarter of it is the least room
    room = limit if beyond else max(limit - abs(e.difference), limit / 4)
    times = (_asked(family if beyond else 1) * e.error / room) ** 2
    return max(math.ceil(each * (times - 1.0)), 1)


def _asked(family: int) -> float:
    """Of how many standard errors a difference is found four times in five: Holm's first step."""
    from scipy.special import ndtri

    return float(ndtri(1.0 - 0.025 / family)) + _POWER


def _advised(found: Mapping[str, _Estimate], margin: float, each: int) -> int | None:
    errors = [
        e.error for name, e in found.items() if e.freedom > 0 and metric_of(name) not in SHARES
    ]
    if not errors:
        return None
    return math.ceil(each * (_asked(len(found)) * max(errors) / math.log1p(2 * margin)) ** 2)


# --- estimates from blocks -----------------------------------------------------------------------


class _Blocks(NamedTuple):
    """One side, cut: the block of each request, and of each block its seconds and its tokens."""

    of: NDArray[np.int64]
    size: int
    seconds: Floats
    tokens: Floats
    latency: dict[str, Floats]
    met: Floats
    failed: Floats


def _estimates(
    ours: Sequence[Stretch], theirs: Sequence[Stretch], interleaved: bool, seed: int
) -> tuple[dict[str, _Estimate], int]:
    """Every metric's difference, and from how many blocks a side."""
    rng = np.random.default_rng(seed)
    if interleaved and len(ours) < 2:
        return {}, 0  # one pair does not tell what pairs differ by
    if interleaved:
        cut = [_joined(side) for side in (ours, theirs)]
        blocks = [side.size for side in cut]
        spreads = [_spread(cut, rng)]
    else:
        blocks = [_fair_blocks(side[0]) for side in (ours, theirs)]
        cut = [_cut_up(side[0], k) for side, k in zip((ours, theirs), blocks, strict=True)]
        halves = [_cut_up(side[0], 2 * k) for side, k in zip((ours, theirs), blocks, strict=True)]
        spreads = [
            _corrected(_spread([whole], rng), _spread([half], rng))
            for whole, half in zip(cut, halves, strict=True)
        ]
    truly = [_values(side, np.ones((1, side.size), dtype=np.int64)) for side in cut]
    found = {}
    for name in (*_LATENCIES, "throughput", *SHARES):
        a, b = (float(side[name][0]) for side in truly)
        share = name in SHARES
        if math.isnan(a) or math.isnan(b) or (not share and min(a, b) <= 0.0):
            if name != "attainment":  # without an SLO there is none
                known = [None if math.isnan(value) else value for value in (a, b)]
                found[name] = _Estimate(known[0], known[1], 0.0, 0.0, 0.0)
            continue
        parts = [each[name] for each in spreads]
        error = math.sqrt(sum(parts))
        if share:
            error = max(error, _least_error((a, b), cut, name))
        # of sides drawn apart: Welch and Satterthwaite
        weights = [part**2 / (k - 1) for part, k in zip(parts, blocks, strict=False)]
        freedom = sum(parts) ** 2 / sum(weights) if sum(weights) else min(blocks) - 1.0
        found[name] = _Estimate(a, b, b - a if share else math.log(b / a), error, freedom)
    return found, min(blocks)


def _spread(cut: Sequence[_Blocks], rng: np.random.Generator) -> dict[str, float]:
    """The variance of each metric as blocks are drawn anew: of one side, or of the difference of
    two whose blocks belong together. Drawing from k blocks shows (k − 1) / k of it."""
    k = cut[0].size
    weights = rng.multinomial(k, np.full(k, 1.0 / k), size=_RESAMPLES)
    drawn = [_values(side, weights) for side in cut]
    found = {}
    for name in drawn[0]:
        sides = [side[name] for side in drawn]
        if name not in SHARES:
            sides = [np.log(np.maximum(side, 1e-12)) for side in sides]
        difference = sides[-1] - sides[0] if len(sides) == 2 else sides[0]
        known = difference[~np.isnan(difference)]
        found[name] = float(known.var()) * k / (k - 1) if len(known) else math.nan
    return found


def _corrected(whole: Mapping[str, float], half: Mapping[str, float]) -> dict[str, float]:
    """Blocks miss what is alike across their edges. Blocks of half the length miss twice as much,
    and so say how much that is (Vats & Flegal 2022, "lugsail")."""
    return {name: max(value, 2.0 * value - half[name]) for name, value in whole.items()}


def _least_error(pair: tuple[float, float], cut: Sequence[_Blocks], name: str) -> float:
    """Blocks in which all went well do not show that it must: with one more of each kind no share
    is without error (Agresti & Caffo 2000)."""
    least = 0.0
    for share, side in zip(pair, cut, strict=True):
        n = int(np.sum(~np.isnan(side.met if name == "attainment" else side.failed)))
        more = (share * n + 1.0) / (n + 2.0)
        least += more * (1.0 - more) / (n + 2.0)
    return math.sqrt(least)


def _joined(side: Sequence[Stretch]) -> _Blocks:
    """Each stretch is a block."""
    sizes = [len(each.at) for each in side]
    inside = [(each.arrived >= each.window[0]) & (each.arrived < each.window[1]) for each in side]
    return _Blocks(
        of=np.repeat(np.arange(len(side)), sizes),
        size=len(side),
        seconds=np.asarray([each.window[1] - each.window[0] for each in side]),
        tokens=np.asarray([e.tokens[i].sum() for e, i in zip(side, inside, strict=True)]),
        latency={
            name: np.concatenate([each.latency[name] for each in side]) for name in side[0].latency
        },
        met=np.concatenate([each.met for each in side]),
        failed=np.concatenate([each.failed for each in side]),
    )


def _fair_blocks(run: Stretch) -> int:
    """How many blocks to cut a run into: each ten times as long as neighbours are alike, but never
    fewer than show their own spread."""
    together = max(
        (alike(values[~np.isnan(values)]) for values in run.latency.values()), default=1.0
    )
    most = min(_MOST_BLOCKS, max(len(run.at) // 2, 2))
    return max(min(int(len(run.at) / (10.0 * together)), most), min(_LEAST_BLOCKS, most))


def _cut_up(run: Stretch, count: int) -> _Blocks:
    """One run cut into so many stretches of time, each with as many requests."""
    of = np.arange(len(run.at)) * count // max(len(run.at), 1)
    edges = np.linspace(*run.window, count + 1)
    if len(run.at) >= count:
        edges[1:-1] = run.at[np.searchsorted(of, np.arange(1, count))]
    return _Blocks(
        of=of,
        size=count,
        seconds=np.diff(edges),
        tokens=np.histogram(run.arrived, bins=edges, weights=run.tokens)[0],
        latency=dict(run.latency),
        met=run.met,
        failed=run.failed,
    )


def _values(side: _Blocks, weights: NDArray[np.int64]) -> dict[str, Floats]:
    """Every metric for each row of block weights; NaN where it has none."""
    found: dict[str, Floats] = {}
    for latency in dict.fromkeys(latency for latency, _ in _LATENCIES.values()):
        names = [name for name, (of, _) in _LATENCIES.items() if of == latency]
        wanted = [_LATENCIES[name][1] for name in names]
        quantiles = _quantiles(side.latency[latency], side.of, weights, wanted)
        found |= dict(zip(names, quantiles, strict=True))
    seconds = weights @ side.seconds
    with np.errstate(invalid="ignore", divide="ignore"):
        found["throughput"] = (weights @ side.tokens) / seconds
        for name, values in (("attainment", side.met), ("failures", side.failed)):
            known = ~np.isnan(values)
            total = np.bincount(side.of[known], minlength=side.size)
            hits = np.bincount(side.of[known], values[known], minlength=side.size)
            found[name] = (weights @ hits) / (weights @ total)
    return found


def _quantiles(
    values: Floats, of: NDArray[np.int64], weights: NDArray[np.int64], wanted: Sequence[float]
) -> list[Floats]:
    """The quantiles of the values, each counted as often as its block: a list of one for each row
    of weights."""
    known = ~np.isnan(values)
    values, of = values[known], of[known]
    order = np.argsort(values, kind="stable")
    values, of = values[order], of[order]
    if not len(values):
        return [np.full(len(weights), np.nan) for _ in wanted]
    rows: list[list[Floats]] = [[] for _ in wanted]
    step = max(_AT_ONCE // len(values), 1)
    for begin in range(0, len(weights), step):
        cumulated = np.cumsum(weights[begin : begin + step, of], axis=1)
        for n, q in enumerate(wanted):
            # the middle of the two neighbours where the quantile falls between them
            low = (cumulated < q * cumulated[:, -1:] - 1e-9).sum(axis=1)
            high = (cumulated <= q * cumulated[:, -1:] + 1e-9).sum(axis=1)
            last = len(values) - 1
            both = values[np.minimum(low, last)] + values[np.minimum(high, last)]
            found = both / 2.0
            rows[n].append(found if allowed(q, len(values)) else np.full(len(found), np.nan))
    return [np.concatenate(row) for row in rows]
