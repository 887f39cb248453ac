"""What an explanation rests on: its laws beside the measurements that they were fitted to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from latok.analysis.company import streams_curve
from latok.analysis.course import Course
from latok.analysis.explain import Explanation, Joined, fresh_tokens
from latok.analysis.fits import Curve
from latok.analysis.infer import context_curve, prefill_curve, prefill_of
from latok.analysis.known import beside_known, saws
from latok.analysis.laws import Laws, Timed
from latok.analysis.metrics import output_tokens
from latok.analysis.probed import Seen
from latok.analysis.stats import Floats

_POINTS = 300  # of a fit that are drawn
_STEPS = 40  # of a line


class Line(NamedTuple):
    """A law drawn: its value at x, and its 95 % interval."""

    x: Floats
    value: Floats
    low: Floats
    high: Floats


class Fitted(NamedTuple):
    """A law, by the name of its kind, and what was measured: y (seconds) at x; `left`: what of y
    the law does not account for. `of`: as many measurements as there were, of which some are left
    out evenly where they are too many to be drawn."""

    name: str
    x: Floats
    y: Floats
    left: Floats
    line: Line
    of: int


class Account(NamedTuple):
    """An explanation, its fits, and how the run at its operating point went (None where it was made
    of probes)."""

    explanation: Explanation
    fits: tuple[Fitted, ...]
    course: Course | None


def of_probes(seen: Sequence[Seen], laws: Laws, *, seed: int) -> tuple[Fitted, ...]:
    """The fits behind the laws that were inferred from these probes."""
    timed = Timed(seen, laws.stalls)
    return tuple(_of_probes(timed, laws, seed))


def _of_probes(timed: Timed, laws: Laws, seed: int) -> Iterator[Fitted]:
    read = prefill_curve(timed, seed)
    if read is not None:
        yield _of_curve("first_token", read)
    context = context_curve(timed, seed)
    if context is not None and laws.decode_s_per_context_token is not None:
        yield _of_curve("context", context)
    beside = streams_curve(timed, seed)
    if beside is not None and laws.decode_s_per_stream is not None:
        yield _of_curve("streams", beside)
    cache = laws.prefix_cache
    if read is None or cache is None or not cache.block_tokens:
        return
    law = prefill_of(read)
    saw = saws(timed, law)[cache.block_tokens]
    known, y = beside_known(timed, law)
    at = np.arange(known.min(), known.max() + 1)
    yield _fitted("blocks", known, y, saw.at(known), Line(at, saw.at(at), saw.at(at), saw.at(at)))


def of_told(joined: Sequence[Joined]) -> tuple[Fitted, ...]:
    """Prefill by the tokens that were read and decode by those that were written, as the server
    told of each request, beside the law of their medians."""
    prefill: list[tuple[float, float]] = []
    decode: list[tuple[float, float]] = []
    for each in joined:
        fresh, tokens = fresh_tokens(each.record), output_tokens(each.record)
        if fresh and "prefill" in each.said.before:
            prefill.append((fresh, each.said.before["prefill"]))
        if tokens is not None and tokens > 1 and "decode" in each.said.after:
            decode.append((tokens - 1, each.said.after["decode"]))
    found = (("prefill", prefill), ("decode", decode))
    # of one length nothing shows that time grows with it
    return tuple(
        _through_nothing(name, rows)
        for name, rows in found
        if len(rows) > 2 and len({x for x, _ in rows}) > 1
    )


def _through_nothing(name: str, rows: Sequence[tuple[float, float]]) -> Fitted:
    """So many seconds for each token and nothing besides: the median of the requests, between their
    quartiles."""
    x, y = np.asarray(rows, dtype=float).T
    low, middle, high = np.quantile(y / x, (0.25, 0.5, 0.75))
    ends = np.array([0.0, float(x.max())])
    return _fitted(name, x, y, middle * x, Line(ends, middle * ends, low * ends, high * ends))


def _of_curve(name: str, curve: Curve) -> Fitted:
    at = np.linspace(curve.x.min(), curve.x.max(), _STEPS)
    value, half = curve.at(at)
    line = Line(at, value, value - half, value + half)
    return _fitted(name, curve.x, curve.y, curve.at(curve.x)[0], line)


def _fitted(name: str, x: Floats, y: Floats, law: Floats, line: Line) -> Fitted:
    step = -(-len(x) // _POINTS)
    return Fitted(name, x[::step], y[::step], (y - law)[::step], line, len(x))
