"""Does a replayed trace find in a prefix cache what the trace says? Hit rates on the real engine.

    python benchmarks/trace_replay.py [--trace FILE] [--skip 0] [--requests 500]

A slice of a Mooncake trace (`conversation_trace.jsonl` of the Mooncake repository, FAST 2025), or
of a made-up one of the same form, is replayed on the embedded engine with lengths and blocks
divided, so that the trace's blocks of 512 tokens become the engine's of 32. One request at a time:
of two at once the second cannot find what the first is still computing, which no trace tells.

Shown is the share of the input that the server took from its cache (`usage.cached_tokens` of every
request) beside the slice's own, which is computed from `hash_ids` alone: for a cache that forgets
nothing and for one of the engine's size. The bar is 3 points from the latter. As the server counts
by its own mirror of the engine's cache, two things say whether it tells the truth: its doubt
(blocks by which mirror and engine differ), and that prompts mostly known were read sooner.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import tempfile
import urllib.request
from dataclasses import replace
from pathlib import Path

import latok
from latok.analysis.metrics import ttft
from latok.engines.launch import launched
from latok.records import Record
from latok.workload.lengths import parse_lengths
from latok.workload.traces import Trace, read_trace

BAR = 0.03
BLOCK = 512
# Of the Mooncake conversation trace: fresh prompts, and answers, by their quantiles.
FRESH = parse_lengths("quantiles(5:901,25:2306,50:6909,75:15367,90:27367,95:39550,99:85400)")
ANSWER = parse_lengths("quantiles(5:10,25:156,50:350,75:472,90:597,95:698,99:1119)")


def made_up(requests: int, seed: int) -> bytes:
    """A file of Mooncake's form: conversations that start, some with a system prompt that others
    have, and that go on, each turn on the whole blocks of the one before; 3.4 a second, noted every
    three seconds as in the original."""
    rng = random.Random(seed)
    ids = iter(range(10**9))
    systems = [[next(ids) for _ in range(rng.randint(1, 4))] for _ in range(5)]
    talks: list[list[int]] = []
    lines, at = [], 0.0
    for _ in range(requests):
        at += rng.expovariate(3.4)
        if talks and rng.random() < 0.35:
            talk = rng.choice(talks[-60:])
            tokens = len(talk) * BLOCK + rng.randint(200, 4000)
        else:
            talk = list(rng.choice(systems)) if rng.random() < 0.3 else []
            tokens = len(talk) * BLOCK + round(FRESH.quantile(rng.random()))
        blocks = [*talk, *(next(ids) for _ in range(-(-tokens // BLOCK) - len(talk)))]
        talks.append(blocks[: tokens // BLOCK])
        call = {
            "timestamp": int(at // 3) * 3000,
            "input_length": tokens,
            "output_length": round(ANSWER.quantile(rng.random())),
            "hash_ids": blocks,
        }
        lines.append(json.dumps(call))
    return "\n".join(lines).encode()


def gauge(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as page:
        found = re.search(rf"^latok:{name} (\S+)", page.read().decode(), re.M)
    assert found, name
    return float(found[1])


def per_token(records: list[Record]) -> float:
    """Median seconds to the first token for each token of the prompt."""
    found = [(ttft(record), record.prompt_tokens) for record in records]
    return statistics.median(seconds / tokens for seconds, tokens in found if seconds is not None)


def replay(trace: Trace, file: Path, args: argparse.Namespace) -> bool:
    """Replays, prints what was found; says whether it is within the bar."""
    fitting = trace.scaled(1 / args.shrink).fitting(8192 - 8192 // 64)
    print(
        f"{len(fitting.calls)} of {len(trace.calls)} requests fit, "
        f"{sum(c.input for c in fitting.calls) / len(fitting.calls):.0f} tokens in, "
        f"{sum(c.output for c in fitting.calls) / len(fitting.calls):.0f} out, "
        f"blocks of {fitting.block}"
    )
    with launched("openvino", {"cache_gb": args.cache_gb}, say=print) as engine:
        point = latok.measure(
            engine.url,
            trace=str(file),
            scale=1 / args.shrink,
            concurrency=1,
            duration=3600.0,  # until the slice ends
            dialect="openai-completions",  # no template: a block begins where the trace says
            runs=str(args.runs),
        )
        size, doubt = (
            gauge(engine.url, "kv_cache_tokens"),
            gauge(engine.url, "prefix_cache_doubt_blocks"),
        )
    _, records = latok.read_run(point.run)
    done = [r for r in records if r.ok and r.usage]
    read = sum(r.usage.prompt_tokens or 0 for r in done if r.usage)
    asked = sum(r.prompt_tokens for r in done)
    cached = sum(r.usage.cached_tokens or 0 for r in done if r.usage)
    measured, own = cached / read, fitting.hit_share(size)
    known = [r for r in done if r.usage and 2 * (r.usage.cached_tokens or 0) > r.prompt_tokens]
    fresh = [r for r in done if r.usage and not r.usage.cached_tokens and r.prompt_tokens > 200]
    print(f"{len(done)} answered, {len(records) - len(done)} not; tokens in: {read}, meant {asked}")
    print(f"hit rate measured         {measured:7.2%}")
    print(f"a cache of {size:8.0f} tokens {own:7.2%}")
    print(f"a cache without end       {fitting.hit_share():7.2%}")
    print(f"doubt of the server's count: {doubt:.0f} blocks of {size / 32:.0f}")
    if known and fresh:
        print(
            "ms to the first token per token of the prompt: "
            f"{1e3 * per_token(known):.2f} where most of it was known ({len(known)} requests), "
            f"{1e3 * per_token(fresh):.2f} where nothing was ({len(fresh)})"
        )
    good = abs(measured - own) <= BAR and len(done) == len(fitting.calls)
    print("PASS" if good else f"FAIL: more than {BAR:.0%} apart, or not all answered")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trace", type=Path, help="a Mooncake file, also .gz; default: made up")
    parser.add_argument("--skip", type=int, default=0, help="requests before the slice")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--shrink", type=int, default=16)
    parser.add_argument("--cache-gb", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = args.trace.read_bytes() if args.trace else made_up(args.skip + args.requests, args.seed)
    whole = read_trace(data, args.trace.name if args.trace else "made up")
    trace = replace(whole, calls=whole.calls[args.skip :]).first(args.requests)
    with tempfile.TemporaryDirectory() as folder:
        args.runs = Path(folder)
        file = args.runs / "slice.jsonl"
        start = trace.calls[0].at
        rows = [
            {"timestamp": round(1e3 * (at - start)), "input_length": tokens,
             "output_length": answer, "hash_ids": blocks}
            for at, tokens, answer, blocks in trace.calls
        ]  # fmt: skip
        file.write_text("\n".join(map(json.dumps, rows)))
        raise SystemExit(0 if replay(trace, file, args) else 1)


if __name__ == "__main__":
    main()
