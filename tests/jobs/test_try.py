"""Levers with and without, as a user would try them, on a server with known times."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latok.errors import UsageError
from latok.jobs.turned import turned
from latok.load.golden import golden

LATOK = [sys.executable, "-m", "latok"]
STEADY = ["--model", "steady:ttft=0.05,gap=0.01", "--app", "chat", "--scale", "0.1"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LATOK, *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shorter(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Half of the answer's budget, and fewer examples, which this server does not read."""
    said = run(
        "try", "output_budget=4", "examples=2", url, *STEADY, "-c", "4", "--budget", "14s",
        "--json", "--runs", str(tmp_path_factory.mktemp("runs")),
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_what_a_lever_wins_and_what_it_costs_stand_in_one_table(shorter: dict[str, Any]) -> None:
    deltas = shorter["deltas"]
    assert shorter["schema"] == "latok.try/1"
    assert shorter["levers"] == {"output_budget": "4", "examples": "2"}
    assert deltas["output_tokens"]["verdict"] == "better"
    assert deltas["output_tokens"]["with"] == pytest.approx(4, abs=0.1)
    assert deltas["e2e.p50"]["verdict"] == "better"
    low, high = deltas["e2e.p50"]["ci95"]
    assert low <= deltas["e2e.p50"]["ratio"] <= high < 0.9
    # the first token is not touched by it: 50 ms on both sides
    assert deltas["ttft.p50"]["verdict"] != "worse"
    assert deltas["ttft.p50"]["without"] == pytest.approx(0.05, abs=0.01)
    assert shorter["quality"]["pairs"] > 10
    assert shorter["quality"]["verdict"] in ("inconclusive", "non-inferior")


def test_of_two_levers_each_is_tried_alone_and_their_interaction_is_said(
    shorter: dict[str, Any],
) -> None:
    budget, examples = shorter["alone"]
    assert budget["name"] == "output_budget=4"
    assert budget["deltas"]["e2e.p50"]["verdict"] == "better"
    assert examples["deltas"]["e2e.p50"]["verdict"] != "better"
    low, high = shorter["interactions"]["ttft.p50"]["ci95"]
    assert low < 1.05
    assert high > 0.95
    assert len(shorter["runs"]) == 4
    assert all(Path(run).exists() for side in shorter["runs"] for run in side)


def test_answers_are_kept_and_graded_alike_on_every_side(shorter: dict[str, Any]) -> None:
    sides = []
    for side in shorter["runs"]:
        lines = [
            line for run in side for line in (Path(run) / "graded.jsonl").read_text().splitlines()
        ]
        sides.append({json.loads(line)["item"] for line in lines})
    assert len(set.intersection(*sides)) >= 0.5 * len(sides[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kv_cache=u4", "http://127.0.0.1:1"], "lever of an engine that latok starts"),
        (["openvino", "batch_limit=64"], "is so already"),
        (["openvino", "kv_cache=u5"], "kv_cache is one of f16, u8, u4"),
        (["openvino", "no_such=1"], "no lever 'no_such'"),
        (["openvino"], "which lever?"),
        (["openvino", "context=bm25:x"], "whole number"),
        (["openvino", "kv_cache=u4", "kv_cache=f16"], "named twice"),
    ],
)
def test_what_cannot_be_tried_is_said_in_one_line(words: list[str], said: str) -> None:
    found = run("try", *words)
    assert found.returncode == 2
    assert said in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_without_is_the_default_or_what_was_said() -> None:
    without, with_ = turned("openvino", ["batch_limit=8"])
    assert (without.engine, with_.engine) == ((), ("batch_limit=8",))
    without, with_ = turned("openvino", ["batch_limit=4..32"])
    assert (without.engine, with_.engine) == (("batch_limit=4",), ("batch_limit=32",))
    without, with_ = turned("openvino", ["prefix_cache=on"])  # which it has by itself
    assert (without.engine, with_.engine) == (("prefix_cache=off",), ("prefix_cache=on",))


def test_two_levers_make_four_settings_and_three_make_two() -> None:
    assert [each.name for each in turned("openvino", ["kv_cache=u4", "compaction=on"])] == [
        "without",
        "kv_cache=u4",
        "compaction=on",
        "kv_cache=u4 compaction=on",
    ]
    three = turned("openvino", ["kv_cache=u4", "compaction=on", "batch_limit=8"])
    assert len(three) == 2


def test_a_lever_that_acts_only_with_another_is_not_tried_alone() -> None:
    words = ["speculation=prompt_lookup", "draft_tokens=16"]
    names = [each.name for each in turned("openvino", words)]
    assert names == ["without", words[0], " ".join(words)]


def test_a_lever_of_an_engine_is_refused_for_a_url() -> None:
    with pytest.raises(UsageError, match="not of a URL"):
        turned("http://127.0.0.1:1", ["threads=2"])
