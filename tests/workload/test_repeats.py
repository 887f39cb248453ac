"""Requests that come again: as many as asked, the same whenever they are drawn."""

from __future__ import annotations

import math
from collections import Counter
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.records import Request
from latok.workload.ask import Ask, Workload
from latok.workload.repeats import Repeats


def numbered(first: int) -> Workload:
    def asks(first: int) -> object:
        for n in count(first):
            session = str(n) if n % 2 else ""
            yield Ask(Request(id=n, prompt=f"p{n}", prompt_tokens=1, max_tokens=1, session=session))

    return Workload(asks=asks)  # type: ignore[arg-type]  # a generator is an iterator


@given(st.floats(0, 0.9), st.integers(0, 9), st.integers(0, 1000))
def test_what_is_new_comes_in_its_order_and_what_is_not_was_there(
    share: float, seed: int, first: int
) -> None:
    repeats = Repeats(share, seed=seed)
    found = [ask.request for ask in islice(repeats.of(numbered(first)).asks(first), 200)]
    assert [r.id for r in found] == list(range(first, first + 200))
    assert list(dict.fromkeys(r.prompt for r in found)) == [
        f"p{first + n}" for n in range(len({r.prompt for r in found}))
    ]
    assert [r.prompt for r in found] == [f"p{first + repeats.origin(n)}" for n in range(200)]
    assert all(r.session in ("", str(r.id)) for r in found)
    again = Repeats(share, seed=seed)
    assert [again.origin(n) for n in range(200)] == [repeats.origin(n) for n in range(200)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_the_share_is_the_share_of_repeats_and_some_come_very_often(share: float) -> None:
    repeats = Repeats(share, seed=3)
    origins = [repeats.origin(n) for n in range(20_000)]
    assert 1 - len(set(origins)) / len(origins) == pytest.approx(share, abs=0.02)
    times = Counter(Counter(origins).values())
    # each of the thousand is drawn `share` times on average while it is one of them: Poisson
    assert times[1] / len(set(origins)) == pytest.approx(math.exp(-share), abs=0.02)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_up_to_a_thousand_the_counts_are_those_of_simon(share: float) -> None:
    once = []
    for seed in range(40):
        repeats = Repeats(share, seed=seed)
        counts = Counter(repeats.origin(n) for n in range(1000)).values()
        once.append(sum(count == 1 for count in counts) / len(counts))
    # of those that come k times there are as many as B(k, 1 + 1/share) / share
    assert sum(once) / len(once) == pytest.approx(1 / (1 + share), abs=0.02)


def test_a_long_load_does_not_keep_what_will_not_come_again() -> None:
    asks = Repeats(0.5, seed=0).of(numbered(0)).asks(0)
    prompts = [ask.request.prompt for ask in islice(asks, 5_000)]
    repeats = Repeats(0.5, seed=0)
    assert prompts == [f"p{repeats.origin(n)}" for n in range(5_000)]


def test_a_share_of_all_and_repeats_of_a_trace_are_refused() -> None:
    with pytest.raises(UsageError, match="below 100%"):
        Experiment(repeats=1.0)
    with pytest.raises(UsageError, match="exclude each other"):
        Experiment(repeats=0.3, cache="warm")
