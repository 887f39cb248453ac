"""The main job on the embedded engine itself: the real model, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import latok
from latok.analysis.frontier import frontier

pytestmark = pytest.mark.engine
LATOK = [sys.executable, "-m", "latok"]


def engines_of(parent: int) -> list[int]:
    """The engine processes that descend from `parent`."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found, grown = {parent}, True
    while grown:
        more = {pid for pid, above in parents.items() if above in found} - found
        found, grown = found | more, bool(more)
    return [pid for pid in found if pid != parent and "latok.engines" in command(pid)]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def gone(pids: list[int], within: float) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not any("latok.engines" in command(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def measuring(runs: Path) -> subprocess.Popen[str]:
    """A map of the embedded engine whose first point is done and whose second has begun."""
    process = subprocess.Popen(
        [*LATOK, "map", "--budget", "30s", "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 90
    while not (done := list(runs.glob("*/records.parquet"))) or all(
        log.with_name("records.parquet") in done for log in runs.glob("*/captures.log")
    ):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing was measured"
        time.sleep(0.1)
    return process


def test_ctrl_c_ends_the_map_with_a_report_and_no_engine(tmp_path: Path) -> None:
    process = measuring(tmp_path)
    engines = engines_of(process.pid)
    assert len(engines) >= 2  # the API and the core
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.glob("*/report.html"))
    assert gone(engines, 5.0)


def test_kill_9_takes_the_engine_along_and_leaves_the_finished_points(tmp_path: Path) -> None:
    process = measuring(tmp_path)
    engines = engines_of(process.pid)
    assert engines
    process.kill()
    process.communicate()
    assert gone(engines, 5.0)
    (folder,) = tmp_path.glob("*-map-*")
    (found,) = latok.read_maps(folder)
    assert found.points
    assert found.points[0].counts.ok > 0


def test_the_embedded_engine_is_mapped_with_its_own_tokens_and_timings(tmp_path: Path) -> None:
    found = latok.map(budget=25.0, runs=str(tmp_path), app="chat")
    assert len(found.points) >= 2
    assert {p.id for p in frontier(found.points)} == set(found.frontier)
    for point in found.points:
        assert point.token_source == "continuous_usage"
        assert point.tokens["input"] == pytest.approx(point.tokens["input_asked"], rel=0.01)
        assert point.tokens["output"] == point.tokens["output_asked"]
        assert point.tokens["cached"] == pytest.approx(0.0, abs=1.0)
    _, records = latok.read_run(found.points[0].run)
    timings = next(r.server_timings for r in records if r.ok)
    assert timings is not None
    assert {"queue", "prefill", "decode"} <= timings.keys()


@pytest.mark.parametrize("engine", ["openvino", "llamacpp"])
def test_an_engine_is_measured_by_its_name(engine: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [*LATOK, "measure", engine, "-c", "2", "--requests", "4", "--scale", "0.05", "--json",
         "--runs", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    # 5: few tokens, and something else had the cores: then nothing is wrong but the times
    assert said.returncode in (0, 5), said.stderr
    point = json.loads(said.stdout)
    assert point["counts"]["ok"] == 4
    assert point["target"]["name"] == engine
