"""Each metric by its definition, and the point that records make."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis import metrics
from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.records import Chunk, Closed, Failure, Usage
from tests.simulated import closed, manifest, opened, record

CHUNKS = (
    Chunk(1.0, 0, "role"),
    Chunk(1.5, 1, "reasoning"),
    Chunk(2.0, 3, "content"),
    Chunk(4.0, 4, "content"),
    Chunk(4.1, 0, "usage"),
)
ASKED = record(
    0,
    0.5,
    0.0,
    0.0,
    0,
    sent_first=0.6,
    headers_at=0.9,
    closed_at=4.2,
    chunks=CHUNKS,
    usage=Usage(10, 8),
)


def test_each_metric_by_its_definition() -> None:
    assert metrics.ttfb(ASKED) == pytest.approx(0.3)
    assert metrics.ttft(ASKED) == pytest.approx(0.9)  # the role chunk is no token
    assert metrics.ttft_user(ASKED) == pytest.approx(1.0)  # from when it was due
    assert metrics.ttfv(ASKED) == pytest.approx(1.4)  # thinking is not seen
    assert metrics.tpot(ASKED) == pytest.approx(2.5 / 7)  # the first event held one of the eight
    assert metrics.gaps(ASKED) == pytest.approx([0.5, 2.0])
    assert metrics.e2e(ASKED) == pytest.approx(3.4)
    assert metrics.e2e_close(ASKED) == pytest.approx(3.6)


def test_one_token_has_no_pace() -> None:
    one = record(0, 0.0, 0.1, 0.0, 1)
    assert metrics.tpot(one) is None
    assert metrics.gaps(one) == []
    assert metrics.ttft(one) == pytest.approx(0.1)


def test_a_request_that_never_got_a_token_has_no_latency() -> None:
    lost = record(0, 0.0, 0.1, 0.0, 0, chunks=(), sent_first=None)
    assert all(metrics.METRICS[name](lost) is None for name in ("ttft", "tpot", "e2e", "ttfb"))


def test_littles_law_holds_where_the_records_obey_it() -> None:
    for concurrency in (1, 4, 16):
        found = point(*closed(concurrency, 60.0))
        law = next(check for check in found.checks if check.name == "littles_law")
        assert law.ok, law.detail


def test_littles_law_fails_where_records_are_missing() -> None:
    plan, records = closed(16, 60.0)
    kept = [r for r in records if r.id % 3]
    lost = [msgspec.structs.replace(r, closed_at=(r.closed_at or 0) + 30) for r in kept[::2]]
    found = point(plan, [*kept, *lost])
    assert found.counts.offered != len(records)


def test_the_same_records_give_the_same_point() -> None:
    assert point(*closed(4, 30.0)) == point(*closed(4, 30.0))


def test_throughput_counts_tokens_by_when_they_arrived() -> None:
    # one request that began before the window: half of its tokens are inside
    spanning = record(0, 0.0, 1.0, 1.0, 8)
    found = point(manifest(Closed(1), (4.5, 8.5)), [spanning])
    assert found.counts.offered == 0
    assert found.throughput.output_tokens_per_s == pytest.approx(1.0)


def test_a_quantile_that_too_few_requests_can_tell_is_null() -> None:
    few = point(*closed(1, 20.0)).metrics["ttft"]
    assert few.p50 is not None
    assert few.p99 is None
    assert point(*closed(16, 90.0)).metrics["ttft"].p99 is not None


def test_failures_count_against_attainment_and_not_for_latency() -> None:
    good = [record(n, n * 0.1, 0.1, 0.01, 20) for n in range(90)]
    bad = [
        record(100 + n, n * 0.1, 0.1, 0.01, 0, chunks=(), error=Failure("reset", ""))
        for n in range(10)
    ]
    found = point(manifest(Closed(1), (0.0, 10.0)), good + bad)
    assert found.counts.ok == 90
    assert found.goodput.attainment == pytest.approx(0.9)
    assert found.metrics["ttft"].n == 90
    assert found.errors == {"reset": 10}


def test_a_cut_request_that_is_already_too_late_does_not_meet_its_clause() -> None:
    slow = record(0, 0.0, 0.0, 0.0, 0, chunks=(), closed_at=2.0, error=Failure("cut", ""))
    young = record(1, 1.9, 0.0, 0.0, 0, chunks=(), closed_at=2.0, error=Failure("cut", ""))
    found = point(manifest(Closed(1), (0.0, 2.0)), [slow, young])
    assert found.counts.unfinished == 2
    ttft = found.goodput.clauses[0]
    assert ttft.share == 0.0  # the young one is censored: it may still be in time


def test_in_open_loop_the_wait_before_sending_is_the_users_too() -> None:
    plan, records = opened(5.0, 60.0)
    late = [msgspec.structs.replace(r, due=r.due - 1.0) for r in records]
    assert point(plan, records).goodput.clauses[0].met
    assert point(plan, late).goodput.clauses[0].met is False


def test_a_share_is_undecided_while_its_interval_spans_what_is_asked() -> None:
    few = [record(n, n * 0.1, 0.1, 0.01, 20) for n in range(10)]
    assert point(manifest(Closed(1), (0.0, 10.0)), few).goodput.met is None


@given(st.integers(1, 20), st.integers(0, 5))
def test_a_point_survives_json(concurrency: int, seed: int) -> None:
    found = point(*closed(concurrency, 8.0, seed=seed))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Point) == found


@pytest.mark.parametrize("kind", ["content", "reasoning", "tool"])
def test_every_generated_token_counts_whatever_it_says(kind: str) -> None:
    chunks = (Chunk(1.0, 1, kind), Chunk(2.0, 1, kind))  # type: ignore[arg-type]
    assert metrics.tpot(record(0, 0.0, 0, 0, 0, chunks=chunks, usage=Usage(1, 2))) == 1.0
