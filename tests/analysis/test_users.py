"""What a reader sees, against a reader who is played second by second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.metrics import point
from latok.analysis.users import reading
from latok.records import Chunk, Closed, Failure, Open, Record, Usage
from tests.simulated import manifest, record


def stream(
    *events: tuple[float, int | None], total: int | None = None, **changed: object
) -> Record:
    chunks = tuple(Chunk(at, tokens, "content") for at, tokens in events)
    tokens = total if total is not None else sum(k or 0 for _, k in events)
    return record(0, 0.0, 0, 0, 0, chunks=chunks, usage=Usage(10, tokens), **changed)


def played(events: list[tuple[float, int]], speed: float) -> tuple[float, float]:
    """All of a reader's waiting, and the longest wait: reads what is there, then waits."""
    free, waited, longest = events[0][0], 0.0, 0.0
    for at, tokens in events:
        if at > free:
            waited, longest, free = waited + at - free, max(longest, at - free), at
        free += tokens / speed
    return waited, longest


@given(
    st.lists(st.tuples(st.floats(0.001, 3.0), st.integers(1, 30)), min_size=2, max_size=40),
    st.floats(1.0, 50.0),
)
def test_a_reader_waits_where_one_who_is_played_does(
    steps: list[tuple[float, int]], speed: float
) -> None:
    at, events = 5.0, []
    for gap, tokens in steps:
        at += gap
        events.append((at, tokens))
    waited, longest = played(events, speed)
    found = reading(stream(*events), speed)
    assert found is not None
    assert found.stall == pytest.approx(waited / (events[-1][0] - events[0][0]), abs=1e-6)
    assert found.longest == pytest.approx(longest, abs=1e-6)
    assert 0 <= found.stall <= 1


def test_a_stream_faster_than_reading_never_stalls_and_a_slower_one_does() -> None:
    fast = reading(stream(*((n * 0.05, 1) for n in range(50))))
    slow = reading(stream(*((n * 0.2, 1) for n in range(50))))
    assert fast is not None
    assert fast == (0.0, 0.0)
    assert slow is not None
    assert slow.stall == pytest.approx(0.5)
    assert slow.longest == pytest.approx(0.1)


def test_what_was_read_slowly_pays_for_a_pause() -> None:
    """Twenty tokens at once are two seconds of reading: a pause of as long is not noticed."""
    assert reading(stream((1.0, 20), (3.0, 1))) == (0.0, 0.0)


def test_tokens_that_are_not_told_are_spread_over_the_events() -> None:
    assert reading(stream((1.0, None), (3.0, None), total=40)) == (0.0, 0.0)
    found = reading(stream((1.0, None), (3.0, None), total=2))
    assert found is not None
    assert found.stall == pytest.approx(0.95)


def test_nobody_reads_what_is_thought() -> None:
    thinking = tuple(Chunk(n * 1.0, 1, "reasoning") for n in range(5))
    chunks = (*thinking, Chunk(5.0, 1, "content"), Chunk(5.1, 1, "content"))
    found = reading(record(0, 0.0, 0, 0, 0, chunks=chunks, usage=Usage(9, 7, None, 5)))
    assert found is not None
    assert found.stall == pytest.approx(0.0, abs=1e-9)
    assert reading(stream((1.0, 5))) is None


def test_users_stand_beside_attainment() -> None:
    """One in four waits; all are served within the SLO's means, half of them by its deadlines."""
    smooth = [record(n, float(n), 0.1, 0.05, 20) for n in range(20)]
    paused = []
    for n in range(20, 40):
        # the mean is the same 50 ms, but all comes after a pause that half of them can read through
        ahead = 15 if n % 2 else 1
        events = [Chunk(n + 0.1, ahead, "content"), Chunk(n + 1.05, 20 - ahead, "content")]
        paused.append(record(n, float(n), 0.1, 0.0, 20, chunks=tuple(events), usage=Usage(100, 20)))
    plan = manifest(Closed(1), (0.0, 50.0), slo="ttft.p90<200ms, tpot.p90<60ms")
    found = point(plan, smooth + paused)
    assert found.users is not None
    assert found.users.reading == 10.0
    assert found.users.waits == pytest.approx(0.25)
    assert found.users.on_time == pytest.approx(0.75)
    assert found.users.waits_ci95 is not None
    assert found.metrics["wait"].n == 40
    assert point(manifest(Closed(1), (0.0, 50.0), slo="e2e.p90<9s"), smooth).users.on_time is None  # type: ignore[union-attr]


def test_a_deadline_counts_from_when_an_open_loops_user_asked() -> None:
    late = [
        record(n, n + 0.0, 0.3, 0.01, 5, sent_first=n + 0.25, sent_last=n + 0.25) for n in range(9)
    ]
    for load, share in ((Closed(1), 1.0), (Open(1.0), 0.0)):
        found = point(manifest(load, (0.0, 50.0), slo="ttft.p90<200ms, tpot.p90<60ms"), late).users
        assert found is not None
        assert found.on_time == share


def test_a_client_that_went_away_is_neither_good_nor_bad() -> None:
    gone = Failure("cancelled", "its client went away")
    records = [record(n, float(n), 0.1, 0.05, 20) for n in range(10)]
    records += [record(n, float(n), 0.1, 0.05, 3, error=gone) for n in range(10, 16)]
    records += [record(n, float(n), 0.9, 0.05, 3, error=gone) for n in range(16, 18)]
    found = point(manifest(Closed(1), (0.0, 50.0), slo="ttft.p90<500ms, e2e.p90<5s"), records)
    assert (found.counts.ok, found.counts.failed, found.counts.cancelled) == (10, 0, 8)
    assert found.errors == {}
    assert found.metrics["ttft"].n == 10
    assert found.goodput.attainment == pytest.approx(10 / 12)  # two had waited too long already
