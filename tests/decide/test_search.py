"""The search for load levels, played against servers whose laws are known."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from latok.decide.search import Level, Seen, Stop, next_level, next_same

Server = Callable[[int], tuple[float, float]]  # concurrency → throughput, latency of a request


def batching(alone: float, most: float, drag: float = 0.05) -> Server:
    """Tokens per second: `alone` for one, slower with company, `most` for all."""

    def served(concurrency: int) -> tuple[float, float]:
        throughput = min(alone * concurrency / (1 + drag * (concurrency - 1)), most)
        return throughput, 40 * concurrency / throughput

    return served


def played(
    server: Server, *, budget: float, edge: float = 1e9, highest: int = 256
) -> tuple[list[Seen], str]:
    """The levels that a search measures, and why it stopped. `edge`: the SLO holds up to it."""
    seen: list[Seen] = []
    while True:
        step = next_level(seen, budget=budget, highest=highest, first_latency=server(1)[1])
        if isinstance(step, Stop):
            return seen, step.why
        assert isinstance(step, Level)
        throughput, latency = server(step.concurrency)
        meets = step.concurrency <= edge
        cost = step.seconds + 2 * latency
        share = 1.0 if meets else 0.2
        seen.append(Seen(step.concurrency, throughput, latency, share, meets, cost))
        assert len(seen) < 100


@given(
    st.floats(5, 5000),
    st.floats(1, 40),
    st.floats(0, 0.3),
    st.floats(10, 600),
    st.integers(0, 300),
    st.integers(1, 300),
)
def test_a_search_ends_and_measures_no_level_twice_nor_more_than_was_allowed(
    alone: float, gain: float, drag: float, budget: float, edge: int, highest: int
) -> None:
    seen, why = played(
        batching(alone, alone * gain, drag), budget=budget, edge=edge, highest=highest
    )
    levels = [level.concurrency for level in seen]
    assert levels[0] == 1
    assert len(set(levels)) == len(levels)
    assert max(levels) <= highest
    assert why


@given(st.floats(50, 5000), st.floats(2, 30), st.floats(60, 600))
def test_the_budget_is_kept_where_the_server_behaves(
    alone: float, gain: float, budget: float
) -> None:
    seen, _ = played(batching(alone, alone * gain), budget=budget)
    assert sum(level.cost for level in seen) <= budget * 1.25


def test_doubling_ends_where_throughput_does() -> None:
    seen, why = played(batching(100, 600), budget=600)
    assert max(level.concurrency for level in seen) == 16
    assert "throughput stopped growing" in why


def test_the_edge_of_the_slo_is_closed_in_on() -> None:
    seen, _ = played(batching(100, 2000), budget=600, edge=11)
    levels = sorted(level.concurrency for level in seen)
    below = max(c for c in levels if c <= 11)
    above = min(c for c in levels if c > 11)
    assert above / below < 1.3


def test_a_target_that_meets_its_slo_nowhere_is_still_mapped() -> None:
    seen, _ = played(batching(100, 600), budget=120, edge=0)
    assert len(seen) >= 6


def test_a_short_budget_gives_at_least_two_levels() -> None:
    seen, why = played(batching(10, 100), budget=15)
    assert len(seen) >= 2
    assert "budget" in why


@given(
    costs=st.lists(st.floats(1.0, 20.0), min_size=1, max_size=6),
    budget=st.floats(1.0, 100.0),
)
def test_a_setting_is_held_at_its_bases_loads_once_each_and_in_its_budget(
    costs: list[float], budget: float
) -> None:
    base = [(Level(2**n, 0.6 * cost, 0.0, ""), cost) for n, cost in enumerate(costs)]
    known, done, spent = dict(base), set[int](), 0.0
    while not isinstance(step := next_same(base, done, budget - spent), Stop):
        cost = {level.concurrency: (level, cost) for level, cost in known.items()}[step.concurrency]
        shorter = cost[0].seconds - step.seconds
        assert 0.0 <= shorter <= 0.5 * cost[0].seconds + 1e-9
        spent += cost[1] - shorter
        assert spent <= budget + 1e-9 or not done  # the first is held in any case
        assert step.concurrency not in done
        done.add(step.concurrency)
    assert len(done) >= 1
    if sum(costs) <= budget:
        assert len(done) == len(costs)
        assert "every load" in step.why
