"""Depth × length, and how long a context may be."""

from __future__ import annotations

from latok.quality.depth import Cell, DepthMap, depth_map
from latok.quality.items import Graded


def answer(n: int, length: float, depth: float, score: float, task: str = "t") -> Graded:
    about: dict[str, float | str] = {"tokens": length, "depth": depth}
    return Graded(item=f"{task}/0/{n}", task=task, family="f", score=score, about=about)


def mapped(*rows: tuple[float, float, float, int]) -> DepthMap:
    """Rows of length, depth, score, how many."""
    return depth_map(
        [answer(n, length, depth, s) for length, depth, s, times in rows for n in range(times)]
    )


def test_a_cell_is_the_mean_of_its_items_and_says_how_many() -> None:
    found = mapped((100, 0.0, 1, 3), (100, 0.05, 0, 1), (100, 1.0, 0, 2), (200, 0.5, 1, 1))
    assert found.cells == (
        Cell(100, 0.1, 0.75, 4),
        Cell(100, 0.9, 0, 2),
        Cell(200, 0.5, 1, 1),
    )
    assert found.is_map


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


def test_a_task_of_one_length_says_nothing_of_lengths() -> None:
    hard = [answer(n, 50, 0.1, 0.0, "hard") for n in range(20)]
    swept = [answer(n, 100 * (1 + n % 2), n / 20, 1.0) for n in range(20)]
    found = depth_map(hard + swept)
    assert {cell.length for cell in found.cells} == {100, 200}
    assert not depth_map(hard).is_map
    assert not depth_map([]).is_map
