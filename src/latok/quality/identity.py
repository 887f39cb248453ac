"""Whether a lever that should change nothing changes nothing: the same texts, up to the floor.

Accuracy says little of a lossless lever (a prefix cache, speculation, a scheduler); its texts do.
Yet batches change numerics and so texts by themselves: the same batch pattern on both sides, and
base against base beside it, on the same items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from latok.quality.distance import Share, identical, same_text
from latok.quality.items import Graded
from latok.quality.pairs import paired, points, tango

_ONE_SIDED = 1.6448536269514722  # of a one-sided 95 % bound of the normal distribution
TOLERANCE = 0.02


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """`changed_more`: by how much larger the share of changed texts is than the floor's, over the
    `n` items that every side answered. `at_most`: its one-sided 95 % bound; of no change at all
    the rule of three, 3/n (exactly 1 − 0.05^(1/n))."""

    verdict: Literal["identical", "changed", "inconclusive"]
    why: str
    identical: Share | None
    floor: Share | None
    changed_more: float
    at_most: float
    n: int


def identity(
    base: Sequence[Graded],
    with_: Sequence[Graded],
    floor: Sequence[Graded] = (),
    *,
    tolerance: float = TOLERANCE,
) -> Identity:
    """Identical: that the lever changes `tolerance` of the texts is excluded. Changed: it surely
    changes more than base does by itself. Without a floor a change may be base's own.

    Raises ValueError as `latok.quality.verdict.judge`.
    """
    pairs, _ = paired(base, with_, floor)
    if floor:
        pairs = [
            p for p in pairs if p.floor and not (p.base.failed or p.with_.failed or p.floor.failed)
        ]
    answers = [(p.base, p.with_) for p in pairs]
    again = [(p.base, p.floor) for p in pairs if p.floor]
    ours, own = same_text(answers), same_text(again)
    n = len(ours)
    alone = own or [True] * n
    more = sum(not a and b for a, b in zip(ours, alone, strict=True))
    less = sum(a and not b for a, b in zip(ours, alone, strict=True))
    low, high = tango(less, more, n, _ONE_SIDED) if n else (-1.0, 1.0)
    if n and not more:
        high = max(high, 1.0 - 0.05 ** (1.0 / n))
    word: Literal["identical", "changed", "inconclusive"] = "inconclusive"
    if high < tolerance:
        word, why = "identical", f"less than {points(high)} of the texts change by it"
    elif low > 0.0 and own:
        word, why = "changed", f"at least {points(low)} of the texts change by it"
    elif not n:
        why = "no texts are kept of both sides"
    elif more and not own:
        why = "some texts changed; base was not asked twice, so that may be its own doing"
    else:
        why = f"up to {points(high)} of the texts may change by it"
    return Identity(
        verdict=word,
        why=why,
        identical=identical(answers),
        floor=identical(again),
        changed_more=(more - less) / n if n else 0.0,
        at_most=high,
        n=n,
    )
