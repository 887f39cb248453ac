"""The statistics that points need: quantiles with a rule for how many values they ask, intervals.

Neighbouring requests are alike (they share batches, bursts and a warm or a throttled machine), so
n of them tell less than n independent ones would. How much less is their effective size; intervals
are bootstrapped over blocks of time, long enough for that (Künsch 1989), not over single values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Small = NDArray[np.float32]  # for differences of milliseconds, where seven digits are plenty
Reals = NDArray[np.float64 | np.float32]

_RESAMPLES = 400
_PIECE = 1 << 20  # values that are worked on at a time, so that memory stays flat
_MAX_BLOCKS = 200
_CUTS = 2048
_MIN_BLOCKS = 8  # fewer blocks do not tell their own spread
_Z = 1.959963984540054  # of a 95 % interval of the normal distribution


def allowed(q: float, n: int) -> bool:
    """Whether `n` values can tell the quantile `q`: at least one must lie beyond it.

    So a p95 asks for 20 values, a p99 for 100 and a p99.9 for 1,000.
    """
    beyond = n * min(q, 1.0 - q)
    return n > 0 and (q == 0.5 or beyond >= 1.0 - 1e-9)


def quantile(values: Reals, q: float) -> float | None:
    """The quantile `q` of `values` (linear between neighbours), None where too few tell it."""
    return float(np.quantile(values, q)) if allowed(q, len(values)) else None


def alike(values: Reals) -> float:
    """The integrated autocorrelation time: how many neighbours tell as much as one would alone.

    `values` in the order of time. 1 for independent ones, never less. By Geyer's initial positive
    sequence (1992), on ranks, so that one outlier does not hide it (Vehtari et al. 2021).
    """
    n = len(values)
    if n < 8:
        return 1.0
    from scipy.stats import rankdata

    if n > _PIECE:
        return _alike_in_batches(values)
    return _alike_in_order(rankdata(values) - (n + 1) / 2)


def _alike_in_order(ranks: Floats) -> float:
    n = len(ranks)
    spectrum = np.fft.rfft(ranks, 2 << (n - 1).bit_length())
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[:n]
    if covariance[0] <= 1e-9 * n:
        return 1.0
    # the mean was taken from the same values, which hides 1/n of the correlation at each lag
    rho = covariance / covariance[0] + (1.0 - np.arange(n) / n) / n
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(axis=1)
    over = np.flatnonzero(pairs <= 0.0)
    positive = np.minimum.accumulate(pairs[: over[0] if len(over) else len(pairs)])
    return float(np.clip(2.0 * positive.sum() - 1.0, 1.0, n / 2))


def _alike_in_batches(values: Reals) -> float:
    """The same from the means of batches, in flat memory: what the mean of all varies by is the
    variance of one times how many are alike over their number, batched or not."""
    size = -(-len(values) // (_PIECE >> 3))
    count = len(values) // size
    cuts = _cuts(values)
    means, square = np.empty(count), 0.0
    for start in range(0, count, _PIECE // size):
        end = min(start + _PIECE // size, count)
        piece = values[start * size : end * size]
        ranks = np.searchsorted(cuts, piece, side="right") / len(cuts) - 0.5
        means[start:end] = ranks.reshape(-1, size).mean(axis=1)
        square += float(np.square(ranks).sum())
    variance = square / (count * size) - float(means.mean()) ** 2
    means -= means.mean()
    if variance <= 1e-9:
        return 1.0
    return max(_alike_in_order(means) * size * float(means.var()) / variance, 1.0)


def _cuts(values: Reals) -> Reals:
    """Distinct values that lie evenly among these: all of a few, else so many that a rank is known
    within 1/2048."""
    ranks = np.linspace(0, len(values) - 1, min(len(values), _CUTS)).round().astype(np.int64)
    return np.unique(np.sort(values)[ranks])


def effective_size(values: Reals) -> float:
    """How many independent values would tell as much as these, which are in the order of time."""
    return len(values) / alike(values) if len(values) else 0.0


def quantile_intervals(
    values: Reals,
    times: Floats,
    quantiles: Sequence[float],
    *,
    seed: int,
    counts: Sequence[int] | None = None,
) -> list[tuple[float, float] | None]:
    """A 95 % interval for each quantile, by bootstrap over blocks of time; None where not allowed.

    `times`: when each value was seen, in order, seconds; equal times stay together (the turns of
    one session, which all have the time of its first), and so do the `counts` values in a row that
    each time has (the gaps of one request; else one). Blocks hold about n^(1/3) values each, n
    being the number of distinct times, and more where neighbours are alike.
    """
    owned = np.ones(len(times), dtype=np.int64) if counts is None else np.asarray(counts)
    blocks = _blocks(values, times[owned > 0], owned[owned > 0])
    if blocks is None:
        return [None] * len(quantiles)
    # How many values of each block lie up to each cut.
    cuts, count = _cuts(values), int(blocks.max()) + 1
    flat = np.zeros(count * len(cuts), dtype=np.int64)
    for start in range(0, len(values), _PIECE):
        piece = slice(start, start + _PIECE)
        place = blocks[piece].astype(np.int64) * len(cuts) + np.searchsorted(cuts, values[piece])
        flat += np.bincount(place, minlength=len(flat))
    table = flat.reshape(count, len(cuts))
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


def _blocks(values: Reals, times: Floats, counts: NDArray[np.int64]) -> NDArray[np.int16] | None:
    """The block of each value, by time; None from too few distinct times to say anything."""
    distinct, first, place = np.unique(times, return_index=True, return_inverse=True)
    if len(distinct) < 4:
        return None
    begins = np.cumsum(counts) - counts
    count = block_count(len(distinct), alike(values[begins[first]]))
    return np.repeat((place * count // len(distinct)).astype(np.int16), counts)


def block_count(n: int, together: float) -> int:
    """Into how many blocks to cut `n` values of which so many neighbours are alike: each is as long
    as n^(1/3), or as twice what is alike, but there are 8 of them (all, where there are fewer)."""
    most = min(math.ceil(math.cbrt(n) ** 2), _MAX_BLOCKS)
    return max(min(most, int(n / (2.0 * together))), min(_MIN_BLOCKS, most))


def share_interval(hits: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927); of none it is everything, (0, 1).

    `n` is the effective size of what was seen, and `hits` the same share of that.
    """
    if n <= 0:
        return 0.0, 1.0
    share, z2 = hits / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if hits <= 0 else max(middle - half, 0.0)
    return low, 1.0 if hits >= n else min(middle + half, 1.0)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values (1979): calling what is at most α different is wrong of any of them
    with a chance of α at the most."""
    adjusted, least = {}, 0.0
    for n, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min((len(p_values) - n) * p_values[name], 1.0))
        adjusted[name] = least
    return adjusted
