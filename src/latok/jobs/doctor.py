"""What this machine can measure: its limits, and the loads that it holds against a known server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from latok.analysis.machine import TOKEN_RATE, Calibration, Diagnosis, Limit, Machine, Step, step
from latok.decide.doctor import Ladder, findings, largest, next_rung
from latok.load.calibrate import Judged, judge
from latok.load.machine import cpu_times, read_machine, taken
from latok.records import Closed, Load, Open

_SPARE_FILES = 100  # open files of the driver, and of the server, that are not connections


class _Effort(NamedTuple):
    """What to try: `seconds` of window for each load, and none begun after `budget` seconds (one
    takes up to 4)."""

    streams: Ladder
    rates: Ladder
    seconds: float
    budget: float


_FULL = _Effort(Ladder(25, 2, 1600), Ladder(50, 2, 3200), 1.5, 50.0)
_QUICK = _Effort(Ladder(25, 4, 1600), Ladder(50, 4, 3200), 0.5, 9.0)


def doctor(*, quick: bool = False, say: Callable[[Step], None] = lambda _: None) -> Diagnosis:
    """Calibrates this machine: up to a minute, `quick` up to 15 s. `say` hears every step.

    Ctrl-C ends it early: then `complete` is False, and what is known so far is there. Raises
    nothing for what it finds.
    """
    machine = read_machine()
    found = None
    if sys.platform == "linux":  # the load loop is one of epoll
        found = _calibrate(machine, _QUICK if quick else _FULL, say)
    return Diagnosis(
        limits=machine,
        calibration=found,
        findings=findings(machine, found),
        complete=found is None or "cut" not in (found.streams_limit, found.requests_limit),
    )


@dataclass
class _Climb:
    """A ladder, how far up it we are, and why no farther. `tokens` are those of a request."""

    ladder: Ladder
    load: Callable[[float], Load]
    tokens: int
    steps: list[Step] = field(default_factory=list)
    limit: Limit | None = None


def _calibrate(machine: Machine, effort: _Effort, say: Callable[[Step], None]) -> Calibration:
    """Climbs both ladders in turn, so that the end of the time or a Ctrl-C is fair to both."""
    streams = _Climb(
        _within_files(effort.streams, machine, 1.0), lambda n: Closed(round(n)), tokens=25
    )
    # Little else than requests. One takes 70 ms; room for its taking twice as long.
    rates = _Climb(_within_files(effort.rates, machine, 0.14), Open, tokens=2)
    done: list[Step] = []
    before, began = cpu_times(), time.monotonic()
    try:
        while climbing := [each for each in (streams, rates) if each.limit is None]:
            for climb in climbing:
                rung = next_rung(climb.ladder, climb.steps)
                if isinstance(rung, str):
                    climb.limit = rung
                elif time.monotonic() - began > effort.budget:
                    climb.limit = "time"
                else:
                    climb.steps.append(_hold(climb.load(rung), climb.tokens, effort.seconds))
                    done.append(climb.steps[-1])
                    say(done[-1])
    except KeyboardInterrupt:
        pass
    most, fastest = largest(streams.steps), largest(rates.steps)
    steal, elsewhere = taken(before, cpu_times())
    return Calibration(
        streams=most.load.concurrency if most and isinstance(most.load, Closed) else None,
        tokens_per_s=most.tokens_per_s if most else None,
        requests_per_s=fastest.load.rate if fastest and isinstance(fastest.load, Open) else None,
        streams_limit=streams.limit or "cut",
        requests_limit=rates.limit or "cut",
        steps=tuple(done),
        steal=steal,
        elsewhere=elsewhere,
    )


def _within_files(ladder: Ladder, machine: Machine, connections: float) -> Ladder:
    """No more than there may be files open, of which a load needs so many `connections` each."""
    if machine.open_files is None:
        return ladder
    most = (machine.open_files[0] - _SPARE_FILES) / connections
    return ladder if most >= ladder.highest else ladder._replace(highest=most, end="files")


def _hold(load: Load, tokens: int, seconds: float) -> Step:
    """One load on the known server. Raises KeyboardInterrupt where it was ended early."""
    found = judge(load, rate=TOKEN_RATE, tokens=tokens, seconds=seconds)
    if found.driven.ended == "interrupted":
        raise KeyboardInterrupt
    return step(
        load,
        ttft=found.ttft,
        gap=found.gap,
        lag=found.lag,
        late=found.late,
        served=found.served,
        cpu=found.cpu,
        coalesced=found.coalesced / max(found.chunks, 1),
        clock_step=found.driven.clock_step,
        kernel_stamps=found.driven.kernel_stamps,
        **_rates(found),
    )


def _rates(found: Judged) -> dict[str, float]:
    """Tokens that came and requests that were sent in the window, per second."""
    if found.driven.window is None:
        return {"tokens_per_s": 0.0, "requests_per_s": 0.0}
    start, end = found.driven.window
    chunks = (chunk for record in found.records for chunk in record.chunks if chunk.is_token)
    tokens = sum(start <= chunk.at < end for chunk in chunks)
    sent = sum(start <= (record.sent_first or end) < end for record in found.records)
    return {"tokens_per_s": tokens / (end - start), "requests_per_s": sent / (end - start)}
