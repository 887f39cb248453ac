"""The lever `offline_batch`: how many at a time, where only the end of all of them matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from latok.errors import UsageError


class Rate(NamedTuple):
    """What was measured at one concurrency; `latency`: seconds of a slow request (e2e p99)."""

    concurrency: int
    requests_per_s: float
    latency: float


class Plan(NamedTuple):
    """`seconds`: until the last answer; `fits`: whether that is within the deadline's share."""

    concurrency: int
    seconds: float
    fits: bool
    why: str


def planned(
    requests: int,
    deadline: float,
    rates: Sequence[Rate],
    *,
    margin: float = 0.1,
    prefer: Literal["soonest", "fewest"] = "soonest",
) -> Plan:
    """How to be done within `deadline` seconds, less the margin; or the soonest, which is too late.

    All take requests / rate, and the last ones a slow request more, for whom the slots run empty
    (Graham's bound for list scheduling). The soonest is the cheapest where a machine is paid by the
    hour; the fewest at a time leave the most of it to others. Only what was measured is chosen.
    """
    if requests < 1 or deadline <= 0 or not 0 <= margin < 1:
        raise UsageError("a batch has requests, a deadline above 0 s and a margin from 0 to 1")
    usable = [rate for rate in rates if rate.requests_per_s > 0]
    if not usable:
        raise UsageError("no throughput was measured; a batch is planned from measured points")

    def seconds(rate: Rate) -> float:
        return requests / rate.requests_per_s + rate.latency

    allowed = deadline * (1 - margin)
    best = min(usable, key=lambda rate: (seconds(rate), rate.concurrency))
    if seconds(best) > allowed:
        why = (
            f"{requests} requests take {seconds(best):.0f} s at best, "
            f"at {best.concurrency} at a time; {allowed:.0f} s are allowed"
        )
        return Plan(best.concurrency, seconds(best), False, why)
    if prefer == "fewest":
        within = [rate for rate in usable if seconds(rate) <= allowed]
        best = min(within, key=lambda rate: rate.concurrency)
    why = f"{requests} requests, {best.requests_per_s:.3g} a second at {best.concurrency} at a time"
    return Plan(best.concurrency, seconds(best), True, why)
