"""Does the open loop send when it should? Poisson arrivals, many a second, from one core.

    python benchmarks/schedule.py [--rate 2000] [--requests 10000]

Answers are of one token, 50 ms after the request. Shown: the rate sent over the schedule's own,
how late requests were sent, and the Kolmogorov–Smirnov distance of the gaps between sends from the
exponential that was asked for. The bars: 1 %, p99 under 1 ms, 0.02. Just before a due time the
driver polls (half a millisecond at the most); the CPU printed counts that.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from cores import CLIENT, SERVER, WHERE, on
from scipy import stats

from latok.load.calibrate import judge_at
from latok.load.golden import golden
from latok.records import Open


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--rate", type=float, default=2000.0, help="requests per second")
    words.add_argument("--requests", type=int, default=10_000)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    seconds = 1.05 * asked.requests / asked.rate
    with on(SERVER), golden() as url, on(CLIENT):
        found = judge_at(
            url, Open(asked.rate), rate=50.0, tokens=1, seconds=seconds, seed=asked.seed
        )
    assert found.driven.window is not None
    start, end = found.driven.window
    inside = [r for r in found.records if r.sent_first is not None and start <= r.due < end]
    due = np.sort([r.due for r in inside])[: asked.requests + 1]
    sent = np.sort([r.sent_first for r in inside])[: asked.requests + 1]
    late = np.quantile([r.sent_first - r.due for r in inside], (0.5, 0.99, 1.0)) * 1e3
    rate = (due[-1] - due[0]) / (sent[-1] - sent[0])
    distance = stats.kstest(np.diff(sent) * asked.rate, "expon").statistic
    drawn = stats.kstest(np.diff(due) * asked.rate, "expon").statistic
    cpu = found.driven.client_cpu_s / (end - start)
    print(f"{asked.rate:g} requests/s, {len(sent) - 1} gaps; {WHERE}")
    print(f"rate sent over the schedule's own {rate:.4f}")
    print(f"sent late by, ms: p50 {late[0]:.3f}  p99 {late[1]:.3f}  max {late[2]:.3f}")
    print(f"distance from the exponential {distance:.4f} (of the drawn schedule {drawn:.4f})")
    print(f"{cpu:.0%} of a core")
    good = abs(rate - 1.0) <= 0.01 and late[1] < 1.0 and distance <= 0.02
    print("PASS" if good else "over the bars")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
