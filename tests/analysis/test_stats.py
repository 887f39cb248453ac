"""How much neighbouring requests tell, and intervals that know it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from latok.analysis.stats import (
    Floats,
    alike,
    block_count,
    effective_size,
    quantile_intervals,
    share_interval,
)


def autoregressive(n: int, memory: float, rng: np.random.Generator) -> Floats:
    """A stationary AR(1) series of variance 1: each value is `memory` times the one before, and
    chance."""
    values = np.empty(n)
    value = rng.normal()
    for place, shock in enumerate(rng.normal(size=n) * math.sqrt(1 - memory**2)):
        value = memory * value + shock
        values[place] = value
    return values


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_of_a_known_process_the_effective_size_is_the_known_one(memory: float) -> None:
    rng = np.random.default_rng(0)
    found = [alike(autoregressive(2000, memory, rng)) for _ in range(40)]
    assert np.median(found) == pytest.approx((1 + memory) / (1 - memory), rel=0.15)


@given(st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_values_never_tell_more_than_they_are(values: list[float]) -> None:
    assert 0.0 <= effective_size(np.asarray(values)) <= len(values)


def test_values_that_are_all_equal_are_independent() -> None:
    assert effective_size(np.full(50, 0.1)) == 50


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int) -> None:
    hits = min(hits, n)
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert share_interval(hits, n) == pytest.approx((theirs.low, theirs.high))


@given(st.integers(1, 10_000), st.floats(1.0, 500.0))
def test_blocks_are_never_more_than_values(n: int, together: float) -> None:
    assert 1 <= block_count(n, together) <= n


def test_the_interval_of_a_median_holds_it_although_neighbours_are_alike() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(400.0)
    found = [
        quantile_intervals(autoregressive(400, 0.7, rng), times, [0.5], seed=0)[0]
        for _ in range(300)
    ]
    held = np.mean([one is not None and one[0] <= 0.0 <= one[1] for one in found])
    assert held >= 0.88  # of 95 % asked; blocks of one value would give 60 %


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_of_millions_of_values_as_many_are_alike_as_of_thousands(memory: float) -> None:
    """More than are worked on at a time: from the means of batches."""
    values = autoregressive(1_200_000, memory, np.random.default_rng(1))
    assert alike(values) == pytest.approx((1 + memory) / (1 - memory), rel=0.1)
    assert alike(np.full(1_200_000, 0.1)) == 1.0


def test_values_of_one_time_may_be_given_by_their_count() -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 5, 300).tolist()
    values, times = rng.exponential(size=sum(counts)), np.arange(300.0)
    given_once = quantile_intervals(values, times, [0.5, 0.9], seed=0, counts=counts)
    assert given_once == quantile_intervals(values, np.repeat(times, counts), [0.5, 0.9], seed=0)
