"""A server whose speed wanders: latencies that are alike for tens of requests in a row, quickly."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from latok.analysis.compare import Stretch

_AHEAD = 200  # requests before the window, so that the queue is in its steady state


class Machine(NamedTuple):
    """How it is loaded: requests a second; None: a closed loop of all its slots."""

    slots: int
    rate: float | None
    wander: float = 0.1
    memory: float = 3.0  # seconds after which the machine's speed is another


def served(machine: Machine, n: int, rng: np.random.Generator, *, slower: float = 1.0) -> Stretch:
    """`n` requests through the queue; the first token of each takes `slower` times as long."""
    total = n + _AHEAD
    tokens = np.clip(rng.lognormal(3.4, 0.6, total), 2, 400).round()
    noise = rng.lognormal(0.0, 0.15, (2, total))
    arrival = np.cumsum(rng.exponential(1.0 / machine.rate, total)) if machine.rate else None
    step = machine.memory / 10
    shocks = rng.normal(0.0, 1.0, 100_000)
    keep = np.exp(-0.1)
    free = [(0.01 * slot, slot) for slot in range(machine.slots)]
    at, first, last = np.empty((3, total))
    speed, where = shocks[0], 0
    for i in range(total):
        idle, slot = heapq.heappop(free)
        due = idle if arrival is None else arrival[i]
        begin = max(idle, due)
        while (where + 1) * step < begin:  # an Ornstein–Uhlenbeck process, step by step
            where += 1
            speed = keep * speed + np.sqrt(1 - keep * keep) * shocks[where]
        pace = np.exp(machine.wander * speed)
        company = sum(until > begin for until, _ in free)
        at[i] = due
        first[i] = begin + 0.08 * (1 + 0.05 * company) * pace * noise[0, i]
        last[i] = first[i] + (tokens[i] - 1) * 0.03 * pace * noise[1, i]
        heapq.heappush(free, (last[i], slot))
    inside = slice(_AHEAD, total)
    ttft = (first - at)[inside] * slower
    return Stretch(
        window=(at[_AHEAD], at[-1] + 1e-6),
        at=at[inside],
        latency={
            "ttft": ttft,
            "tpot": ((last - first) / (tokens - 1))[inside],
            "e2e": ttft + (last - first)[inside],
        },
        met=(ttft < 0.5).astype(float),
        failed=np.zeros(n),
        arrived=last,
        tokens=tokens,
    )
