from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from latok.errors import UsageError
from latok.workload.arrivals import (
    ARRIVALS,
    arrivals_spread,
    constant,
    due_times,
    gamma,
    onoff,
    parse_arrivals,
    poisson,
    ramp,
)

rates = st.floats(0.01, 10_000)
seeds = st.integers(0, 2**32)
kinds = st.sampled_from([kind.form for kind in ARRIVALS.values()])
keeping = st.sampled_from([kind.form for kind in ARRIVALS.values() if kind.form[:4] != "ramp"])


@given(kinds, rates, seeds)
def test_due_times_never_go_back(kind, rate, seed):
    times = list(islice(due_times(kind, rate, seed=seed), 200))
    assert times[0] == 0
    assert all(a <= b for a, b in pairwise(times))


@given(kinds, rates, seeds)
def test_the_same_seed_gives_the_same_times(kind, rate, seed):
    once, again = (list(islice(due_times(kind, rate, seed=seed), 50)) for _ in range(2))
    assert once == again


@given(keeping, st.floats(1, 1000), seeds)
@settings(max_examples=30, deadline=None)
def test_the_rate_asked_is_the_rate_given(kind, rate, seed):
    """Over 10,000 requests and no fewer than a hundred periods of on and off."""
    n = max(10_000, round(1000 * rate)) if kind.startswith("onoff") else 10_000
    last = next(islice(due_times(kind, rate, seed=seed), n, None))
    assert last * rate == pytest.approx(n, rel=6 * 2.5 / n**0.5 + 0.01)  # six deviations


def test_poisson_gaps_are_exponential():
    times = list(islice(poisson(3, seed=1), 20_000))
    gaps = [b - a for a, b in pairwise(times)]
    assert stats.kstest(gaps, stats.expon(scale=1 / 3).cdf).pvalue > 0.01


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.5])
def test_gamma_gaps_have_the_cv_asked_and_are_gamma(cv):
    gaps = np.diff(list(islice(gamma(5.0, cv, seed=1), 40_000)))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)
    law = stats.gamma(a=cv**-2, scale=cv**2 / 5.0)
    # not its p-value: at CV 2.5 one gap in a hundred is below what a time of hours can hold
    assert stats.kstest(gaps, law.cdf).statistic < 0.015


def test_a_gamma_of_cv_one_is_poisson():
    gaps = np.diff(list(islice(gamma(3.0, 1.0, seed=2), 20_000)))
    assert stats.kstest(gaps, stats.expon(scale=1 / 3).cdf).pvalue > 0.01


def test_nothing_is_due_while_it_is_off_and_it_is_poisson_while_it_is_on():
    times = np.array(list(islice(onoff(4.0, 2.0, 8.0, seed=3), 20_000)))
    assert (times % 10.0).max() < 2.0
    on = times // 10.0 * 2.0 + times % 10.0  # the clock that runs while it is on
    assert stats.kstest(np.diff(on), stats.expon(scale=1 / 20.0).cdf).pvalue > 0.01


@pytest.mark.parametrize(("start", "end"), [(0.5, 2.0), (2.0, 0.5), (1.0, 1.0), (0.0, 2.0)])
def test_a_ramp_has_the_rate_that_its_place_says(start, end):
    rate, seconds = 50.0, 200.0
    times = np.array(list(islice(ramp(rate, start, end, seconds=seconds, seed=4), 60_000)))
    for a in range(0, 200, 20):
        expected = rate * 20 * (start + (end - start) * (a + 10) / seconds)
        found = ((times >= a) & (times < a + 20)).sum()
        assert abs(found - expected) <= 5 * expected**0.5
    after = ((times >= 200) & (times < 300)).sum()
    assert abs(after - 100 * rate * end) <= 5 * (100 * rate * end) ** 0.5


def test_a_ramp_is_poisson_on_the_clock_of_its_own_rate():
    times = np.array(list(islice(ramp(50.0, 0.5, 2.0, seconds=100.0, seed=5), 6_000)))
    expected = 50.0 * (0.5 * times + 1.5 / 100 * times**2 / 2)
    assert times[-1] < 100
    assert stats.kstest(np.diff(expected), stats.expon.cdf).pvalue > 0.01


def test_seeds_differ():
    assert list(islice(poisson(1, seed=1), 5)) != list(islice(poisson(1, seed=2), 5))


def test_even_times_do_not_drift():
    assert next(islice(constant(10), 6000, None)) == 600


def test_numbers_may_have_names_in_any_order_and_units():
    written = ("onoff(on=2s,off=500ms)", "onoff(off=500ms, on=2)", "onoff(2,0.5)")
    assert {parse_arrivals(text).numbers for text in written} == {(2.0, 0.5)}


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="requests per second"):
        due_times("poisson", rate, seed=0)


def test_unknown_arrivals_are_answered_with_the_known():
    with pytest.raises(UsageError, match="no arrivals 'posson'; there are constant, poisson, gamm"):
        due_times("posson", 1, seed=0)


@pytest.mark.parametrize(
    "text",
    ["gamma", "gamma()", "gamma(0)", "gamma(x)", "gamma(1,2)", "poisson(1)", "onoff(2s)",
     "onoff(on=2s,on=8s)", "onoff(on=0,off=1)", "ramp(1)", "ramp(1,0)", "ramp(a=1,b=2)"],
)  # fmt: skip
def test_what_cannot_be_read_is_answered_with_the_form(text):
    with pytest.raises(UsageError, match="they read like"):
        parse_arrivals(text)


def test_only_what_has_an_even_rate_can_be_checked_against_it():
    assert arrivals_spread("poisson") == 1.0
    assert arrivals_spread("gamma(3)") == 9.0
    assert {arrivals_spread(text) for text in ("ramp(1,2)", "onoff(1,1)", "trace")} == {None}
