"""The statistics of pairs: intervals that hold the truth, and what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.quality.items import Graded
from latok.quality.pairs import (
    asked,
    detectable,
    difference,
    flips,
    mcnemar,
    paired,
    tango,
    worth,
)
from tests.graded import clustered, drawn, side

COUNT = st.integers(0, 40)
CHANGES = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


def alone(n: int) -> list[str]:
    return [str(k) for k in range(n)]


@settings(deadline=None)  # the first call imports SciPy
@given(COUNT, COUNT, COUNT)
def test_tangos_bounds_are_where_its_score_is_the_quantile(b: int, c: int, same: int) -> None:
    """The score by its definition: the likeliest shares under the difference found by a search."""
    from scipy.optimize import minimize_scalar

    n = b + c + same
    if n == 0:
        return
    for delta in tango(c, b, n):
        if abs(delta) > 0.999 or b + c == 0:
            continue

        def unlikely(share: float, delta: float = delta) -> float:
            rest = 1 - 2 * share - delta
            parts = ((b, share + delta), (c, share), (same, rest))
            return -sum(k * math.log(max(p, 1e-300)) for k, p in parts if k)

        low, high = max(0.0, -delta), (1 - delta) / 2
        share = minimize_scalar(unlikely, bounds=(low, high), options={"xatol": 1e-10}).x
        variance = n * (2 * share + delta - delta * delta)
        assert abs(b - c - n * delta) / math.sqrt(variance) == pytest.approx(1.96, rel=0.01)


@given(COUNT, COUNT, st.integers(1, 200))
def test_swapping_the_sides_turns_the_interval_round(b: int, c: int, same: int) -> None:
    low, high = tango(b, c, b + c + same)
    assert tango(c, b, b + c + same) == pytest.approx((-high, -low))
    assert low <= (c - b) / (b + c + same) <= high


def test_of_no_discordant_pair_the_interval_is_about_the_rule_of_three() -> None:
    low, high = tango(0, 0, 149)
    assert (-low, high) == pytest.approx((1.96**2 / (149 + 1.96**2),) * 2, rel=1e-3)


@pytest.mark.parametrize(("n", "regress", "improve"), [(30, 0.1, 0.05), (100, 0.02, 0.02)])
def test_the_interval_holds_the_truth_of_few_pairs(n: int, regress: float, improve: float) -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(400):
        base, with_ = drawn(rng, n, regress=regress, improve=improve)
        low, high = difference((with_ - base).tolist(), alone(n)).ci95
        held.append(low <= improve - regress <= high)
    assert np.mean(held) >= 0.93


def test_the_interval_holds_the_truth_of_uneven_scores() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(400):
        change = (rng.beta(2, 1, 60) - rng.beta(2, 1, 60)) * (rng.random(60) < 0.7)
        low, high = difference(change.tolist(), alone(60)).ci95
        held.append(low <= 0.0 <= high)
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize(("families", "alike"), [(8, 0.8), (24, 0.8), (24, 0.0)])
def test_items_that_change_together_widen_the_interval_as_they_must(
    families: int, alike: float
) -> None:
    rng = np.random.default_rng(3)
    held, blind = [], []
    for _ in range(800):
        change, names = clustered(rng, families, 10, discordant=0.2, alike=alike)
        low, high = difference(change.tolist(), names).ci95
        held.append(low <= 0.0 <= high)
        low, high = difference(change.tolist(), alone(len(change))).ci95
        blind.append(low <= 0.0 <= high)
    assert np.mean(held) >= 0.93
    if alike:
        assert np.mean(blind) < 0.9  # without families it would say too much


@given(CHANGES, st.integers(1, 10))
def test_families_never_make_pairs_worth_more(changes: list[float], count: int) -> None:
    names = [str(n % count) for n in range(len(changes))]
    size, families = worth(changes, names)
    assert 0 < size <= len(changes) * (1 + 1e-12)
    assert families == len(set(names))


@given(CHANGES)
def test_turning_every_change_round_negates_the_difference(changes: list[float]) -> None:
    ours = difference(changes, alone(len(changes)))
    theirs = difference([-c for c in changes], alone(len(changes)))
    assert theirs.delta == pytest.approx(-ours.delta)
    assert theirs.ci95 == pytest.approx((-ours.ci95[1], -ours.ci95[0]))
    assert -1 <= ours.ci95[0] <= ours.delta + 1e-9 <= ours.ci95[1] + 2e-9 <= 1 + 2e-9


@settings(deadline=None)  # the first call imports SciPy
@given(COUNT, COUNT)
def test_mcnemar_is_the_binomial_test(regress: int, improve: int) -> None:
    from scipy.stats import binomtest

    exact, mid = mcnemar(regress, improve)
    assert mcnemar(improve, regress) == (exact, mid)
    if regress + improve:
        assert exact == pytest.approx(binomtest(regress, regress + improve).pvalue)
    assert mid <= exact <= 1.0


def test_how_many_pairs_are_asked_is_as_published() -> None:
    """Connor's formula for a power of 0.8: 2 points of 5 % discordant pairs ask for 979."""
    assert asked(0.02, 0.05) == pytest.approx(979, abs=1)
    assert asked(0.05, 0.1) == pytest.approx(312, abs=1)


@given(st.integers(10, 5000), st.floats(0, 1))
def test_what_can_be_detected_is_what_so_many_pairs_find(n: int, spread: float) -> None:
    smallest = detectable(n, spread)
    assert 0 < smallest <= 1
    if smallest < 1:
        assert asked(smallest, spread) == pytest.approx(n, rel=1e-6)
    assert detectable(2 * n, spread) <= smallest


def test_the_four_cells_are_all_pairs() -> None:
    pairs, _ = paired(side([1, 1, 0, 0, 1]), side([1, 0, 1, 0, 0.5]))
    found = flips([(pair.base, pair.with_) for pair in pairs])
    assert (found.both_right, found.regress, found.improve, found.both_wrong) == (1, 2, 1, 1)
    assert found.share == 3 / 5


def test_pairs_come_in_the_order_of_the_second_side_and_the_unpaired_are_said() -> None:
    ours, theirs = side([1, 1, 1, 0]), side([0, 0, 0, 1, 1])[::-1]
    pairs, said = paired(ours, theirs)
    assert [pair.base.item for pair in pairs] == ["3", "2", "1", "0"]
    assert said == "1 items were asked on one side only, and are left out"
    assert paired(ours, ours)[1] == ""


def test_an_item_that_is_there_twice_is_refused() -> None:
    twice = side([1, 0])[:1] * 2
    for sides in ((twice, side([1, 0])), (side([1, 0]), twice), (side([1]), side([1]), twice)):
        with pytest.raises(ValueError, match="item 0 is there 2 times"):
            paired(*sides)


def test_without_a_pair_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no item was asked on both sides"):
        paired(side([1]), [])


def test_a_score_that_is_none_is_refused() -> None:
    wrong = [Graded(item="a", task="t", family="f", score=2.0)]
    with pytest.raises(ValueError, match="not from 0 to 1"):
        paired(wrong, wrong)
