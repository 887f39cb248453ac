"""The map of an app on a target: its points, the frontier among them, the knee, the advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from latok.analysis.point import Interval, Point, value_of

Axis = tuple[str, Literal["max", "min"]]

# One user's speed against everybody's: what batching trades.
AXES: tuple[Axis, ...] = (("speed.p50", "max"), ("throughput.output_tokens_per_s", "max"))


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """Where to run. `point`: its id, None where none can be advised. `why`: a sentence each.

    `headroom`: the share by which the load may still grow before the SLO or the end of what was
    measured; None where that is not known.
    """

    app: str
    point: str | None
    why: tuple[str, ...]
    headroom: float | None
    text: str


class Saturation(msgspec.Struct, frozen=True):
    """Output tokens per second, and the point's id."""

    output_tokens_per_s: float
    ci95: Interval
    point: str


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """What `latok map` found. `stopped`: why it measured no further. `knee_ci`: between which loads
    of the knee's target it lies, 95 %. `saturation`: the most that any load brought."""

    app: str
    slo: str
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    frontier: tuple[str, ...]
    knee: str | None
    knee_ci: Interval | None = None
    saturation: Saturation | None = None
    advice: Advice
    stopped: str
    notes: tuple[str, ...] = ()
    command: str = ""
    report: str = ""
    schema: str = "latok.map/1"


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
    places = [(p, v) for p in points if (v := _values(p, AXES)) is not None]
    if len(places) < 3:
        return None
    array = np.asarray([v for _, v in places])
    low, high = array.min(axis=0), array.max(axis=0)
    if np.any(high <= low):
        return None
    above = ((array - low) / (high - low)).sum(axis=1) - 1.0
    best = int(np.argmax(above))
    return places[best][0] if above[best] > 1e-9 else None
