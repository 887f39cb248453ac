"""Two runs, two maps or two targets, compared as a user would; and runs that end when they may."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import latok
from latok.analysis.compare import Comparison
from latok.analysis.frontier import AXES, Advice, Map
from latok.analysis.metrics import point
from latok.load.golden import golden
from latok.records import Manifest, Record, write_manifest, write_records
from tests.simulated import closed

LATOK = [sys.executable, "-m", "latok"]
SHORT = ["--input-tokens", "20", "--output-tokens", "10"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LATOK, *words], capture_output=True, text=True, check=False)


def stored(folder: Path, plan: Manifest, records: list[Record], **changed: Any) -> str:
    folder.mkdir(parents=True)
    write_manifest(folder, msgspec.structs.replace(plan, id=folder.name, **changed))
    write_records(folder, records)
    return str(folder)


def slower(records: list[Record], factor: float) -> list[Record]:
    """As if the server took so much longer for each."""

    def late(record: Record) -> Record:
        chunks = tuple(
            msgspec.structs.replace(c, at=record.due + factor * (c.at - record.due))
            for c in record.chunks
        )
        ended = record.due + factor * ((record.closed_at or record.due) - record.due)
        return msgspec.structs.replace(record, chunks=chunks, closed_at=ended)

    return [late(record) for record in records]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one simulated server: twice as it is, once slower, once with other lengths."""
    home = tmp_path_factory.mktemp("runs")
    plan, records = closed(8, 240.0)
    stored(home / "before", plan, records)
    again, more = closed(8, 240.0, seed=1)
    stored(home / "after", again, more)
    stored(home / "slower", again, slower(more, 1.3))
    stored(home / "longer", again, more, workload={"output_tokens": "99"})
    few, first = closed(8, 12.0)
    stored(home / "few", few, first)
    late = [msgspec.structs.replace(r, sent_last=(r.sent_first or 0.0) + 0.2) for r in more]
    stored(home / "bent", again, late)
    return home


def compared(runs: Path, a: str, b: str, *more: str) -> tuple[int, Any]:
    said = run("compare", a, b, "--runs", str(runs), "--json", *more)
    return said.returncode, json.loads(said.stdout) if said.stdout else said.stderr


def test_two_runs_of_the_same_are_the_same_and_exit_with_0(runs: Path) -> None:
    code, found = compared(runs, "before", "after", "--margin", "10%")
    assert found["schema"] == "latok.compare/1"
    assert found["verdict"] == "same"
    assert code == 0
    assert found["metrics"]["ttft.p50"]["ci95"][0] <= found["metrics"]["ttft.p50"]["ratio"]
    assert found["runs"] == [[str(runs / "before")], [str(runs / "after")]]


def test_worse_exits_with_1_and_better_with_0(runs: Path) -> None:
    code, found = compared(runs, "before", "slower")
    assert (code, found["verdict"]) == (1, "worse")
    assert found["metrics"]["ttft.p95"]["ratio"] == pytest.approx(1.3, rel=0.05)
    code, found = compared(runs, "slower", "before")
    assert (code, found["verdict"]) == (0, "better")


def test_too_few_exit_with_4_and_say_how_many_more(runs: Path) -> None:
    code, found = compared(runs, "few", "few")
    assert (code, found["verdict"]) == (4, "undecided")
    assert any(one["needed"] for one in found["metrics"].values())


def test_a_margin_is_what_is_asked(runs: Path) -> None:
    assert compared(runs, "before", "slower", "--margin", "50%")[1]["verdict"] == "same"
    assert compared(runs, "before", "slower", "--margin", "0.5")[1]["margin"] == 0.5


def test_other_lengths_are_not_compared_and_exit_with_2(runs: Path) -> None:
    code, said = compared(runs, "before", "longer")
    assert code == 2
    assert said.startswith("latok: not comparable: output tokens of the workload differs")


def test_an_invalid_run_is_not_compared_and_exits_with_5(runs: Path) -> None:
    code, said = compared(runs, "before", "bent")
    assert code == 5
    assert "invalid" in said
    assert "the client may have moved" in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("before nosuch", "no run or map 'nosuch'"),
        ("before http://127.0.0.1:1", "a stored run and a target"),
        ("before after -c 8", "--concurrency: stored runs have had their load"),
        ("before after --margin wide", "--margin 'wide' is not a number"),
    ],
)
def test_what_is_wrong_is_one_clear_line(runs: Path, words: str, line: str) -> None:
    said = run("compare", *words.split(), "--runs", str(runs))
    assert said.returncode == 2
    assert line in said.stderr.splitlines()[-1]


def test_the_terminal_shows_both_sides_and_a_sentence(runs: Path) -> None:
    said = run("compare", "before", "slower", "--runs", str(runs)).stdout
    assert "ttft.p95" in said
    assert "✗ worse" in said
    assert "B is worse: ttft.p50" in said


def test_two_maps_are_compared_load_by_load(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("other", 1)):
        points = []
        for users in (2, 4):
            plan, records = closed(users, 240.0, seed=seed)
            folder = stored(tmp_path / f"{name}-{users}", plan, records)
            plan = msgspec.structs.replace(plan, id=f"{name}-{users}")
            points.append(point(plan, records, run=folder))
        if name == "other":  # and one that the first map does not have
            plan, records = closed(16, 30.0, seed=seed)
            folder = stored(tmp_path / "other-16", plan, records)
            points.append(point(plan, records, run=folder))
        map_ = Map(
            app="chat",
            slo="",
            axes=AXES,
            points=tuple(points),
            frontier=(),
            knee=None,
            advice=Advice(app="chat", point=None, why=(), headroom=None, text=""),
            stopped="",
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "map.json").write_bytes(msgspec.json.encode(map_))
    code, found = compared(tmp_path, "one", "other")
    assert code in (0, 4)
    assert {name.partition(".")[0] for name in found["metrics"]} == {"c2", "c4"}
    assert not [m for m in found["metrics"].values() if m["verdict"] in ("better", "worse")]


def test_a_library_call_gives_the_same(runs: Path) -> None:
    found = latok.compare("before", "slower", runs=str(runs))
    assert isinstance(found, Comparison)
    assert found.verdict == "worse"


def test_targets_that_slow_down_together_are_not_called_different(url: str, tmp_path: Path) -> None:
    """In turns: the server slows by a fifth in the middle, whoever asks."""
    said = run(
        "compare", url, url, "--model", "slowing:ttft=0.1,gap=0.02,from=120,by=0.2", *SHORT,
        "-c", "4", "--budget", "14s", "--runs", str(tmp_path), "--json",
    )  # fmt: skip
    assert said.returncode in (0, 4), said.stderr
    found = json.loads(said.stdout)
    assert found["design"] == "interleaved"
    assert not [m for m in found["metrics"].values() if m["verdict"] in ("better", "worse")]
    (folder,) = tmp_path.iterdir()
    assert msgspec.json.decode((folder / "compare.json").read_bytes(), type=Comparison)
    assert len(list(folder.glob("*/records.parquet"))) >= 2 * found["blocks"]


def test_a_server_that_slows_down_half_way_is_not_steady(url: str, tmp_path: Path) -> None:
    with golden("tests.golden.scripts:by_model") as fresh:
        said = run(
            "measure", fresh, "--model", "slowing:ttft=0.1,gap=0.02,from=60,by=0.2", *SHORT,
            "-c", "4", "--duration", "8s", "--runs", str(tmp_path), "--json",
        )  # fmt: skip
    found = json.loads(said.stdout)
    check = next(each for each in found["checks"] if each["name"] == "steady")
    assert check["ok"] is False
    assert "tpot grew by" in check["detail"]


def test_a_cold_start_is_not_in_the_window(url: str, tmp_path: Path) -> None:
    with golden("tests.golden.scripts:by_model") as fresh:
        said = run(
            "measure", fresh, "--model", "slowing:ttft=0.1,gap=0.02,until=16,by=2.0,from=0",
            *SHORT, "-c", "4", "--duration", "8s", "--runs", str(tmp_path), "--json",
        )  # fmt: skip
    found = json.loads(said.stdout)
    assert found["metrics"]["ttft"]["p95"] < 0.15
    assert found["metrics"]["tpot"]["p95"] < 0.03


@pytest.mark.parametrize(
    ("slo", "ended"),
    [
        ("", "ttfv.p50 is known to ±"),
        ("ttft.p90<1s", "ttft.p90<1s is met"),
        ("ttft.p90<20ms", "ttft.p90<20ms is not met"),
    ],
)
def test_a_point_ends_when_enough_is_known_and_says_so(
    url: str, tmp_path: Path, slo: str, ended: str
) -> None:
    said = run(
        "measure", url, "--model", "steady:ttft=0.03,gap=0.005", *SHORT, "-c", "4", "--slo", slo,
        "--precision", "20%", "--duration", "60s", "--runs", str(tmp_path), "--json",
    )  # fmt: skip
    found = json.loads(said.stdout)
    assert found["throughput"]["window_s"] < 30
    # whichever was known first
    assert ended in found["ended_by"] or (slo and "is known to" in found["ended_by"])


def test_a_point_of_which_too_little_is_known_says_that(url: str, tmp_path: Path) -> None:
    said = run(
        "measure", url, "--model", "steady:ttft=0.03,gap=0.005", *SHORT, "--slo", "ttft.p99<1s",
        "--precision", "0.0001%", "--duration", "3s", "--runs", str(tmp_path), "--json",
    )  # fmt: skip
    assert "neither the SLO nor ttfv is known" in json.loads(said.stdout)["ended_by"]
