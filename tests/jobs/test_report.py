"""Reports of what lies on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from latok.analysis.capacity import Capacity, Slots
from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.cli import main
from latok.errors import UsageError
from latok.jobs.compare import of_stored
from latok.jobs.experiment import Experiment
from latok.jobs.report import write_charts, write_comparison, write_report
from latok.jobs.runs import CAPACITY, COMPARISON, MAP, kind
from latok.jobs.versus import stored_versus
from latok.records import write_manifest, write_records
from tests.report.samples import SLO, drive, manifest_of, map_of


def put(folder: Path, level: int = 4, *, slow: float = 1.0, **changed: Any) -> Point:
    """A run on the disk."""
    folder.mkdir(parents=True)
    manifest = msgspec.structs.replace(manifest_of(level), id=folder.name, **changed)
    records = drive(level, slow=slow)
    write_manifest(folder, manifest)
    write_records(folder, records)
    return point(manifest, records, run=str(folder))


def page(path: Path) -> str:
    return " ".join(path.read_text("utf-8").split())


def test_a_run_has_a_report_with_its_streams_its_course_and_its_checks(tmp_path: Path) -> None:
    put(tmp_path / "one")
    text = page(write_report([tmp_path / "one"], None))
    for words in ("The streams, 4 at a time", "seconds from the start of the run", "Little’s law"):
        assert words in text


def test_a_maps_report_reads_every_run_and_says_which_are_gone(tmp_path: Path) -> None:
    points = [put(tmp_path / f"c{level}", level) for level in (1, 4)]
    gone = msgspec.structs.replace(points[0], id="gone", run=str(tmp_path / "gone"))
    folder = tmp_path / "map"
    folder.mkdir()
    (folder / MAP).write_bytes(msgspec.json.encode(map_of([*points, gone])))
    text = page(write_report([folder], None))
    assert text.count('aria-label="How the run went') == 2
    assert text.count("Its records are not here") == 1


def test_charts_of_a_run_become_files(tmp_path: Path) -> None:
    put(tmp_path / "one")
    names = {path.name for path in write_charts([tmp_path / "one"], tmp_path / "charts")}
    assert {"frontier.png", "spread-ttft.svg", "run-one.png", "streams-one.svg"} <= names


def test_a_capacity_is_a_chapter_for_each_loop(tmp_path: Path) -> None:
    points = tuple(put(tmp_path / f"c{level}", level) for level in (4, 16))
    found = Capacity(
        app="chat",
        target="openvino",
        slo=SLO,
        closed=Slots(concurrency=12, ci95=(11, 13), tightest="tpot.p95<36ms", stopped="narrow"),
        open=None,
        tightest="tpot.p95<36ms",
        headroom=None,
        points=points,
    )
    folder = tmp_path / "capacity"
    folder.mkdir()
    (folder / CAPACITY).write_bytes(msgspec.json.encode([found]))
    text = page(write_report([folder], None))
    assert "Capacity for chat" in text
    assert "Where the SLO ceases to be met" in text
    assert text.count("<article") == 1

    # beside a map of the same target its interval stands on that frontier
    beside = tmp_path / "map"
    beside.mkdir()
    (beside / MAP).write_bytes(msgspec.json.encode(map_of(points)))
    text = page(write_report([beside, folder], None))
    assert text.count("<article") == 2
    assert text.count("capacity: between 11 and 13, 95 %") == 4  # two charts, each in two sizes


def test_others_are_judged_against_the_first_and_each_has_its_part(tmp_path: Path) -> None:
    put(tmp_path / "a", 8)
    put(tmp_path / "b", 8, slow=1.3)
    put(tmp_path / "c", 16)
    folders = [tmp_path / name for name in "abc"]
    text = page(write_comparison(folders, None, margin=0.05, any_model=False))
    assert text.count("<article") == 2
    assert "B is worse: " in text
    assert "They are not comparable." in text
    assert "<li>the load differs: 8 at a time, and 16 at a time</li>" in text


def test_another_model_is_refused_unless_that_is_what_is_compared(tmp_path: Path) -> None:
    put(tmp_path / "a", 8)
    other = msgspec.structs.replace(manifest_of(8).target, model="another")
    put(tmp_path / "b", 8, target=other)
    folders = [tmp_path / "a", tmp_path / "b"]
    text = page(write_comparison(folders, tmp_path / "r.html", margin=0.05, any_model=False))
    assert "<li>the model differs: SmolLM2-135M-Instruct, and another" in text
    text = page(write_comparison(folders, tmp_path / "r.html", margin=0.05, any_model=True))
    assert "The differences" in text


def test_maps_without_a_load_in_common_are_not_compared(tmp_path: Path) -> None:
    for name, level in (("a", 2), ("b", 4)):
        found = put(tmp_path / f"run-{name}", level)
        (tmp_path / name).mkdir()
        (tmp_path / name / MAP).write_bytes(msgspec.json.encode(map_of([found])))
    folders = [tmp_path / "a", tmp_path / "b"]
    text = page(write_comparison(folders, None, margin=0.05, any_model=False))
    assert "have no load in common" in text


def test_one_run_alone_is_no_comparison(tmp_path: Path) -> None:
    put(tmp_path / "a")
    with pytest.raises(UsageError, match="two runs or maps"):
        write_comparison([tmp_path / "a"], None, margin=0.05, any_model=False)


def test_a_measured_comparison_can_be_read_again_wherever_it_was_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "compare"
    for name, slow in (("a1", 1.0), ("b1", 1.3), ("a2", 1.0), ("b2", 1.3)):
        put(folder / name, 8, slow=slow)
    found = of_stored([folder / "a1", folder / "b1"], Experiment())
    turns = ((str(folder / "a1"), "gone/a2"), (str(folder / "b1"), "gone/b2"))
    found = msgspec.structs.replace(found, a="here", b="there", design="interleaved", runs=turns)
    (folder / COMPARISON).write_bytes(msgspec.json.encode(found))
    assert kind(folder) == "compare"
    ours, theirs = stored_versus(folder).spread[""]
    assert ours["ttft"].n > 300  # of both runs of a side
    assert theirs["tpot"].quantile(0.5) > (ours["tpot"].quantile(0.5) or 0.0)
    text = page(write_report([folder], None))
    assert "of B, there, against A, here" in text
    assert text.count('aria-label="How the run went') == 4
    assert main(["show", str(folder)]) == 0
    assert "B is worse" in capsys.readouterr().out


def test_how_to_judge_is_only_said_of_a_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "a")
    assert main(["report", str(tmp_path / "a"), "--margin", "3%"]) == 2
    assert "give --compare too" in capsys.readouterr().err
