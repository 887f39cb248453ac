"""Requests that were asked before, as a cache of answers needs them.

A share of the requests repeat one of the thousand before them, each of which is as likely as any
other. What was asked often is so asked more often still: up to a thousand requests it is the
process of Simon, "On a class of skew distribution functions" (Biometrika 1955), whose counts follow
a power law. In a longer load what was popular is forgotten, and a question that is asked only once
is one of exp(share).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import msgspec

from latok.records import Request
from latok.workload.ask import Ask, Workload

_LATELY = 1000  # requests that may come again


class Repeats:
    """Which requests are repeats; the same for the same share and seed."""

    def __init__(self, share: float, *, seed: int) -> None:
        self.share, self._seed = share, seed
        self._origins: list[int] = []
        self._different = 0

    def origin(self, n: int) -> int:
        """The how-manyth different request the nth is, from 0."""
        while len(self._origins) <= n:
            k = len(self._origins)
            rng = random.Random(f"repeats {self._seed} {k}")
            if k and rng.random() < self.share:
                self._origins.append(self._origins[rng.randrange(max(k - _LATELY, 0), k)])
            else:
                self._origins.append(self._different)
                self._different += 1
        return self._origins[n]

    def of(self, load: Workload) -> Workload:
        """The load with its sessions in their order, and repeats of them in between."""

        def asks(first: int) -> Iterator[Ask]:
            fresh, known = load.asks(first), dict[int, Ask]()
            for n in count():
                origin = self.origin(n)
                if origin not in known:
                    if (ask := next(fresh, None)) is None:
                        return
                    known[origin] = ask
                request = _numbered(known[origin].request, first + n)
                yield known[origin]._replace(request=request)
                if n % _LATELY == _LATELY - 1:
                    lately = {self.origin(m) for m in range(n + 1 - _LATELY, n + 1)}
                    known = {each: known[each] for each in lately}

        said = {**load.said, "repeats": self.share}
        regime = f"{load.regime}, {self.share:.0%} repeats"
        return replace(load, asks=asks, regime=regime, share=None, most=False, said=said)


def _numbered(request: Request, id: int) -> Request:
    return msgspec.structs.replace(request, id=id, session=str(id) if request.session else "")
