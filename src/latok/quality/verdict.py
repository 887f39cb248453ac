"""Whether a lever harms the answers: non-inferior, inferior, or not yet known.

Inferior: the interval of the paired difference is wholly below 0 and its estimate below −margin, or
the sequential test shows harm. Non-inferior: the interval is wholly above −margin, or the
sequential test shows that. Else inconclusive, and then what would decide. The interval is asked
once, at the planned end: before it the sequential test alone has a say, so that looking often does
not make a wrong word likelier (benchmarks/quality_power.py counts them).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from latok.analysis.point import Interval
from latok.analysis.provider import BY_LENGTH
from latok.analysis.stats import holm, share_interval
from latok.quality.distance import (
    LENGTHS,
    Answers,
    FirstToken,
    Share,
    first_tokens,
    identical,
    length_ratio,
)
from latok.quality.items import Graded
from latok.quality.pairs import (
    FEW,
    Difference,
    Flips,
    Pair,
    by_task,
    detectable,
    difference,
    flips,
    needed,
    p_value,
    paired,
    points,
    score,
    worth,
)
from latok.quality.sequential import MARGIN, Decision, Sequential

Word = Literal["non-inferior", "inferior", "inconclusive"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """How well one side answered the items of the pairs: its mean score, from 0 to 1.

    `failed`: how many of them did not succeed, which count as wrong. `truncated`: the share that
    ended for its length.
    """

    accuracy: float
    ci95: Interval
    failed: int
    truncated: float


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """Base against itself, asked once more: what changes where nothing was changed."""

    pairs: int
    delta: float
    flips: float
    identical: Share | None
    first_token: FirstToken | None


class TaskDelta(msgspec.Struct, frozen=True, kw_only=True):
    """One task's difference, which is secondary. `p`: of no difference, adjusted by Holm for all
    tasks."""

    delta: float
    ci95: Interval
    pairs: int
    p: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What pairs of graded answers say of a lever. `delta`: with − base, in scores from 0 to 1.

    `pairs`: how many there are, of `planned`. `detectable`: the smallest difference that so many
    find four times in five. `needed`: how many more pairs would probably decide, None where it is
    decided. `by`: what decided, the interval or the sequential test, empty if nothing did. `worst`:
    the task with the largest regression. `families`: of items, over which the interval is taken.
    """

    delta: float
    ci95: Interval
    verdict: Word
    why: str
    margin: float
    pairs: int
    planned: int
    by: Literal["interval", "sequential", ""]
    detectable: float
    needed: int | None
    base: Side
    with_: Side = msgspec.field(name="with")
    flips: Flips
    identical: Share | None
    first_token: FirstToken | None
    length_ratio: float | None
    tasks: dict[str, TaskDelta]
    worst: str | None
    families: int
    floor: Floor | None
    notes: tuple[str, ...] = ()


def judge(
    base: Sequence[Graded],
    with_: Sequence[Graded],
    floor: Sequence[Graded] = (),
    *,
    margin: float = MARGIN,
    planned: int | None = None,
) -> Verdict:
    """The verdict from two sides that were asked the same items, in the order of `with_`.

    `floor`: base asked once more, with as many requests in flight. `planned`: how many pairs there
    were to be (without it, those that came): with fewer, only the sequential test decides.
    Raises ValueError for an item that is twice on a side and where no item is on both.
    """
    pairs, left = paired(base, with_, floor)
    changes, families = [pair.change for pair in pairs], [pair.base.family for pair in pairs]
    found = difference(changes, families)
    watch = Sequential(margin)
    for pair in pairs:
        watch.see(score(pair.base), score(pair.with_))
    planned = len(pairs) if planned is None else planned
    over = len(pairs) >= planned
    word, by = _decided(found, watch.decision, margin, over)
    answers: list[Answers] = [(pair.base, pair.with_) for pair in pairs]
    tasks = _tasks(pairs)
    ratio = length_ratio(answers)
    more = None
    if word == "inconclusive":
        more = needed(found, len(pairs), margin) if over else watch.more()
    smallest = detectable(found.n, found.spread)
    why = _why(word, by, found, margin, len(pairs), planned, smallest, more)
    return Verdict(
        delta=found.delta,
        ci95=found.ci95,
        verdict=word,
        why="; ".join(filter(None, (why, _gate(ratio)))),
        margin=margin,
        pairs=len(pairs),
        planned=planned,
        by=by,
        detectable=smallest,
        needed=more,
        base=_side([pair.base for pair in pairs]),
        with_=_side([pair.with_ for pair in pairs]),
        flips=flips(answers),
        identical=identical(answers),
        first_token=first_tokens(answers),
        length_ratio=ratio,
        tasks=tasks,
        worst=min(
            (n for n in tasks if tasks[n].delta < 0), key=lambda n: tasks[n].delta, default=None
        ),
        families=found.families,
        floor=_floor(pairs),
        notes=tuple(note for note in (left, _few(found, len(pairs))) if note),
    )


def _decided(
    found: Difference, early: Decision | None, margin: float, over: bool
) -> tuple[Word, Literal["interval", "sequential", ""]]:
    """Harm first: who was certified early and is seen to harm in the end does harm."""
    low, high = found.ci95
    if over and high < 0.0 and found.delta < -margin:
        return "inferior", "interval"
    if early is not None:
        return early, "sequential"
    return ("non-inferior", "interval") if over and low > -margin else ("inconclusive", "")


def _side(answers: Sequence[Graded]) -> Side:
    scores = [score(graded) for graded in answers]
    size, _ = worth(scores, [graded.family for graded in answers])
    mean = math.fsum(scores) / len(scores)
    return Side(
        accuracy=mean,
        # a score between is never more uncertain than right or wrong with the same mean
        ci95=share_interval(mean * size, size),
        failed=sum(graded.failed for graded in answers),
        truncated=sum(graded.finish in BY_LENGTH for graded in answers) / len(answers),
    )


def _floor(pairs: Sequence[Pair]) -> Floor | None:
    again: list[Answers] = [(pair.base, pair.floor) for pair in pairs if pair.floor is not None]
    if not again:
        return None
    return Floor(
        pairs=len(again),
        delta=math.fsum(score(b) - score(a) for a, b in again) / len(again),
        flips=flips(again).share,
        identical=identical(again),
        first_token=first_tokens(again),
    )


def _tasks(pairs: Sequence[Pair]) -> dict[str, TaskDelta]:
    tasks = by_task(pairs)
    adjusted = holm({task: p_value([p.change for p in rows]) for task, rows in tasks.items()})
    found = {}
    for task, rows in tasks.items():
        one = difference([p.change for p in rows], [p.base.family for p in rows])
        found[task] = TaskDelta(delta=one.delta, ci95=one.ci95, pairs=len(rows), p=adjusted[task])
    return found


# --- in words ------------------------------------------------------------------------------------


def _why(
    word: Word,
    by: str,
    found: Difference,
    margin: float,
    pairs: int,
    planned: int,
    smallest: float,
    more: int | None,
) -> str:
    low, high = found.ci95
    if by == "sequential":
        shown = "harm is shown" if word == "inferior" else f"a drop of {points(margin)} is excluded"
        return f"{shown}, by a test that may be looked at after every pair"
    if word == "inferior":
        return f"{points(-found.delta)} worse, and at least {points(-high)}"
    if word == "non-inferior":
        worst = f"at most {points(-low)} worse" if low < 0 else "not worse"
        return f"{worst}, where {points(margin)} would matter"
    if pairs < planned:
        said = f"{pairs} of {planned} pairs do not decide yet"
    else:
        said = f"{pairs} pairs find a difference from {points(smallest)} on"
    return f"{said}; about {more} more would probably decide" if more else said


def _gate(ratio: float | None) -> str:
    if ratio is None or LENGTHS[0] <= ratio <= LENGTHS[1]:
        return ""
    return f"the answers are {ratio:.2f} times as long, which is other work than base did"


def _few(found: Difference, pairs: int) -> str:
    if found.families >= FEW or found.families == pairs:
        return ""
    return (
        f"{found.families} families of items are too few to speak for others: "
        "the interval is for these"
    )
