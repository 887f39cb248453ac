"""The steady part of a run, found and not assumed: where it begins, and whether it stays as it is.

The driver's window opens when every slot was answered and closes before the load drains. A server
may still be warming up inside it (caches, compilation, autoscaling): what is slower (or faster) at
its beginning is cut off by MSER-5 (White 1997): of all beginnings, the one without which the mean
of the rest is known best. A window is only ever shortened.

What remains is tested for a change of level by a self-normalised CUSUM (Shao & Zhang 2010), which
needs no estimate of how alike neighbours are and so stays true for autocorrelated latencies; and,
as that is blind to a level that changes all the time, for a slope of its batch means. The place of
the change, and whether it was a step or a drift, come with the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.point import Check
from latok.analysis.stats import Floats, alike
from latok.records import Closed, Manifest, Record

LATENCIES = ("ttft", "tpot")
# A change of less than this is not worth a word; the margin of a comparison, too, starts there.
_MATTERS = 0.05
_BATCHES = 10
# Of the statistic for ten independent normal values: its 99 % quantile (200,000 draws), so that of
# three series together fewer than one in twenty is called drifting although neighbours are alike.
_CRITICAL = 81.0
# Student's t of a slope through ten batch means: two in a thousand, as its size is less certain.
_SLOPE = 4.5
_LEAST = 40  # requests, and effective ones, that can tell a change from chance
# With fewer effective ones only a change is believed that dwarfs the spread of single requests.
_PLAIN = 5.0


class Series(NamedTuple):
    """One quantity in the order of time: what is called by `name`, at `at` (seconds).

    `values` are logarithms, or shares of the mean: a change from a to b is ln(b ÷ a), or about so.
    """

    name: str
    at: Floats
    values: Floats


class Change(NamedTuple):
    """By how much (a share, of the level before) and when: at once, or between two times."""

    name: str
    share: float
    begin: float
    end: float

    def __str__(self) -> str:
        verb = "grew" if self.share > 0 else "fell"
        when = (
            f"at {self.begin:.3g} s"
            if self.begin == self.end
            else f"between {self.begin:.3g} s and {self.end:.3g} s"
        )
        return f"{self.name} {verb} by {abs(self.share):.0%} {when}"


def steady(
    manifest: Manifest, records: Sequence[Record], series: Sequence[Series]
) -> tuple[Manifest, Check]:
    """The manifest with the steady part of its window, and what is to be said about it.

    `series`: latencies and rates of the window. The check is not `ok` where one of them changed its
    level by 5 % or more, beyond chance (of stationary runs at most one in twenty); None where the
    requests are too few to tell.
    """
    if manifest.window is None:
        return manifest, Check("steady", None, "no window")
    start, end = _loaded(manifest, records)
    # a rate says nothing here that the latencies do not: in a closed loop it is their inverse
    start = max([start, *(_warm(each) for each in series if each.name in LATENCIES)])
    said = ""
    if (start, end) != manifest.window:
        cut = (start - manifest.window[0]) + (manifest.window[1] - end)
        said = f"{cut:.3g} s of warming up or draining cut off; "
    manifest = msgspec.structs.replace(manifest, window=(start, end))
    ok, found = _stays([_within(each, start, end) for each in series])
    return manifest, Check("steady", ok, said + found)


def _within(series: Series, start: float, end: float) -> Series:
    inside = (series.at >= start) & (series.at < end)
    return Series(series.name, series.at[inside], series.values[inside])


def _loaded(manifest: Manifest, records: Sequence[Record]) -> tuple[float, float]:
    """The window without ends in which not all slots were busy: they are neither load nor rest.

    An end is cut if it is longer than a typical request, since between two of its requests every
    slot is free for a moment.
    """
    assert manifest.window is not None
    start, end = manifest.window
    spans = [
        (r.sent_first, r.closed_at)
        for r in records
        if r.sent_first is not None and r.closed_at is not None
    ]
    if not isinstance(manifest.load, Closed) or not spans:
        return start, end
    typical = float(np.median([b - a for a, b in spans]))
    begun, ended = np.sort([a for a, _ in spans]), np.sort([b for _, b in spans])
    at = np.linspace(start, end, 201)
    flying = np.searchsorted(begun, at, "right") - np.searchsorted(ended, at, "right")
    full = at[flying >= 0.9 * np.median(flying)]
    first, last = float(full[0]), float(full[-1])
    step = (end - start) / 200
    return (
        first if first - start > typical + step else start,
        last if end - last > typical + step else end,
    )


def _warm(series: Series) -> float:
    """When the beginning that MSER-5 would cut is over; -inf where there is none.

    A beginning of more than a quarter is no warming up, it is a drift, and is said as one.
    """
    batch = min(5, len(series.values) // 8)
    if batch < 2:
        return -math.inf
    count = len(series.values) // batch
    means = series.values[: count * batch].reshape(count, batch).mean(axis=1)
    left = np.arange(count, count // 2, -1)
    sums = np.cumsum(means[::-1])[::-1][: len(left)]
    squares = np.cumsum(means[::-1] ** 2)[::-1][: len(left)]
    cut = int(np.argmin(np.maximum(squares - sums**2 / left, 0.0) / left**2))
    if not 0 < cut <= count // 4:
        return -math.inf
    before, after = means[:cut], means[cut:]
    # MSER always finds some beginning that is a little off: it must stand out by three standard
    # errors, and matter
    error = after.std() * math.sqrt(alike(after) * (1 / cut + 1 / len(after)))
    moved = abs(before.mean() - after.mean())
    return float(series.at[cut * batch]) if moved > max(3.0 * error, _MATTERS) else -math.inf


def _stays(series: Sequence[Series]) -> tuple[bool | None, str]:
    told = [each for each in series if len(each.values) >= _LEAST]
    if not told:
        return None, f"fewer than {_LEAST} requests do not tell whether it drifts"
    verdicts = [_changed(each) for each in told]
    if changes := [str(found) for found in verdicts if isinstance(found, Change)]:
        return False, "; ".join(changes)
    if None in verdicts:
        return None, "neighbouring requests are too much alike to tell whether it drifts"
    return True, f"{', '.join(each.name for each in told)} kept their level"


def _changed(series: Series) -> Change | bool | None:
    """The change of level, False if there is none, None if these values cannot tell."""
    values, n = series.values, len(series.values)
    step = _fit(values, np.arange(n) >= _place(values))
    line = _fit(values, np.linspace(0.0, 1.0, n))
    moved, rest = step if step[1].std() <= line[1].std() else line
    matters = abs(moved) >= math.log1p(_MATTERS)
    means = _batched(values)
    if not matters or not (_statistic(means) > _CRITICAL or _slope(means) > _SLOPE):
        few = n / alike(rest) < _LEAST
        return None if few and rest.std() > _MATTERS / 2 else False
    if n / alike(rest) < _LEAST and abs(moved) < _PLAIN * rest.std():
        return None
    at = series.at
    share = math.expm1(moved)
    if rest is step[1]:
        when = float(at[_place(values)])
        return Change(series.name, share, when, when)
    return Change(series.name, share, float(at[0]), float(at[-1]))


def _fit(values: Floats, shape: Floats | np.ndarray) -> tuple[float, Floats]:
    """By how much `values` go with `shape` (0 to 1), and what remains; least squares."""
    centred = shape - np.mean(shape)
    slope = float(centred @ values / (centred @ centred))
    return slope, values - values.mean() - slope * centred


def _place(values: Floats) -> int:
    """Before which value a step stands: where the cumulated sum is farthest from its line."""
    n = len(values)
    away = np.abs(np.cumsum(values - values.mean()))[:-1]
    place = np.arange(1, n)
    # the sum's spread is smallest at the ends: weighted, so that a late step is found where it is
    return int(np.argmax(away / np.sqrt(place * (n - place)))) + 1


def _batched(values: Floats) -> Floats:
    batch = len(values) // _BATCHES
    means: Floats = values[: batch * _BATCHES].reshape(_BATCHES, batch).mean(axis=1)
    return means


def _slope(means: Floats) -> float:
    """The slope through the means, in its standard errors."""
    shape = np.linspace(0.0, 1.0, _BATCHES)
    slope, rest = _fit(means, shape)
    error = math.sqrt(float(rest @ rest) / (_BATCHES - 2) / (_BATCHES * float(shape.var())))
    return abs(slope) / error if error > 0.0 else math.inf if slope else 0.0


def _statistic(means: Floats) -> float:
    """Shao & Zhang (2010), equation 4, on the means of ten batches: large where a level changed."""
    return max(_at(means, k) for k in range(2, _BATCHES - 1))


def _at(means: Floats, k: int) -> float:
    """The statistic for a change after `k` batches: the sum's distance from its line, measured in
    what the two parts vary by themselves."""
    size = len(means)
    moved = (means[:k].sum() - k * means.mean()) ** 2 / size
    parts = [np.cumsum(part - part.mean()) for part in (means[:k], means[k:][::-1])]
    own = sum(float(part @ part) for part in parts) / size**2
    return float(moved / own) if own > 0.0 else math.inf if moved > 0.0 else 0.0
