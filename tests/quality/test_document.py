"""Documents that hold the answer, of an asked length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.levers.context import selected
from latok.quality.items import Item
from latok.quality.score import score
from latok.quality.task import Task
from latok.quality.tasks.document import TASKS
from latok.workload.prompts import estimate


def right(item: Item) -> list[str]:
    """What the answer must say."""
    if isinstance(item.answer, str):
        return [item.answer]
    return item.answer["right"] if "right" in item.answer else [str(item.answer["value"])]


NAMED = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@NAMED
def test_the_same_seed_and_number_make_the_same_item_and_others_do_not(task: Task) -> None:
    assert task.item(1, 2) == task.item(1, 2)
    assert task.item(1, 2).parts != task.item(1, 3).parts != task.item(2, 3).parts


@NAMED
@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_every_answer_stands_in_the_document(task: Task, number: int) -> None:
    item = task.item(0, number)
    (context,) = item.parts.of("context")
    assert all(answer.lower() in context.text.lower() for answer in right(item))


@NAMED
@pytest.mark.parametrize("size", [400, 1600])
def test_the_document_is_as_long_as_asked(task: Task, size: int) -> None:
    (context,) = task.item(0, 0, size).parts.of("context")
    assert sum(estimate([context.text])) == pytest.approx(size, rel=0.25)


def test_needles_stand_at_all_depths() -> None:
    (needle,) = (task for task in TASKS if task.name == "needle")
    depths = [float(needle.item(0, number, 800).about["depth"]) for number in range(100)]
    assert min(depths) < 0.1
    assert max(depths) > 0.9
    assert 0.4 < sum(depths) / 100 < 0.6


def test_what_is_listed_too_much_costs() -> None:
    (task,) = (task for task in TASKS if task.name == "list_all")
    item = task.item(0, 0)
    assert score(item, f"They are {', '.join(item.answer['right'])}.") == 1
    assert score(item, ", ".join(item.answer["among"])) == pytest.approx(2 / 3)
    assert score(item, item.answer["right"][0]) == 0.5


@pytest.mark.parametrize("name", ["needle", "needle_keys", "facts", "list_all", "lookup"])
def test_selection_by_words_keeps_the_answer_of_most_items(name: str) -> None:
    (task,) = (task for task in TASKS if task.name == name)
    held = []
    for number in range(30):
        item = task.item(0, number, 1600)
        kept = selected(item.parts, 128, estimate)
        (context,) = kept.of("context")
        assert sum(estimate([context.text])) <= 128
        held.append(all(f"{one}".lower() in context.text.lower() for one in right(item)))
    assert sum(held) / len(held) >= 0.8
