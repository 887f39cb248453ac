"""Two sides of graded answers with a known difference, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latok.quality.items import Graded

Scores = NDArray[np.float64]


def side(scores: Sequence[float] | Scores, families: Sequence[str] = ()) -> list[Graded]:
    """One answer for each score, to items 0, 1, 2 and so on."""
    return [
        Graded(
            item=str(n),
            task="t",
            family=families[n] if families else str(n),
            score=float(score),
            text=f"{n} {score}",
            tokens=10,
            finish="stop",
        )
        for n, score in enumerate(scores)
    ]


def drawn(
    rng: np.random.Generator, n: int, *, regress: float, improve: float, right: float = 0.5
) -> tuple[Scores, Scores]:
    """Scores of base and with, right or wrong: with these shares of regressions and improvements,
    `right` of the rest right on both."""
    cell = rng.random(n)
    both = rng.random(n) < right
    base = np.where(cell < regress, True, np.where(cell < regress + improve, False, both))
    with_ = np.where(cell < regress, False, np.where(cell < regress + improve, True, both))
    return base.astype(float), with_.astype(float)


def clustered(
    rng: np.random.Generator, families: int, each: int, *, discordant: float, alike: float
) -> tuple[Scores, list[str]]:
    """Changes of −1, 0, 1 whose mean is 0, in families: one that is hurt is hurt in all its items,
    one that is helped is helped. `alike`: the share of discordant pairs that follow the family."""
    way = np.repeat(rng.choice([-1.0, 1.0], families), each)
    n = families * each
    own = rng.choice([-1.0, 1.0], n)
    change = np.where(rng.random(n) < alike, way, own) * (rng.random(n) < discordant)
    return change, [str(k) for k in range(families) for _ in range(each)]
