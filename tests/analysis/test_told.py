"""What servers tell of one request, in their own words, and the parts that it is cut into."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.told import PARTS, SERVERS, split, told
from latok.records import Chunk, Connection, Record

seconds = st.floats(0.0, 100.0)
NAMES = sorted({name for _, names, _ in SERVERS for name in names})


def record(
    *tokens: float, due: float = 0.0, sent: float = 0.001, timings: Any = None, **more: Any
) -> Record:
    """A request that was sent at once, and whose tokens arrived at these times."""
    return Record(
        id=0,
        app="chat",
        prompt_tokens=100,
        max_tokens=len(tokens),
        due=due,
        sent_first=sent,
        sent_last=sent,
        server_timings=timings,
        chunks=tuple(Chunk(at, 1, "content") for at in tokens),
        **more,
    )


def parts(which: Any, asked: Record, *, alone: bool = True, round_trip: float = 0.0) -> Any:
    said = told(asked.server_timings)
    assert said is not None
    found = split(asked, said, round_trip=round_trip, alone=alone)
    assert found is not None
    return {
        name: pytest.approx(s, abs=1e-9) for name, s in found[which].parts.items() if abs(s) > 1e-9
    }


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(NAMES), seconds),
    st.lists(seconds, min_size=1, max_size=5).map(sorted),
    seconds,
    st.booleans(),
    st.one_of(st.none(), seconds),
)
def test_the_parts_sum_to_the_whole_whatever_a_server_says(
    timings: dict[str, float], tokens: list[float], late: float, alone: bool, trip: float | None
) -> None:
    said = told(timings)
    asked = record(*(late + at for at in tokens), sent=late, timings=timings)
    found = split(asked, said, round_trip=trip, alone=alone) if said else None
    for each in found.values() if found else ():
        assert sum(each.parts.values()) == pytest.approx(each.whole, abs=1e-6)
        assert each.parts.keys() <= PARTS.keys()
        assert each.sources.keys() == each.parts.keys()
        assert all(value >= -1e-9 for name, value in each.parts.items() if name != "unexplained")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.text(), st.floats())))
def test_senseless_timings_are_no_timings(timings: dict[str, Any]) -> None:
    said = told(timings)
    for value in (*said.before.values(), *said.after.values()) if said else ():
        assert value >= 0.0


VLLM = {"queue_time_ms": 300.0, "time_to_first_token_ms": 200.0, "generation_time_ms": 1000.0}


def test_vllms_first_token_does_not_hold_its_queue() -> None:
    asked = record(0.511, 1.511, timings=VLLM)
    assert parts("ttft", asked, round_trip=0.01) == {
        "lateness": 0.001,
        "network": 0.01,
        "queue": 0.3,
        "prefill": 0.2,
    }


def test_sglangs_first_token_holds_its_queue() -> None:
    said = told({"queue_time": 0.3, "first_token_latency": 0.5, "e2e_latency": 1.5})
    assert said is not None
    assert said.before == {"queue": 0.3, "prefill": 0.2}
    assert said.after == {"decode": 1.0}


def test_tgis_inference_is_not_split_for_its_time_per_token_holds_the_prefill() -> None:
    timings = {
        "x-validation-time": 1.0,
        "x-queue-time": 100.0,
        "x-inference-time": 400.0,
        "x-time-per-token": 40.0,
        "x-total-time": 501.0,
    }
    assert parts("ttft", record(0.502, timings=timings)) == {
        "lateness": 0.001,
        "front_end": 0.001,
        "queue": 0.1,
        "compute": 0.4,
    }


def test_ollamas_nanoseconds_leave_its_queue_as_what_they_do_not_account_for() -> None:
    names = ("total", "load", "prompt_eval", "eval")
    values = (2_000_000_000, 500_000_000, 300_000_000, 1_000_000_000)
    timings = {f"{n}_duration": v for n, v in zip(names, values, strict=True)}
    said = told(timings)
    assert said is not None
    assert said.before == pytest.approx({"load": 0.5, "queue": 0.2, "prefill": 0.3})
    assert said.after == {"decode": 1.0}


LLAMACPP = {"prompt_ms": 200.0, "predicted_ms": 1000.0, "cache_n": 0, "predicted_n": 10}


def test_llamacpp_tells_no_queue_so_what_is_missing_is_that_if_others_wait() -> None:
    asked = record(0.901, 1.901, timings=LLAMACPP)
    known = {"lateness": 0.001, "prefill": 0.2}
    assert parts("ttft", asked, alone=False) == {**known, "queue": 0.7}
    assert parts("ttft", asked, alone=True) == {**known, "unexplained": 0.7}


def test_a_header_of_openai_tells_the_time_until_its_headers_and_no_more() -> None:
    asked = record(0.401, 1.401, timings={"openai-processing-ms": 250.0})
    assert parts("e2e", asked) == {
        "lateness": 0.001,
        "server": 0.25,
        "decode": 1.0,
        "unexplained": 0.15,
    }


def test_a_stream_that_is_held_back_is_delivery_by_difference() -> None:
    fake = record(1.501, 1.501, timings=VLLM)  # all tokens when the last one is there
    assert parts("ttft", fake) == {
        "lateness": 0.001,
        "queue": 0.3,
        "prefill": 0.2,
        "delivery": 1.0,
    }
    slow_end = record(0.501, 2.001, timings=VLLM)
    assert parts("e2e", slow_end)["delivery"] == 0.5
    assert "unexplained" not in parts("e2e", slow_end)


def test_our_engines_sending_ends_with_the_arrival() -> None:
    timings = dict.fromkeys(("tokenise", "queue", "prefill", "decode", "send"), 0.1)
    late = record(0.31, 0.41, timings={**timings, "first_send": 0.2})
    assert parts("ttft", late) == {
        "lateness": 0.001,
        "front_end": 0.1,
        "queue": 0.1,
        "prefill": 0.1,
        "delivery": 0.009,
    }


def test_a_connection_that_was_opened_before_costs_the_request_nothing() -> None:
    opened = Connection(reused=False, connect=0.02, tls=0.03)
    early = record(0.501, 1.501, timings=VLLM, connection=opened)
    assert "connect" not in parts("ttft", early)
    for_it = record(0.56, 1.56, sent=0.06, timings=VLLM, connection=opened)
    assert parts("ttft", for_it)["connect"] == 0.05
    assert parts("ttft", for_it)["lateness"] == 0.01


def test_our_read_is_a_part_where_the_kernel_stamps() -> None:
    asked = record(0.501, timings=VLLM)
    asked = msgspec.structs.replace(asked, chunks=(Chunk(0.501, 1, "content", lag=0.25),))
    said = told(VLLM)
    assert said is not None
    for stamped, read in ((True, 0.25), (False, None)):
        found = split(asked, said, round_trip=None, alone=True, kernel_stamps=stamped)
        assert found is not None
        assert found["ttft"].parts.get("read") == read
