import json

import msgspec
import pytest

from latok.errors import UsageError
from latok.quality.score import score
from latok.quality.suite import Suite, suite_of
from latok.quality.tasks import TASKS, tasks_of

OWN = [task for task in TASKS.values() if task.app in ("chat", "agent", "batch")]


def right(item):
    """What a perfect model would say, for the scorers whose answer is one."""
    said = item.answer
    return said if isinstance(said, str) else json.dumps(said)


@pytest.mark.parametrize("task", OWN, ids=lambda task: task.name)
def test_an_item_is_the_same_whenever_it_is_made_and_others_are_others(task):
    for size in task.sizes:
        made = [task.item(1, number, size) for number in range(30)]
        assert made == [task.item(1, number, size) for number in range(30)]
        assert len({item.parts for item in made}) > 15
        assert made[0].id == f"{task.name}/1/0"
        assert made[0].about["size"] == size


@pytest.mark.parametrize("task", OWN, ids=lambda task: task.name)
def test_the_right_answer_gets_the_full_score_and_an_empty_one_none(task):
    for size in task.sizes:
        for number in range(30):
            item = task.item(2, number, size)
            assert score(item, "") == 0
            if item.scorer != "instructions":
                assert score(item, right(item)) == 1


@pytest.mark.parametrize("task", OWN, ids=lambda task: task.name)
def test_items_come_from_several_families(task):
    assert len({task.item(3, number).family for number in range(100)}) >= 4
    assert task.usual in task.sizes


def test_what_examples_of_instructions_say_obeys_them():
    for size in TASKS["follow"].sizes:
        for number in range(60):
            item = TASKS["follow"].item(4, number, size)
            checks = [one for one in item.answer if one["kind"] != "includes"]
            for message in item.parts.before[1::2] if checks else ():
                assert score(msgspec.structs.replace(item, answer=checks), message.content) == 1


def test_an_apps_items_come_by_turns_each_task_at_its_size():
    names = [task.name for task in tasks_of("chat")]
    suite = suite_of("chat", seed=0)
    mixed = [suite.item(n).task for n in range(2 * len(names) + 1)]
    assert mixed == [*names, *names, names[0]]
    some = Suite(tasks=((TASKS["kv"], 16), (TASKS["follow"], 1)))
    asked = [some.item(n) for n in range(4)]
    assert [(item.task, item.about["size"]) for item in asked] == [("kv", 16), ("follow", 1)] * 2


def test_unknown_tasks_and_sizes_are_said():
    with pytest.raises(UsageError, match="no graded tasks"):
        suite_of("poetry", seed=0)
    with pytest.raises(UsageError, match="size 0"):
        TASKS["kv"].item(0, 0, 0)
