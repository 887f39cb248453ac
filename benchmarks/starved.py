"""Is a number still right when the driver is starved, or else called invalid?

    python benchmarks/starved.py [--runs 100]

First one load with a busy loop on the driver's own core, and the driver at normal priority: the
ends of first tokens and gaps must be right within 1 ms (the kernel's stamps do that), and what is
wrong by more must be called invalid. `late` is by how much a client without the kernel's stamps
would have been.

Then so many short random runs (tests/golden/truth.py): one of three with the busy loop, one of
three over TLS, bursts, cut writes, both loops. No metric that is wrong by more than its printed
error (and 0.1 ms for the packet's way) may be called valid.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.golden.truth import Case, Run, case, played, sent

from latok.records import Closed

BAR = 1e-3


def ends(run: Run) -> np.ndarray:
    """Of each token event without doubt, by how much its time is outside the truth; seconds."""
    found = []
    for record in run.records:
        if record.ok and record.server_timings is not None:
            true = sent(run.truth[record.server_timings["golden"]], run.driven.started_at)
            seen = [chunk for chunk in record.chunks if chunk.is_token]
            found += [
                max(before - chunk.at, chunk.at - after, 0.0)
                for chunk, (before, after) in zip(seen, true, strict=True)
                if chunk.doubt == 0.0
            ]
    return np.asarray(found)


def starved() -> bool:
    """One load beside a busy loop: prints what is right and what is called invalid."""
    what = Case(Closed(50), 0.05, 0.02, 50, 1, False, False, True, 0)
    (run,) = played([what], seconds=3.0)
    seen = run.point.instrument
    off = ends(run)
    print(f"{what.load}, {1 / what.gap:g} tokens/s each, a busy loop on the driver's core")
    lag = seen.lag_s
    print(f"late, ms: p50 {(lag['p50'] or 0) * 1e3:.3f}  p99 {(lag['p99'] or 0) * 1e3:.3f}")
    print(f"ends of {len(off)} events without doubt: wrong by {off.max() * 1e3:.3f} ms at the most")
    print(f"{'':14}{'wrong by':>10}{'± printed':>11}  ms")
    for name, wrong, bound in run.errors():
        called = "invalid" if name.split()[0] in seen.bent else "valid"
        print(f"{name:14}{wrong * 1e3:10.3f}{bound * 1e3:11.3f}  {called}")
    print(f"the run is {seen.verdict}{''.join(f'; {why}' for why in seen.why)}")
    return bool(off.max() <= BAR) and not run.broken


def lawful(runs: int) -> bool:
    """Random runs: prints where the law fails."""
    failed = judged = valid = 0
    for start in range(0, runs, 100):  # fresh servers: they keep the truth of all that they sent
        for run in played(case(seed) for seed in range(start, min(start + 100, runs))):
            valid += run.point.valid
            judged += sum(1 for _ in run.errors())
            failed += bool(run.broken)
            for said in run.broken:
                print(f"{run.case}: {said}")
    print(f"{runs} random runs, {valid} valid, {judged} quantiles: the law failed in {failed}")
    return not failed


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--runs", type=int, default=100)
    asked = words.parse_args()
    good = [starved(), lawful(asked.runs)]
    print("PASS" if all(good) else "over the bars")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
