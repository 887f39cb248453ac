"""The curve by which the share of requests within a limit falls as the load grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


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
