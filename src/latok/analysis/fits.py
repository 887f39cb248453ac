"""Robust fits of laws to few measurements, each with its interval.

A server that hiccups gives some values that are far too large and none that are far too small, so
nothing here is a plain mean. Lines are fitted by Huber's M-estimator (1964; k = 1.345, scale by the
median absolute deviation) on residuals relative to the value, as noise grows with what it is noise
of; single quantities are medians. Intervals are bootstrapped over the measurements, and never
narrower than the residuals allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.stats import Floats

_RESAMPLES = 200
_HUBER = 1.345
_ROUNDS = 12
_SIGMA = 1.4826  # the MAD of a normal distribution is 1/1.4826 of its standard deviation


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity that was found: its value, a 95 % interval, from how many measurements, and what
    else could look the same from outside."""

    value: float
    ci95: tuple[float, float] | None
    n: int
    cannot_tell: str = ""


def median(values: Sequence[float] | Floats, *, cannot_tell: str = "") -> Law:
    """The median. Its interval is of order statistics: exact whatever the distribution (Thompson
    1936); None from fewer than 6 values, which cannot bear 95 %."""
    from scipy.stats import binom

    x = np.sort(np.asarray(values, dtype=float))
    n = len(x)
    rank = int(binom.ppf(0.025, n, 0.5))
    ci = (float(x[rank - 1]), float(x[n - rank])) if rank else None
    return Law(value=float(np.median(x)), ci95=ci, n=n, cannot_tell=cannot_tell)


class Fit(NamedTuple):
    """Coefficients of a linear law, their standard errors by the bootstrap, the correlation that
    the design gives them, and the relative scale of what it leaves."""

    values: tuple[float, ...]
    errors: tuple[float, ...]
    correlation: Floats
    scale: float
    n: int

    def law(self, k: int, *, cannot_tell: str = "") -> Law:
        value, half = self.values[k], 1.96 * self.errors[k]
        return Law(
            value=value, ci95=(value - half, value + half), n=self.n, cannot_tell=cannot_tell
        )

    def at(self, columns: Sequence[Floats]) -> tuple[Floats, Floats]:
        """The law's value where its columns are these, and half of its 95 % interval there."""
        rows = np.stack(columns, axis=1)
        covariance = self.correlation * np.outer(self.errors, self.errors)
        half = 1.96 * np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", rows, covariance, rows), 0.0))
        return rows @ np.asarray(self.values), half

    def sigmas(self, k: int) -> float:
        """How many standard errors coefficient `k` is above 0."""
        return self.values[k] / max(self.errors[k], 1e-30)


def spread(residuals: Floats) -> float:
    """Their standard deviation, by the median absolute deviation from 0."""
    return float(_SIGMA * np.median(np.abs(residuals)))


def fit(columns: Sequence[Floats], y: Floats, *, floor: float, seed: int) -> Fit:
    """The coefficients c of y ≈ Σ c·column. `floor`: absolute noise below which relative precision
    is not asked, in units of y. Needs two measurements more than there are columns."""
    x = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    noise = np.maximum(np.abs(y) * 0.03, floor)
    xs, ys = x / noise[:, None], y / noise
    units = np.maximum(np.abs(xs).max(axis=0), 1e-30)  # lengths squared beside ones
    xs = xs / units
    n, k = xs.shape
    first = _huber(xs, ys, np.ones((1, n)))[0]
    scale = spread(ys - xs @ first) * np.sqrt(n / max(n - k, 1))
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(float)
    boot = _huber(xs, ys, counts)
    inverse = np.linalg.pinv(xs.T @ xs)
    least = scale * np.sqrt(np.diag(inverse))
    errors = np.maximum(_spread_of(boot), least)
    return Fit(
        values=tuple(map(float, first / units)),
        errors=tuple(map(float, errors / units)),
        correlation=inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse))),
        scale=float(scale),
        n=n,
    )


class Curve(NamedTuple):
    """A polynomial that was fitted to measurements y at x."""

    x: Floats
    y: Floats
    fit: Fit

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Its value there, and half of the 95 % interval."""
        return self.fit.at(_powers(x, len(self.fit.values) - 1))


def curve(x: Floats, y: Floats, degree: int, *, floor: float, seed: int) -> Curve:
    """The polynomial of this degree: see `fit`."""
    return Curve(x, y, fit(_powers(x, degree), y, floor=floor, seed=seed))


def _powers(x: Floats, degree: int) -> list[Floats]:
    return [x**k for k in range(degree + 1)]


def _spread_of(samples: Floats) -> Floats:
    """The robust standard deviation of each column: half of the middle 68 %."""
    low, high = np.quantile(samples, (0.16, 0.84), axis=0)
    return np.asarray((high - low) / 2)


def _huber(x: Floats, y: Floats, counts: Floats) -> Floats:
    """One set of coefficients for each row of `counts` (how often each measurement is drawn), by
    iteratively reweighted least squares."""
    n, k = x.shape
    squares = (x[:, :, None] * x[:, None, :]).reshape(n, k * k)
    products = x * y[:, None]
    weights = counts
    c: Floats = np.zeros((len(counts), k))
    for _ in range(_ROUNDS):
        normal = (weights @ squares).reshape(-1, k, k) + 1e-12 * np.eye(k)
        solved = np.linalg.solve(normal, (weights @ products)[:, :, None])
        c = np.asarray(solved[:, :, 0], dtype=np.float64)
        left = np.abs(y - c @ x.T)
        scale = np.maximum(_SIGMA * np.median(left, axis=1), 1e-12)[:, None]
        weights = counts * np.minimum(1.0, _HUBER * scale / np.maximum(left, 1e-300))
    return c
