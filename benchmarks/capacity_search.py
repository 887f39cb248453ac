"""Does the search for capacity find it, and in how many requests or seconds? In virtual time.

    python benchmarks/capacity_search.py [--searches 100] [--precision 0.1] [--budget 240]

Each search is on an M/D/c queue (1 to 16 servers) with a clause on the wait (p90 to p99) of its
own, whose capacity is computed (tests/queueing.py). In at least 90 of 100 its interval should cover
that.

The comparison is a uniform grid of 16 levels up to the server's saturation, which is told to it.
Its windows are read by the same statistics. (These take no single window's word, of which a grid
has one for each level; where the capacity is close to saturation many levels are near it, and the
grid does better.)

Without --budget a search ends at its precision, and the grid gets three times the requests that it
took: where the grid's interval is still no narrower, a grid of equal precision takes more than
three times as many. That is what is asked of the median search.

With --budget a search ends after so many seconds, of which a request that is alone takes one; the
time for what is in flight at a window's end counts. Beside its clause it has two that every request
meets, as an SLO of three clauses has that one of them ends. The grid gets the same time, and three
times as much.

Measured on two busy cores (2026-11-25), with --searches 50 (55 s on the clock):

    47 of 50 intervals cover the true capacity
    50 of 50 have both ends
    requests of a search: median 15,739 (p10 6,024, p90 41,243)
    ± of a search: median 8.9%
    ± of a grid of 16 levels with 3 × the requests, over that of the search:
      median 1.43; no narrower in 43 of 50; 36 have both ends

and with --budget 240 --searches 40; "no narrower" counts where neither has both ends:

    40 of 40 intervals cover the true capacity
    32 of 40 have both ends
    requests of a search: median 609 (p10 132, p90 2,499)
    ± of a search: median 57.3%
    ± of a grid of 16 levels with 1 × the time, over that of the search:
      median inf; no narrower in 32 of 40; 11 have both ends
    ± of a grid of 16 levels with 3 × the time, over that of the search:
      median 2.03; no narrower in 27 of 40; 17 have both ends
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latok.decide.capacity import Bracket, bracket

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.queueing import Law, search_of, searched

_LEVELS = 16
_MORE = 3  # times the requests, or the seconds, of the search
_EASY = 2  # clauses that every request meets, beside the one that is searched with a budget


class Row(NamedTuple):
    """A search, and what grids say: of as much time (with a budget), and of `_MORE` times."""

    law: Law
    requests: int
    found: Bracket
    grids: tuple[Bracket, ...]


def law_of(seed: int) -> Law:
    """One whose capacity is above a tenth of saturation: below, p99 is a matter of single pairs."""
    rng = random.Random(seed)
    while True:
        law = Law(
            rng.choice((1, 2, 4, 8, 16)),
            1.0,
            rng.choice((0.5, 1.0, 2.0, 3.0)),
            rng.choice((0.9, 0.95, 0.99)),
        )
        try:
            if law.capacity > 0.1 * law.servers / law.service:
                return law
        except ValueError:  # no root: not even the lightest load of the bracket meets it
            continue


def grid(law: Law, seconds: Sequence[float], *, seed: int) -> Bracket:
    """What levels that are evenly apart say, each held for its seconds, warm-up included."""
    seen = [
        law.held(
            level / _LEVELS * law.servers / law.service,
            0.8 * each,
            0.2 * each,
            seed=-1 - seed * 1000 - level & 0xFFFFFFFF,
        )
        for level, each in enumerate(seconds, start=1)
    ]
    return bracket(search_of(law), seen)


def one(seed: int, precision: float, budget: float) -> Row:
    law = law_of(seed)
    if budget < math.inf:
        law = law._replace(easy=_EASY)
        done = searched(law, seed=seed, precision=precision, budget=budget)
        grids = [grid(law, [n * budget / _LEVELS] * _LEVELS, seed=seed) for n in (1, _MORE)]
        return Row(law, done.requests, done.found, tuple(grids))
    done = searched(law, seed=seed, precision=precision)
    each = _MORE * done.requests / _LEVELS
    rates = [level / _LEVELS * law.servers / law.service for level in range(1, _LEVELS + 1)]
    return Row(law, done.requests, done.found, (grid(law, [each / r for r in rates], seed=seed),))


def covered(row: Row) -> bool:
    high = math.inf if row.found.high is None else row.found.high
    return row.found.low <= row.law.capacity <= high


def bounded(found: Bracket) -> bool:
    return found.low > 0.0 and found.high is not None


def width(found: Bracket) -> float:
    """Half the interval's width as a share of the capacity; infinite where it has not both ends."""
    return found.precision if bounded(found) else math.inf


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--searches", type=int, default=100)
    words.add_argument("--precision", type=float, default=0.1)
    words.add_argument("--budget", type=float, default=math.inf, help="seconds")
    words.add_argument("--processes", type=int, default=2)
    asked = words.parse_args()
    count = asked.searches
    with ProcessPoolExecutor(asked.processes) as pool:
        wanted = ([asked.precision] * count, [asked.budget] * count)
        rows = list(pool.map(one, range(count), *wanted, chunksize=1))
    print(f"{sum(map(covered, rows))} of {count} intervals cover the true capacity")
    print(f"{sum(bounded(row.found) for row in rows)} of {count} have both ends")
    low, middle, high = np.quantile([row.requests for row in rows], (0.1, 0.5, 0.9))
    print(f"requests of a search: median {middle:,.0f} (p10 {low:,.0f}, p90 {high:,.0f})")
    print(f"± of a search: median {_middle([width(row.found) for row in rows]):.1%}")
    unit = "time" if asked.budget < math.inf else "requests"
    for times, grids in zip(
        (1, _MORE) if unit == "time" else (_MORE,),
        zip(*(row.grids for row in rows), strict=True),
        strict=True,
    ):
        pairs = [(width(g), width(row.found)) for g, row in zip(grids, rows, strict=True)]
        print(
            f"± of a grid of {_LEVELS} levels with {times} × the {unit}, over that of the search:"
        )
        ratio = _middle([1.0 if g == s else g / s for g, s in pairs])
        print(
            f"  median {ratio:.2f}; no narrower in {sum(g >= s for g, s in pairs)} of {count}; "
            f"{sum(map(bounded, grids))} have both ends"
        )


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]  # some are infinite


if __name__ == "__main__":
    main()
