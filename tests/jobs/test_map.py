"""The main job against a server of known pace: what it leaves, however it ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import latok
from latok.analysis.frontier import Map, frontier
from latok.load.golden import golden

LATOK = [sys.executable, "-m", "latok"]
SHORT = ["--input-tokens", "20", "--output-tokens", "20"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def run(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LATOK, *words], capture_output=True, text=True, check=False, timeout=120, **how
    )


def mapped(url: str, runs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    model = "steady:ttft=0.02,gap=0.005"
    return run("map", url, "--model", model, *SHORT, "--runs", str(runs), "--json", *more)


@pytest.fixture(scope="module")
def done(url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Map, Path]:
    runs = tmp_path_factory.mktemp("runs")
    said = mapped(url, runs, "--budget", "6s", "--highest", "32")
    assert said.returncode == 0, said.stderr
    return msgspec.json.decode(said.stdout, type=Map), runs


def test_a_map_is_one_json_object_with_levels_intervals_and_a_frontier(
    done: tuple[Map, Path],
) -> None:
    found, _ = done
    assert found.schema == "latok.map/1"
    assert len({str(p.load) for p in found.points}) >= 6
    assert {p.id for p in frontier(found.points)} == set(found.frontier)
    assert all(p.metrics["ttft"].ci95 for p in found.points if p.metrics["ttft"].n >= 4)
    assert found.advice.point in {p.id for p in found.points}


def test_a_server_of_known_pace_is_found_to_have_it(done: tuple[Map, Path]) -> None:
    for point in done[0].points:
        assert point.metrics["ttft"].p50 == pytest.approx(0.02, abs=0.004)
        assert point.metrics["tpot"].p50 == pytest.approx(0.005, rel=0.1)
        assert point.tokens["output"] == 20


def test_it_says_why_it_stopped(done: tuple[Map, Path]) -> None:
    assert "32 at a time was the limit" in done[0].stopped


def test_everything_can_be_read_again(done: tuple[Map, Path]) -> None:
    found, runs = done
    assert latok.read_maps(Path(found.report).parent) == [found]
    assert latok.read_point(found.points[0].run) == found.points[0]
    manifest, records = latok.read_run(found.points[-1].run)
    assert manifest.ended == "complete"
    assert len(records) >= found.points[-1].counts.offered
    assert not list(runs.glob("*/captures.log"))  # the log goes once the Parquet stands
    assert run("show", "last", "--runs", str(runs)).returncode == 0


def test_the_report_is_there_and_charts_can_be_had(done: tuple[Map, Path], tmp_path: Path) -> None:
    found, runs = done
    assert "<html" in Path(found.report).read_text("utf-8")[:500]
    said = run("report", "last", "--runs", str(runs), "--charts", str(tmp_path / "charts"))
    assert said.returncode == 0, said.stderr
    assert {path.suffix for path in (tmp_path / "charts").iterdir()} == {".svg", ".png"}


def test_the_same_command_sends_the_same_requests(url: str, tmp_path: Path) -> None:
    lengths = []
    for n in range(2):
        said = run(
            "measure", url, "--requests", "8", "--seed", "5", "--scale", "0.05", "--json",
            "--runs", str(tmp_path / str(n)),
        )  # fmt: skip
        _, records = latok.read_run(json.loads(said.stdout)["run"])
        lengths.append([(r.id, r.prompt_tokens, r.max_tokens) for r in records[:8]])
    assert lengths[0] == lengths[1]


def test_several_targets_make_one_map(url: str, tmp_path: Path) -> None:
    said = mapped(url, tmp_path, url + "/v1", "--budget", "4s", "--highest", "2")
    assert said.returncode == 0, said.stderr
    assert len(json.loads(said.stdout)["points"]) == 4


def test_a_target_that_is_clearly_behind_stops_early(url: str, tmp_path: Path) -> None:
    with golden("tests.golden.scripts:slowed") as slow:
        said = run(
            "map", url, slow, "--model", "slowing:ttft=0.02,gap=0.005,from=99999,by=1", *SHORT,
            "--budget", "12s", "--highest", "4", "--runs", str(tmp_path), "--json",
        )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found = msgspec.json.decode(said.stdout, type=Map)
    assert f"{slow}: clearly behind {url} at every load" in found.stopped
    assert found.saturation is not None
    assert found.saturation.ci95[0] <= found.saturation.output_tokens_per_s


def test_all_apps_make_a_map_each(url: str, tmp_path: Path) -> None:
    said = mapped(url, tmp_path, "--app", "all", "--budget", "3s", "--highest", "1")
    assert said.returncode == 0, said.stderr
    assert [m["app"] for m in json.loads(said.stdout)["maps"]] == list_of_apps()
    assert run("show", "last", "--runs", str(tmp_path)).returncode == 0


def list_of_apps() -> list[str]:
    return [row["name"] for row in json.loads(run("apps", "--json").stdout)["apps"]]


def started(url: str, runs: Path) -> subprocess.Popen[str]:
    """A map that has finished its first point and is measuring the second."""
    words = ["map", url, "--model", "steady:ttft=0.02,gap=0.01", *SHORT]
    process = subprocess.Popen(
        [*LATOK, *words, "--budget", "12s", "--highest", "4", "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while (
        len({p.parent for n in ("captures.log", "records.parquet") for p in runs.glob(f"*/{n}")})
        < 2
    ):
        assert time.monotonic() < until, "nothing was measured"
        time.sleep(0.05)
    time.sleep(1.0)
    return process


def test_ctrl_c_leaves_a_partial_report_and_the_map_can_be_resumed(
    url: str, tmp_path: Path
) -> None:
    process = started(url, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "1 at a time" in out or "ttft" in out
    (report,) = tmp_path.glob("*/report.html")
    before = latok.read_maps(report.parent)[0]
    assert before.points
    said = run("map", "--resume", "last", "--runs", str(tmp_path), "--json")
    assert said.returncode == 0, said.stderr
    after = msgspec.json.decode(said.stdout, type=Map)
    assert [p.id for p in after.points][: len(before.points)] == [p.id for p in before.points]
    assert len(after.points) > len(before.points)


def test_after_kill_9_the_finished_points_are_readable_and_no_worker_is_left(
    url: str, tmp_path: Path
) -> None:
    process = started(url, tmp_path)
    workers = children(process.pid)
    assert workers
    process.kill()
    process.communicate()
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.05)
    (folder,) = tmp_path.glob("*-map-*")
    assert latok.read_maps(folder)[0].points
    for manifest in tmp_path.glob("*/manifest.json"):  # the point that was cut short, too
        assert latok.read_point(manifest.parent).id == manifest.parent.name


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def test_a_disk_that_fills_up_is_one_line_and_what_was_measured_stays(
    url: str, tmp_path: Path
) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    said = run(
        "measure", url, "--concurrency", "8", "--duration", "8s", "--runs", str(tmp_path),
        "--model", "steady:ttft=0.02,gap=0.005", *SHORT, preexec_fn=small_files,
    )  # fmt: skip
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1].startswith("latok: cannot write")
    assert "Traceback" not in said.stderr
    (folder,) = tmp_path.iterdir()
    assert latok.read_run(folder)[1]


def test_a_folder_that_cannot_be_written_is_one_line(url: str) -> None:
    said = run("measure", url, "--requests", "1", "--runs", "/proc/nowhere")
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1].startswith("latok: cannot write to /proc/nowhere")


def test_the_key_is_in_no_file_that_is_left(url: str, tmp_path: Path) -> None:
    secret = "sk-very-secret"
    said = run(
        "measure", url, "--requests", "2", "--key-env", "MY_KEY", "--runs", str(tmp_path),
        "--header", f"X-Other: {secret}", env=os.environ | {"MY_KEY": secret},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left
    assert not any(secret.encode() in path.read_bytes() for path in left)
    assert secret not in said.stdout + said.stderr


def test_a_machine_without_files_for_its_connections_is_blamed_itself(
    url: str, tmp_path: Path
) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))

    said = run(
        "measure", url, "--model", "steady:ttft=0.02,gap=0.005", *SHORT, "-c", "64", "--duration",
        "1s", "--runs", str(tmp_path), "--json", preexec_fn=few_files,
    )  # fmt: skip
    assert said.returncode == 5, said.stderr
    found = json.loads(said.stdout)
    assert found["instrument"]["verdict"] == "invalid"
    assert any("ulimit -n" in why for why in found["instrument"]["why"])
    assert found["errors"]["client"] > 0
