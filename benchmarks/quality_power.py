"""What a verdict from pairs says of levers that do no harm, and of levers that do.

    python benchmarks/quality_power.py [--sides 400] [--pairs 1000] [--seed 0]

Answers are right or wrong; a known share of items changes from right to wrong and another from
wrong to right. Beside our verdict stands the naive one: McNemar's test at 5 %, looked at every 25
pairs, ending at the first that is below.

Printed are how often harm is claimed where there is none, and no harm where the drop is the margin
(5 % is the most that is allowed of either, whether looked at once or after every pair); how often
and after how many pairs a drop is found; after how many a harmless lever is certified; and how
often 95 % intervals hold the truth where items come in families that change together, beside
intervals that do not know of the families and the percentiles of the bootstrap over families.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

from latok.quality.pairs import difference, mcnemar
from latok.quality.sequential import Sequential

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.graded import Scores, clustered, drawn

MARGIN = 0.02
_p = lru_cache(maxsize=None)(lambda regress, improve: mcnemar(regress, improve)[0])


def stopped(base: Scores, with_: Scores, margin: float) -> tuple[str, int]:
    """The sequential decision, if any, and after how many pairs."""
    watch = Sequential(margin)
    for a, b in zip(base.tolist(), with_.tolist(), strict=True):
        if decision := watch.see(a, b):
            return decision, watch.pairs
    return "", watch.pairs


def said(base: Scores, with_: Scores, margin: float) -> tuple[str, int]:
    """The whole verdict: the sequential decision, else the interval's at the end."""
    word, after = stopped(base, with_, margin)
    if word:
        return word, after
    changes = (with_ - base).tolist()
    found = difference(changes, [str(n) for n in range(len(changes))])
    if found.ci95[1] < 0 and found.delta < -margin:
        return "inferior", after
    return ("non-inferior" if found.ci95[0] > -margin else "inconclusive"), after


def naive(base: Scores, with_: Scores) -> bool:
    """Whether any of the looks at McNemar's test is below 5 %, with more regressions."""
    change = with_ - base
    regress, improve = np.cumsum(change < 0)[24::25], np.cumsum(change > 0)[24::25]
    looks = zip(regress.tolist(), improve.tolist(), strict=True)
    return any(_p(r, i) < 0.05 for r, i in looks)


def coverage(trials: int, rng: np.random.Generator, families: int, alike: float) -> list[float]:
    """How often 0 is in our interval, in one that ignores families, in the bootstrap's."""
    held = np.zeros(3)
    for _ in range(trials):
        change, names = clustered(rng, families, 10, discordant=0.2, alike=alike)
        lone = [str(n) for n in range(len(change))]
        means = change.reshape(families, 10).mean(axis=1)
        again = means[rng.integers(families, size=(400, families))].mean(axis=1)
        three = (
            difference(change.tolist(), names).ci95,
            difference(change.tolist(), lone).ci95,
            np.quantile(again, (0.025, 0.975)),
        )
        held += [low <= 0.0 <= high for low, high in three]
    return list(held / trials)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--sides", type=int, default=400)
    words.add_argument("--pairs", type=int, default=1000)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    rng, good, began = np.random.default_rng(asked.seed), True, time.perf_counter()

    def sides(discordant: float, drop: float, n: int = asked.pairs) -> list[tuple[Scores, Scores]]:
        regress, improve = (discordant + drop) / 2, (discordant - drop) / 2
        return [drawn(rng, n, regress=regress, improve=improve) for _ in range(asked.sides)]

    print(f"{asked.sides} sides of {asked.pairs} pairs each, margin {MARGIN:.0%}")
    # what chance may add to a share of 5 % among so many sides
    bar = 0.05 + 2 * (0.05 * 0.95 / asked.sides) ** 0.5
    print("no harm: called inferior        after every pair   with the end   naive (a difference)")
    for discordant in (0.008, 0.05, 0.1, 0.2):
        rows = sides(discordant, 0.0)
        early = np.mean([stopped(a, b, MARGIN)[0] == "inferior" for a, b in rows])
        whole = np.mean([said(a, b, MARGIN)[0] == "inferior" for a, b in rows])
        loose = np.mean([naive(a, b) for a, b in rows])
        good &= whole <= bar
        print(f"  {discordant:6.1%} of pairs differ {early:19.1%} {whole:14.1%} {loose:14.1%}")
    print("a drop of the margin: certified after every pair   with the end")
    for discordant in (0.02, 0.05, 0.1, 0.2):
        rows = sides(discordant, MARGIN)
        early = np.mean([stopped(a, b, MARGIN)[0] == "non-inferior" for a, b in rows])
        whole = np.mean([said(a, b, MARGIN)[0] == "non-inferior" for a, b in rows])
        good &= whole <= bar
        print(f"  {discordant:6.1%} of pairs differ {early:19.1%} {whole:14.1%}")
    print("a drop: found inferior           after every pair, median pairs   with the end")
    for discordant, drop in ((0.05, 0.03), (0.1, 0.05), (0.2, 0.1), (0.1875, 0.146)):
        rows = sides(discordant, drop)
        early_ = [stopped(a, b, MARGIN) for a, b in rows]
        found = [after for word, after in early_ if word == "inferior"]
        whole = np.mean([said(a, b, MARGIN)[0] == "inferior" for a, b in rows])
        middle = int(np.median(found)) if found else 0
        share = len(found) / len(rows)
        print(f"  {drop:6.1%} of {discordant:6.1%} {share:24.1%} {middle:10d} {whole:18.1%}")
    within = np.mean([after <= 200 for after in found])  # the last: a KV cache of 4 bits
    good &= share * within >= 0.95
    print(f"  the last within 200 pairs {share * within:13.1%}")
    print("no harm: certified               after every pair, mean pairs     with the end")
    for discordant in (0.0, 0.008, 0.02, 0.05):
        rows = sides(discordant, 0.0)
        early_ = [stopped(a, b, MARGIN) for a, b in rows]
        found = [after for word, after in early_ if word == "non-inferior"]
        whole = np.mean([said(a, b, MARGIN)[0] == "non-inferior" for a, b in rows])
        middle = int(np.mean(found)) if found else 0
        share = len(found) / len(rows)
        print(f"  {discordant:6.1%} of pairs differ {share:20.1%} {middle:10d} {whole:18.1%}")
    print("families of ten: the interval holds the truth   ours   without families   bootstrap")
    for families, alike in ((8, 0.0), (8, 0.8), (24, 0.0), (24, 0.8), (100, 0.8)):
        ours, blind, drawn_ = coverage(asked.sides * 5, rng, families, alike)
        good &= ours >= 0.94
        print(f"  {families:4d}, {alike:4.0%} alike {ours:31.1%} {blind:14.1%} {drawn_:16.1%}")
    print(f"took {time.perf_counter() - began:.0f} s")
    print("PASS" if good else "over the bars: 5 % wrong, 95 % found within 200, 94 % covered")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
