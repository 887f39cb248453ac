"""How tokens come: alone or several in an event, in bursts, all at the end, or with regular stalls.

Read from streams that had the target for themselves, so that no other request explains a pause.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

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
    """A regular stall, if there is one beyond doubt: at least five, nearly all of them on one grid
    of times and nearly all of that grid's times, while a stream ran, with a stall."""
    found, running = _pauses(alone)
    if len(found) < _LEAST:
        return None
    at, excess = found[:, 0], found[:, 1]
    usual = float(np.median(excess))
    alike = np.abs(excess - usual) < 0.3 * usual
    at, excess = at[alike], excess[alike]
    if len(at) < _LEAST or alike.mean() < 1 - _MISSED:
        return None
    best = _grid(at, running, tolerance=usual)
    if best is None:
        return None
    period, phase, on = best
    step = np.round((at[on] - phase) / period)
    each = np.diff(at[on])[np.diff(step) > 0] / np.diff(step)[np.diff(step) > 0]
    slope = float(np.polyfit(step, at[on], 1)[0])
    law = median(each)
    return Stalls(
        period=msgspec.structs.replace(law, value=slope),
        seconds=median(excess[on], cannot_tell="shorter than a token's time is not seen"),
        phase=phase,
    )


def _pauses(alone: Sequence[Answer]) -> tuple[Floats, list[tuple[float, float]]]:
    """When pauses began that are far longer than the stream's own, and by how much longer; and
    when streams ran."""
    rows, running = [], []
    for answer in alone:
        steps = gaps(answer)
        if len(steps) < 8:
            continue
        usual = float(np.median(steps))
        if usual <= 0:
            continue
        running.append((answer.first, answer.last))
        noise = 1.4826 * float(np.median(np.abs(steps - usual)))
        limit = usual + max(8 * noise, usual)
        for n in np.flatnonzero(steps > limit):
            rows.append((float(answer.times[n + 1] - steps[n] + usual / 2), float(steps[n] - usual)))
    return np.array(rows, dtype=float).reshape(-1, 2), running


def _grid(
    at: Floats, running: list[tuple[float, float]], tolerance: float
) -> tuple[float, float, Floats] | None:
    """The longest period that explains the times: its length, a time on it, which lie on it."""
    span = float(at.max() - at.min())
    lowest = max(float(np.diff(np.sort(at)).min()) * 0.95, 0.1)
    if span < 3 * lowest:
        return None
    # phases turn by less than 1/20 from one candidate to the next
    count = int(min(20 * span / lowest, 40_000))
    for frequency in np.linspace(1.5 / span, 1 / lowest, count):
        turns = np.exp(2j * np.pi * at * frequency)
        if abs(turns.mean()) < 0.95:
            continue
        period = 1 / float(frequency)
        phase = float(np.angle(turns.mean()) / (2 * np.pi)) * period
        off = (at - phase) / period
        near = min(0.08, max(0.02, 0.5 * tolerance / period))
        on = np.abs(off - np.round(off)) < near
        if on.sum() < _LEAST or on.mean() < 1 - _MISSED:
            continue
        margin = near * period
        due = sum(
            max(np.floor((b - margin - phase) / period) - np.ceil((a + margin - phase) / period) + 1, 0)
            for a, b in running
        )
        if due and on.sum() >= (1 - _MISSED) * due:
            return period, phase, on
    return None


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
