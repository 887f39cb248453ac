"""The map of an app on a target: its points, the frontier among them, the knee, the advice."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from latok.analysis.point import Interval, Point, value_of
from latok.analysis.stats import Floats
from latok.records import Closed

Axis = tuple[str, Literal["max", "min"]]

# One user's speed against everybody's: what batching trades.
AXES: tuple[Axis, ...] = (("speed.p50", "max"), ("throughput.output_tokens_per_s", "max"))


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """Where to run. `point`: its id, None where none can be advised. `why`: a sentence each.

    `headroom`: the share by which the load may still grow before the SLO or the end of what was
    measured; None where that is not known. `levers`: of each setting that was tried, whether to
    turn it and what it did.
    """

    app: str
    point: str | None
    why: tuple[str, ...]
    headroom: float | None
    text: str
    levers: tuple[str, ...] = ()


class Saturation(msgspec.Struct, frozen=True):
    """Output tokens per second, and the point's id."""

    output_tokens_per_s: float
    ci95: Interval
    point: str


class Gain(msgspec.Struct, frozen=True):
    """A figure with a setting ÷ the same without, at the same load, with its 95 % interval."""

    ratio: float
    ci95: Interval | None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Levers that were turned, against the same target without (`base`), as far as was measured.

    `target`: how its `points` (ids) name it. `lossless`: by its design it changes no answer.
    `gains` at `load`, by `speed` and `ttft` (medians) and `throughput`. `verdict`: whether the
    answers are worse by more than `margin`, from `pairs` of graded ones, None where there are none;
    `delta` and `ci95`: with − without, in scores from 0 to 1; `needed`: about how many pairs more
    would decide; `why`: the verdict in words.
    """

    name: str
    levers: dict[str, str]
    target: str
    base: str
    lossless: bool
    points: tuple[str, ...]
    load: str
    gains: dict[str, Gain]
    margin: float
    verdict: Literal["non-inferior", "inferior", "inconclusive"] | None = None
    delta: float | None = None
    ci95: Interval | None = None
    pairs: int = 0
    needed: int | None = None
    why: str = ""

    @property
    def inferior(self) -> bool:
        return self.verdict == "inferior"


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """What `latok map` found. `stopped`: why it measured no further. `knee_ci`: between which loads
    of the knee's target it lies, 95 %. `saturation`: the most that any load brought. `settings`:
    levers that were turned; the points of those with worse answers are on no frontier."""

    app: str
    slo: str
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    frontier: tuple[str, ...]
    knee: str | None
    knee_ci: Interval | None = None
    saturation: Saturation | None = None
    advice: Advice
    settings: tuple[Setting, ...] = ()
    stopped: str
    notes: tuple[str, ...] = ()
    command: str = ""
    report: str = ""
    schema: str = "latok.map/1"

    @property
    def inferior(self) -> frozenset[str]:
        """Ids of the points whose answers are worse than those of the same target as it was."""
        return worse(self.settings)


def worse(settings: Sequence[Setting]) -> frozenset[str]:
    """Ids of the points of settings that are inferior."""
    return frozenset(id for each in settings if each.inferior for id in each.points)


def frontier(points: Sequence[Point], axes: Sequence[Axis] = AXES) -> list[Point]:
    """The valid points that no other valid point beats: at least as good on every axis, better on
    one. Ordered along the first axis, best first; a point that does not know an axis is left out.
    """
    known = [(p, v) for p in points if p.valid and (v := _values(p, axes)) is not None]
    best = [(p, v) for p, v in known if not any(_beats(other, v) for _, other in known)]
    return [p for p, _ in sorted(best, key=lambda pair: pair[1], reverse=True)]


def _values(point: Point, axes: Sequence[Axis]) -> tuple[float, ...] | None:
    """The point's place, turned so that more is better everywhere."""
    found = [(value_of(point, axis), better) for axis, better in axes]
    if any(value is None for value, _ in found):
        return None
    return tuple(v if better == "max" else -v for v, better in found if v is not None)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def knee(points: Sequence[Point]) -> Point | None:
    """The point of a frontier after which a little more throughput costs much more latency.

    The farthest from the straight line between the frontier's ends, on axes scaled to them (Satopää
    et al. 2011, "Kneedle"). None for fewer than three points, or where none lies beyond the line.
    """
    return _bend([(p, v) for p in points if (v := _values(p, AXES)) is not None])


def _bend(places: Sequence[tuple[Point, tuple[float, ...]]]) -> Point | None:
    if len(places) < 3:
        return None
    array = np.asarray([v for _, v in places])
    low, high = array.min(axis=0), array.max(axis=0)
    if np.any(high <= low):
        return None
    above = ((array - low) / (high - low)).sum(axis=1) - 1.0
    best = int(np.argmax(above))
    return places[best][0] if above[best] > 1e-9 else None


# --- how sure ------------------------------------------------------------------------------------

_DRAWS = 400


def saturation(points: Sequence[Point]) -> Saturation | None:
    """The most output tokens per second that a valid point had, with a 95 % interval.

    Each point is drawn anew from its own interval (a parametric bootstrap, Efron 1979) and the most
    of each draw taken: that the best of several was lucky is in it.
    """
    known = [p for p in points if p.valid and p.throughput.output_tokens_per_s]
    if not known:
        return None
    drawn = np.stack([_drawn(p)[1] for p in known])
    best = max(known, key=lambda p: p.throughput.output_tokens_per_s or 0.0)
    value = best.throughput.output_tokens_per_s or 0.0
    low, high = np.quantile(drawn.max(axis=0), (0.025, 0.975))
    return Saturation(value, (min(float(low), value), max(float(high), value)), best.id)


def knee_interval(points: Sequence[Point]) -> Interval | None:
    """Between which loads the knee lies, 95 %: the knee of each redrawn frontier of its target."""
    found = knee(frontier(points))
    if found is None:
        return None
    mine = [p for p in points if p.valid and p.target == found.target]
    mine = [p for p in mine if _values(p, AXES) is not None]
    drawn = np.stack([_drawn(p) for p in mine])
    loads = [float(_load(found))]
    for n in range(_DRAWS):
        places = [(p, tuple(drawn[m, :, n])) for m, p in enumerate(mine)]
        best = [pair for pair in places if not any(_beats(other, pair[1]) for _, other in places)]
        bend = _bend(best)
        if bend is not None:
            loads.append(float(_load(bend)))
    low, high = np.quantile(loads, (0.025, 0.975), method="nearest")
    return min(float(low), loads[0]), max(float(high), loads[0])


def _drawn(point: Point) -> Floats:
    """One user's speed and everybody's throughput as they may have been, shape (2, draws):
    normal with the width of the point's own intervals."""
    rng = np.random.default_rng(zlib.crc32(point.id.encode()))
    speed, rate = point.metrics["speed"], point.throughput
    rows = []
    for value, interval in (
        (speed.p50, speed.ci95.get("p50")),
        (rate.output_tokens_per_s, rate.ci95),
    ):
        deviation = 0.0 if interval is None else (interval[1] - interval[0]) / (2 * 1.96)
        rows.append(np.maximum((value or 0.0) + deviation * rng.normal(size=_DRAWS), 0.0))
    return np.stack(rows)


def _load(point: Point) -> float:
    return point.load.concurrency if isinstance(point.load, Closed) else point.load.rate


def behind(mine: Sequence[Point], other: Sequence[Point]) -> bool:
    """Whether a target is beaten on both axes, beyond the intervals, at every load at which both
    targets have intervals; at three of them at least."""
    theirs = {str(point.load): point for point in other if point.valid}
    pairs = [(p, theirs[str(p.load)]) for p in mine if p.valid and str(p.load) in theirs]
    known = [(a, b) for p, q in pairs if (a := _intervals(p)) and (b := _intervals(q))]
    return len(known) >= 3 and all(
        lower[1] < higher[0] for a, b in known for lower, higher in zip(a, b, strict=True)
    )


def _intervals(point: Point) -> tuple[Interval, Interval] | None:
    """Of one user's speed and of everybody's throughput; None where one of them is not known."""
    speed, rate = point.metrics["speed"].ci95.get("p50"), point.throughput.ci95
    return (speed, rate) if speed and rate else None
