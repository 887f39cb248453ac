"""When requests are wanted: endless due times, in seconds from 0, for the open loop.

    constant              evenly spaced
    poisson               independent users: exponential gaps
    gamma(2.5)            gaps whose standard deviation is 2.5 times their mean (their CV)
    onoff(on=2s,off=8s)   Poisson while on, nothing while off; the mean rate is the one asked
    ramp(0.5,2)           Poisson whose rate goes from half to twice the one asked over the run

The gaps of a renewal process of CV c are gamma of shape 1/c², which is what vLLM calls burstiness;
production APIs are near 1 (chat), 2 (a mix) and 3 or more (code completion).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from latok.errors import UsageError

TRACE = "trace"  # of a load whose due times are a trace's own; `latok.workload.traces`


def constant(rate: float) -> Iterator[float]:
    """Evenly spaced; computed from the count, so that no rounding adds up."""
    return (n / rate for n in count())


def poisson(rate: float, *, seed: int) -> Iterator[float]:
    """Independent users: exponential gaps, the first request due at 0."""
    rng, due = random.Random(seed), 0.0
    while True:
        yield due
        due += rng.expovariate(rate)


def gamma(rate: float, cv: float, *, seed: int) -> Iterator[float]:
    """Gaps of mean 1/rate and standard deviation cv/rate; 1 is a Poisson process."""
    rng, due, shape = random.Random(seed), 0.0, cv**-2
    while True:
        yield due
        due += rng.gammavariate(shape, 1 / (rate * shape))


def onoff(rate: float, on: float, off: float, *, seed: int) -> Iterator[float]:
    """Poisson during `on` seconds, silent during `off`, and again; it begins with `on`.

    Drawn on a clock that runs only while it is on, so the mean over both is `rate`.
    """
    for running in poisson(rate * (on + off) / on, seed=seed):
        periods, into = divmod(running, on)
        yield periods * (on + off) + into


def ramp(rate: float, start: float, end: float, *, seconds: float, seed: int) -> Iterator[float]:
    """Poisson whose rate goes evenly from `start` × rate to `end` × rate in `seconds`, and stays.

    Drawn on a clock on which the rate is one, and turned back: the requests expected by the time t
    are rate × (start × t + slope × t² ÷ 2).
    """
    slope = (end - start) / seconds
    by_then = rate * (start + end) / 2 * seconds
    for expected in poisson(1.0, seed=seed):
        if expected < by_then:
            # the root of the formula above that does not cancel where the slope is small
            half = expected / rate
            yield 2 * half / (start + math.sqrt(max(start**2 + 2 * slope * half, 0.0)) or math.inf)
        else:
            yield seconds + (expected - by_then) / (rate * end)


class _Kind(NamedTuple):
    """`form`: how it is written. `due`: from its numbers, the rate, the seed and the run's length.

    `spread`: the variance of a long count ÷ its mean (Poisson: 1), None where that is not known.
    """

    form: str
    valid: Callable[[tuple[float, ...]], bool]
    due: Callable[[tuple[float, ...], float, int, float], Iterator[float]]
    spread: Callable[[tuple[float, ...]], float] | None
    names: tuple[str, ...] = ()


ARRIVALS = {
    "constant": _Kind(
        "constant", lambda n: not n, lambda n, rate, seed, _: constant(rate), lambda n: 1.0
    ),
    "poisson": _Kind(
        "poisson", lambda n: not n, lambda n, rate, seed, _: poisson(rate, seed=seed), lambda n: 1.0
    ),
    "gamma": _Kind(
        "gamma(2.5)",
        lambda n: len(n) == 1 and n[0] > 0,
        lambda n, rate, seed, _: gamma(rate, n[0], seed=seed),
        lambda n: max(n[0] ** 2, 1.0),
    ),
    "onoff": _Kind(
        "onoff(on=2s,off=8s)",
        lambda n: len(n) == 2 and n[0] > 0,
        lambda n, rate, seed, _: onoff(rate, *n, seed=seed),
        None,
        ("on", "off"),
    ),
    "ramp": _Kind(
        "ramp(0.5,2)",
        lambda n: len(n) == 2 and n[1] > 0,
        lambda n, rate, seed, seconds: ramp(rate, *n, seconds=seconds, seed=seed),
        None,
    ),
}

_CALL = re.compile(r"(\w+)\s*(?:\((.*)\))?")
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(|ms|s|m)")
_UNITS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Arrivals(NamedTuple):
    """A way to arrive, made by `parse_arrivals`; `numbers` mean what its kind says."""

    kind: str
    numbers: tuple[float, ...] = ()

    def due(self, rate: float, *, seed: int, seconds: float) -> Iterator[float]:
        """Due times for a mean `rate` per second; `seconds` is the length of the run, for a ramp.

        Raises UsageError for a rate that is none.
        """
        if not 0 < rate < math.inf:
            raise UsageError(
                f"a rate of {rate:g} requests per second; it must be above 0 and finite"
            )
        return ARRIVALS[self.kind].due(self.numbers, rate, seed, seconds)


def parse_arrivals(text: str) -> Arrivals:
    """Reads the text forms at the top of this file; raises UsageError on anything else."""
    call = _CALL.fullmatch(text.strip())
    kind = ARRIVALS.get(call[1]) if call else None
    forms = ", ".join(each.form for each in ARRIVALS.values())
    if call is None or kind is None:
        raise UsageError(f"no arrivals '{text}'; there are {forms}")
    words = [word.strip() for word in (call[2] or "").split(",")] if call[2] else []
    named = [word.partition("=") for word in words]
    if kind.names and all(equals for _, equals, _ in named):
        by_name = {name.strip(): value for name, _, value in named}
        words = [by_name.get(name, "") for name in kind.names if len(by_name) == len(kind.names)]
    found = [_NUMBER.fullmatch(word.strip()) for word in words]
    numbers = tuple(float(each[1]) * _UNITS[each[2]] for each in found if each)
    if len(numbers) != len(words) or not kind.valid(numbers):
        raise UsageError(f"cannot read the arrivals '{text}'; they read like {kind.form}")
    return Arrivals(call[1], numbers)


def due_times(text: str, rate: float, *, seed: int, seconds: float = 60.0) -> Iterator[float]:
    """Due times of the arrivals that a text names; `rate` is in requests per second."""
    return parse_arrivals(text).due(rate, seed=seed, seconds=seconds)


def arrivals_spread(text: str) -> float | None:
    """Variance ÷ mean of the requests that come in a long time (Poisson: 1).

    None for arrivals whose rate itself moves, a trace's among them: no even rate is to be expected.
    """
    if text == TRACE:
        return None
    arrivals = parse_arrivals(text)
    spread = ARRIVALS[arrivals.kind].spread
    return spread(arrivals.numbers) if spread else None
