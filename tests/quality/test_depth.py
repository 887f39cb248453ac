"""Depth × length, and how long a context may be."""

from __future__ import annotations

from latok.quality.depth import DepthMap, depth_map
from latok.quality.items import Graded, Item
from latok.workload.parts import Parts


def mapped(*rows: tuple[float, float, float, int]) -> DepthMap:
    """Rows of length, depth, score, how many."""
    items: dict[str, Item] = {}
    graded = []
    for length, depth, score, n in rows:
        for _ in range(n):
            name = f"t/0/{len(items)}"
            items[name] = Item(
                id=name,
                task="t",
                family="f",
                parts=Parts(pieces=(), max_tokens=1),
                scorer="contains",
                answer="",
                about={"tokens": length, "depth": depth},
            )
            graded.append(Graded(item=name, task="t", family="f", score=score))
    return depth_map(items, graded)


def test_a_cell_is_the_mean_of_its_items_and_says_how_many() -> None:
    cells = mapped((100, 0.0, 1, 3), (100, 0.05, 0, 1), (100, 1.0, 0, 2)).cells
    assert [tuple(cell) for cell in cells] == [(100, 0.1, 0.75, 4), (100, 0.9, 0, 2)]


def test_lengths_that_are_nearly_the_same_are_one() -> None:
    assert {c.length for c in mapped((98, 0, 1, 1), (100, 0, 1, 1), (200, 0, 1, 1)).cells} == {
        100,
        200,
    }


def test_the_effective_length_is_the_last_that_keeps_85_percent_of_the_first() -> None:
    assert mapped((100, 0, 1, 20), (200, 0, 0.86, 20), (400, 0, 0.84, 20)).effective == 200
    assert mapped((100, 0, 0.5, 20), (200, 0, 0.43, 20)).effective == 200


def test_what_comes_back_after_a_fall_does_not_count() -> None:
    assert mapped((100, 0, 1, 20), (200, 0, 0.5, 20), (400, 0, 1, 20)).effective == 100


def test_of_too_few_there_is_no_effective_length() -> None:
    assert mapped().effective is None
    assert mapped((100, 0, 1, 20)).effective is None
    assert mapped((100, 0, 1, 20), (200, 0, 1, 19)).effective is None
    assert mapped((100, 0, 0, 20), (200, 0, 0, 20)).effective is None
