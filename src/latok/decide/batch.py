"""Work that can wait: how many at a time get it done by its deadline. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from latok.analysis.point import Point
from latok.errors import UsageError
from latok.levers.offline_batch import Rate, planned
from latok.records import Closed, Owned

_SLOW = ("p99", "p95", "p90", "p50")  # the slowest request that so few tell of


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one app on one target (or setting of it): so many at a time, for `seconds`,
    and whether that `fits` the deadline less the margin; `usd`: what it costs, None where no price
    is known. `run`: the point that it rests on."""

    app: str
    target: str
    requests: int
    deadline_s: float
    concurrency: int
    seconds: float
    fits: bool
    why: str
    usd: float | None
    run: str


def batches(
    points: Sequence[Point],
    *,
    requests: int,
    deadline: float,
    margin: float = 0.1,
    fewest: bool = False,
) -> list[Batch]:
    """A plan for each app and target of the points; those that fit come first, then the soonest.
    The requests are taken to be like those that were measured.

    `deadline` in seconds, `margin` the share of it that is kept free; `fewest`: the fewest at a
    time that still fit instead of the soonest. Raises UsageError where no closed loop was measured.
    """
    usable = [p for p in points if not p.bent and p.counts.ok and isinstance(p.load, Closed)]
    if not usable:
        raise UsageError(
            "there is no valid point of so many at a time to plan by; latok map measures some"
        )
    sides = dict.fromkeys((p.app, p.target.name) for p in usable)
    found = [
        _batch(
            [p for p in usable if (p.app, p.target.name) == side],
            requests=requests,
            deadline=deadline,
            margin=margin,
            fewest=fewest,
        )
        for side in sides
    ]
    return sorted(found, key=lambda each: (not each.fits, each.seconds))


def _batch(
    points: Sequence[Point], *, requests: int, deadline: float, margin: float, fewest: bool
) -> Batch:
    by_load = {p.load.concurrency: p for p in points if isinstance(p.load, Closed)}
    rates = [Rate(c, p.throughput.requests_per_s, _slow(p)) for c, p in by_load.items()]
    plan = planned(
        requests, deadline, rates, margin=margin, prefer="fewest" if fewest else "soonest"
    )
    point = by_load[plan.concurrency]
    return Batch(
        app=point.app,
        target=point.target.name,
        requests=requests,
        deadline_s=deadline,
        concurrency=plan.concurrency,
        seconds=plan.seconds,
        fits=plan.fits,
        why=plan.why,
        usd=_usd(point, requests, plan.seconds),
        run=point.run,
    )


def _slow(point: Point) -> float:
    """Seconds of a slow request."""
    known = (getattr(point.metrics["e2e"], label) for label in _SLOW)
    return next((value for value in known if value is not None), 0.0)


def _usd(point: Point, requests: int, seconds: float) -> float | None:
    if point.cost is None:
        return None
    if isinstance(point.cost.prices, Owned):
        return point.cost.prices.usd_per_hour * seconds / 3600.0
    each = point.cost.usd_per_request
    return None if each is None else each * requests
