"""Code to write, to fill in, to look up across files, and to repeat with a change."""

from __future__ import annotations

import ast
import re

import msgspec
import pytest

from latok.levers.code_context import selected
from latok.quality.items import Item
from latok.quality.score import score
from latok.quality.task import Task
from latok.quality.tasks.code import TASKS
from latok.sandbox import run
from latok.workload.prompts import estimate

NAMED = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
OF = {task.name: task for task in TASKS}


def right(item: Item) -> str:
    """What a perfect model would say, but of `body`."""
    if item.scorer == "number":
        return f"It is {item.answer['value']}."
    return item.answer if isinstance(item.answer, str) else item.answer["code"]


@NAMED
def test_the_same_seed_and_number_make_the_same_item_and_others_do_not(task: Task) -> None:
    for size in task.sizes:
        assert task.item(1, 2, size) == task.item(1, 2, size)
        assert len({task.item(1, number, size).parts for number in range(40)}) > 15
    assert task.usual in task.sizes


@NAMED
def test_the_right_answer_gets_the_full_score_and_an_empty_one_none(task: Task) -> None:
    for size in task.sizes:
        for number in range(10):
            item = task.item(2, number, size)
            assert score(item, "", run=lambda code, tests: bool(code)) == 0
            if item.scorer != "code":
                assert score(item, right(item)) == 1


def test_bodies_come_from_thirty_templates_and_the_examples_pass_only_their_own_tests() -> None:
    items = [OF["body"].item(0, number) for number in range(400)]
    assert len({item.family for item in items}) >= 30
    item = next(item for item in items if item.family == "upper")
    assert score(item, "def upper(text): return text.upper()\n\nThat is it.", run) == 1
    assert score(item, "```python\ndef upper(text):\n    return text.upper()\n```", run) == 1
    assert score(item, "def upper(text): return text.lower()", run) == 0


def test_a_file_that_is_repeated_unchanged_is_wrong() -> None:
    for number in range(40):
        item = OF["edit"].item(0, number)
        for message in item.parts.before[1::2]:
            assert score(item, message.content) == 0


@pytest.mark.parametrize("size", [70, 140])
def test_an_edit_is_as_long_as_asked_and_stands_but_for_a_number_in_its_prompt(size: int) -> None:
    for number in range(20):
        item = OF["edit"].item(0, number, size)
        assert estimate([item.answer])[0] == pytest.approx(size + 10, rel=0.25)
        assert item.parts.max_tokens > estimate([item.answer])[0]
        number_line, _, rest = item.answer.partition("\n")
        assert all(message.content.endswith(rest) for message in item.parts.before[:2])
        assert number_line.removeprefix("LIMIT = ") in item.parts.text


def test_layout_and_quotes_do_not_count_and_nothing_is_run() -> None:
    item = msgspec.structs.replace(OF["fill"].item(0, 0), answer="x = ['a', 1]")
    assert score(item, '```python\nx = ["a",\n     1]  # so\n```') == 1
    assert score(item, "x = ['a', 2]") == 0
    assert score(item, "raise SystemExit") == 0
    assert score(item, "(" * 50_000) == 0


@pytest.mark.parametrize("size", [400, 1600])
def test_files_are_as_long_as_asked_and_the_number_stands_in_one_of_them(size: int) -> None:
    for number in range(20):
        item = OF["across"].item(0, number, size)
        assert float(item.about["tokens"]) == pytest.approx(size, rel=0.25)
        holding = [p for p in item.parts.of("file") if str(item.answer["value"]) in p.text]
        assert [piece.name for piece in holding] == ["settings.py"]
        for piece in item.parts.of("file"):
            ast.parse(piece.text)


def test_the_smallest_files_hold_no_other_number_and_larger_ones_do() -> None:
    for size, n in ((60, 1), (100, 2)):
        for number in range(20):
            files = "\n".join(p.text for p in OF["across"].item(0, number, size).parts.of("file"))
            assert len(re.findall(r"\b\d{4}\b", files)) == n


def test_code_context_keeps_what_the_question_across_files_needs() -> None:
    for number in range(40):
        item = OF["across"].item(0, number, 1600)
        kept = selected(item.parts, 320, estimate)
        files = "\n".join(piece.text for piece in kept.of("file"))
        assert sum(estimate([files])) <= 320
        assert str(item.answer["value"]) in files
        assert f"allowed_{item.family.split()[1]}" in files
