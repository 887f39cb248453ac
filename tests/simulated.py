"""A batching server that was never there: records of a load, from a few laws that a test knows."""

from __future__ import annotations

import heapq
import random

from latok.records import Chunk, Closed, Load, Manifest, Open, Record, Target, Usage

TARGET = Target(name="sim", url="http://sim", model="m", dialect="openai-chat")


def manifest(load: Load, window: tuple[float, float], **changed: object) -> Manifest:
    words: dict[str, object] = {
        "id": f"run-{load}",
        "target": TARGET,
        "app": "chat",
        "slo": "ttft.p90<500ms, tpot.p90<50ms",
        "load": load,
        "levers": {},
        "workload": {},
        "seed": 0,
        "started_at": 0.0,
        "window": window,
        "ended": "complete",
        "clock_step": 0.0,
        "kernel_stamps": True,
        "client_cpu_s": 0.1,
        "command": "latok measure",
        "versions": {"latok": "0"},
    }
    return Manifest(**(words | changed))  # type: ignore[arg-type]


def record(n: int, due: float, ttft: float, gap: float, tokens: int, **changed: object) -> Record:
    """One answered request: `tokens` tokens, the first `ttft` after `due`, then one each `gap`."""
    chunks = tuple(Chunk(due + ttft + i * gap, 1, "content") for i in range(tokens))
    words: dict[str, object] = {
        "id": n,
        "app": "chat",
        "prompt_tokens": 100,
        "max_tokens": tokens,
        "due": due,
        "sent_first": due,
        "sent_last": due,
        "headers_at": due + ttft,
        "closed_at": due + ttft + tokens * gap,
        "status": 200,
        "finish_reason": "length",
        "usage": Usage(100, tokens, 0),
        "chunks": chunks,
    }
    return Record(**(words | changed))  # type: ignore[arg-type]


def closed(concurrency: int, seconds: float, *, seed: int = 0) -> tuple[Manifest, list[Record]]:
    """`concurrency` users of a server whose first token and whose pace suffer from company."""
    rng = random.Random(seed)
    free = [(rng.random(), slot) for slot in range(concurrency)]
    records = []
    while free[0][0] < seconds:
        due, slot = heapq.heappop(free)
        found = record(
            len(records),
            due,
            ttft=0.1 * (1 + 0.15 * concurrency) * rng.uniform(0.8, 1.2),
            gap=0.01 * (1 + 0.1 * concurrency) * rng.uniform(0.9, 1.1),
            tokens=rng.randint(10, 60),
        )
        records.append(found)
        heapq.heappush(free, (found.closed_at or due, slot))
    return manifest(Closed(concurrency), (2.0, seconds - 2.0)), records


def opened(rate: float, seconds: float, *, seed: int = 0) -> tuple[Manifest, list[Record]]:
    """Poisson arrivals at a server that company does not touch."""
    rng, due, records = random.Random(seed), 0.0, []
    while due < seconds:
        records.append(record(len(records), due, ttft=0.1, gap=0.01, tokens=20))
        due += rng.expovariate(rate)
    return manifest(Open(rate), (2.0, seconds - 2.0)), records
