"""Pairs of graded answers to the same items, and the statistics of their difference.

Pairing is what makes small differences visible: of two sides that are nearly alike, most items have
the same score on both, and what is hard for one is hard for the other. A difference is with − base,
in scores from 0 to 1: below 0 is worse.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from latok.analysis.point import Interval
from latok.quality.items import Graded

_Z = 1.959963984540054  # of a two-sided 95 % interval of the normal distribution
_POWER = 0.8416212335729143  # standard errors of a difference that is found in four of five times
FEW = 6  # families: fewer do not tell how families differ
_MANY = 20  # pairs that differ: from so many on, the mean of uneven scores is about normal


class Pair(NamedTuple):
    """One item on both sides; `floor` is base asked once more."""

    base: Graded
    with_: Graded
    floor: Graded | None = None

    @property
    def change(self) -> float:
        """Of the score, from base to with."""
        return score(self.with_) - score(self.base)


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """How many items were right on both sides, on base alone, on with alone, on none.

    `share`: of regressions and improvements together. McNemar's test (1947) of whether they are
    alike, two-sided: exact, and the mid-p that errs less to the safe side (Fagerland et al. 2013).
    """

    both_right: int
    regress: int
    improve: int
    both_wrong: int
    share: float
    mcnemar_exact: float
    mcnemar_mid_p: float


class Difference(NamedTuple):
    """A mean of changes. `n`: how many independent pairs it is worth; `spread`: the mean square of
    a change, which is the share of discordant pairs where answers are right or wrong."""

    delta: float
    ci95: Interval
    n: float
    spread: float
    families: int


def score(graded: Graded) -> float:
    """What failed is wrong, whatever it was given: else overload would flatter who drops most."""
    return 0.0 if graded.failed else graded.score


def paired(
    base: Sequence[Graded], with_: Sequence[Graded], floor: Sequence[Graded] = ()
) -> tuple[list[Pair], str]:
    """Pairs by item, in the order of `with_`, and a sentence if some items are on one side only.

    Raises ValueError for an item that is twice on a side, for a score that is not from 0 to 1, and
    where nothing is on both sides.
    """
    ours, theirs, again = (_by_item(side) for side in (base, with_, floor))
    pairs = [Pair(ours[i], graded, again.get(i)) for i, graded in theirs.items() if i in ours]
    if not pairs:
        raise ValueError("no item was asked on both sides")
    left = len(ours) + len(theirs) - 2 * len(pairs)
    return pairs, f"{left} items were asked on one side only, and are left out" if left else ""


def _by_item(side: Sequence[Graded]) -> dict[str, Graded]:
    found = {graded.item: graded for graded in side}
    if len(found) < len(side):
        item, often = Counter(graded.item for graded in side).most_common(1)[0]
        raise ValueError(f"item {item} is there {often} times on one side")
    for graded in side:
        if not 0.0 <= graded.score <= 1.0:
            raise ValueError(f"item {graded.item} has a score of {graded.score}, not from 0 to 1")
    return found


def flips(pairs: Sequence[tuple[Graded, Graded]]) -> Flips:
    """The four cells. Right is a score of 1, of an answer that came."""
    cells = Counter((score(a) >= 1.0, score(b) >= 1.0) for a, b in pairs)
    regress, improve = cells[True, False], cells[False, True]
    exact, mid = mcnemar(regress, improve)
    return Flips(
        both_right=cells[True, True],
        regress=regress,
        improve=improve,
        both_wrong=cells[False, False],
        share=(regress + improve) / len(pairs),
        mcnemar_exact=exact,
        mcnemar_mid_p=mid,
    )


def mcnemar(regress: int, improve: int) -> tuple[float, float]:
    """Two-sided p-values, exact and mid-p, of so many discordant pairs each way."""
    m, few = regress + improve, min(regress, improve)
    tail = sum(math.comb(m, k) for k in range(few + 1))
    here = math.comb(m, few)
    exact = min(2 * tail / 2**m, 1.0)
    mid = 1.0 if regress == improve else (2 * tail - here) / 2**m
    return exact, mid


def tango(worse: float, better: float, n: float, z: float = _Z) -> Interval:
    """Tango's score interval (1998) of the difference of two paired shares, better − worse.

    It holds from few discordant pairs on; of none in n it is ± z²/(n + z²).
    """
    return -_most(worse - better, better, worse, n, z), _most(better - worse, worse, better, n, z)


def _most(estimate: float, against: float, for_: float, n: float, z: float) -> float:
    """The largest difference that the score test does not reject, by halving."""
    low, high = estimate / n, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        # the likeliest share of pairs against it, were the difference this one
        a, b, c = (
            2 * n,
            -against - for_ + (2 * n - for_ + against) * middle,
            -against * middle * (1.0 - middle),
        )
        share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = n * (2 * share + middle * (1.0 - middle))
        if n * middle - (for_ - against) <= z * math.sqrt(max(variance, 0.0)):
            low = middle
        else:
            high = middle
    return high


def worth(values: Sequence[float], families: Sequence[str]) -> tuple[float, int]:
    """How many independent values these are worth, and how many families there are.

    Items of one family are alike. How much so is the ratio of the variance of the mean over drawn
    families (that of the bootstrap over them, in closed form) to that over drawn items, never below
    1; what few families leave unknown is in Student's t (Korn and Graubard 1998). Fewer than `FEW`
    tell nothing: then the items count as independent, and what is found holds for these families.
    """
    n, mean = len(values), math.fsum(values) / len(values)
    sums: defaultdict[str, float] = defaultdict(float)
    for value, family in zip(values, families, strict=True):
        sums[family] += value - mean
    count = len(sums)
    if count == n or count < FEW:
        return float(n), count
    alone = math.fsum((value - mean) ** 2 for value in values) * n / (n - 1)
    together = math.fsum(s * s for s in sums.values()) * count / (count - 1)
    alike = max(together / alone, 1.0) if alone else 1.0
    return n / alike * (_Z / _t(count - 1)) ** 2, count


def _t(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def difference(changes: Sequence[float], families: Sequence[str]) -> Difference:
    """The mean of changes from −1 to 1, and its 95 % interval.

    Tango's where answers are right or wrong, on the size that the pairs are worth; Student's where
    there are scores between. As long as few of those differ they are taken as shares of a flip,
    whose variance is never the smaller one.
    """
    n, count = worth(changes, families)
    total, size = math.fsum(changes), len(changes)
    delta, spread = total / size, math.fsum(c * c for c in changes) / size
    differ = sum(c != 0.0 for c in changes)
    if differ >= _MANY and any(abs(c) not in (0.0, 1.0) for c in changes):
        variance = max(spread - delta * delta, 0.0) * size / (size - 1)
        # of families the t is in what the pairs are worth
        z = _t(size - 1) if n == size else _Z
        half = z * math.sqrt(variance / n)
        return Difference(delta, (max(delta - half, -1), min(delta + half, 1)), n, spread, count)
    better = math.fsum(c for c in changes if c > 0) * n / size
    worse = -math.fsum(c for c in changes if c < 0) * n / size
    return Difference(delta, tango(worse, better, n), n, spread, count)


def p_value(changes: Sequence[float]) -> float:
    """Two-sided, of no difference: McNemar's mid-p of right and wrong answers, else Student's."""
    if all(abs(c) in (0.0, 1.0) for c in changes):
        return mcnemar(sum(c < 0 for c in changes), sum(c > 0 for c in changes))[1]
    from scipy.special import stdtr

    n = len(changes)
    if n < 2:
        return 1.0
    mean = math.fsum(changes) / n
    variance = math.fsum((c - mean) ** 2 for c in changes) / (n - 1)
    if not variance:
        return 0.0 if mean else 1.0
    return 2.0 * float(stdtr(n - 1, -abs(mean) / math.sqrt(variance / n)))


def asked(delta: float, spread: float) -> float:
    """How many pairs find a true difference four times in five at 95 % (Connor 1987; Miettinen
    1968): (z_α·√ψ + z_β·√(ψ − δ²))²/δ², where ψ is the share of discordant pairs, at least δ."""
    spread = max(spread, delta)
    root = _Z * math.sqrt(spread) + _POWER * math.sqrt(max(spread - delta * delta, 0.0))
    return (root / delta) ** 2


def detectable(n: float, spread: float) -> float:
    """The smallest difference that so many pairs find four times in five; 1 where none is."""
    return _root(lambda delta: asked(delta, spread) - n)


def _root(falling: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    if falling(high) > 0:
        return 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high


def needed(found: Difference, pairs: int, margin: float) -> int:
    """How many more pairs would probably end an inconclusive verdict: until the interval around
    this difference is above −margin, if it is itself; else until it is below 0."""
    beyond = found.delta < -margin
    # nobody knows a difference to be so near to the margin: a quarter of it is the least room
    room = -found.delta if beyond else max(found.delta + margin, margin / 4)
    spread = (found.spread * found.n + 1.0) / (found.n + 1.0)  # none seen is not none there
    variance = max(spread - found.delta**2, 0.0)
    times = ((_Z + _POWER) / room) ** 2 * variance / found.n
    return max(math.ceil(pairs * (times - 1.0)), 1)


def by_task(pairs: Sequence[Pair]) -> Mapping[str, list[Pair]]:
    """The pairs of each task, in the order in which tasks first come."""
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair.base.task, []).append(pair)
    return found


def points(share_: float) -> str:
    """A share in points of a hundred."""
    return f"{100 * share_:.1f} points"
