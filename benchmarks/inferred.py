"""Are the parts that are inferred from outside those that the engine itself measures?

    python benchmarks/inferred.py [openvino batch_limit=8 [prefix_cache=false]]

`latok explain --grade inferred` sees when answers came and nothing else. Here it probes an engine
that does say how long each request was queued, read and answered, and both are printed side by
side, for the same requests: what a token of a prompt and of an answer costs, and, at 1, 8 and 24 at
a time, the medians of queueing and of the pace. Bars: 10 % for a token, 15 % or 5 ms for queueing;
the prefix cache found present or absent, with the right block (32 tokens in OpenVINO; llama.cpp
knows every single token). For llama.cpp, which does not say it, queueing is what its first token
took beyond its reading.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from latok.analysis.fits import fit
from latok.analysis.probed import Seen
from latok.jobs.experiment import Experiment
from latok.jobs.infer import Inferred, inferred, seen_in
from latok.jobs.runs import read_run
from latok.records import Record

TOKEN, QUEUE, QUEUE_S = 0.10, 0.15, 0.005  # the bars
BLOCKS = {"openvino": 32, "llamacpp": 1}


def told(record: Record) -> dict[str, float]:
    """What the engine says of a request: seconds of queueing, prefill and decode, tokens read."""
    said: dict[str, Any] = record.server_timings or {}
    if "prompt_ms" in said:  # llama.cpp
        first = next(chunk.at for chunk in record.chunks if chunk.is_token)
        read = said["prompt_ms"] / 1000
        return {
            "queue": max(first - (record.sent_first or 0.0) - read, 0.0),
            "prefill": read,
            "decode": said["predicted_ms"] / 1000 / max(said["predicted_n"], 1),
            "tokens": said["prompt_n"],
        }
    usage = record.usage
    assert usage is not None
    made = usage.completion_tokens or 1
    return {
        "queue": said["queue"],
        "prefill": said["prefill"],
        "decode": said["decode"] / max(made - 1, 1),
        "tokens": (usage.prompt_tokens or 0) - (said["cached_tokens"] or 0),
    }


def of(
    seen: Sequence[Seen], aim: str, level: int | None = None, least: int = 1
) -> list[dict[str, float]]:
    """Of the answers of at least so many tokens."""
    return [
        told(record)
        for each in seen
        if each.probe.aim == aim and level in (None, each.probe.concurrency)
        for record in each.records
        if record.ok and record.max_tokens >= least
    ]


def prefill_per_token(seen: Sequence[Seen], *, bent: bool) -> float:
    """The engine's own, by the same law as ours."""
    rows = of(seen, "prefill")
    x = np.array([row["tokens"] for row in rows])
    y = np.array([row["prefill"] for row in rows])
    columns = (np.ones_like(x), x, x**2)[: 3 if bent else 2]
    return fit(columns, y, floor=5e-4, seed=0).values[1]


def compared(engine: str, found: Inferred, cached: bool) -> bool:
    """Prints the table; whether every bar is met."""
    laws, seen = found.laws, seen_in(*read_run(found.run))
    rows: list[tuple[str, float, float, bool]] = []

    def row(name: str, ours: float | None, theirs: float, share: float, least: float) -> None:
        value = float("nan") if ours is None else ours
        rows.append((name, value, theirs, abs(value - theirs) <= max(share * theirs, least)))

    own = prefill_per_token(seen, bent=laws.prefill_s_per_token2 is not None)
    per_token = laws.prefill_s_per_token and laws.prefill_s_per_token.value
    row("prefill per token", per_token, own, TOKEN, 0.0)
    pace = float(np.median([each["decode"] for each in of(seen, "decode", least=16)]))
    row(
        "decode per token",
        laws.decode_s_per_token and laws.decode_s_per_token.value,
        pace,
        TOKEN,
        0,
    )
    for level in laws.levels:
        here = of(seen, "load", level.concurrency)
        queue, pace = (float(np.median([each[k] for each in here])) for k in ("queue", "decode"))
        row(f"queue at {level.concurrency}", level.queue.value, queue, QUEUE, QUEUE_S)
        row(f"decode at {level.concurrency}", level.tpot and level.tpot.value, pace, TOKEN, 0.0)
    print(f"{engine}: {found.requests} requests, {found.tokens:,} tokens, {found.seconds:.0f} s")
    print(f"  {'':20} {'inferred':>12} {'the engine':>12}")
    for name, ours, theirs, good in rows:
        print(f"  {name:20} {ours * 1e3:9.3f} ms {theirs * 1e3:9.3f} ms  {'' if good else 'NO'}")
    cache = laws.prefix_cache
    block = cache and (cache.block_tokens, cache.block_at_most)
    print(
        f"  prefix cache: {cache and cache.present}, block of {block} tokens; it is {cached}",
        end="",
    )
    print(f", {BLOCKS[engine]}" if cached else "")
    limit = laws.batch_limit and laws.batch_limit.value
    print(f"  batch limit: {limit}")
    for claim in found.claims:
        print(f"  {claim.text}")
    right = cache is not None and cache.present is cached
    if cached and cache is not None:
        right = right and cache.block_tokens == BLOCKS[engine]
    return right and all(good for *_, good in rows)


def main(words: list[str]) -> bool:
    engine, levers = (words[0], words[1:]) if words else ("openvino", ["batch_limit=8"])
    with tempfile.TemporaryDirectory() as runs:
        asked = Experiment(targets=(engine,), levers=tuple(levers), runs=runs, budget=180.0)
        found = inferred(asked, say=lambda line: print(line, file=sys.stderr))
        return compared(engine, found, "prefix_cache=false" not in levers)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
