"""Which load to measure next, and when to stop. Pure: what was found in, the next level out.

First alone, then twice as many each time, until throughput stops growing or the SLO is far gone;
then between the levels around the SLO's edge and the knee; until nothing is left to learn or the
budget cannot hold another level.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

# A doubling of the load that brings less than this much more throughput has found its end.
_GROWTH = 1.05
# Fewer than this share within the SLO, twice in a row, is far gone.
_FAR_GONE = 0.5
# Levels closer than this are the same level.
_APART = 1.15
# Of the budget, what one level's window takes: two doublings fit six times and leave the rest to
# the longer levels and the refinement.
_SHARE = 1 / 12
# And what one level may take altogether: a long one is worth less than three between the others.
_MOST = 1 / 3
# A window holds this many requests of each user at least.
_TURNS = 1.5
# A setting's window may be shorter than its base's by this share of it.
_CUT = 0.5


class Seen(NamedTuple):
    """A level that was measured. `latency`: seconds of a typical whole request; `meets`: whether it
    stands within the SLO as far as is known (None: no SLO applies); `cost`: seconds it took."""

    concurrency: int
    throughput: float
    latency: float
    attainment: float | None
    meets: bool | None
    cost: float


class Level(NamedTuple):
    """What to measure next: so many at a time, with a window of `seconds` after the ramp."""

    concurrency: int
    seconds: float
    ramp: float
    why: str


class Stop(NamedTuple):
    """Why there is nothing more to measure."""

    why: str


def next_level(
    seen: Sequence[Seen], *, budget: float, highest: int, first_latency: float
) -> Level | Stop:
    """The next load to hold. `budget`: seconds for the whole map; `highest`: never more at a time.

    `first_latency`: a guess for one request alone, before anything is known.
    """
    left = budget - sum(level.cost for level in seen)
    if not seen:
        return Level(1, _window(first_latency, budget), 0.0, "alone")
    rows = sorted(seen)
    reason = _no_higher(rows, highest)
    if reason is None:
        top = rows[-1].concurrency * 2
        level = _level(rows, top, budget, "twice as many")
        if _cost(rows, level) <= min(left, _MOST * budget) or len(rows) < 2:
            return level
        reason = f"the budget of {budget:g} s does not hold {top} at a time"
    for concurrency, why in _between(rows):
        level = _level(rows, concurrency, budget, why)
        if _cost(rows, level) <= left:
            return level
    if _between(rows):
        return Stop(f"{reason}, and the budget of {budget:g} s is spent")
    return Stop(f"{reason}, and the levels that tell are close to each other")


def next_same(
    base: Sequence[tuple[Level, float]], done: Collection[int], left: float
) -> Level | Stop:
    """The next load for a setting that is held as its base was, for pairs: `base` has the loads,
    the most telling first, each with the seconds that it took. Where there is not quite as much
    left, the window is shorter."""
    waiting = [each for each in base if each[0].concurrency not in done]
    if not waiting:
        return Stop("measured at every load that its base was")
    for level, cost in waiting:
        shorter = max(cost - left, 0.0)
        if shorter <= _CUT * level.seconds:
            return level._replace(seconds=level.seconds - shorter)
    if not done:
        return waiting[0][0]
    return Stop("the budget holds no other load of its base's")


def _window(latency: float, budget: float) -> float:
    """A fair share of the budget, and long enough for every user's requests to be typical."""
    return max(_TURNS * latency, _SHARE * budget - latency)


def _level(rows: Sequence[Seen], concurrency: int, budget: float, why: str) -> Level:
    latency = _latency(rows, concurrency)
    return Level(concurrency, _window(latency, budget), latency, why)


def _cost(rows: Sequence[Seen], level: Level) -> float:
    """Ramp, window, and the time until the window's last request has ended."""
    return level.seconds + 2.0 * _latency(rows, level.concurrency)


def _latency(rows: Sequence[Seen], concurrency: int) -> float:
    """A typical request at a level: between neighbours a straight line; beyond the last a little
    worse than the last step was, at the worst as if throughput grew no more (Little's law)."""
    below = [row for row in rows if row.concurrency <= concurrency]
    above = [row for row in rows if row.concurrency >= concurrency]
    if not below:
        return above[0].latency
    if not above:
        last, more = below[-1], concurrency / below[-1].concurrency
        slower = last.latency / below[-2].latency * 1.3 if len(below) > 1 else more
        return last.latency * min(max(slower, 1.0), more)
    a, b = below[-1], above[0]
    if a.concurrency == b.concurrency:
        return a.latency
    part = (concurrency - a.concurrency) / (b.concurrency - a.concurrency)
    return a.latency + part * (b.latency - a.latency)


def _no_higher(rows: Sequence[Seen], highest: int) -> str | None:
    """Why not to double again; None if there is no reason."""
    chain = [row for row in rows if row.concurrency.bit_count() == 1]  # in between came later
    last = chain[-1]
    if last.concurrency * 2 > highest:
        return f"{highest} at a time was the limit asked for"
    flat = [high.throughput < low.throughput * _GROWTH for low, high in pairwise(chain)]
    # one flat doubling of a few streams may be noise, two are not
    if flat and flat[-1] and (last.concurrency >= 8 or flat[-2:] == [True, True]):
        return (
            f"throughput stopped growing ({chain[-2].throughput:.0f} to {last.throughput:.0f} "
            f"tokens/s from {chain[-2].concurrency} to {last.concurrency} at a time)"
        )
    # where no load meets the SLO the frontier is what remains to be known
    reached = any(row.meets for row in chain)
    if reached and len(chain) >= 5 and all(_far_gone(row) for row in chain[-2:]):
        return f"at {last.concurrency} at a time only {last.attainment or 0:.0%} is within the SLO"
    return None


def _far_gone(row: Seen) -> bool:
    return row.meets is False and row.attainment is not None and row.attainment < _FAR_GONE


def _between(rows: Sequence[Seen]) -> list[tuple[int, str]]:
    """Levels worth measuring between those seen, the most telling first."""
    found: list[tuple[float, int, str]] = []
    best = max(rows, key=lambda row: row.throughput)
    for low, high in pairwise(rows):
        ratio = high.concurrency / low.concurrency
        middle = round(math.sqrt(low.concurrency * high.concurrency))
        if ratio < _APART or middle in (low.concurrency, high.concurrency):
            continue
        if low.meets is not False and high.meets is False:
            found.append((10.0 * ratio, middle, "the SLO's edge"))
        elif best in (low, high):
            found.append((2.0 * ratio, middle, "around the best throughput"))
        else:
            # where speed falls fastest for what throughput gains
            bend = math.log(high.latency / low.latency) if low.latency > 0 else 0.0
            found.append((ratio * min(bend, 1.0), middle, "between"))
    return [(middle, why) for _, middle, why in sorted(found, reverse=True)]
