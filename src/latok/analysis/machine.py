"""What this machine can measure: its limits, and the loads that it held against a server whose
sending times are known. Seconds and tokens; the shape that `latok doctor --json` prints.

Only values are here, and what one step of the calibration says. `latok.decide.doctor` makes
findings and advice of them.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from latok.analysis.stats import Floats
from latok.records import Load, Open

# What an instrument for latencies of tens of milliseconds may be wrong by: the floor of
# `latok.analysis.audit` for an invalid point.
TOLERANCE = 1e-3
TOKEN_RATE = 50.0  # tokens per second of one stream in the calibration
# A server whose events are half a gap late in the median has fallen behind: it does not send what
# the step is about. Single late ones come in bursts, which spare a client nothing.
_PACE = 0.5 / TOKEN_RATE


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and properties of the machine; None where the system does not say.

    `cores`: that this process may run on, of `cores_present`. `cpu_quota`: cores that the container
    may use. `clock_read`: seconds that one look at the clock takes. `stamp_error`: a packet's
    kernel time stamp less the clock just before its `send`, p50 and p99, seconds. `open_files`: the
    soft and the hard limit. `ports`: local ones, for connections to one address. `backlog`: the
    most connections that may wait for a server here. `nice`, `realtime`: whether a process of ours
    may ask for the highest priority.
    """

    system: str
    cores: int
    cores_present: int | None = None
    cpu_quota: float | None = None
    governor: str | None = None
    clock_source: str | None = None
    clock_sources: tuple[str, ...] = ()
    clock_read: float | None = None
    stamp_error: dict[str, float] | None = None
    open_files: tuple[int, int] | None = None
    ports: int | None = None
    backlog: int | None = None
    nice: bool | None = None
    realtime: bool | None = None


# Why a load was not measured to within the tolerance.
Trouble = Literal["failed", "clock", "server", "error", "sends"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One load against the known server. `…_s`: p50 and p99, empty where nothing came.

    `ttft_error_s`, `gap_error_s`: |our time − the server's|. `lag_s`: what a client without the
    kernel's stamps would have been late by. `lateness_s`: sent after it was due. `server_late_s`:
    the server's own lateness, which is not in the errors.
    """

    load: Load
    trouble: Trouble | None
    ttft_error_s: dict[str, float]
    gap_error_s: dict[str, float]
    lag_s: dict[str, float]
    lateness_s: dict[str, float]
    server_late_s: dict[str, float]
    tokens_per_s: float
    requests_per_s: float
    cpu_per_chunk_s: float
    coalesced: float  # share of the chunks that came with another in one read
    clock_step_s: float
    kernel_stamps: bool

    @property
    def error(self) -> float | None:
        """The larger p99 of the two errors, seconds."""
        return max((e["p99"] for e in (self.ttft_error_s, self.gap_error_s) if e), default=None)


# What ended the search for the largest load.
Limit = Literal["error", "sends", "server", "failed", "clock", "files", "range", "time", "cut"]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The largest loads within the tolerance, None where not even the smallest was, and why they
    are the largest. `tokens_per_s`: what came at the most streams. `steal`: share of the machine's
    time that its host took. `elsewhere`: cores that other programs used meanwhile.
    """

    streams: int | None
    tokens_per_s: float | None
    requests_per_s: float | None
    streams_limit: Limit
    requests_limit: Limit
    steps: tuple[Step, ...]
    steal: float | None = None
    elsewhere: float | None = None
    tolerance_s: float = TOLERANCE


class Finding(msgspec.Struct, frozen=True):
    """One thing about the machine. `ok`: nothing to do. `do`: a command where there is one."""

    name: str
    ok: bool
    severity: Literal["ok", "note", "bad"]
    detail: str
    do: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All that `latok doctor` says. `complete`: nobody ended it early."""

    limits: Machine
    calibration: Calibration | None
    findings: tuple[Finding, ...]
    complete: bool = True
    schema: str = "latok.doctor/1"


def step(
    load: Load,
    *,
    ttft: Floats,
    gap: Floats,
    lag: Floats,
    late: Floats,
    served: Floats,
    tokens_per_s: float,
    requests_per_s: float,
    cpu: float,
    coalesced: float,
    clock_step: float,
    kernel_stamps: bool,
) -> Step:
    """A step and its trouble, from every event's error (absolute, seconds; in any order)."""
    errors = _quantiles(ttft), _quantiles(gap)
    server, sends = _quantiles(served), _quantiles(late)
    trouble: Trouble | None = None
    if not all(errors):
        trouble = "failed"
    elif clock_step > TOLERANCE:
        trouble = "clock"
    elif server["p50"] > _PACE:
        trouble = "server"
    elif max(each["p99"] for each in errors) > TOLERANCE:
        trouble = "error"
    elif isinstance(load, Open) and sends["p99"] > TOLERANCE:
        trouble = "sends"
    return Step(
        load=load,
        trouble=trouble,
        ttft_error_s=errors[0],
        gap_error_s=errors[1],
        lag_s=_quantiles(lag),
        lateness_s=sends,
        server_late_s=server,
        tokens_per_s=tokens_per_s,
        requests_per_s=requests_per_s,
        cpu_per_chunk_s=cpu,
        coalesced=coalesced,
        clock_step_s=clock_step,
        kernel_stamps=kernel_stamps,
    )


def _quantiles(values: Floats) -> dict[str, float]:
    """Of few values the p99 is close to the largest: the smallest loads are judged strictly."""
    if not len(values):
        return {}
    p50, p99 = np.quantile(values, (0.5, 0.99))
    return {"p50": float(p50), "p99": float(p99)}
