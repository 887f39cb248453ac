"""What one step of a calibration says."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.machine import TOLERANCE, Step, step
from latok.records import Closed, Load, Open

SMALL = st.floats(0.0, TOLERANCE)
LARGE = st.floats(1.01 * TOLERANCE, 1.0)


EIGHT = Closed(8)


def made(load: Load = EIGHT, **given: Any) -> Step:
    """A step in which all was right, but for what is given."""
    fine: dict[str, Any] = dict.fromkeys(("ttft", "gap", "lag", "late", "served"), [1e-5] * 200)
    fine |= {"tokens_per_s": 400.0, "requests_per_s": 20.0, "cpu": 1e-5, "coalesced": 0.0}
    fine |= {"clock_step": 0.0, "kernel_stamps": True} | given
    return step(load, **{k: np.array(v) if isinstance(v, list) else v for k, v in fine.items()})


@given(
    st.lists(SMALL, min_size=1), st.lists(SMALL, min_size=1), st.sampled_from([Closed(3), Open(9)])
)
def test_errors_within_the_tolerance_are_no_trouble(
    ttft: list[float], gap: list[float], load: Load
) -> None:
    found = made(load, ttft=ttft, gap=gap)
    assert found.trouble is None
    assert found.error is not None
    assert found.error <= TOLERANCE


@given(LARGE, st.sampled_from(["ttft", "gap"]))
def test_one_error_in_fifty_that_is_too_large_is_the_clients(error: float, which: str) -> None:
    assert made(**{which: [0.0] * 98 + [error] * 2}).trouble == "error"


def test_one_error_in_a_thousand_is_not_in_a_p99() -> None:
    assert made(gap=[0.0] * 999 + [0.5]).trouble is None


@given(LARGE)
def test_late_sends_spoil_an_open_loop_alone(late: float) -> None:
    assert made(Open(50.0), late=[late] * 100).trouble == "sends"
    assert made(Closed(50), late=[late] * 100).trouble is None


def test_a_server_a_little_late_does_not_count() -> None:
    assert made(served=[0.005] * 100).trouble is None


def test_a_server_that_fell_behind_is_named_and_not_the_client() -> None:
    assert made(served=[0.05] * 100, gap=[0.02] * 100).trouble == "server"


def test_a_stepped_clock_is_named_before_what_it_bends() -> None:
    assert made(clock_step=0.1, ttft=[0.1] * 9, served=[0.1] * 9).trouble == "clock"


def test_where_nothing_came_there_is_no_error_to_name() -> None:
    found = made(ttft=[], gap=[], lag=[], served=[])
    assert found.trouble == "failed"
    assert found.error is None
    assert found.ttft_error_s == {}
