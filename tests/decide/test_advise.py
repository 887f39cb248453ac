"""The advice: what it chooses, and that it says why."""

from __future__ import annotations

import msgspec

from latok.analysis.explain import Finding
from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.decide.advise import advise, stands
from tests.simulated import closed


def points(slo: str, *levels: int) -> list[Point]:
    found = []
    for concurrency in levels:
        plan, records = closed(concurrency, 60.0)
        plan = msgspec.structs.replace(plan, slo=slo, id=f"c{concurrency}")
        found.append(point(plan, records))
    return found


def test_of_the_points_within_the_slo_the_one_that_serves_most() -> None:
    # ttft is 0.1 s × (1 + 0.15 c) ± 20 %: at 8 it is 220 ms, at 16 it is 340 ms
    found = advise("chat", points("ttft.p90<300ms", 1, 2, 4, 8, 16))
    assert found.point == "c8"
    assert "8 at a time" in found.text
    assert "beyond 8, at 16" in " ".join(found.why)


def test_where_nothing_meets_the_slo_it_says_so_and_names_the_clause_and_what_helps() -> None:
    found = advise("chat", points("ttft.p90<50ms", 1, 4, 16))
    assert "no measured load meets the SLO" in found.why[0]
    assert "ttft.p90<50ms" in found.why[1]
    assert "prefix caching" in found.why[2]
    assert found.point is not None  # the least harm, against one alone


def test_where_it_is_known_where_the_time_goes_that_is_what_helps() -> None:
    found = points("ttft.p90<50ms", 1, 4)
    queue, prefill, decode = (
        Finding(
            name=name,
            what=f"most of it is {name}",
            of=of,
            quantile="p50",
            most_s=seconds,
            share=0.5,
            speedup=2.0,
            levers=(f"less {name}",),
        )
        for name, of, seconds in (
            ("queue", "ttft", 0.2),
            ("prefill", "ttft", 0.1),
            ("decode", "e2e", 3.0),
        )
    )
    said = advise("chat", found, {"c1": [prefill, queue, decode]}).why[2]
    assert said == "most of it is queue (what would help: less queue)"
    tpot = points("tpot.p90<1ms", 1, 4)
    assert "less decode" in advise("chat", tpot, {"c1": [queue, decode]}).why[2]
    within = points("ttft.p90<10s", 1, 4)
    chosen = advise("chat", within).point
    assert chosen
    assert "ost of it is queue" in advise("chat", within, {chosen: [queue]}).text


def test_where_more_load_serves_no_more_the_smaller_is_advised() -> None:
    base = points("ttft.p90<10s", 8)[0]
    replace = msgspec.structs.replace
    twice = replace(base, id="twice", load=replace(base.load, concurrency=16))
    found = advise("chat", [base, twice])
    assert found.point == base.id
    assert found.headroom == 1.0


def test_an_invalid_point_is_never_advised() -> None:
    good, bent = points("ttft.p90<10s", 1, 8)
    spoilt = msgspec.structs.replace(bent.instrument, verdict="invalid", why=("late",))
    bent = msgspec.structs.replace(bent, instrument=spoilt)
    assert advise("chat", [good, bent]).point == good.id
    assert advise("chat", [bent]).point is None


def test_too_few_requests_are_called_too_few() -> None:
    plan, records = closed(2, 12.0)
    few = point(msgspec.structs.replace(plan, slo="ttft.p99<10s"), records)
    assert few.goodput.met is None
    assert stands(few)
    assert "too few to prove ttft.p99<10s" in advise("chat", [few]).text
