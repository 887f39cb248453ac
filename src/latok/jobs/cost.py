"""What stored runs and maps cost: by other prices, by the month, own hardware against hosted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from latok.analysis.cost import (
    Costs,
    charged,
    parse_price,
    parse_traffic,
    point_cost,
    tokens_per_request,
)
from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.decide.advise import advise
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.map import read_maps
from latok.jobs.prices import listed
from latok.jobs.runs import kind, read_point
from latok.records import Hosted, Owned


def costs(
    folder: Path | str,
    *,
    traffic: str | None = None,
    price_per_hour: float | None = None,
    price: str | None = None,
    against: str | None = None,
    tier: str | None = None,
) -> list[Costs]:
    """What the run or map in `folder` costs, a value for each app in it.

    `price_per_hour`: dollars for one machine of the hardware that was measured. Hosted is
    `against`, a model of the price sheet (`MODEL` or `PROVIDER/MODEL`, of a `tier`), or `price`,
    its price (`latok.analysis.cost.parse_price`). What is not given is as it was when the run was
    measured. `traffic`: such as `2M requests/month`. Raises UsageError.
    """
    folder = Path(folder)
    hosted = _hosted(price, against, tier)
    Experiment(price_per_hour=price_per_hour)  # a price that cannot be
    own = None if price_per_hour is None else Owned(usd_per_hour=price_per_hour)
    if kind(folder) == "map":
        named = [(each.app, each.points) for each in read_maps(folder)]
    else:
        found = read_point(folder)
        named = [(found.app, (found,))]
    return [_costs(folder, app, points, own, hosted, traffic) for app, points in named]


def _hosted(price: str | None, against: str | None, tier: str | None) -> Hosted | None:
    if price is not None and against is not None:
        raise UsageError("--price and --against exclude each other: each says the hosted price")
    if tier is not None and against is None:
        raise UsageError("--tier is that of the model that --against names; name one")
    Experiment(tier=tier)  # a tier that there is not
    if against is not None:
        return listed(against, tier)
    return None if price is None else parse_price(price)


def _costs(
    folder: Path,
    app: str,
    points: Sequence[Point],
    own: Owned | None,
    hosted: Hosted | None,
    traffic: str | None,
) -> Costs:
    stored = next((point.cost.prices for point in points if point.cost), None)
    if own is None:
        if isinstance(stored, Owned):
            own = stored
        elif hosted is None:
            hosted = stored
    if own is None and hosted is None:
        raise UsageError(
            f"no price is known of {folder}; give --price-per-hour for own hardware, --against or "
            "--price for a hosted model"
        )
    useful = [point for point in points if not point.bent and point.counts.ok]
    if not useful:
        raise UsageError(f"{folder} has no valid point, so nothing to say of its cost")
    rate = None
    if traffic is not None:
        rate = parse_traffic(traffic, tokens_per_request(row for p in useful for row in p.billed))
    return Costs(
        run=str(folder),
        app=app,
        own=own,
        hosted=hosted,
        traffic_requests_per_s=rate,
        points=tuple(point_cost(point, own, hosted, rate) for point in useful),
    )


def repriced(found: Point, price_per_hour: float | None, price: str | None) -> Point:
    """A stored point by another price, if one is given. Raises UsageError."""
    prices = Experiment(price_per_hour=price_per_hour, price=price).prices()
    return found if prices is None else charged(found, prices)


def repriced_map(found: Map, price_per_hour: float | None, price: str | None) -> Map:
    """A stored map by another price, if one is given; its advice tells the cost, too."""
    if price_per_hour is None and price is None:
        return found
    points = tuple(repriced(point, price_per_hour, price) for point in found.points)
    return msgspec.structs.replace(found, points=points, advice=advise(found.app, points))
