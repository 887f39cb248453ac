"""Which load is tried next, and what is advised."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.machine import Calibration, Finding, Limit, Machine, Step
from latok.decide.doctor import REASONS, Ladder, findings, largest, load_of, next_rung
from latok.records import Closed
from tests.analysis.test_machine import made

LADDER = Ladder(25, 2, 1600)
BARE = Machine(system="Linux 6.1", cores=4, stamp_error={"p50": 1e-6, "p99": 2e-6})
GOOD = Calibration(
    streams=800,
    tokens_per_s=37_000.0,
    requests_per_s=1600.0,
    streams_limit="server",
    requests_limit="range",
    steps=(made(),),
    steal=0.0,
    elsewhere=0.05,
)


def climbed(ladder: Ladder, holds: Any) -> tuple[list[Step], Limit]:
    """The steps up a ladder on a machine for which `holds(load, attempt)` tells what it can do."""
    seen: list[Step] = []
    while not isinstance(rung := next_rung(ladder, seen), str):
        trouble = {} if holds(rung, len(seen)) else {"gap": [0.1] * 100}
        seen.append(made(Closed(int(rung)), **trouble))
        assert len(seen) < 100
    return seen, rung


@given(st.integers(1, 4000))
def test_the_largest_load_that_holds_is_found_to_within_the_factor(capacity: int) -> None:
    seen, limit = climbed(LADDER, lambda load, _: load <= capacity)
    best = largest(seen)
    if capacity < 25:
        assert best is None
        assert limit == "error"
    else:
        assert best is not None
        assert load_of(best) <= capacity
        assert limit == "range" or capacity < 2 * load_of(best)
        assert (limit == "range") == (load_of(best) == 1600)


def test_one_bad_moment_does_not_end_the_climb() -> None:
    for bad in range(7):
        seen, limit = climbed(LADDER, lambda _, attempt, bad=bad: attempt != bad)
        assert limit == "range"
        assert load_of(seen[-1]) == 1600
        assert len(seen) == 8


def test_a_ladder_that_is_cut_off_says_by_what() -> None:
    seen, limit = climbed(LADDER._replace(highest=156, end="files"), lambda *_: True)
    assert [load_of(each) for each in seen] == [25, 50, 100]
    assert limit == "files"
    assert next_rung(LADDER._replace(highest=10, end="files"), []) == "files"


def named(name: str, machine: Machine = BARE, found: Calibration | None = GOOD) -> Finding | None:
    return next((each for each in findings(machine, found) if each.name == name), None)


def changed(**facts: Any) -> Machine:
    return msgspec.structs.replace(BARE, **facts)


@pytest.mark.parametrize(
    ("facts", "name", "severity", "do"),
    [
        ({"governor": "performance"}, "CPU governor", "ok", ""),
        ({"governor": "powersave"}, "CPU governor", "note", "echo performance | sudo tee"),
        ({"clock_source": "tsc"}, "clock", "ok", ""),
        ({"clock_source": "kvm-clock"}, "clock", "ok", ""),
        ({"clock_source": "hpet"}, "clock", "note", "clocksource=tsc"),
        (
            {"clock_source": "hpet", "clock_sources": ("hpet", "tsc", "acpi_pm")},
            "clock",
            "note",
            "echo tsc | sudo tee",
        ),
        ({"cores": 1, "cores_present": 1}, "cores", "note", "another machine"),
        ({"cores": 1, "cores_present": 8}, "cores", "note", "taskset -p -c 0-7 $$"),
        ({"cpu_quota": 0.5}, "CPU quota", "bad", "--cpu-quota -1"),
        ({"cpu_quota": 2.0}, "CPU quota", "note", "--cpu-quota -1"),
        ({"open_files": (1024, 524_288)}, "open files", "note", "ulimit -n 65536"),
        ({"open_files": (1024, 1024)}, "open files", "note", "sudo prlimit"),
        ({"open_files": (20_000, 20_000)}, "open files", "ok", ""),
        ({"ports": 28_232}, "local ports", "ok", ""),
        ({"ports": 2_000}, "local ports", "note", "ip_local_port_range"),
        ({"backlog": 128}, "backlog", "note", "somaxconn=4096"),
        ({"nice": False, "realtime": False}, "priority", "note", "prlimit"),
        ({"nice": True, "realtime": None}, "priority", "ok", ""),
        ({"stamp_error": None}, "time stamps", "bad", "on Linux itself"),
        ({"stamp_error": {"p50": 0.0, "p99": 0.004}}, "time stamps", "bad", "top"),
    ],
)
def test_each_limit_of_the_machine_is_judged_with_what_to_do(
    facts: dict[str, Any], name: str, severity: str, do: str
) -> None:
    found = named(name, changed(**facts))
    assert found is not None
    assert found.severity == severity
    assert do in found.do


@pytest.mark.parametrize(
    ("facts", "name", "severity"),
    [
        ({"streams": None, "streams_limit": "error"}, "streams", "bad"),
        ({"streams": None, "streams_limit": "files"}, "streams", "bad"),
        ({"requests_per_s": None, "requests_limit": "sends"}, "requests", "bad"),
        ({"steal": 0.02}, "steal", "note"),
        ({"steal": 0.2}, "steal", "bad"),
        ({"elsewhere": 0.6}, "other programs", "note"),
        ({"elsewhere": 2.6}, "other programs", "bad"),
        ({"steps": (made(clock_step=0.5),)}, "clock steps", "bad"),
        ({"steps": (made(), made(kernel_stamps=False))}, "time stamps", "bad"),
    ],
)
def test_what_the_calibration_met_is_judged(
    facts: dict[str, Any], name: str, severity: str
) -> None:
    found = named(name, found=msgspec.structs.replace(GOOD, **facts))
    assert found is not None
    assert found.severity == severity


def test_who_limited_the_search_is_said() -> None:
    streams, requests = named("streams"), named("requests")
    assert streams is not None
    assert requests is not None
    assert streams.detail.endswith("above that the test server, not the client, falls behind")
    assert requests.detail == "1,600/s within 1 ms; more was not tried"


def test_every_reason_has_words() -> None:
    assert REASONS.keys() == set(get_args(Limit))


def test_of_what_was_not_reached_before_the_end_nothing_bad_is_said() -> None:
    cut = msgspec.structs.replace(GOOD, streams=None, streams_limit="cut", steps=())
    assert named("streams", found=cut) is None
    assert named("clock steps", found=cut) is None


def test_of_what_the_system_does_not_say_nothing_is_said() -> None:
    assert {each.name for each in findings(BARE, None)} == {"time stamps", "cores"}


maybe = st.none() | st.booleans()


@given(
    st.builds(
        Machine,
        system=st.just("Linux"),
        cores=st.integers(1, 64),
        cores_present=st.none() | st.integers(64, 128),
        cpu_quota=st.none() | st.floats(0.01, 64),
        governor=st.none() | st.sampled_from(["performance", "powersave"]),
        clock_source=st.none() | st.sampled_from(["tsc", "hpet"]),
        open_files=st.none() | st.tuples(st.integers(1, 1 << 20), st.integers(1, 1 << 20)),
        ports=st.none() | st.integers(1, 65_535),
        backlog=st.none() | st.integers(1, 65_535),
        nice=maybe,
        realtime=maybe,
    )
)
def test_what_is_not_right_comes_with_what_to_do_and_what_is_right_without(
    machine: Machine,
) -> None:
    said = findings(machine, GOOD)
    assert len({each.name for each in said}) == len(said)
    for each in said:
        assert each.ok == (each.severity == "ok") == (not each.do)
