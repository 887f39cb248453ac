"""How tokens come: alone or several in an event, in bursts, all at the end, or with regular stalls.

Read from streams that had the target for themselves, so that no other request explains a pause.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from latok.analysis.fits import Law, median
from latok.analysis.probed import Answer
from latok.analysis.stats import Floats

_LEAST = 5  # stalls, of which a period is believed
_MISSED = 0.2  # share of a period's stalls that may be missing, and of stalls that may be others


class Stalls(msgspec.Struct, frozen=True):
    """The target stands still for `seconds` each `period`, next at `phase` (seconds of the run)."""

    period: Law
    seconds: Law
    phase: float

    def between(self, start: float, end: float) -> float:
        """How long it stood still between two times."""
        each = self.period.value
        first, last = ((t - self.phase) / each for t in (start, end))
        return float(np.floor(last) - np.floor(first)) * self.seconds.value


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """`per_event`: tokens in a token event; `per_burst`: in what comes together, events or reads.
    `at_end`: share of a stream's making that had passed when its first token came; near 1 the
    stream is made whole and only cut into events. `spread`: of the tokens per event or burst,
    standard deviation over mean; near 0 they are always as many."""

    per_event: Law
    per_burst: Law
    at_end: Law | None
    spread: float


def gaps(answer: Answer) -> Floats:
    return np.diff(answer.times)


def stalls(alone: Sequence[Answer]) -> Stalls | None:
    """A regular stall, if there is one beyond doubt: at least five pauses of one length, nearly all
    of them on one grid of times, and nearly all times of that grid, while a stream ran, with a
    pause. Other pauses, which a busy machine has, are no argument."""
    at, excess, running, pace = _pauses(alone)
    for size in np.unique(excess.round(3))[::-1]:
        alike = np.abs(excess - size) < 0.15 * size
        if alike.sum() < _LEAST or size <= 0:
            continue
        found = _grid(at[alike], at[excess > 0.85 * size], running, pace)
        if found is None:
            continue
        period, phase, on = found
        times = at[alike][on]
        steps = np.round((times - phase) / period)
        slope, phase = np.polyfit(steps, times, 1)
        apart = np.diff(steps) > 0
        each = median(np.diff(times)[apart] / np.diff(steps)[apart])
        return Stalls(
            period=msgspec.structs.replace(each, value=float(slope)),
            seconds=median(
                excess[alike][on], cannot_tell="stalls shorter than a token takes are not seen"
            ),
            phase=float(phase),
        )
    return None


def _pauses(
    alone: Sequence[Answer],
) -> tuple[Floats, Floats, list[tuple[float, float]], float]:
    """When pauses began that are far longer than the stream's own, and by how much longer; when
    streams ran; and how long it usually is from event to event."""
    at, excess, running, paces = [], [], [], []
    for answer in alone:
        steps = gaps(answer)
        usual = float(np.median(steps)) if len(steps) >= 8 else 0.0
        if usual <= 0:
            continue
        running.append((answer.first, answer.last))
        paces.append(usual)
        noise = 1.4826 * float(np.median(np.abs(steps - usual)))
        for n in np.flatnonzero(steps > usual + max(8 * noise, usual)):
            at.append(float(answer.times[n] + usual / 2))
            excess.append(float(steps[n] - usual))
    pace = float(np.median(paces)) if paces else 0.0
    return np.array(at, dtype=float), np.array(excess, dtype=float), running, pace


def _grid(
    at: Floats, all_at: Floats, running: list[tuple[float, float]], pace: float
) -> tuple[float, float, NDArray[np.bool_]] | None:
    """The longest period that explains the times `at`: it, a time on its grid, which lie on it."""
    span = float(at.max() - at.min())
    apart = np.diff(np.sort(at))
    lowest = max(0.95 * float(apart.min()), 4 * pace, 0.05)
    if span < (_LEAST - 1) * lowest:
        return None
    # phases turn by less than 1/20 from one candidate to the next
    count = int(min(20 * span / lowest, 20_000))
    for frequency in np.linspace((_LEAST - 1.5) / span, 1 / lowest, count):
        turn = np.exp(2j * np.pi * at * frequency).mean()
        if abs(turn) < 0.8:
            continue
        period = 1 / float(frequency)
        phase = float(np.angle(turn) / (2 * np.pi)) * period
        near = 0.1  # of a period, and then nearer, as what lies off pulls at both
        for nearer in (0.05, min(max(1.5 * pace / period, 0.01), 0.05)):
            steps = np.round((at - phase) / period)
            on = _off(at, period, phase) < near
            if on.sum() < _LEAST or np.ptp(steps[on]) < _LEAST - 1:
                break
            period, phase = map(float, np.polyfit(steps[on], at[on], 1))
            near = nearer
        on = _off(at, period, phase) < near
        if on.sum() < _LEAST or on.mean() < 1 - _MISSED:
            continue
        margin = near * period
        due = sum(
            max(
                np.floor((b - margin - phase) / period)
                - np.ceil((a + margin - phase) / period)
                + 1,
                0,
            )
            for a, b in running
        )
        met = np.unique(np.round((all_at[_off(all_at, period, phase) < near] - phase) / period))
        if due and len(met) >= (1 - _MISSED) * due:
            return period, phase, on
    return None


def _off(at: Floats, period: float, phase: float) -> Floats:
    """How far times are from a grid's nearest, in periods."""
    turns = (at - phase) / period
    return np.asarray(np.abs(turns - np.round(turns)))


def rhythm(alone: Sequence[Answer], ttft_per_token: Law | None) -> Rhythm | None:
    """Of streams of at least 16 tokens. `ttft_per_token`: how much later the first token comes for
    each token that is asked for."""
    streams = [answer for answer in alone if answer.tokens >= 16 and len(answer.times) > 1]
    if not streams:
        return None
    per_event = median([answer.per_event for answer in streams])
    bursts, sizes = [], []
    for answer in streams:
        steps = gaps(answer)
        cuts = np.flatnonzero(steps > 0.25 * steps.mean()) + 1
        groups = np.diff(np.concatenate([[0], cuts, [len(answer.times)]])) * answer.per_event
        bursts.append(float(groups.mean()))
        sizes.append(float(groups[:-1].std() / groups.mean()) if len(groups) > 3 else 0.0)
    at_end = None
    if ttft_per_token is not None:
        pace = float(np.median([a.tpot for a in streams if a.tpot is not None]))
        making = ttft_per_token.value + pace
        if making > 0:
            at_end = msgspec.structs.replace(
                ttft_per_token,
                value=ttft_per_token.value / making,
                ci95=ttft_per_token.ci95
                and (ttft_per_token.ci95[0] / making, ttft_per_token.ci95[1] / making),
            )
    return Rhythm(
        per_event=per_event,
        per_burst=median(bursts),
        at_end=at_end,
        spread=float(np.median(sizes)),
    )


def is_fake(found: Rhythm | None) -> bool:
    """Whether streams are made whole before their first token is sent."""
    return (
        found is not None
        and found.at_end is not None
        and found.at_end.value > 0.8
        and (found.at_end.ci95 or (0.0, 0.0))[0] > 0.6
    )
