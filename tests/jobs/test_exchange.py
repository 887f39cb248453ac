"""Runs out to other tools' files, and other tools' files in among the runs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from latok.analysis.exports import FORMATS
from latok.errors import UsageError
from latok.jobs.exchange import export, import_
from latok.jobs.runs import POINT
from latok.records import write_manifest, write_records
from tests.simulated import closed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    manifest, records = closed(2, 12.0)
    write_manifest(folder, manifest)
    write_records(folder, records)
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_run_is_exported_in_every_format(run: Path, name: str) -> None:
    assert export(run, name).endswith("\n")


def test_a_format_that_there_is_not_names_those_that_there_are(run: Path) -> None:
    with pytest.raises(UsageError, match=r"no format 'xml'; there are vllm, sglang, .*, csv"):
        export(run, "xml")


def test_a_folder_without_a_run_is_an_error_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run in"):
        export(tmp_path, "vllm")


def test_a_run_without_a_window_has_its_requests_and_no_summary(tmp_path: Path) -> None:
    manifest, records = closed(2, 12.0)
    write_manifest(tmp_path, msgspec.structs.replace(manifest, window=None))
    write_records(tmp_path, records)
    with pytest.raises(UsageError, match="jsonl and csv have its requests"):
        export(tmp_path, "vllm")
    assert export(tmp_path, "csv").count("\n") == len(records) + 1


def test_each_result_of_a_file_becomes_a_folder_of_its_own(run: Path, tmp_path: Path) -> None:
    line = export(run, "sglang")
    (tmp_path / "sweep.jsonl").write_text(line + line, "utf-8")
    folders = import_(tmp_path / "sweep.jsonl", str(tmp_path / "runs"), app="chat")
    assert [folder.name for folder in folders] == ["sglang-sweep", "sglang-sweep-2"]
    stored = [json.loads((folder / POINT).read_bytes()) for folder in folders]
    assert [point["id"] for point in stored] == ["sglang-sweep", "sglang-sweep-2"]
    assert {point["app"] for point in stored} == {"chat"}
    assert stored[0]["run"] == str(folders[0])
    assert stored[0]["instrument"]["verdict"] == "unknown"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"{}", b"pdf"])
def test_a_file_of_no_tool_is_refused_by_its_name_and_leaves_no_folder(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"results\.json: "):
        import_(path, str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there_is_an_error_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none.json: No such file"):
        import_(tmp_path / "none.json", str(tmp_path))
