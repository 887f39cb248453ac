"""The statistics that points need: quantiles with a rule for how many values they ask, intervals.

Neighbouring requests are alike (they share batches, bursts and a warm or a throttled machine), so
intervals are bootstrapped over blocks of time, not over single values (Künsch 1989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RESAMPLES = 400
_MAX_BLOCKS = 200
_CUTS = 2048


def allowed(q: float, n: int) -> bool:
    """Whether `n` values can tell the quantile `q`: at least one must lie beyond it.

    So a p95 asks for 20 values, a p99 for 100 and a p99.9 for 1,000.
    """
    beyond = n * min(q, 1.0 - q)
    return n > 0 and (q == 0.5 or beyond >= 1.0 - 1e-9)


def quantile(values: Floats, q: float) -> float | None:
    """The quantile `q` of `values` (linear between neighbours), None where too few tell it."""
    return float(np.quantile(values, q)) if allowed(q, len(values)) else None


def quantile_intervals(
    values: Floats, times: Floats, quantiles: Sequence[float], *, seed: int
) -> list[tuple[float, float] | None]:
    """A 95 % interval for each quantile, by bootstrap over blocks of time; None where not allowed.

    `times`: when each value was seen, seconds; equal times (the gaps of one request) stay together.
    Blocks hold about n^(1/3) values each, n being the number of distinct times.
    """
    blocks = _blocks(times)
    if blocks is None:
        return [None] * len(quantiles)
    # How many values of each block lie up to each cut: exact for as many values as cuts, and for
    # more of them within 1/2048 of rank, in flat memory and time.
    ranks = np.linspace(0, len(values) - 1, min(len(values), _CUTS)).round().astype(np.int64)
    cuts = np.unique(np.sort(values)[ranks])
    count = int(blocks.max()) + 1
    place = blocks * len(cuts) + np.searchsorted(cuts, values)
    table = np.bincount(place, minlength=count * len(cuts)).reshape(count, len(cuts))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=_RESAMPLES)
    upto = np.cumsum(drawn.astype(np.float64) @ table, axis=1)
    wanted = np.asarray(quantiles)[:, None] * upto[:, -1]
    found = np.stack([cuts[(upto < row[:, None]).sum(axis=1)] for row in wanted], axis=1)
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    return [
        (float(low[n]), float(high[n])) if allowed(q, len(values)) else None
        for n, q in enumerate(quantiles)
    ]


def _blocks(times: Floats) -> NDArray[np.int64] | None:
    """The block of each value, by time; None from too few distinct times to say anything."""
    distinct, place = np.unique(times, return_inverse=True)
    if len(distinct) < 4:
        return None
    count = min(math.ceil(len(distinct) ** (2 / 3)), _MAX_BLOCKS)
    return np.asarray(place * count // len(distinct), dtype=np.int64)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share. Raises nothing: of none it is everything, (0, 1)."""
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest

    found: Any = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
