"""What `latok compare` says of two sides that are the same, and of two that are not. Virtual time.

    python benchmarks/compare_power.py [--comparisons 2000] [--requests 400] [--seed 0]

A server in virtual time answers both sides: a batch that grows slower with company, answers of
lognormal length, and a machine whose speed wanders (10 %, over some twenty requests, as clocks and
neighbours do). It is loaded by eight users in a closed loop, by Poisson arrivals with room to
spare, and by Poisson arrivals at 70 % of its slots, so that a queue builds up now and then. So
latencies are alike for tens of requests in a row. Beside our verdict stands the naive one: "a
percentile or the throughput of B is more than 5 % off A's".

Printed are how often any of the eight metrics is called different although none is (A/A; 6 % is
the most that is allowed), and how often a `ttft` that is 10 % longer in every request, so that its
p95 is, is found worse with the advised number of requests, which a first comparison gave.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from latok.analysis.compare import Comparison, compare

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.wandering import Machine, served

MARGIN = 0.05


def once(
    machine: Machine, n: int, rng: np.random.Generator, *, slower: float = 1.0
) -> tuple[Comparison, bool]:
    """Our comparison, and whether the naive one calls any of ours different."""
    a, b = served(machine, n, rng), served(machine, n, rng, slower=slower)
    found = compare({"": ([a], [b])}, a="A", b="B", margin=MARGIN, interleaved=False, seed=0)
    ratios = [c.ratio for name, c in found.metrics.items() if "." in name or name == "throughput"]
    return found, any(r is not None and abs(np.log(r)) > np.log1p(MARGIN) for r in ratios)


def different(found: Comparison) -> bool:
    return any(c.verdict in ("better", "worse") for c in found.metrics.values())


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--comparisons", type=int, default=2000)
    words.add_argument("--requests", type=int, default=400)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    good = True
    for title, machine, power in (
        ("closed loop, 8 at a time", Machine(8, None), True),
        ("open loop, room to spare", Machine(24, 6.0), True),
        ("open loop, at times a queue", Machine(8, 4.9), False),
    ):
        began, rng = time.perf_counter(), np.random.default_rng(asked.seed)
        found = [once(machine, asked.requests, rng) for _ in range(asked.comparisons)]
        ours = np.mean([different(c) for c, _ in found])
        naive = np.mean([n for _, n in found])
        print(f"{title}: {asked.comparisons} A/A comparisons of {asked.requests} requests a side")
        good &= ours <= 0.06
        print(f"  called different   latok {ours:6.1%}   naive {naive:6.1%}")
        if power:
            advised = int(np.median([c.advised or 0 for c, _ in found]))
            trials = max(asked.comparisons // 10, 10)
            again = [once(machine, advised, rng, slower=1.1) for _ in range(trials)]
            share = np.mean([c.metrics["ttft.p95"].verdict == "worse" for c, _ in again])
            print(f"  advised            {advised} requests a side")
            good &= share >= 0.8
            print(f"  ttft.p95 10 % up   found worse in {share:6.1%} of {trials}")
        print(f"  took               {time.perf_counter() - began:.0f} s", flush=True)
    print("PASS" if good else "over the bars: 6 % called different, 80 % found")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
