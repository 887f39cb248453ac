"""What the client did to the numbers is bounded, said, and judged against the number's own size."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latok.analysis.metrics import point
from latok.records import Chunk, Closed, Failure, Open, Record, Usage
from tests.simulated import closed, manifest, record


def blurred(n: int, due: float, doubt: float) -> object:
    """A request whose second token shared a read with its third."""
    chunks = (
        Chunk(due + 0.1, 1, "content"),
        Chunk(due + 0.2, 1, "content", True, doubt),
        Chunk(due + 0.2, 1, "content", True),
    )
    return record(n, due, 0, 0, 0, chunks=chunks, usage=Usage(1, 3), max_tokens=3)


def test_a_lone_packet_leaves_no_doubt() -> None:
    found = point(*closed(4, 30.0)).instrument
    assert found.verdict == "valid"
    assert found.error_s["ttft"]["p50"] == pytest.approx(0.0, abs=1e-9)


def test_coalesced_events_bend_the_gap_and_not_the_first_token() -> None:
    records = [blurred(n, n * 0.1, 0.09) for n in range(50)]
    found = point(manifest(Closed(1), (0.0, 5.0)), records).instrument  # type: ignore[arg-type]
    assert "gap" in found.bent
    assert "ttft" not in found.bent
    assert found.verdict == "valid"  # the frontier's axes do not hang on single gaps
    assert found.coalesced == 100


def test_a_send_that_took_long_is_doubt_of_the_first_token() -> None:
    records = [record(n, n * 0.1, 0.1, 0.01, 20, sent_last=n * 0.1 + 0.05) for n in range(50)]
    found = point(manifest(Closed(1), (0.0, 5.0)), records).instrument
    assert found.error_s["ttft"]["p50"] == pytest.approx(0.05)
    assert found.verdict == "invalid"
    assert "ttft" in found.why[0]


def test_a_late_open_loop_is_another_load_than_the_one_asked_for() -> None:
    records = [
        record(n, n * 0.1, 0.1, 0.01, 20, sent_first=n * 0.1 + 0.02, sent_last=n * 0.1 + 0.02)
        for n in range(50)
    ]
    found = point(manifest(Open(10.0), (0.0, 5.0)), records).instrument
    assert found.verdict == "invalid"
    assert "late" in found.why[0]


def test_a_step_of_the_clock_is_said() -> None:
    plan, records = closed(1, 20.0)
    found = point(manifest(plan.load, (2.0, 18.0), clock_step=0.5), records).instrument
    assert "clock" in " ".join(found.why)


@settings(max_examples=40)
@given(st.lists(st.floats(0.0, 0.05), min_size=20, max_size=60), st.randoms())
def test_the_bound_holds_wherever_events_truly_were(doubts: list[float], rng: object) -> None:
    """Moving each first token anywhere inside its doubt moves no quantile by more than is said."""
    seen, true = [], []
    for n, doubt in enumerate(doubts):
        at = n + 0.3
        moved = at - doubt * rng.random()  # type: ignore[attr-defined]
        for where, list_ in ((at, seen), (moved, true)):
            chunks = (Chunk(where, 1, "content", False, doubt), Chunk(n + 0.4, 1, "content"))
            list_.append(record(n, float(n), 0, 0, 0, chunks=chunks, usage=Usage(1, 2)))
    plan = manifest(Closed(1), (0.0, 100.0))
    measured, truth = point(plan, seen), point(plan, true)
    assume(truth.metrics["ttft"].n == measured.metrics["ttft"].n)  # no other part is the steady one
    for label, bound in measured.instrument.error_s["ttft"].items():
        said, was = (getattr(p.metrics["ttft"], label) for p in (measured, truth))
        assert abs(said - was) <= bound + 1e-9


def test_arrivals_that_are_not_as_drawn_are_another_load() -> None:
    """Each second's requests all at its beginning: never later than due, but a burst."""
    due = [n / 20 for n in range(200)]
    bursts = [
        record(n, at, 0.1, 0.01, 5, sent_first=at - at % 1, sent_last=at - at % 1)
        for n, at in enumerate(due)
    ]
    found = point(manifest(Open(20.0), (0.0, 10.0)), bursts).instrument
    assert found.delivered is not None
    assert found.delivered["distance"] > 0.8
    assert any("paced" in why for why in found.why)
    paced = [record(n, at, 0.1, 0.01, 5) for n, at in enumerate(due)]
    found = point(manifest(Open(20.0), (0.0, 10.0)), paced).instrument
    assert found.verdict == "valid"
    assert found.delivered == {"share": 1.0, "distance": pytest.approx(0.0, abs=0.01)}


def test_a_metric_that_no_clause_names_does_not_take_the_point_with_it() -> None:
    def late_end(n: int) -> Record:
        chunks = (Chunk(n + 0.1, 1, "content"), Chunk(n + 0.15, 9, "content", True, 0.04))
        return record(n, float(n), 0, 0, 0, chunks=chunks, usage=Usage(1, 10), max_tokens=10)

    records = [late_end(n) for n in range(50)]
    plan = msgspec.structs.replace(manifest(Closed(1), (0.0, 50.0)), slo="ttft.p95<1s")
    found = point(plan, records).instrument
    assert "e2e" in found.bent
    assert "tpot" in found.bent  # an axis of the frontier
    few = [msgspec.structs.replace(r, usage=Usage(1, 2)) for r in records]
    for slo, why in (("e2e.p95<200ms", 1), ("e2e.p95<20s", 0), ("ttft.p95<1s", 0)):
        plan = msgspec.structs.replace(plan, slo=slo)
        said = point(plan, [msgspec.structs.replace(r, usage=None) for r in few]).instrument.why
        assert len([line for line in said if "e2e" in line]) == why


def test_what_a_target_says_of_its_limits_is_told() -> None:
    records = [
        record(n, n * 0.1, 0.1, 0.01, 5, rate_limits={"x-ratelimit-remaining-requests": str(9 - n)})
        for n in range(5)
    ]
    refusal = record(
        6, 0.6, 0, 0, 0, chunks=(), error=Failure("rate_limited", "429"),
        rate_limits={"x-ratelimit-remaining-requests": "0"},
    )  # fmt: skip
    checks = point(manifest(Closed(1), (0.0, 5.0)), records).checks
    (check,) = [each for each in checks if each.name == "rate_limits"]
    assert check.ok
    assert check.detail == "x-ratelimit-remaining-requests fell to 5"
    checks = point(manifest(Closed(1), (0.0, 5.0)), [*records, refusal]).checks
    (check,) = [each for each in checks if each.name == "rate_limits"]
    assert check.ok is False
    assert "1 requests were refused (429)" in check.detail


def regime(cached: int, **asked: object) -> bool | None:
    """Whether the check agrees for requests of 1,000 tokens in, so many of them from a cache."""
    records = [record(n, n * 0.1, 0.1, 0.01, 5, usage=Usage(1000, 5, cached)) for n in range(30)]
    checks = point(manifest(Closed(1), (0.0, 9.0), workload=asked), records).checks
    return next(check.ok for check in checks if check.name == "cache_regime")


@pytest.mark.parametrize(
    ("asked", "right", "wrong"),
    [
        ({"cache": "cold", "cache_share": 0.0}, 20, 200),
        ({"cache": "cold", "cache_share": 0.0, "template_tokens": 190}, 200, 400),
        ({}, 20, 200),  # a run of before there were regimes
        ({"cache": "warm", "cache_share": 1.0}, 980, 600),
        ({"cache": "0.5", "cache_share": 0.5}, 470, 900),
        ({"cache": "0.5", "cache_share": 0.5}, 530, 100),
        ({"cache": "trace", "cache_share": 0.37, "cache_share_is_most": True}, 360, 800),
    ],
)
def test_the_cache_regime_is_checked_by_what_the_server_says(
    asked: dict[str, object], right: int, wrong: int
) -> None:
    assert regime(right, **asked) is True
    assert regime(wrong, **asked) is False


def test_a_cache_that_forgets_is_no_fault_and_what_nobody_knows_is_not_judged() -> None:
    assert regime(100, cache="trace", cache_share=0.37, cache_share_is_most=True) is None
    assert regime(100, cache="sessions", cache_share=None) is None


def test_the_history_of_a_session_is_not_ours_to_count() -> None:
    plan = manifest(Closed(1), (0.0, 9.0))
    turns = [record(n, n * 0.1, 0.1, 0.01, 5, usage=Usage(500, 5, 0), turn=n % 3) for n in range(9)]
    first = [record(n, n * 0.1, 0.1, 0.01, 5, usage=Usage(100, 5, 0)) for n in range(9)]
    for records, ok in (
        (first, True),
        ([r for r in turns if r.turn] + first, True),
        (turns, False),
    ):
        checks = point(plan, records).checks
        assert next(check.ok for check in checks if check.name == "token_counts") is ok


@pytest.mark.parametrize(
    ("arrivals", "ok"),
    [("poisson", False), ("gamma(4)", True), ("onoff(1,9)", None), ("trace", None)],
)
def test_burstier_arrivals_may_deliver_a_rate_less_even(arrivals: str, ok: bool | None) -> None:
    records = [record(n, n * 0.1, 0.1, 0.01, 5) for n in range(90)]  # 10 a second, not 6
    checks = point(manifest(Open(6.0, arrivals), (0.0, 9.0)), records).checks
    assert next(check.ok for check in checks if check.name == "offered_load") is ok
