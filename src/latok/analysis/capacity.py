"""What `latok capacity` found: the highest load within the SLO, and what to keep free of it."""

from __future__ import annotations

from collections.abc import Sequence

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
