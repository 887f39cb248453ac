"""What `latok capacity` found: the highest load within the SLO, and what to keep free of it."""

from __future__ import annotations

import msgspec
import numpy as np

from latok.analysis.point import Point
from latok.workload.lengths import Lengths


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """Closed loop: so many at a time. `ci95`: its upper end is None where no load failed; 0: not
    even one. `stopped`: why it was searched no further."""

    concurrency: int
    ci95: tuple[int, int | None]
    tightest: str
    stopped: str


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Open loop: requests per second, with these `arrivals`; else as `Slots`."""

    rate: float
    ci95: tuple[float, float | None]
    arrivals: str
    tightest: str
    stopped: str


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one app on one target. `closed`, `open`: None where that was not asked, or
    nothing valid was measured. `tightest`: the clause that ends it. `headroom`: the share of the
    open loop's rate to keep free for bursts, None where that is not known."""

    app: str
    target: str
    slo: str
    closed: Slots | None
    open: Rate | None
    tightest: str | None
    headroom: float | None
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()
    command: str = ""
    schema: str = "latok.capacity/1"


def headroom(rate: float, saturation: float, *, measured: float, real: float, work: float) -> float:
    """The share of a rate to keep free, so that arrivals that are burstier than those it was
    measured with wait no longer.

    In heavy traffic a wait is about exponential with a mean in proportion to
    ρ ÷ (1 − ρ) × (c_a² + c_s²) ÷ 2 (Kingman 1961, 1962), so all its quantiles stay where they were
    if ρ ÷ (1 − ρ) falls by as much as the squares grow. `rate`: what was found; `saturation`: the
    most that is ever served (ρ = rate ÷ saturation); `measured`, `real`: standard deviation ÷ mean
    of the gaps between arrivals, of the search and of production; `work`: that of a request's work.
    """
    if real <= measured or rate <= 0.0:
        return 0.0
    grown = (real**2 + work**2) / (measured**2 + work**2)
    busy = min(rate / saturation, 0.99) if saturation > 0.0 else 0.99
    return 1.0 - 1.0 / (busy + (1.0 - busy) * grown)


def spread_of(lengths: Lengths) -> float:
    """Standard deviation ÷ mean, from 199 quantiles."""
    values = np.asarray([lengths.quantile((n + 0.5) / 199) for n in range(199)])
    return float(values.std() / values.mean())
