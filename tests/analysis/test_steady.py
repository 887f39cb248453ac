"""The steady part of a run is found, and what is not steady is said: by how much, and when."""

from __future__ import annotations

import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.metrics import digest, point, steady_part
from latok.analysis.point import Check, Point
from latok.analysis.stats import Floats
from latok.analysis.steady import Series, steady
from latok.records import Closed, Record
from tests.analysis.test_stats import autoregressive
from tests.simulated import closed, manifest, record

LONG = manifest(Closed(1), (0.0, 1e6))


def said(*values: Floats) -> Check:
    """What is said of series, one value a second, as a latency is looked at: its logarithm."""
    series = [Series("ttft", np.arange(float(len(each))), each) for each in values]
    return steady(LONG, [], series)[1]


@pytest.mark.parametrize(("n", "memory"), [(100, 0.0), (300, 0.5), (1000, 0.8), (100, 0.9)])
def test_a_stationary_run_is_rarely_called_drifting(n: int, memory: float) -> None:
    rng = np.random.default_rng(0)
    runs = [said(*(0.3 * autoregressive(n, memory, rng) for _ in range(3))) for _ in range(300)]
    # at most one in twenty; of 300, 25 is that and three standard deviations
    assert sum(run.ok is False for run in runs) <= 25


@pytest.mark.parametrize(("n", "memory"), [(300, 0.0), (1000, 0.5)])
def test_a_fifth_slower_half_way_is_found(n: int, memory: float) -> None:
    rng = np.random.default_rng(1)
    slow = np.where(np.arange(n) < n // 2, 0.0, math.log(1.2))
    runs = [said(0.2 * autoregressive(n, memory, rng) + slow) for _ in range(100)]
    assert sum(run.ok is False for run in runs) >= 80


def test_a_step_is_said_with_its_size_and_its_time() -> None:
    rng = np.random.default_rng(2)
    slow = np.where(np.arange(200) < 120, 0.0, math.log(1.2))
    run = said(0.01 * rng.normal(size=200) + slow)
    assert run.ok is False
    assert run.detail == "ttft grew by 20% at 120 s"


def test_a_slow_drift_is_said_with_its_span() -> None:
    rng = np.random.default_rng(3)
    run = said(0.01 * rng.normal(size=200) + np.linspace(math.log(1.25), 0.0, 200))
    assert run.ok is False
    assert run.detail == "ttft fell by 20% between 0 s and 199 s"


def test_a_change_too_small_to_matter_is_none() -> None:
    rng = np.random.default_rng(4)
    slow = np.where(np.arange(2000) < 1000, 0.0, math.log(1.03))
    assert said(0.02 * rng.normal(size=2000) + slow).ok is True


def test_a_few_requests_do_not_tell() -> None:
    assert said(np.zeros(30)).ok is None


def checked(found: Point) -> Check:
    return next(check for check in found.checks if check.name == "steady")


def answers(factors: list[float], *, seed: int = 0) -> list[Record]:
    """One user's requests, each slower by a factor."""
    rng, at, made = np.random.default_rng(seed), 0.0, []
    for n, factor in enumerate(factors):
        slow = factor * float(rng.uniform(0.9, 1.1))
        made.append(record(n, at, 0.1 * slow, 0.01 * slow, 20))
        at = made[-1].closed_at or at
    return made


def test_a_cold_start_is_not_in_the_window() -> None:
    cold = answers([3.0, 2.5, 2.0, 2.0, 1.6] + [1.0] * 95)
    plan = manifest(Closed(1), (0.0, 1e3))
    plan = msgspec.structs.replace(plan, window=(0.0, cold[-1].closed_at or 0.0))
    found = point(plan, cold)
    assert 85 <= found.counts.offered <= 95
    assert found.metrics["ttft"].p95 == pytest.approx(0.11, rel=0.05)
    assert checked(found).ok is True
    assert "cut off" in checked(found).detail


def test_half_a_run_that_is_slower_is_a_drift_and_no_cold_start() -> None:
    late = answers([1.0] * 60 + [1.2] * 60)
    plan = manifest(Closed(1), (0.0, late[-1].closed_at or 0.0))
    found = point(plan, late)
    assert found.counts.offered == 120
    assert checked(found).ok is False
    assert re.match(r"ttft grew by (1[7-9]|2[0-3])% at 1[78]", checked(found).detail)


def test_the_ends_in_which_slots_were_empty_are_cut() -> None:
    plan, records = closed(8, 60.0)
    last = max(r.closed_at or 0.0 for r in records)
    whole = msgspec.structs.replace(plan, window=(0.0, last + 20.0))
    trimmed, _ = steady_part(whole, [digest(r) for r in records])
    assert trimmed.window is not None
    assert trimmed.window[1] <= last


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(0, 50))
def test_a_window_is_never_lengthened(concurrency: int, seed: int) -> None:
    plan, records = closed(concurrency, 20.0, seed=seed)
    found, _ = steady_part(plan, [digest(r) for r in records])
    assert plan.window is not None
    assert found.window is not None
    assert plan.window[0] <= found.window[0] < found.window[1] <= plan.window[1]
