"""The search for capacity, played against servers whose capacity is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.decide.capacity import Hold, Search, Seen, Stop, bracket, next_hold, spent
from tests.queueing import Law, searched


def test_the_interval_covers_the_truth_of_a_queue() -> None:
    """A small version of benchmarks/capacity_search.py."""
    laws = [Law(1, 1.0, 2.0, 0.95), Law(2, 1.0, 1.0, 0.9), Law(4, 1.0, 1.0, 0.95)]
    covered = []
    for seed in range(6):
        law = laws[seed % 3]
        found = searched(law, seed=seed).found
        assert found.high is not None
        assert found.precision <= 0.1
        covered.append(found.low <= law.capacity <= found.high)
    assert sum(covered) >= 5


def test_an_interval_has_both_ends_where_the_budget_allows() -> None:
    """A small version of benchmarks/capacity_search.py --budget."""
    laws = [Law(4, 1.0, 1.0, 0.95, 2), Law(8, 1.0, 2.0, 0.9, 2), Law(16, 1.0, 0.5, 0.95, 2)]
    covered = bounded = 0
    for seed in range(6):
        law = laws[seed % 3]
        found = searched(law, seed=seed, budget=300.0).found
        covered += found.low <= law.capacity <= (found.high or math.inf)
        bounded += found.low > 0.0 and found.high is not None
    assert covered >= 5
    assert bounded >= 5


def cliff(edge: int, load: float, count: int = 60) -> Seen:
    """A closed loop of which all requests are in time up to `edge` users, and none beyond."""
    return Seen(load, (np.full(count, float(load <= edge)),), 1.0, 10.0, 10.0)


def played(edge: int, highest: int = 256) -> tuple[list[Seen], Search, str]:
    search = Search((0.95,), (1.0,), True, 1.0, float(highest), 1.0, 1e9)
    seen: list[Seen] = []
    while isinstance(step := next_hold(search, seen), Hold):
        assert 1 <= step.load <= highest
        assert step.load == int(step.load)
        seen.append(cliff(edge, step.load))
        assert len(seen) < 60
    return seen, search, step.why


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 200))
def test_a_cliff_between_two_whole_numbers_is_found(edge: int) -> None:
    seen, search, _ = played(edge)
    found = bracket(search, seen)
    assert found.high is not None
    assert found.low - 1 <= 1.02 * edge
    assert 0.98 * edge <= found.high + 1
    assert found.high - found.low <= max(0.25 * edge, 1)


@settings(deadline=None, max_examples=10)
@given(st.floats(1.0, 10.0), st.floats(0.3, 3.0))
def test_with_a_budget_in_seconds_an_open_loop_stays_near_its_edge(
    edge: float, times: float
) -> None:
    """An engine with an SLO of three p99, as chat has, which misses one of them at a cliff."""
    search = Search((0.99,) * 3, (0.5,) * 3, False, edge * times, 1e3, 0.3, 1000.0 / edge)
    seen: list[Seen] = []
    while isinstance(step := next_hold(search, seen), Hold):
        assert step.load >= edge / 4.0 or not seen
        if any(row.load <= edge for row in seen) and any(row.load > edge for row in seen):
            assert edge / 2.0 <= step.load <= edge * 2.0
        sent = np.ones(max(round(step.load * step.seconds), 1))
        held = step.seconds + step.warm_up
        hits = (sent * (step.load <= edge), sent, sent)
        seen.append(Seen(step.load, hits, 0.3, held, held * max(step.load / edge, 1.0) + 0.3))
    found = bracket(search, seen)
    assert found.high is not None
    assert 0.1 * edge <= found.low <= 1.03 * edge
    assert 0.97 * edge <= found.high <= 2.0 * edge
    assert step.why in ("the budget is spent", "the interval is within 10%")


def test_a_budget_that_was_too_short_says_for_which_end() -> None:
    search = Search((0.99,), (0.01,), False, 1.0, 1e3, 0.01, 60.0)
    met = [Seen(1.0, (np.ones(200),), 0.01, 30.0, 30.0)] * 3
    missed = [Seen(2.0, (np.zeros(200),), 0.01, 30.0, 30.0)] * 3
    assert spent(search, met + missed).why == "the budget is spent"
    assert spent(search, met).why.endswith("before a load surely missed the SLO")
    assert spent(search, missed).why.endswith("before a load surely met the SLO")
    few = [
        Seen(1.0, (np.ones(20),), 0.01, 20.0, 20.0),
        Seen(2.0, ((np.arange(20) > 0) * 1.0,), 0.01, 10.0, 10.0),
    ]
    assert spent(search, few).why.endswith("before either end of the interval is known")


def test_a_light_load_that_was_held_long_takes_nothing_from_the_others() -> None:
    search = Search((0.95,), (1.0,), False, 1.0, 1e3, 1.0, 1e9)
    near = [
        Seen(load, ((np.arange(100) < 100 * share) * 1.0,), 1.0, 10.0, 10.0)
        for load, share in 3 * ((8.0, 0.99), (12.0, 0.5))
    ]
    light = Seen(0.1, (np.ones(10),), 1.0, 100.0, 100.0)
    alone, beside = bracket(search, near), bracket(search, [*near, light])
    assert beside.precision <= 1.1 * alone.precision


def test_zero_is_a_result() -> None:
    seen, search, why = played(0)
    assert bracket(search, seen).high == 0
    assert "even one at a time" in why


def test_a_limit_that_is_not_reached_is_a_result() -> None:
    seen, search, why = played(1000, highest=32)
    found = bracket(search, seen)
    assert found.high is None
    assert found.value == 32
    assert "the limit of 32 was not reached" in why


def test_the_budget_is_kept() -> None:
    law = Law(4, 0.1, 0.1, 0.95)
    done = searched(law, seed=1, budget=60.0, precision=0.01)
    assert "budget" in done.stopped
    assert sum(row.cost for row in done.seen) <= 60.0 * 1.25


def test_the_tightest_clause_is_named() -> None:
    search = Search((0.9, 0.9), (1.0, 1.0), False, 1.0, 1e3, 1.0, 1e9)
    rng = np.random.default_rng(0)
    seen = []
    for load in 3 * (1.0, 2.0, 4.0, 8.0, 16.0):
        loose, tight = (rng.random(200) < (1.0 if load < edge else 0.2) for edge in (12.0, 3.0))
        seen.append(Seen(load, (loose.astype(float), tight.astype(float)), 1.0, 200.0, 200.0))
    found = bracket(search, seen)
    assert found.clause == 1
    assert found.high is not None
    assert found.high < 8.0


def test_clusters_of_misses_tell_less_than_as_many_single_ones() -> None:
    search = Search((0.9,), (0.01,), False, 1.0, 1e3, 0.01, 1e9)
    rng = np.random.default_rng(3)

    def width(run: int) -> float:
        seen = []
        for load, share in 4 * ((0.8, 0.96), (0.9, 0.93), (1.1, 0.85), (1.3, 0.76)):
            hits = np.repeat(rng.random(400 // run) < share, run).astype(np.float64)
            seen.append(Seen(load, (hits,), 0.01, 1000.0, 1000.0))
        found = bracket(search, seen)
        assert found.high is not None
        return found.high - found.low

    assert width(20) > 1.5 * width(1)


def test_one_unlucky_window_does_not_decide() -> None:
    """Near saturation a whole window may be spent in one long queue."""
    search = Search((0.9,), (0.01,), False, 1.0, 1e3, 0.01, 1e9)
    shares = [(1.0, 1.0), (2.0, 1.0), (4.0, 0.0), (4.0, 0.97), (5.0, 0.95), (8.0, 0.3), (7.0, 0.5)]
    seen = [
        Seen(
            load,
            (np.random.default_rng(n).permutation(np.arange(300) < 300 * share) * 1.0,),
            1.0,
            300.0,
            300.0,
        )
        for n, (load, share) in enumerate(shares)
    ]
    found = bracket(search, seen)
    assert found.low < 5.0 < found.value


def test_a_load_that_is_beyond_all_that_was_held_is_not_guessed() -> None:
    search = Search((0.9,), (1.0,), False, 1.0, 1e3, 1.0, 1e9)
    found = bracket(search, [Seen(load, (np.ones(100),), 1.0, 100.0, 100.0) for load in (1.0, 2.0)])
    assert found.high is None
    assert found.value <= 2.0


def test_nothing_is_known_before_the_first_hold() -> None:
    first = next_hold(Search((0.95,), (1.0,), False, 0.5, 100.0, 1.0, 60.0), [])
    assert isinstance(first, Hold)
    assert first.load == 0.5


@pytest.mark.parametrize("quantile", [0.5, 0.999, 1.0])
def test_any_quantile_may_be_asked(quantile: float) -> None:
    search = Search((quantile,), (1.0,), False, 1.0, 64.0, 1.0, 600.0)
    seen: list[Seen] = []
    for _ in range(40):
        step = next_hold(search, seen)
        if isinstance(step, Stop):
            return
        seen.append(Seen(step.load, (np.full(50, float(step.load < 9)),), 1.0, 50.0, 30.0))
    raise AssertionError("it does not end")
