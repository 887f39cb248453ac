"""Verdicts while the pairs still come: look after each of them, and be wrong no oftener for it.

A bet against a hypothesis turns one unit of capital into K. Where the hypothesis holds, K is not
expected to grow, so it ever reaches C with a chance of at most 1/C, however often one looks (Ville
1939; Waudby-Smith and Ramdas 2024 for bounded means). Two hypotheses are bet against, each with a
mixture of stakes, as nobody knows the best one: "with is not worse than base", and "with is worse
by the margin or more".

On answers that are right or wrong the first is 2^m·B(1+r, 1+i)/B(1, 1) of r regressions and i
improvements, m = r + i, but for its half that bets on improvement.
"""

from __future__ import annotations

import math
from typing import Literal

Decision = Literal["inferior", "non-inferior"]

MARGIN = 0.02  # a drop of two points in a hundred is none that matters

# Stakes on harm: evenly between 0 and 1, as the Beta mixture has them.
_HARM = tuple((n + 0.5) / 20 for n in range(20))
# Stakes on safety: small ones win in the end where many pairs differ, large ones where few do.
_SAFE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)
# What the capital must have become. The mixture of both directions would need 20, of which the
# direction of harm is half the stakes: 40, so that harm is claimed of none in 1 of 40 at the most.
_HARM_SHOWN, _SAFETY_SHOWN = 40.0, 20.0


class Sequential:
    """Takes pairs in the order in which they come and says when they suffice.

    The items should come in random order: pairs that are sorted by task are no draws from all.
    `decision`: the first that was reached, and it stays. Inferior: harm is shown, and the mean drop
    so far is beyond the margin.
    """

    def __init__(self, margin: float = MARGIN) -> None:
        if not 0.0 < margin < 1.0:
            raise ValueError(f"a margin lies between 0 and 1, not at {margin}")
        self.margin = margin
        self.pairs = 0
        self.decision: Decision | None = None
        self._dropped = 0.0
        self._harm = [0.0] * len(_HARM)  # the logarithm of what each stake has become
        self._safe = [0.0] * len(_SAFE)
        self._even = [0.0] * len(_SAFE)  # the same, had each change gone either way

    def see(self, base: float, with_: float) -> Decision | None:
        """One more pair of scores from 0 to 1. Raises ValueError for others."""
        if not (0.0 <= base <= 1.0 and 0.0 <= with_ <= 1.0):
            raise ValueError(f"scores lie between 0 and 1, not at {base} and {with_}")
        drop = base - with_
        self.pairs += 1
        self._dropped += drop
        if drop:
            self._harm = [k + math.log1p(s * drop) for k, s in zip(self._harm, _HARM, strict=True)]
        self._safe = [
            k + math.log1p(s * (self.margin - drop)) for k, s in zip(self._safe, _SAFE, strict=True)
        ]
        self._even = [
            k + (math.log1p(s * (self.margin - drop)) + math.log1p(s * (self.margin + drop))) / 2
            for k, s in zip(self._even, _SAFE, strict=True)
        ]
        if self.decision is None:
            if self._beyond and _mixed(self._harm, _HARM_SHOWN):
                self.decision = "inferior"
            elif _mixed(self._safe, _SAFETY_SHOWN):
                self.decision = "non-inferior"
        return self.decision

    def more(self) -> int | None:
        """How many more pairs would probably decide; 0 where it is decided, None where these lead
        nowhere. A drop beyond the margin is taken as true; a smaller one as chance, since nobody
        knows yet how near to the margin it is."""
        if self.decision is not None or not self.pairs:
            return 0 if self.decision else None
        now, grown = (self._harm, self._harm) if self._beyond else (self._safe, self._even)
        enough = math.log((_HARM_SHOWN if self._beyond else _SAFETY_SHOWN) * len(now))
        needs = [(enough - k) / by for k, by in zip(now, grown, strict=True) if by > 0]
        return max(math.ceil(self.pairs * min(needs)), 1) if needs else None

    @property
    def _beyond(self) -> bool:
        return self._dropped > self.margin * self.pairs


def _mixed(logs: list[float], enough: float) -> bool:
    """Whether the stakes together, which began as equal shares of 1, have become so much."""
    top = max(logs)
    if top < math.log(enough):  # no mean is larger than its largest
        return False
    return sum(math.exp(k - top) for k in logs) >= math.exp(math.log(enough * len(logs)) - top)
