"""A map whose engine is tried with levers turned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from latok.analysis.frontier import Map
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.settings import graded_share, settings_asked
from latok.load.golden import golden

LATOK = [sys.executable, "-m", "latok"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LATOK, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("target", "setting", "why"),
    [
        ("openvino", "kv_cache=u8", "is so already"),
        ("openvino", "kv_cache=u5", "kv_cache is one of"),
        ("openvino", "kv_cache", "neither auto nor like"),
        ("openvino", "", "neither auto nor like"),
        ("openvino", "threads=1 threads=2", "twice"),
        ("openvino", "cache_eviction=512 prefix_cache=on", "exclude each other"),
        ("http://localhost:8000", "auto", "of an engine that latok starts"),
        ("openvino", "context=bm25:few", "whole number"),
        ("openvino", "context=map_reduce:100", "latok try tries it"),
        ("http://localhost:8000", "compaction=on kv_cache=u4", "of an engine that latok starts"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_an_engine_starts(
    target: str, setting: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        settings_asked(Experiment(settings=(setting,)), target, "chat")


def test_named_settings_and_promising_ones_are_each_tried_once() -> None:
    asked = Experiment(settings=("speculation=prompt_lookup", "auto", "kv_cache=f16 threads=1"))
    found = settings_asked(asked, "openvino", "chat")
    assert found[:2] == ["", "speculation=prompt_lookup"]
    assert found[-1] == "kv_cache=f16 threads=1"
    assert len(set(found)) == len(found)


def test_with_settings_a_part_is_graded_unless_something_else_was_asked() -> None:
    settings = ("auto",)
    assert graded_share(Experiment(settings=settings), "chat")[0].graded == 0.2
    assert graded_share(Experiment(settings=settings, graded=0.5), "chat")[0].graded == 0.5
    assert graded_share(Experiment(), "chat")[0].graded is None
    asked, why = graded_share(Experiment(settings=settings), "voice")
    assert asked.graded is None
    assert "not graded" in why


def test_all_is_graded_where_a_lever_acts_on_parts_that_drawn_requests_have_not() -> None:
    known = Experiment(settings=("context=bm25:256", "output_budget=8"))
    assert graded_share(known, "document")[0].graded == 0.2
    asked, why = graded_share(Experiment(settings=("compaction=on",), graded=0.5), "batch")
    assert asked.graded == 1.0
    assert "compaction acts on parts" in why
    with pytest.raises(UsageError, match="there are none"):
        graded_share(Experiment(settings=("compaction=on",)), "voice")


def test_levers_of_requests_are_points_of_a_map_of_a_url(tmp_path: Path) -> None:
    with golden("tests.golden.scripts:by_model") as url:
        said = run(
            "map", url, "--model", "steady:ttft=0.02,gap=0.01", "--app", "document",
            "--scale", "0.02", "--levers", "output_budget=2", "--budget", "16s", "--highest", "2",
            "--runs", str(tmp_path), "--json",
        )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found = msgspec.json.decode(said.stdout, type=Map)
    (setting,) = found.settings
    assert setting.levers == {"output_budget": "2"}
    turned = [p for p in found.points if p.id in setting.points]
    assert turned
    assert {p.levers["output_budget"] for p in turned} == {"2"}
    assert all(1 < (p.tokens["output"] or 0) <= 2 for p in turned)
    assert any("output_budget=2" in sentence for sentence in found.advice.levers)
    # and a batch is planned for each of them
    planned = run(
        "batch", "last", "--requests", "1k", "--deadline", "1h", "--runs", str(tmp_path), "--json"
    )
    assert planned.returncode == 0, planned.stderr
    rows = msgspec.json.decode(planned.stdout)["batches"]
    assert {row["target"].partition(" ")[2] for row in rows} == {"", "output_budget=2"}
    late = run("batch", "last", "--requests", "1k", "--deadline", "1s", "--runs", str(tmp_path))
    assert late.returncode == 1
    assert "too late" in late.stdout.replace("\n", " ")
    wrong = run("batch", "last", "--requests", "0", "--deadline", "1s", "--runs", str(tmp_path))
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1


def test_a_dry_run_says_each_setting_and_what_to_expect_of_it() -> None:
    said = run("map", "openvino", "--levers", "auto", "--app", "document", "--dry-run", "--json")
    assert said.returncode == 0, said.stderr
    rows: list[dict[str, Any]] = msgspec.json.decode(said.stdout)["outlooks"]
    assert [row["target"] for row in rows][:3] == [
        "openvino",
        "openvino context=bm25:256",
        "openvino sparse_attention=xattention",
    ]
    assert "XAttention" in rows[2]["note"]


def test_levers_of_a_url_are_one_line_and_exit_code_2() -> None:
    said = run("map", "http://127.0.0.1:1", "--levers", "kv_cache=u4")
    assert said.returncode == 2
    assert len(said.stderr.strip().splitlines()) == 1


@pytest.mark.engine
def test_a_map_of_the_embedded_engine_tries_what_was_named(tmp_path: Path) -> None:
    said = run(
        "map", "openvino", "--levers", "kv_cache=u4", "--app", "chat", "--budget", "20s",
        "--highest", "2",
        "--runs", str(tmp_path), "--json",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found = msgspec.json.decode(said.stdout, type=Map)
    assert [each.name for each in found.settings] == ["kv_cache=u4"]
    base = {str(p.load) for p in found.points if p.target.name == "openvino"}
    by_id = {p.id: p for p in found.points}
    for each in found.settings:
        assert {str(by_id[id].load) for id in each.points} <= base
        assert {by_id[id].target.name for id in each.points} == {each.target}
        assert all(by_id[id].levers.items() >= _parsed(each.levers).items() for id in each.points)
        assert any(each.name in sentence for sentence in found.advice.levers)


def _parsed(levers: dict[str, str]) -> dict[str, Any]:
    from latok.engines.table import parse_levers

    return parse_levers("openvino", levers)
