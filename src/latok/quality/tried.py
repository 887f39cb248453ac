"""What turning levers did: to latency, tokens, cost and capacity, and to the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from latok.analysis.capacity import Capacity
from latok.analysis.compare import Compared, Comparison, Stretch, Verdict, compare
from latok.analysis.point import Interval, Point
from latok.quality.depth import DepthMap, depth_map
from latok.quality.hits import Hits, Use, hits_of
from latok.quality.identity import Identity, identity
from latok.quality.items import Graded
from latok.quality.verdict import Verdict as Quality
from latok.quality.verdict import judge
from latok.records import Load, Target

_SEED = 0  # of the drawing of blocks: the same runs give the same verdict
_SOON = 10**9  # pairs that are planned as long as it is not over


class Answers(NamedTuple):
    """The graded answers of a setting; `floor`: of the same, asked again."""

    graded: tuple[Graded, ...]
    floor: tuple[Graded, ...]


class Side(NamedTuple):
    """One setting: its levers, of each round that counts the stretch and its point, and where the
    client keeps answers, what it did for each request."""

    name: str
    levers: Mapping[str, str]
    stretches: Sequence[Stretch]
    points: Sequence[Point]
    answers: Answers
    uses: Sequence[Use] = ()


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """One figure without and with. Seconds, tokens per second, tokens, US dollars, or shares.

    `ratio`: with ÷ without. `ci95`: its interval; of shares that of with − without.
    """

    without: float | None
    with_: float | None = msgspec.field(name="with")
    ratio: float | None
    ci95: Interval | None
    verdict: Verdict
    needed: int | None = None


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """What two levers do together beyond what each does by itself: the ratio of both over the
    product of their own ratios. 1: nothing; its interval has 1 outside where it is shown."""

    ratio: float
    ci95: Interval


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was measured: its levers, its figures against "without", its quality."""

    name: str
    levers: dict[str, str]
    deltas: dict[str, Delta]
    quality: Quality | None
    identity: Identity | None
    hits: Hits | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """`deltas`, `quality`, `identity` and `hits` (of a cache of answers) are of all levers together
    against none; `alone`: each of two by itself; `interactions`: by figure. `depths`: without and
    with, where and in how long a document answers were found; None where nothing is known of it.
    `runs`: by setting, the first is
    "without"."""

    target: Target
    app: str
    load: Load
    levers: dict[str, str]
    deltas: dict[str, Delta]
    quality: Quality | None
    identity: Identity | None
    alone: tuple[Setting, ...]
    interactions: dict[str, Interaction]
    margin: float
    rounds: int
    requests: int
    notes: tuple[str, ...]
    command: str
    runs: tuple[tuple[str, ...], ...]
    depths: tuple[DepthMap, DepthMap] | None = None
    hits: Hits | None = None
    schema: str = "latok.try/1"


def tried(
    sides: Sequence[Side],
    *,
    target: Target,
    app: str,
    load: Load,
    margin: float,
    quality_margin: float,
    capacities: Mapping[str, Capacity],
    over: bool,
    notes: tuple[str, ...],
    command: str,
) -> Tried:
    """The result: the first side is without, the last with all levers, those between with one each.

    `over`: nothing more will be measured; before that only the sequential test judges quality.
    """
    base, *others = sides
    settings = [_setting(base, other, margin, quality_margin, capacities, over) for other in others]
    whole = settings[-1]
    return Tried(
        target=target,
        app=app,
        load=load,
        levers=whole.levers,
        deltas=whole.deltas,
        quality=whole.quality,
        identity=whole.identity,
        hits=whole.hits,
        alone=tuple(settings[:-1]),
        interactions=_interactions(sides) if len(sides) == 4 else {},
        margin=margin,
        rounds=len(base.stretches),
        requests=sum(len(each.at) for each in base.stretches),
        notes=notes,
        command=command,
        runs=tuple(tuple(point.run for point in side.points) for side in sides),
        depths=_depths(base.answers.graded, others[-1].answers.graded),
    )


def _setting(
    base: Side,
    other: Side,
    margin: float,
    quality_margin: float,
    capacities: Mapping[str, Capacity],
    over: bool,
) -> Setting:
    found = _compared(base, other, margin)
    deltas = {name: _delta(one) for name, one in found.metrics.items()}
    deltas |= _per_request(base.points, other.points, margin)
    if other.uses:  # what never reached the target was in no cache of its own, which is no loss
        deltas.pop("cached_tokens", None)
    if base.name in capacities and other.name in capacities:
        deltas["capacity"] = _capacity(capacities[base.name], capacities[other.name], margin)
    return Setting(
        name=other.name,
        levers=dict(other.levers),
        deltas=deltas,
        quality=_quality(base.answers, other.answers, quality_margin, over),
        identity=_identity(base.answers, other.answers),
        hits=_hits(other) if other.uses else None,
    )


def _hits(side: Side) -> Hits:
    likeness = side.levers.get("semantic_cache", "off")
    return hits_of(side.uses, None if likeness == "off" else float(likeness))


def _compared(base: Side, other: Side, margin: float) -> Comparison:
    return compare(
        {"": (base.stretches, other.stretches)},
        a=base.name,
        b=other.name,
        margin=margin,
        interleaved=True,
        seed=_SEED,
    )


def _delta(one: Compared) -> Delta:
    return Delta(
        without=one.a,
        with_=one.b,
        ratio=one.ratio,
        ci95=one.ci95,
        verdict=one.verdict,
        needed=one.needed,
    )


def _quality(base: Answers, other: Answers, margin: float, over: bool) -> Quality | None:
    if not base.graded or not other.graded:
        return None
    return judge(
        base.graded,
        other.graded,
        base.floor,
        margin=margin,
        planned=None if over else _SOON,
    )


def _identity(base: Answers, other: Answers) -> Identity | None:
    if not base.graded or not other.graded:
        return None
    return identity(base.graded, other.graded, base.floor)


def _depths(base: Sequence[Graded], other: Sequence[Graded]) -> tuple[DepthMap, DepthMap] | None:
    """Of the items that both answered, so that their lengths are the same."""
    both = {graded.item for graded in base} & {graded.item for graded in other}
    one, another = (
        depth_map([graded for graded in side if graded.item in both]) for side in (base, other)
    )
    return (one, another) if one.is_map else None


# --- what a request takes ------------------------------------------------------------------------


_OF_A_REQUEST: dict[str, Callable[[Point], float | None]] = {
    "input_tokens": lambda point: point.tokens.get("input"),
    "output_tokens": lambda point: point.tokens.get("output"),
    "cached_tokens": lambda point: point.tokens.get("cached"),
    "usd_per_request": lambda point: point.cost.usd_per_request if point.cost else None,
}


def _per_request(base: Sequence[Point], other: Sequence[Point], margin: float) -> dict[str, Delta]:
    """Tokens and dollars of a request, round by round: the rounds belong together."""
    found = {}
    for name, value in _OF_A_REQUEST.items():
        rows = [
            (a, b)
            for one, another in zip(base, other, strict=True)
            if (a := value(one)) and (b := value(another))
        ]
        if rows:
            found[name] = _paired(rows, margin, more_is_better=name == "cached_tokens")
    return found


def _paired(rows: Sequence[tuple[float, float]], margin: float, *, more_is_better: bool) -> Delta:
    """The ratio of two means, with Student's t on the logarithms of the rounds' own ratios."""
    a, b = (math.fsum(column) / len(rows) for column in zip(*rows, strict=True))
    logs = [math.log(with_ / without) for without, with_ in rows]
    interval = _interval(logs)
    return Delta(
        without=a,
        with_=b,
        ratio=b / a,
        ci95=interval,
        verdict=_verdict(interval, margin, more_is_better=more_is_better),
    )


def _interval(logs: Sequence[float]) -> Interval | None:
    from scipy.special import stdtrit

    n = len(logs)
    if n < 2:
        return None
    mean = math.fsum(logs) / n
    error = math.sqrt(math.fsum((each - mean) ** 2 for each in logs) / (n - 1) / n)
    half = float(stdtrit(n - 1, 0.975)) * error
    return math.exp(mean - half), math.exp(mean + half)


def _verdict(interval: Interval | None, margin: float, *, more_is_better: bool) -> Verdict:
    if interval is None:
        return "undecided"
    low, high = interval
    if low >= 1.0 / (1.0 + margin) and high <= 1.0 + margin:
        return "same"
    if low > 1.0:
        return "better" if more_is_better else "worse"
    if high < 1.0:
        return "worse" if more_is_better else "better"
    return "undecided"


def _capacity(base: Capacity, other: Capacity, margin: float) -> Delta:
    """How many at a time meet the SLO; the ratio's interval is of the ends of both, and so wide."""
    one, another = base.closed, other.closed
    a = None if one is None else float(one.concurrency)
    b = None if another is None else float(another.concurrency)
    interval = None
    if one is not None and another is not None and a and b:
        low, high = one.ci95
        its_low, its_high = another.ci95
        if high is not None and its_high is not None and low and its_low:
            interval = its_low / high, its_high / low
    return Delta(
        without=a,
        with_=b,
        ratio=b / a if a and b is not None else None,
        ci95=interval,
        verdict=_verdict(interval, margin, more_is_better=True),
    )


# --- two levers ----------------------------------------------------------------------------------


def _interactions(sides: Sequence[Side]) -> dict[str, Interaction]:
    """Of two levers, from the rounds: log(both) − log(one) − log(other) + log(none)."""
    found = {}
    figures: dict[str, Callable[[Point], float | None]] = {
        "ttft.p50": lambda p: p.metrics["ttft"].p50,
        "tpot.p50": lambda p: p.metrics["tpot"].p50,
        "throughput": lambda p: p.throughput.output_tokens_per_s,
    }
    for name, value in figures.items():
        logs = []
        for points in zip(*(side.points for side in sides), strict=True):
            none, one, other, both = (value(point) for point in points)
            if none and one and other and both:
                logs.append(math.log(both * none / (one * other)))
        interval = _interval(logs)
        if interval is not None:
            found[name] = Interaction(ratio=math.exp(math.fsum(logs) / len(logs)), ci95=interval)
    return found
