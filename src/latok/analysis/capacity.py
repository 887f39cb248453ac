"""What `latok capacity` found: the highest load within the SLO, and what to keep free of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.point import Interval, Point
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


class Fitted(NamedTuple):
    """A falling probit curve: the share `quantile` is crossed at `crossing`; slopes below and above
    it, in standard deviations for a load e times as high."""

    quantile: float
    crossing: float
    below: float
    above: float

    def share(self, load: float) -> float:
        """Of the requests at that load."""
        from scipy.special import ndtr, ndtri

        away = math.log(load / self.crossing)
        return float(ndtr(ndtri(self.quantile) - away * (self.below if away < 0 else self.above)))


def fitted(
    quantile: float,
    held: Sequence[tuple[float, float, int]],
    between: tuple[float, float] | None = None,
) -> Fitted | None:
    """The likeliest curve through what was held, each (load, share of the requests, how many).

    It has the form that the search assumes (`latok.decide.capacity`), which integrates over all
    such curves and does not choose one; so this one is for the eye. `between`: where it must cross.
    None where no load was below the quantile, or none above.
    """
    from scipy.special import log_ndtr, ndtri

    loads, shares, counts = (np.asarray(each, dtype=np.float64) for each in zip(*held, strict=True))
    if between is None and not (shares.min() < quantile <= shares.max()):
        return None
    low, high = between or (float(loads.min()), float(loads.max()))
    grid = np.geomspace(max(low, 1e-9), max(high, low * 1.0001, 1e-9), 61)
    slopes = np.geomspace(0.3, 300.0, 41)
    away = np.log(loads)[None, :] - np.log(grid)[:, None]
    probit = ndtri(min(quantile, 0.999)) - away[:, :, None] * slopes
    fits = counts[:, None] * (
        shares[:, None] * log_ndtr(probit) + (1.0 - shares[:, None]) * log_ndtr(-probit)
    )
    sides = [np.where(side[:, :, None], fits, 0.0).sum(axis=1) for side in (away < 0, away >= 0)]
    best = int(np.argmax(sum(side.max(axis=1) for side in sides)))
    below, above = (float(slopes[np.argmax(side[best])]) for side in sides)
    return Fitted(min(quantile, 0.999), float(grid[best]), below, above)


def saturation(points: Sequence[Point]) -> tuple[float, Interval] | None:
    """The most output tokens per second that any valid load brought, with its interval.

    Each point's throughput is drawn from its own interval (normal; Efron 1979, parametric), and the
    most of each draw taken: the chance that another level is truly the best is in it.
    """
    known = [p.throughput for p in points if p.valid and p.throughput.output_tokens_per_s]
    if not known:
        return None
    drawn = np.asarray([_drawn(t.output_tokens_per_s, t.ci95, n) for n, t in enumerate(known)])
    low, high = np.quantile(drawn.max(axis=0), (0.025, 0.975))
    best = max(t.output_tokens_per_s or 0.0 for t in known)
    # the best of several noisy values is too high by chance; it is not outside of its interval
    return best, (min(float(low), best), max(float(high), best))


DRAWS = 400


def _drawn(value: float | None, interval: Interval | None, seed: int) -> np.ndarray:
    """Values as they might have been measured: normal, with the interval's width."""
    value = value or 0.0
    deviation = 0.0 if interval is None else (interval[1] - interval[0]) / (2 * 1.96)
    return np.maximum(value + deviation * np.random.default_rng(seed).normal(size=DRAWS), 1e-9)
