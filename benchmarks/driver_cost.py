"""What does a streamed chunk cost the driver, in CPU, over a bare epoll + recvmsg loop?

    python benchmarks/driver_cost.py [--streams 500] [--rate 50] [--alternations 5]

Both read the same streams of the same server, one after the other, in turn; counted are the CPU
seconds of the reading process in the window, by the chunks that came in it. Start-up and analysis
are outside on both sides. The bar is 1.5 times the bare loop (benchmarks/bare.py), in the median.

    python benchmarks/driver_cost.py --peers aiperf,guidellm [--venvs FOLDER] [--tokenizer FOLDER]

compares with other tools, see benchmarks/peers.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from cores import CLIENT, SERVER, WHERE, on

from latok.load.calibrate import judge_at
from latok.load.golden import golden
from latok.records import Closed

BAR = 1.5
TOKENS = 100  # of each stream


def bare(url: str, streams: int, rate: float, seconds: float) -> float:
    """CPU seconds per chunk of the bare loop, in a process of its own."""
    words = [url, streams, TOKENS, rate, seconds]
    command = [sys.executable, Path(__file__).with_name("bare.py"), *words]
    said = json.loads(subprocess.check_output([str(word) for word in command]))
    return said["cpu_s"] / said["chunks"]


def ours(url: str, streams: int, rate: float, seconds: float) -> float:
    """The same of our driver."""
    return judge_at(url, Closed(streams), rate=rate, tokens=TOKENS, seconds=seconds).cpu


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--streams", type=int, default=500)
    words.add_argument("--rate", type=float, default=50.0, help="tokens per second and stream")
    words.add_argument("--seconds", type=float, default=5.0)
    words.add_argument("--alternations", type=int, default=5)
    words.add_argument("--peers", default="", help="of aiperf, guidellm, vllm; with commas")
    words.add_argument("--venvs", type=Path, help="where their environments are, or are made")
    words.add_argument("--tokenizer", type=Path, help="a folder that transformers can load")
    asked = words.parse_args()
    if asked.peers:
        from peers import compare

        return compare(asked.peers.split(","), asked.venvs, asked.tokenizer)
    print(f"{asked.streams} streams × {asked.rate:g} tokens/s, µs of CPU per chunk; {WHERE}")
    ratios = []
    for number in range(asked.alternations):
        took = {}
        for side in (bare, ours) if number % 2 else (ours, bare):
            with on(SERVER), golden() as url, on(CLIENT):  # afresh: a server keeps all its truth
                took[side] = side(url, asked.streams, asked.rate, asked.seconds) * 1e6
        ratios.append(took[ours] / took[bare])
        print(
            f"bare {took[bare]:6.2f}   ours {took[ours]:6.2f}   ratio {ratios[-1]:.2f}", flush=True
        )
    ratio = statistics.median(ratios)
    verdict = "PASS" if ratio <= BAR else f"over {BAR}"
    print(f"median of {len(ratios)} ratios {ratio:.2f}: {verdict}")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
