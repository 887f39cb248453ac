"""`latok doctor` on this machine, with real load, and little of it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from latok.analysis.machine import Machine
from latok.cli import main
from latok.decide.doctor import Ladder
from latok.jobs import doctor as job

SMALL = job._Effort(Ladder(4, 2, 8), Ladder(20, 2, 20), seconds=0.3, budget=8.0)


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    """What `latok doctor --quick --json` prints, of a small calibration; its code is `code`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "_QUICK", SMALL)
        out = io.StringIO()
        patch.setattr(sys, "stdout", out)
        code = main(["doctor", "--quick", "--json"])
    return {"code": code, **json.loads(out.getvalue())}


def test_it_is_one_json_object_with_limits_calibration_and_findings(
    printed: dict[str, Any],
) -> None:
    assert printed["schema"] == "latok.doctor/1"
    assert printed["limits"]["cores"] >= 1
    assert printed["calibration"].keys() >= {"streams", "tokens_per_s", "requests_per_s", "steps"}
    assert printed["complete"]
    for finding in printed["findings"]:
        assert finding.keys() == {"name", "ok", "severity", "detail", "do"}


def test_each_step_tells_errors_of_both_the_client_and_the_server(printed: dict[str, Any]) -> None:
    steps = printed["calibration"]["steps"]
    assert {"closed", "open"} == {step["load"]["mode"] for step in steps}
    for step in steps:
        for name in ("ttft_error_s", "gap_error_s", "lag_s", "lateness_s", "server_late_s"):
            assert step[name].keys() == {"p50", "p99"}
            assert step[name]["p50"] <= step[name]["p99"]
        assert step["tokens_per_s"] > 0
        assert step["cpu_per_chunk_s"] > 0


def test_half_of_the_events_are_right_to_a_fraction_of_a_millisecond(
    printed: dict[str, Any],
) -> None:
    """Whatever else runs here: the kernel's stamps do not wait for us."""
    for step in printed["calibration"]["steps"]:
        assert step["ttft_error_s"]["p50"] < 5e-4


def test_the_exit_code_is_the_verdict(printed: dict[str, Any]) -> None:
    assert printed["code"] == (5 if printed["calibration"]["streams"] is None else 0)


def test_few_open_files_cut_the_climb_and_not_the_server() -> None:
    few = Machine(system="Linux", cores=1, open_files=(512, 512))
    cut = job._within_files(job._FULL.streams, few, 1.0)
    assert (cut.highest, cut.end) == (412, "files")
    assert job._within_files(job._FULL.rates, few, 0.5).highest == 824
    assert job._within_files(SMALL.streams, few, 1.0) == SMALL.streams


def test_ctrl_c_prints_what_is_known_so_far() -> None:
    """Ctrl-C goes to the terminal's whole group: the server's process must not answer it."""
    command = [sys.executable, "-m", "latok", "doctor"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        first = running.stderr.readline()  # one step is done, the next has begun
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert "streams × 50 tok/s: error" in first
    assert running.returncode == 130
    assert "25 streams × 50 tok/s" in out
    assert "nterrupted" in out
    assert "Traceback" not in err, err
