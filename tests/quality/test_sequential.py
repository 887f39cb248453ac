"""Looking after every pair: what is found, how soon, and how seldom it is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.quality.sequential import Decision, Sequential
from tests.graded import Scores, drawn

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60)


def decided(base: Scores, with_: Scores, margin: float = 0.02) -> tuple[Decision | None, int]:
    watch = Sequential(margin)
    for a, b in zip(base.tolist(), with_.tolist(), strict=True):
        if watch.see(a, b):
            break
    return watch.decision, watch.pairs


def harmless(seed: int, sides: int, n: int, discordant: float) -> list[tuple[Scores, Scores]]:
    rng = np.random.default_rng(seed)
    return [drawn(rng, n, regress=discordant / 2, improve=discordant / 2) for _ in range(sides)]


@pytest.mark.parametrize("discordant", [0.008, 0.2])
def test_looking_after_every_pair_claims_harm_of_no_more_than_one_in_twenty(
    discordant: float,
) -> None:
    sides = harmless(1, 200, 500, discordant)
    assert np.mean([decided(a, b)[0] == "inferior" for a, b in sides]) <= 0.05


def test_uneven_scores_claim_harm_no_oftener() -> None:
    rng = np.random.default_rng(2)
    sides = [(rng.beta(2, 1, 400), rng.beta(2, 1, 400)) for _ in range(150)]
    assert np.mean([decided(a, b)[0] == "inferior" for a, b in sides]) <= 0.05


@pytest.mark.parametrize("discordant", [0.02, 0.1])
def test_a_drop_of_the_margin_is_seldom_certified(discordant: float) -> None:
    rng = np.random.default_rng(3)
    regress, improve = (discordant + 0.02) / 2, (discordant - 0.02) / 2
    sides = [drawn(rng, 500, regress=regress, improve=improve) for _ in range(200)]
    assert np.mean([decided(a, b)[0] == "non-inferior" for a, b in sides]) <= 0.06


def test_a_cache_of_four_bits_is_found_within_200_pairs() -> None:
    """40 regressions and 5 improvements in 240: seen with SmolLM2-135M."""
    rng = np.random.default_rng(4)
    sides = [drawn(rng, 200, regress=40 / 240, improve=5 / 240) for _ in range(300)]
    assert np.mean([decided(a, b)[0] == "inferior" for a, b in sides]) >= 0.95


def test_what_never_differs_is_certified_in_some_hundred_pairs() -> None:
    same = np.ones(400)
    decision, after = decided(same, same)
    assert decision == "non-inferior"
    assert 200 < after < 300
    assert decided(same, same, margin=0.05)[1] < after / 2


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=80))
def test_the_bets_on_harm_are_the_beta_mixture(changes: list[float]) -> None:
    """2^m·B(1+r, 1+i)/B(1, 1), but for the half that bets on improvement; never more than both."""
    watch = Sequential()
    for change in changes:
        watch.see(max(-change, 0.0), max(change, 0.0))
    regress, improve = changes.count(-1.0), changes.count(1.0)
    m = regress + improve
    whole = m * math.log(2) + math.lgamma(1 + regress) + math.lgamma(1 + improve)
    whole -= math.lgamma(2 + m)
    ours = math.log(sum(math.exp(k) for k in watch._harm) / len(watch._harm) / 2)
    assert ours <= whole + 0.05
    if regress > improve + 4 * math.sqrt(m):
        assert ours == pytest.approx(whole, abs=0.1)


@given(SCORES, st.floats(0.01, 0.3))
def test_a_decision_stays(scores: list[tuple[float, float]], margin: float) -> None:
    watch, seen = Sequential(margin), set()
    for base, with_ in scores * 20:
        seen.add(watch.see(base, with_))
    assert len(seen - {None}) <= 1
    assert watch.decision in seen | {None}


@given(SCORES)
def test_no_drop_is_never_inferior_and_a_great_one_never_certified(
    scores: list[tuple[float, float]],
) -> None:
    up, down = Sequential(), Sequential()
    for a, b in scores * 10:
        up.see(min(a, b), max(a, b))
        down.see(max(a, b), max(min(a, b) - 0.05, 0.0) if max(a, b) >= 0.05 else 0.0)
    assert up.decision != "inferior"
    if all(max(a, b) >= 0.05 for a, b in scores):
        assert down.decision != "non-inferior"


def test_how_many_more_it_takes_is_about_what_it_took() -> None:
    for drop in (0.0, 0.1):
        rng = np.random.default_rng(5)
        base, with_ = drawn(rng, 600, regress=drop + 0.002, improve=0.002)
        watch, foreseen = Sequential(), 0
        for a, b in zip(base.tolist(), with_.tolist(), strict=True):
            watch.see(a, b)
            if watch.pairs == 30:
                foreseen = 30 + (watch.more() or 0)
            if watch.decision:
                break
        assert watch.decision == ("inferior" if drop else "non-inferior")
        assert watch.more() == 0
        assert foreseen / 3 <= watch.pairs <= 3 * foreseen


def test_before_the_first_pair_nothing_is_foreseen() -> None:
    assert Sequential().more() is None


@pytest.mark.parametrize("scores", [(1.1, 0.0), (0.0, -0.1), (math.nan, 0.0)])
def test_a_score_that_is_none_is_refused(scores: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Sequential().see(*scores)


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        Sequential(margin)
