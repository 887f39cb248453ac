"""Why a point is valid, or not, in words: what the client did against the size of what it measured,
and the laws that its records obey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from latok.analysis.audit import ERROR_FLOOR, ERROR_SHARE
from latok.analysis.point import Point
from latok.records import Open
from latok.report.text import client_error, figure, printable, share, spoken
from latok.report.words import CHECKS, NAMES


class Reason(NamedTuple):
    """One thing that speaks for a point (`ok`), against it, or does not decide (None)."""

    ok: bool | None
    what: str
    detail: str


def verdict(point: Point) -> str:
    """A sentence: whether it may be trusted, and with what care."""
    if point.instrument.verdict == "unknown":
        return "Another tool measured it: its client’s error is not known."
    if point.bent:
        return "Invalid: the client itself may have bent it, so that it enters no frontier."
    broken = [CHECKS.get(check.name, check.name) for check in point.checks if check.ok is False]
    if broken:
        return f"Valid, but read with care: not so that {'; nor that '.join(broken)}."
    return "Valid: the client did not bend it, and its records obey every law that could be tested."


def reasons(point: Point) -> list[Reason]:
    """The grounds of the verdict, the client’s first."""
    return [*_client(point), *_laws(point), *_told(point)]


def _client(point: Point) -> Iterator[Reason]:
    found = point.instrument
    if found.verdict == "unknown":
        return
    for why in found.why:
        yield Reason(False, "the client", printable(why))
    for name in ("ttft", "tpot", "gap", "e2e"):
        error = client_error(point, name)
        if error is not None:
            said = f"{spoken(point.metrics[name].p50)} at the median; {_moved(point, name, error)}"
            yield Reason(None if name in found.bent else True, NAMES[name].lower(), said)
    lag = f"{spoken(found.lag_s.get('p50'))} after arrival (p99 {spoken(found.lag_s.get('p99'))})"
    if found.kernel_stamps:
        yield Reason(True, "its clock", f"times are the kernel’s; we read {lag}, which is not in")
    else:
        yield Reason(None, "its clock", f"no kernel time stamps; we read {lag}, which is in")
    if isinstance(point.load, Open):
        late = spoken(found.lateness_s.get("p99"))
        yield Reason(None, "its schedule", f"99 of 100 requests left within {late} of their time")
    if found.chunks:
        part = share(found.coalesced / found.chunks)
        yield Reason(None, "events in one read", f"{part} of {found.chunks:,} shared theirs")
    if found.client_share is not None:
        busy = f"{share(found.client_share)} of a core in each of its processes"
        stall = found.stall_s
        away = "" if stall is None else f"; away from its sockets for {spoken(stall)} at the most"
        yield Reason(None, "its own work", busy + away)


def _moved(point: Point, name: str, error: float) -> str:
    """The bound beside the metric's own size. One that passes both limits bends it; the point is
    invalid only where its SLO or its frontier hangs on that."""
    value = point.metrics[name].p50
    if not error:
        return "the client did not move it"
    part = f", {figure(100 * error / value)} % of it" if value else ""
    bent = f": more than {spoken(ERROR_FLOOR)} and {ERROR_SHARE:.0%}, so it is bent"
    size = f"at most {spoken(error)}" if error >= 1e-6 else "less than 1 µs"
    said = f"the client may have moved it by {size}{part}"
    return said + (bent if name in point.instrument.bent else "")


def _laws(point: Point) -> Iterator[Reason]:
    for check in point.checks:
        yield Reason(check.ok, CHECKS.get(check.name, check.name), printable(check.detail))


def _told(point: Point) -> Iterator[Reason]:
    """How much the requests tell."""
    counts, first = point.counts, point.metrics["ttft"]
    if first.ess is not None:
        worth = f"worth {first.ess:,.0f} independent ones for the first token"
        yield Reason(None, "how much it tells", f"{counts.ok:,} answered requests, {worth}")
    if counts.failed or counts.unfinished:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(point.errors.items()))
        said = f"{counts.failed} failed, {counts.unfinished} unfinished of {counts.offered}"
        yield Reason(None, "what failed", printable(f"{said} ({kinds})" if kinds else said))
    if point.ended_by:
        yield Reason(None, "its end", printable(f"ended because {point.ended_by}"))
