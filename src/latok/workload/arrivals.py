"""When requests are wanted: endless due times, in seconds from 0, for the open loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count

from latok.errors import UsageError


def constant(rate: float) -> Iterator[float]:
    """Evenly spaced; computed from the count, so that no rounding adds up."""
    return (n / rate for n in count())


def poisson(rate: float, *, seed: int) -> Iterator[float]:
    """Independent users: exponential gaps, the first request due at 0."""
    rng, due = random.Random(seed), 0.0
    while True:
        yield due
        due += rng.expovariate(rate)


ARRIVALS: dict[str, Callable[[float, int], Iterator[float]]] = {
    "constant": lambda rate, seed: constant(rate),
    "poisson": lambda rate, seed: poisson(rate, seed=seed),
}


def due_times(kind: str, rate: float, *, seed: int) -> Iterator[float]:
    """Due times by name; `rate` is in requests per second."""
    if kind not in ARRIVALS:
        raise UsageError(f"no arrivals {kind!r}; there are {', '.join(ARRIVALS)}")
    if not 0 < rate < float("inf"):
        raise UsageError(f"a rate of {rate:g} requests per second; it must be above 0 and finite")
    return ARRIVALS[kind](rate, seed)
