"""The search for capacity against servers whose capacity is known, in real time."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from latok.analysis.capacity import Capacity
from latok.jobs.capacity import read_capacities
from latok.load.golden import golden
from tests.queueing import capacity

LATOK = [sys.executable, "-m", "latok"]
SHORT = ["--input-tokens", "16", "--output-tokens", "1"]
WIDE = ["--model", "queue:servers=8,service=0.05", "--slo", "ttft_user.p90<80ms"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.queue:queue") as found:
        yield found


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LATOK, *words], capture_output=True, text=True, check=False, timeout=120
    )


def searched(*words: str, runs: Path) -> list[dict[str, Any]]:
    """The answers that are printed."""
    said = run("capacity", *words, *SHORT, "--runs", str(runs), "--json")
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    assert "the client was the limit" not in said.stdout
    return list(found.get("capacities", [found]))


def test_one_json_object_answers_for_both_loops(url: str, tmp_path: Path) -> None:
    (found,) = searched(url, *WIDE, "--budget", "12s", "--highest", "64", runs=tmp_path)
    assert found["schema"] == "latok.capacity/1"
    assert found["tightest"] == "ttft_user.p90<80ms"
    for answer, name in ((found["closed"], "concurrency"), (found["open"], "rate")):
        low, high = answer["ci95"]
        assert low <= answer[name] <= (high or 1e9)
        assert answer["stopped"]
    loads = [point["load"] for point in found["points"]]
    assert {"Closed", "Open"} == {load["mode"].title() for load in loads}
    (folder,) = tmp_path.glob("*-capacity-*")
    (read,) = read_capacities(folder)
    assert read == msgspec.convert(found, Capacity)
    said = run("show", "last", "--runs", str(tmp_path))
    assert "Closed loop: " in said.stdout
    assert "Open loop: " in said.stdout


def test_a_limit_that_nothing_reaches_is_said(url: str, tmp_path: Path) -> None:
    words = (*WIDE, "--budget", "6s", "--closed", "--highest", "2")
    (found,) = searched(url, *words, runs=tmp_path)
    assert found["open"] is None
    assert found["closed"]["ci95"][1] is None
    assert "the limit of 2 was not reached" in found["closed"]["stopped"]


def test_not_even_one_is_a_result(url: str, tmp_path: Path) -> None:
    words = ("--model", "queue:service=0.1", "--slo", "ttft.p95<50ms", "--closed")
    (found,) = searched(url, *words, "--budget", "8s", runs=tmp_path)
    assert found["closed"]["concurrency"] == 0
    assert "even one at a time" in found["closed"]["stopped"]


def test_who_is_clearly_below_another_stops_early(url: str, tmp_path: Path) -> None:
    with golden("tests.golden.queue:single") as narrow:
        words = (narrow, url, *WIDE, "--budget", "12s", "--closed")
        low, high = searched(*words, runs=tmp_path)
    assert "clearly below" in low["closed"]["stopped"]
    assert low["closed"]["ci95"][1] < high["closed"]["ci95"][0]


def test_ctrl_c_keeps_what_was_measured(url: str, tmp_path: Path) -> None:
    words = ["capacity", url, *WIDE, *SHORT, "--budget", "60s", "--runs", str(tmp_path)]
    process = subprocess.Popen(
        [*LATOK, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 30
    while len(list(tmp_path.glob("*/records.parquet"))) < 2:
        assert time.monotonic() < until, "nothing was measured"
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Capacity for chat" in out
    (folder,) = tmp_path.glob("*-capacity-*")
    assert read_capacities(folder)[0].points


@pytest.mark.engine  # no engine, but as slow as one
def test_three_searches_in_real_time_find_what_the_law_says(url: str, tmp_path: Path) -> None:
    """M/D/c: the interval holds the computed capacity; one of three may miss it, as 5 % do."""
    inside = 0
    for servers, wait, quantile in ((4, 0.05, 90), (8, 0.05, 90), (8, 0.025, 80)):
        words = (
            "--model", f"queue:servers={servers},service=0.05", "--open", "--seed", str(servers),
            "--slo", f"ttft_user.p{quantile}<{50 + 1000 * wait:g}ms", "--budget", "9s",
        )  # fmt: skip
        (found,) = searched(url, *words, runs=tmp_path / f"{servers}-{quantile}")
        (low, high), true = found["open"]["ci95"], capacity(wait, quantile / 100, servers, 0.05)
        inside += low <= true <= (high or math.inf)
        assert 0.7 * true <= found["open"]["rate"] <= 1.4 * true
    assert inside >= 2
