"""Documents that hold the answer, of an asked length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.quality.task import Task
from latok.quality.tasks.document import TASKS
from latok.workload.prompts import estimate

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
    answers = item.answer if isinstance(item.answer, list) else [item.answer]
    assert all(answer.lower() in context.text.lower() for answer in answers)


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
