"""Where in a document, and in how long a one, a model still finds what it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from latok.quality.items import Graded

BANDS = 5  # of depth
ENOUGH = 20  # answers for a length; with fewer, 0.85 and 1 cannot be told apart
KEPT = 0.85  # of the score at the shortest length
_ALIKE = 1.25  # lengths that differ by less count as one


class Cell(msgspec.Struct, frozen=True):
    """`length`: tokens, the middle of its items'. `depth`: the middle of its band, from 0 to 1.
    `score`: the mean, from 0 to 1. `n`: how many items."""

    length: float
    depth: float
    score: float
    n: int


class DepthMap(msgspec.Struct, frozen=True):
    """`cells`: those that have items, by length, then depth. `effective`: tokens, None if too few.

    `effective` is the longest length of those measured up to which the score stays at 85 % or more
    of that at the shortest (NoLiMa's definition, Modarressi et al. 2025, arXiv 2502.05167, which
    takes the best score of short contexts as its base). It says nothing beyond the longest length.
    """

    cells: tuple[Cell, ...]
    effective: float | None

    @property
    def is_map(self) -> bool:
        """Whether it has two depths and two lengths, at least."""
        return all(
            len({getattr(cell, way) for cell in self.cells}) > 1 for way in ("length", "depth")
        )


class _Placed(NamedTuple):
    length: float
    depth: float
    score: float


def depth_map(graded: Sequence[Graded]) -> DepthMap:
    """Of the answers that say `tokens` and `depth`; the others do not count, nor does a task that
    was asked at one length alone: beside others it would show how hard it is, not how long."""
    tasks: defaultdict[str, list[_Placed]] = defaultdict(list)
    for answer in graded:
        if {"tokens", "depth"} <= answer.about.keys():
            tokens, depth = float(answer.about["tokens"]), float(answer.about["depth"])
            tasks[answer.task].append(_Placed(tokens, depth, answer.score))
    lengths: list[list[_Placed]] = []
    for one in sorted(one for rows in tasks.values() if _several(rows) for one in rows):
        if lengths and one.length < _ALIKE * lengths[-1][0].length:
            lengths[-1].append(one)
        else:
            lengths.append([one])
    cells = [cell for same in lengths for cell in _cells(same)]
    return DepthMap(tuple(cells), _effective(lengths))


def _several(rows: Sequence[_Placed]) -> bool:
    return max(one.length for one in rows) >= _ALIKE * min(one.length for one in rows)


def _cells(same: Sequence[_Placed]) -> list[Cell]:
    bands: defaultdict[int, list[float]] = defaultdict(list)
    for one in same:
        bands[min(int(one.depth * BANDS), BANDS - 1)].append(one.score)
    return [
        Cell(_length(same), (band + 0.5) / BANDS, sum(scores) / len(scores), len(scores))
        for band, scores in sorted(bands.items())
    ]


def _length(same: Sequence[_Placed]) -> float:
    return same[len(same) // 2].length


def _effective(lengths: Sequence[Sequence[_Placed]]) -> float | None:
    if len(lengths) < 2 or any(len(same) < ENOUGH for same in lengths):
        return None
    scores = [sum(one.score for one in same) / len(same) for same in lengths]
    if not scores[0]:
        return None
    held = 0
    while held + 1 < len(scores) and scores[held + 1] >= KEPT * scores[0]:
        held += 1
    return _length(lengths[held])
