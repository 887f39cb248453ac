"""A folder in which something was tried: listed, shown and reported like what else is stored."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from latok.cli import app
from latok.errors import UsageError
from latok.jobs.report import write_report
from latok.jobs.runs import TRIED, kind
from latok.jobs.tried import read_tried, stored_trial
from latok.quality.tried import Tried
from latok.records import write_manifest, write_records
from tests.report.samples import drive, manifest_of
from tests.report.trials import one_lever


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Moved since it was measured, and of one of its two runs nothing is left."""
    found = tmp_path / "runs" / "1-try-document"
    manifest = msgspec.structs.replace(manifest_of(8), id="1-document-c8")
    (found / manifest.id).mkdir(parents=True)
    write_manifest(found / manifest.id, manifest)
    write_records(found / manifest.id, drive(8, seconds=6.0))
    runs = ((f"elsewhere/{manifest.id}",), ("elsewhere/2-document-c8",))
    tried = msgspec.structs.replace(one_lever(), runs=runs)
    (found / TRIED).write_bytes(msgspec.json.encode(tried))
    return found


def test_its_kind_is_its_own_though_it_holds_a_capacity(folder: Path) -> None:
    (folder / "capacity.json").write_text("[]")
    assert kind(folder) == "try"


def test_its_runs_are_found_where_they_are_now_and_the_others_are_left_out(folder: Path) -> None:
    trial = stored_trial(folder)
    assert [(name, len(points)) for name, points in trial.points] == [
        ("without", 1),
        ("context=bm25:256", 0),
    ]


def test_its_report_is_written_beside_it(folder: Path) -> None:
    page = write_report([folder], None)
    assert page.parent == folder
    assert "without, round 1" in page.read_text()


def test_the_commands_that_read_know_it(folder: Path) -> None:
    runs = ["--runs", str(folder.parent)]
    listed = CliRunner().invoke(app, ["runs", *runs])
    assert listed.stdout == f"try  {folder}\n"
    shown = CliRunner().invoke(app, ["show", folder.name, *runs])
    assert "✗ inferior" in shown.stdout
    said = CliRunner().invoke(app, ["show", folder.name, "--json", *runs])
    assert json.loads(said.stdout)["schema"] == "latok.try/1"
    assert msgspec.json.decode(said.stdout, type=Tried) == read_tried(folder)


def test_what_is_no_trial_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was tried in"):
        read_tried(tmp_path)
    (tmp_path / TRIED).write_text('{"schema": 1}')
    with pytest.raises(UsageError, match="is not of latok"):
        read_tried(tmp_path)
