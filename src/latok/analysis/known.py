"""The prefix cache, seen from outside: whether prompts that begin as an earlier one are cheaper.

A probe leaves a common text in the cache and then asks with beginnings of it, longest first, as
some caches keep only the last prompt. Behind `shared` known tokens stand a few of the prompt's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.fits import median
from latok.analysis.laws import FLOOR, Prefill, PrefixCache, Timed
from latok.analysis.probed import Aim, Answer, Seen, answers
from latok.analysis.stats import Floats

BLOCKS = (1, 8, 16, 32, 64, 128, 256, 512)  # tokens: those of engines and providers
_UNSEEN = 16  # blocks of so many tokens may be too small to be seen, and cost as little
# Log likelihood ratios: of one size over all others, and up to which none is the better.
_DECISIVE, _AS_GOOD = 8.0, 3.0


def _known(seen: Sequence[Seen], aim: Aim) -> list[Answer]:
    """Answers to prompts of which something is known: the first of each probe leaves the text."""
    return [
        answer
        for probe, records in seen
        if probe.aim == aim
        for answer in answers(
            [Seen(msgspec.structs.replace(probe, asks=probe.asks[1:]), records[1:])], probe.aim
        )
    ]


class Gain(NamedTuple):
    """With so many known tokens: the share of their time that was saved, the median of the answers
    and the most."""

    known: int
    share: float
    most: float


def gains(timed: Timed, law: Prefill) -> list[Gain]:
    """For each number of known tokens, fewest first. Those whose cost drowns in the noise are left
    out. The first prompt of all, which nobody knew, says how fast the machine is by now."""
    first = [
        timed.ttft(answer) / law.seconds(answer.prompt)
        for probe, records in timed.seen
        if probe.aim == "cache"
        for answer in answers([Seen(probe, records[:1])], "cache")
    ]
    speed = min(max(first[0], 0.2), 5.0) if first else 1.0
    by_known: dict[int, list[float]] = {}
    for answer in _known(timed.seen, "cache"):
        known = answer.ask.shared
        worth = law.seconds(answer.prompt) - law.seconds(answer.prompt - known)
        if worth > max(4 * FLOOR, 0.1 * law.fixed.value):
            saved = law.seconds(answer.prompt) - timed.ttft(answer) / speed
            by_known.setdefault(known, []).append(saved / worth)
    return [
        Gain(known, float(np.median(shares)), max(shares))
        for known, shares in sorted(by_known.items())
    ]


def prefix_cache(timed: Timed, law: Prefill) -> PrefixCache | None:
    """Whether known beginnings are cheaper, from how many tokens on, and in what blocks."""
    found = gains(timed, law)
    if not found:
        return None
    longest = found[-1].share
    if longest < 0.2 and max(gain.share for gain in found) < 0.4:
        return PrefixCache(present=False)
    if longest < 0.5:
        return PrefixCache(present=None)
    enough = [gain.known for gain in found if gain.share >= 0.5]
    few = [gain.known for gain in found if gain.most < 0.3 and gain.known < min(enough)]
    block, at_most = _block(timed, law)
    return PrefixCache(
        present=True,
        saves=median([gain.share for gain in found if gain.known >= max(enough) / 2]),
        from_tokens=min(enough),
        not_from=max(few, default=None),
        block_tokens=block,
        block_at_most=at_most,
    )


def _block(timed: Timed, law: Prefill) -> tuple[int | None, int | None]:
    """The block's tokens, and up to which size blocks would not have been seen."""
    found = saws(timed, law)
    if not found:
        return None, None
    n = len(_known(timed.seen, "block"))
    best = min(found.values(), key=lambda saw: saw.misfit)
    worse = {size: n * math.log(saw.misfit / best.misfit) for size, saw in found.items()}
    possible = [size for size in BLOCKS if worse[size] < _DECISIVE]
    if possible == [best.size]:
        return best.size, best.size
    if worse[1] < _AS_GOOD and max(possible) <= _UNSEEN:
        return 1, max(possible)
    return None, max(possible)


class Saw(NamedTuple):
    """How well blocks of `size` explain what was seen, if a block ends after `phase` tokens of the
    common text (and every `size` more): the mean absolute deviation of the nearest nine tenths,
    seconds. `level`, `height` (per token beyond a block) and `slope` (per known token) are the
    saw's own, in seconds."""

    size: int
    phase: int
    misfit: float
    level: float = 0.0
    height: float = 0.0
    slope: float = 0.0

    def at(self, known: Floats) -> Floats:
        """Seconds with so many known tokens."""
        teeth = (known - self.phase) % self.size
        return np.asarray(self.level + self.height * teeth + self.slope * known)


def saws(timed: Timed, law: Prefill) -> dict[int, Saw]:
    """For each size of a block how well it explains what was seen; none from too few probes.

    With `own` tokens behind `shared` known ones, all that is computed is own + (shared − phase) mod
    block: a saw, whose height is known, as a token costs what it costs.
    """
    s, y = beside_known(timed, law)
    if len(s) < 12:
        return {}
    return {size: _saw(s, y, size, law.per_token.value) for size in BLOCKS}


def beside_known(timed: Timed, law: Prefill) -> tuple[Floats, Floats]:
    """Known tokens, and the seconds to the first token as if all had as few tokens of their own."""
    found = _known(timed.seen, "block")
    s = np.array([float(a.ask.shared) for a in found])
    own = np.array([float(a.own) for a in found])
    least = own.min(initial=np.inf)
    return s, np.array([timed.ttft(a) for a in found]) - law.per_token.value * (own - least)


def _saw(s: Floats, y: Floats, size: int, per_token: float) -> Saw:
    """The saw of a block of `size` that fits best, its height from half to one and a half of what
    the tokens cost, on a slope: what is known costs a little, too, as attention reads it."""
    best = Saw(size, 0, np.inf)
    tilt = s - s.mean()
    for phase in range(0, size, max(size // 64, 1)):
        left = y - np.median(y)
        tooth = 0.0
        if size > 1:
            saw = (s - phase) % size * per_token
            saw = saw - np.median(saw)
            height = float(saw @ left) / max(float(saw @ saw), 1e-30)
            tooth = min(max(height, 0.5), 1.5) * per_token
            left = left - saw * (tooth / per_token)
        apart = tilt != 0
        tilted = float(np.median(left[apart] / tilt[apart]))
        slope = min(max(tilted, 0.0), 0.25 * per_token)
        left = left - slope * tilt
        off = np.sort(np.abs(left - np.median(left)))
        misfit = float(off[: math.ceil(0.9 * len(off))].mean())  # of hiccups nothing can be learnt
        if misfit < best.misfit:
            best = Saw(size, phase, max(misfit, 1e-9), 0.0, tooth, slope)
    return best._replace(level=float(np.median(y - best.at(s))))
