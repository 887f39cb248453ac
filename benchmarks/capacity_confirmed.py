"""Is what `latok capacity` says of a real engine true? Independent runs below and above it.

    python benchmarks/capacity_confirmed.py [--budget 10m] [--duration 90s] [--runs 3] [TARGET]

On the embedded engine (or TARGET) it searches the capacity for chat in both loops. Then come runs
of their own, each with other prompts and arrivals: at 0.9 × the interval's lower end the SLO should
be met, and at 1.3 × its upper end it should not. A closed loop holds whole numbers: the load below
is rounded down, the one above up. What has no upper end (the SLO was never missed) has nothing
above to confirm. Met is judged by the shares themselves, each clause's against what it asks: a
short run leaves a clause near its limit undecided, and that is printed, too.

Exit code 1 where fewer than two thirds of the runs on any side confirm it.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace

from latok.analysis.point import Point
from latok.jobs.capacity import capacity
from latok.jobs.experiment import Experiment, seconds
from latok.jobs.map import Watcher
from latok.jobs.measure import measure
from latok.report.point import point_line
from latok.report.text import capacity_lines
from latok.workload.slo import parse_slo


def met(point: Point) -> bool:
    """Whether the shares are what the clauses ask; none, where nothing was answered in time."""
    clauses = parse_slo(point.goodput.slo).clauses
    return all(
        found.share is not None and found.share >= asked.quantile
        for found, asked in zip(point.goodput.clauses, clauses, strict=True)
    )


def confirmed(asked: Experiment, want: bool, runs: int, seed: int) -> bool:
    """Measures a load a few times; says whether two thirds of the runs are as they should be."""
    load = f"{asked.concurrency} at a time" if asked.concurrency else f"{asked.rate:.3g} a second"
    agreed = 0
    for n in range(runs):
        point, complete = measure(replace(asked, seed=seed + n))
        if not complete:
            sys.exit(130)
        agreed += met(point) == want
        print(f"  {load}: {'met' if met(point) else 'missed'}; {point_line(point)}", flush=True)
    print(f"{load}: {agreed} of {runs} runs {'meet' if want else 'miss'} it", flush=True)
    return 3 * agreed >= 2 * runs


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("target", nargs="?")
    words.add_argument("--app", default="chat")
    words.add_argument("--slo", default=None)
    words.add_argument("--model", default=None)
    words.add_argument("--input-tokens", default=None)
    words.add_argument("--output-tokens", default=None)
    words.add_argument("--budget", default="10m")
    words.add_argument("--duration", default="90s")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--keep", default="runs", help="where the runs are stored")
    given = words.parse_args()
    asked = Experiment(
        targets=(given.target,) if given.target else (),
        app=given.app,
        slo=given.slo,
        model=given.model,
        input_tokens=given.input_tokens,
        output_tokens=given.output_tokens,
        budget=seconds(given.budget, "--budget"),
        runs=given.keep,
    )
    found = capacity(asked, Watcher(done=lambda point: print(f"  {point_line(point)}", flush=True)))
    if not found.complete:
        sys.exit(130)
    (answer,) = found.capacities
    print(*capacity_lines(answer), sep="\n", flush=True)
    one = replace(asked, duration=seconds(given.duration, "--duration"))
    right = []
    if answer.closed is not None:
        few, many = answer.closed.ci95
        if few >= 1:
            below = replace(one, concurrency=max(math.floor(0.9 * few), 1))
            right.append(confirmed(below, True, given.runs, 1000))
        if many is not None:
            above = replace(one, concurrency=max(math.ceil(1.3 * many), 1))
            right.append(confirmed(above, False, given.runs, 2000))
    if answer.open is not None:
        low, high = answer.open.ci95
        if low > 0.0:
            right.append(confirmed(replace(one, rate=0.9 * low), True, given.runs, 3000))
        if high is not None:
            right.append(confirmed(replace(one, rate=1.3 * high), False, given.runs, 4000))
    print(f"{sum(right)} of {len(right)} loads are as the search says")
    sys.exit(not right or not all(right))


if __name__ == "__main__":
    main()
