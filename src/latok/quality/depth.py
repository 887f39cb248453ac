"""Where in a document, and in how long a one, a model still finds what it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from latok.quality.items import Graded, Item

BANDS = 5  # of depth
ENOUGH = 20  # answers for a length; with fewer, 0.85 and 1 cannot be told apart
KEPT = 0.85  # of the score at the shortest length


class Cell(NamedTuple):
    """`length`: tokens, the middle of its items'. `depth`: the middle of its band, from 0 to 1.
    `score`: the mean, from 0 to 1. `n`: how many items."""

    length: float
    depth: float
    score: float
    n: int


class DepthMap(NamedTuple):
    """`cells`: those that have items, by length, then depth. `effective`: tokens, None if too few.

    `effective` is the longest length of those measured up to which the score stays at 85 % or more
    of that at the shortest (NoLiMa's definition, Modarressi et al. 2025, arXiv 2502.05167, which
    takes the best score of short contexts as its base). It says nothing beyond the longest length.
    """

    cells: tuple[Cell, ...]
    effective: float | None


def depth_map(items: Mapping[str, Item], graded: Sequence[Graded]) -> DepthMap:
    """Of the answers whose items (by id) say `tokens` and `depth`; the others do not count.

    Lengths that differ by less than a quarter count as one.
    """
    known = [
        (float(about["tokens"]), float(about["depth"]), answer.score)
        for answer in graded
        if answer.item in items
        and {"tokens", "depth"} <= (about := items[answer.item].about).keys()
    ]
    lengths: list[list[tuple[float, float, float]]] = []
    for one in sorted(known):
        if lengths and one[0] < 1.25 * lengths[-1][0][0]:
            lengths[-1].append(one)
        else:
            lengths.append([one])
    cells = [cell for same in lengths for cell in _cells(same)]
    return DepthMap(tuple(cells), _effective(lengths))


def _cells(same: Sequence[tuple[float, float, float]]) -> list[Cell]:
    bands: defaultdict[int, list[float]] = defaultdict(list)
    for _, depth, score in same:
        bands[min(int(depth * BANDS), BANDS - 1)].append(score)
    return [
        Cell(_length(same), (band + 0.5) / BANDS, sum(scores) / len(scores), len(scores))
        for band, scores in sorted(bands.items())
    ]


def _length(same: Sequence[tuple[float, float, float]]) -> float:
    return same[len(same) // 2][0]


def _effective(lengths: Sequence[Sequence[tuple[float, float, float]]]) -> float | None:
    if len(lengths) < 2 or any(len(same) < ENOUGH for same in lengths):
        return None
    scores = [sum(score for *_, score in same) / len(same) for same in lengths]
    if not scores[0]:
        return None
    held = 0
    while held + 1 < len(scores) and scores[held + 1] >= KEPT * scores[0]:
        held += 1
    return _length(lengths[held])
