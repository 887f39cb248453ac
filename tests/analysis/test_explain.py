"""A typical and a slow request, cut into their parts."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.counters import Counters
from latok.analysis.explain import AtLoad, Joined, Waterfall, by_counters, explained
from latok.records import Chunk, Closed, Connection, Manifest, Record, Target, Usage

MANIFEST = Manifest(
    id="r",
    target=Target(name="t", url="http://t", model="m", dialect="openai-chat"),
    app="chat",
    slo="",
    load=Closed(4),
    levers={},
    workload={},
    seed=0,
    started_at=0.0,
    window=(0.0, 1e6),
    ended="complete",
    clock_step=0.0,
    kernel_stamps=True,
    client_cpu_s=0.0,
    command="",
    versions={},
)


def request(n: int, queue: float, prefill: float, decode: float = 1.0, **more: Any) -> Record:
    """One of vLLM that takes 1 ms of network beside what it tells."""
    due = 0.1 * n
    first = due + 0.001 + queue + prefill
    timings = {
        "queue_time_ms": queue * 1e3,
        "time_to_first_token_ms": prefill * 1e3,
        "generation_time_ms": decode * 1e3,
    }
    return Record(
        id=n,
        app="chat",
        prompt_tokens=100,
        max_tokens=11,
        due=due,
        sent_first=due,
        sent_last=due,
        closed_at=first + decode,
        usage=Usage(100, 11, 20),
        server_timings=timings,
        connection=Connection(reused=False, connect=0.001),
        chunks=(Chunk(first, 1, "content"), Chunk(first + decode, 10, "content")),
        **more,
    )


def at_load(records: list[Record]) -> tuple[AtLoad, list[Joined]]:
    found = explained(MANIFEST, records)
    assert found is not None
    return found


def waterfall(records: list[Record], *, slow: bool = False) -> Waterfall:
    found = at_load(records)[0].waterfall("ttft", slow=slow)
    assert found is not None
    return found


def share(of: Waterfall, name: str) -> float:
    return next(c.share for c in of.components if c.name == name)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(*[st.floats(0.0, 10.0)] * 3).filter(lambda t: sum(t) > 0.1),
        min_size=1,
        max_size=40,
    )
)
def test_the_components_sum_to_the_whole_and_their_shares_to_one(
    times: list[tuple[float, float, float]],
) -> None:
    found, _ = at_load([request(n, *each) for n, each in enumerate(times)])
    assert {w.of for w in found.waterfalls} == {"ttft", "e2e"}
    for each in found.waterfalls:
        assert sum(c.seconds for c in each.components) == pytest.approx(each.seconds)
        assert sum(c.share for c in each.components) == pytest.approx(1.0)
    assert all(value < 1e-6 for value in found.unexplained.values())


def test_a_typical_and_a_slow_request_are_told_apart() -> None:
    slow = [request(n, 3.0 if n % 20 == 7 else 0.0, 0.2) for n in range(200)]
    assert share(waterfall(slow), "prefill") > 0.99
    found = waterfall(slow, slow=True)
    assert found.quantile == "p99"
    assert share(found, "queue") > 0.9
    assert found.prompt_tokens == 100
    assert found.cached_tokens == 20


@pytest.mark.parametrize(("n", "quantile"), [(5, None), (10, "p90"), (20, "p95"), (100, "p99")])
def test_how_slow_a_slow_request_is_depends_on_how_many_there_are(
    n: int, quantile: str | None
) -> None:
    found = at_load([request(n, 0.1, 0.2) for n in range(n)])[0].waterfall("ttft", slow=True)
    assert (found and found.quantile) == quantile


def test_the_interval_of_a_share_holds_the_truth() -> None:
    """Of 40 draws of one process at least 34: 95 % intervals, and some room."""
    rng = np.random.default_rng(1)
    truth = 0.3 / 0.501
    held = 0
    for _ in range(40):
        drawn = rng.normal(0.0, 0.02, (60, 2))
        found = waterfall(
            [request(n, 0.3 + a, max(0.2 + b, 0.0)) for n, (a, b) in enumerate(drawn)]
        )
        component = next(c for c in found.components if c.name == "queue")
        assert component.share_ci95
        low, high = component.share_ci95
        held += low <= truth <= high
    assert held >= 34


def test_prefill_per_token_counts_only_what_was_not_cached() -> None:
    laws = at_load([request(n, 0.0, 0.16) for n in range(5)])[0].laws
    assert laws["prefill_s_per_token"].value == pytest.approx(0.002)
    assert laws["decode_s_per_token"].value == pytest.approx(0.1)


def test_a_server_that_tells_nothing_is_not_explained() -> None:
    silent = [msgspec.structs.replace(request(n, 0.1, 0.1), server_timings=None) for n in range(5)]
    assert explained(MANIFEST, silent) is None


def counted_as(**values: float) -> Counters:
    return Counters(server="s", window=(0.0, 1e6), pages=2, values=values, moments=())


def mean_parts(values: Counters) -> dict[str, float]:
    records = [request(n, 0.3, 0.2) for n in range(10)]
    found = by_counters(MANIFEST, records, values)
    assert found
    first = found.waterfall("ttft")
    assert first
    assert sum(c.seconds for c in first.components) == pytest.approx(first.seconds)
    return {c.name: c.seconds for c in first.components}


def test_what_counters_lack_is_unexplained_unless_requests_waited_untold() -> None:
    told = mean_parts(counted_as(queue=0.25, prefill=0.2))
    assert told["unexplained"] == pytest.approx(0.05)
    untold = mean_parts(counted_as(prefill_total=2.0, waiting=1.5))
    assert untold["prefill"] == pytest.approx(0.2)  # of ten requests
    assert untold["queue"] == pytest.approx(0.3)
    idle = mean_parts(counted_as(prefill_total=2.0, waiting=0.0))
    assert "queue" not in idle
    assert idle["unexplained"] == pytest.approx(0.3)


def test_counters_without_times_explain_nothing() -> None:
    records = [request(n, 0.3, 0.2) for n in range(10)]
    assert by_counters(MANIFEST, records, counted_as(running=3.0)) is None
