from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from latok.errors import UsageError
from latok.workload.arrivals import ARRIVALS, constant, due_times, poisson

rates = st.floats(0.01, 10_000)
seeds = st.integers(0, 2**32)


@given(st.sampled_from(sorted(ARRIVALS)), rates, seeds)
def test_due_times_start_at_zero_and_never_go_back(kind, rate, seed):
    times = list(islice(due_times(kind, rate, seed=seed), 200))
    assert times[0] == 0
    assert all(a <= b for a, b in pairwise(times))


@given(st.sampled_from(sorted(ARRIVALS)), rates, seeds)
def test_the_same_seed_gives_the_same_times(kind, rate, seed):
    once, again = (list(islice(due_times(kind, rate, seed=seed), 50)) for _ in range(2))
    assert once == again


@given(rates, seeds)
@settings(max_examples=20)
def test_the_rate_asked_is_the_rate_given(rate, seed):
    last = next(islice(poisson(rate, seed=seed), 10_000, None))
    assert last * rate == pytest.approx(10_000, rel=0.06)  # six standard deviations


def test_poisson_gaps_are_exponential():
    times = list(islice(poisson(3, seed=1), 20_000))
    gaps = [b - a for a, b in pairwise(times)]
    assert stats.kstest(gaps, stats.expon(scale=1 / 3).cdf).pvalue > 0.01


def test_seeds_differ():
    assert list(islice(poisson(1, seed=1), 5)) != list(islice(poisson(1, seed=2), 5))


def test_even_times_do_not_drift():
    assert next(islice(constant(10), 6000, None)) == 600


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="requests per second"):
        due_times("poisson", rate, seed=0)


def test_unknown_arrivals_are_answered_with_the_known():
    with pytest.raises(UsageError, match="no arrivals 'posson'; there are constant, poisson"):
        due_times("posson", 1, seed=0)
