"""latok explain on the real engines: their parts sum to what the client saw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import latok
from latok.analysis.explain import AtLoad, Explanation

pytestmark = pytest.mark.engine
REQUESTS = ["--requests", "10"]


def explained(runs: Path, *words: str) -> Explanation:
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "latok",
            "explain",
            *words,
            *REQUESTS,
            "--runs",
            str(runs),
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert said.returncode == 0, said.stderr
    return msgspec.json.decode(said.stdout, type=Explanation)


def part(at: AtLoad, name: str) -> float:
    waterfall = at.waterfall("ttft")
    assert waterfall
    return next((c.seconds for c in waterfall.components if c.name == name), 0.0)


@pytest.mark.parametrize(
    ("engine", "levers"),
    [
        ("openvino", ["batch_limit=4", "--scale", "0.05"]),
        # what it does before a prompt it does not tell, some 2 ms: prompts of a usual length
        ("llamacpp", ["batch_limit=4", "context_limit=1024", "--scale", "0.2"]),
    ],
)
def test_the_parts_sum_to_the_whole_alone_and_in_a_queue(
    engine: str, levers: list[str], tmp_path: Path
) -> None:
    found = explained(tmp_path, engine, *levers, "-c", "8")
    assert found.grade == "told"
    alone, loaded = found.loads
    for each in found.loads:
        assert each.explained == each.offered
        assert max(each.unexplained.values()) < 0.03, each.unexplained
        for waterfall in each.waterfalls:
            assert sum(c.seconds for c in waterfall.components) == pytest.approx(waterfall.seconds)
    assert part(alone, "queue") < 0.1 * part(alone, "prefill")
    assert part(loaded, "queue") > 10 * part(alone, "queue")
    assert found.floor
    # nothing decodes faster than its weights can be read
    assert found.floor.decode_times
    assert found.floor.decode_times > 0.8
    assert loaded.counters
    assert loaded.counters.values["running"] <= 4.01
    assert loaded.counters.values["waiting"] > 1
    assert any("counted whole" in check.detail for check in found.checks)
    if engine == "openvino":  # llama.cpp counts no queue
        _, records = latok.read_run(loaded.run)
        start, end = loaded.counters.window
        told = [
            r.server_timings["queue"]
            for r in records
            if r.server_timings and r.closed_at and start <= r.closed_at < end
        ]
        # at the window's ends a request may fall on either side
        assert loaded.counters.values["queue"] == pytest.approx(sum(told) / len(told), rel=0.25)
        assert 1.0 <= loaded.counters.values["batch"] <= 4.0
