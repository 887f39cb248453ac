"""Which load `latok doctor` tries next, and what it advises.

The advice is commands for Linux, each of which may be undone by a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from latok.analysis.machine import (
    TOKEN_RATE,
    TOLERANCE,
    Calibration,
    Finding,
    Limit,
    Machine,
    Step,
    Trouble,
)
from latok.records import Closed

# Clocks that are read through a device or tick coarsely (Linux: drivers/clocksource); the others
# are counters of the CPU.
_SLOW_CLOCKS = {"hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies"}
_TIME_WAIT = 60.0  # seconds for which Linux keeps the port of a connection that it closed


class Ladder(NamedTuple):
    """Loads to try, from the lightest: `lowest`, then `factor` times as much, up to `highest`.
    `end`: what it is that makes that the highest."""

    lowest: float
    factor: float
    highest: float
    end: Limit = "range"


def next_rung(ladder: Ladder, seen: Sequence[Step]) -> float | Limit:
    """The next load, or why there is none. `seen`: the steps of this ladder, in order.

    A load that failed is tried once more: a neighbour of the machine may have been to blame.
    """
    if not seen:
        return ladder.lowest if ladder.lowest <= ladder.highest else ladder.end
    last = seen[-1]
    load = load_of(last)
    if last.trouble is not None:
        again = len(seen) > 1 and load_of(seen[-2]) == load
        return last.trouble if again else load
    higher = load * ladder.factor
    return higher if higher <= ladder.highest else ladder.end


def load_of(step: Step) -> float:
    """Streams at a time, or requests a second."""
    return step.load.concurrency if isinstance(step.load, Closed) else step.load.rate


def largest(seen: Sequence[Step]) -> Step | None:
    """The heaviest step that was within the tolerance."""
    return max((each for each in seen if each.trouble is None), key=load_of, default=None)


# --- findings ------------------------------------------------------------------------------------


def findings(machine: Machine, found: Calibration | None) -> tuple[Finding, ...]:
    """What is to be known of the machine; of what the system does not say nothing is said."""
    said = [*_calibrated(found)] if found else []
    said += [*_stamps(machine, found), *_clock(machine, found)]
    said += [*_cores(machine, found), *_priority(machine), *_limits(machine)]
    return tuple(said)


def _ok(name: str, detail: str) -> Finding:
    return Finding(name, True, "ok", detail)


def _note(name: str, detail: str, do: str) -> Finding:
    return Finding(name, False, "note", detail, do)


def _bad(name: str, detail: str, do: str) -> Finding:
    return Finding(name, False, "bad", detail, do)


def _calibrated(found: Calibration) -> Iterator[Finding]:
    kinds: tuple[tuple[str, str, float | None, Limit], ...] = (
        (
            "streams",
            f" × {TOKEN_RATE:g} tok/s ({found.tokens_per_s or 0:,.0f} tok/s came)",
            found.streams,
            found.streams_limit,
        ),
        ("requests", "/s", found.requests_per_s, found.requests_limit),
    )
    for name, unit, most, limit in kinds:
        if most is not None:
            above = "above that " if limit in _IN_THE_WAY else ""
            said = f"{most:,g}{unit} within {_spoken(TOLERANCE)}; {above}{REASONS[limit]}"
            yield _ok(name, said)
        elif limit not in ("cut", "time"):
            do = "put right what is marked below; else use a machine with more cores to itself"
            yield _bad(name, f"none within {_spoken(TOLERANCE)}: {REASONS[limit]}", do)


# What ended the search, as a person would say it.
REASONS: dict[Limit, str] = {
    "error": "the client's own error is larger",
    "sends": "requests are sent too late",
    "server": "the test server, not the client, falls behind",
    "failed": "requests fail",
    "clock": "the clock was stepped",
    "files": "more would need more open files",
    "range": "more was not tried",
    "time": "there was no time for more",
    "cut": "it was interrupted there",
}
_IN_THE_WAY = get_args(Trouble)


def _stamps(machine: Machine, found: Calibration | None) -> Iterator[Finding]:
    error = machine.stamp_error
    if error is None or (found and not all(s.kernel_stamps for s in found.steps)):
        yield _bad(
            "time stamps",
            "the kernel does not stamp packets: a late read is a late event",
            "run latok on Linux itself, not in a sandbox that imitates it (gVisor, WSL 1)",
        )
        return
    detail = f"{_spoken(error['p50'])} after the send (p99 {_spoken(error['p99'])})"
    if max(abs(value) for value in error.values()) < TOLERANCE:
        yield _ok("time stamps", detail)
    else:
        yield _bad("time stamps", detail, "find what keeps the cores: top -o %CPU")


def _clock(machine: Machine, found: Calibration | None) -> Iterator[Finding]:
    if machine.clock_source is not None:
        read = "" if machine.clock_read is None else f", {machine.clock_read * 1e9:.0f} ns a look"
        detail = f"{machine.clock_source}{read}"
        if machine.clock_source in _SLOW_CLOCKS:
            node = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
            better = [name for name in machine.clock_sources if name not in _SLOW_CLOCKS]
            do = f"echo {better[0]} | sudo tee {node}" if better else "boot with clocksource=tsc"
            yield _note("clock", f"{detail}: slow to read", do)
        else:
            yield _ok("clock", detail)
    if found is not None and found.steps:
        largest_step = max(each.clock_step_s for each in found.steps)
        detail = f"{_spoken(largest_step)} at the most"
        if largest_step <= TOLERANCE:
            yield _ok("clock steps", detail)
        else:
            yield _bad("clock steps", detail, "wait for NTP to settle: chronyc waitsync 30 0.001")


def _cores(machine: Machine, found: Calibration | None) -> Iterator[Finding]:
    cores, present = machine.cores, machine.cores_present or machine.cores
    detail = f"{cores}" if cores == present else f"{cores} of {present}"
    if cores > 1:
        yield _ok("cores", detail)
    elif present > 1:
        yield _note("cores", detail, f"taskset -p -c 0-{present - 1} $$")
    else:
        yield _note("cores", detail, "run the target on another machine: they would share it")
    quota = machine.cpu_quota
    if quota is not None and quota < cores:
        detail = f"{quota:g} cores; above that all of latok stands still for a while"
        do = "docker update --cpu-quota -1 CONTAINER (Kubernetes: no CPU limit)"
        yield _bad("CPU quota", detail, do) if quota < 1 else _note("CPU quota", detail, do)
    if machine.governor is not None:
        if machine.governor == "performance":
            yield _ok("CPU governor", machine.governor)
        else:
            node = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
            do = f"echo performance | sudo tee {node}"
            yield _note("CPU governor", machine.governor, do)
    if found is not None:
        yield from _competition(cores, found)


def _competition(cores: int, found: Calibration) -> Iterator[Finding]:
    if found.steal is not None:
        detail = f"{found.steal * 100:.1f} % of the time went to the host's other machines"
        if found.steal < 0.01:
            yield _ok("steal", detail)
        else:
            do = "use a machine with cores of its own; nothing in here can change it"
            yield _bad("steal", detail, do) if found.steal > 0.05 else _note("steal", detail, do)
    if found.elsewhere is not None:
        detail = f"{found.elsewhere:.2f} of {cores} cores went to other programs"
        if found.elsewhere < 0.1 * cores:
            yield _ok("other programs", detail)
        else:
            do = "see which, and stop them: ps -eo pcpu,pid,args --sort=-pcpu | head"
            yield (
                _bad("other programs", detail, do)
                if found.elsewhere > 0.5 * cores
                else _note("other programs", detail, do)
            )


def _priority(machine: Machine) -> Iterator[Finding]:
    if machine.nice is None:
        return
    if machine.nice:
        realtime = "real-time, too" if machine.realtime else "not real-time"
        yield _ok("priority", f"nice -20 is allowed, and taken; {realtime}")
    else:
        yield _note(
            "priority",
            "nice -20 is not allowed: whatever runs beside it delays its sends",
            "sudo prlimit --pid $$ --nice=40:40 (a container: --cap-add SYS_NICE)",
        )


def _limits(machine: Machine) -> Iterator[Finding]:
    if machine.open_files is not None:
        soft, hard = machine.open_files
        if soft >= 4096:
            yield _ok("open files", f"{soft:,}")
        elif hard >= 4096:
            yield _note(
                "open files", f"{soft:,}: a connection is one", f"ulimit -n {min(hard, 65_536)}"
            )
        else:
            do = "sudo prlimit --pid $$ --nofile=65536:65536 (docker run --ulimit nofile=65536)"
            yield _note("open files", f"{soft:,}: a connection is one", do)
    if machine.ports is not None:
        fresh = machine.ports / _TIME_WAIT
        detail = f"{machine.ports:,}: {fresh:,.0f} new connections a second to one address"
        if machine.ports >= 20_000:
            yield _ok("local ports", detail)
        else:
            do = 'sudo sysctl -w net.ipv4.ip_local_port_range="16384 65535"'
            yield _note("local ports", detail, do)
    if machine.backlog is not None:
        detail = f"{machine.backlog:,} connections may wait for a server here"
        if machine.backlog >= 1024:
            yield _ok("backlog", detail)
        else:
            yield _note("backlog", detail, "sudo sysctl -w net.core.somaxconn=4096")


def _spoken(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if abs(seconds) >= 1e-4 else f"{seconds * 1e6:.2g} µs"
