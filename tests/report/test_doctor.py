"""The last sentence of `latok doctor`, and what stands above it."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from latok.analysis.machine import Diagnosis
from latok.decide.doctor import findings
from latok.records import Open
from latok.report.doctor import print_diagnosis, step_line, verdict
from tests.analysis.test_machine import made
from tests.decide.test_doctor import BARE, GOOD


def diagnosed(complete: bool = True, **facts: Any) -> Diagnosis:
    found = msgspec.structs.replace(GOOD, **facts)
    return Diagnosis(
        limits=BARE, calibration=found, findings=findings(BARE, found), complete=complete
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            diagnosed(),
            "This machine measures up to 800 streams × 50 tok/s and 1,600 requests/s with an "
            "error under 1 ms (p99).",
        ),
        (
            diagnosed(requests_per_s=None, requests_limit="sends"),
            "This machine measures up to 800 streams × 50 tok/s with an error under 1 ms (p99), "
            "but no open loop: requests are sent too late.",
        ),
        (
            diagnosed(complete=False, requests_per_s=None, requests_limit="cut"),
            "This machine measures up to 800 streams × 50 tok/s with an error under 1 ms (p99). "
            "Interrupted: it may be more.",
        ),
        (
            diagnosed(
                streams=None, streams_limit="error", requests_per_s=None, requests_limit="error"
            ),
            "Not even the smallest load was measured with an error under 1 ms (p99).",
        ),
        (
            diagnosed(
                complete=False,
                streams=None,
                streams_limit="cut",
                requests_per_s=None,
                requests_limit="cut",
            ),
            "Interrupted before anything was measured.",
        ),
        (
            Diagnosis(limits=BARE, calibration=None, findings=()),
            "latok sends load from Linux alone; this machine can read runs and reports.",
        ),
    ],
)
def test_one_sentence_says_what_the_machine_measures(found: Diagnosis, said: str) -> None:
    assert verdict(found) == said


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_lost_on_a_narrow_terminal(width: int) -> None:
    found = diagnosed(steps=(made(), made(Open(3200.0), late=[0.004] * 9)), elsewhere=2.6)
    out = io.StringIO()
    print_diagnosis(found, Console(file=out, width=width))
    words = out.getvalue().split()
    for each in found.findings:
        assert set(f"{each.name} {each.severity} {each.detail} {each.do}".split()) <= set(words)
    assert words[-len(verdict(found).split()) :] == verdict(found).split()
    assert all(len(line) <= width for line in out.getvalue().splitlines())


def test_a_step_tells_its_error_and_its_trouble() -> None:
    assert step_line(made()) == "8 streams × 50 tok/s: error 10.0 µs (p99)"
    assert step_line(made(Open(3200.0), late=[0.01])).endswith("✗ sent late")
    assert "–" in step_line(made(ttft=[], gap=[]))
