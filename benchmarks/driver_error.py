"""How wrong is the driver? Against a server that knows when it sent, in one run.

    python benchmarks/driver_error.py [--streams 100] [--rate 50] [--seconds 6]

The truth of a token is the server's clock just before its `send`; what is shown is the driver's
time for it less the truth, and the same for first tokens and gaps. `lag` is by how much a client
without the kernel's stamps would have been late. Server and client share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from latok.load.drive import Plan, Prepared
from latok.load.fleet import hold
from latok.load.golden import golden
from latok.load.probe import site
from latok.load.socket import resolve
from latok.records import Closed, Request
from latok.wire.capture import read_log, record_of
from latok.wire.dialects import DIALECTS

CHAT = DIALECTS["openai-chat"]
TOKENS = 100


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--streams", type=int, default=100)
    words.add_argument("--rate", type=float, default=50.0, help="tokens per second and stream")
    words.add_argument("--seconds", type=float, default=6.0)
    asked = words.parse_args()
    model = f"steady:ttft=0.05,gap={1 / asked.rate}"

    with golden() as url, tempfile.TemporaryDirectory() as folder:
        where = replace(site(url), path=CHAT.path)

        def requests() -> Iterator[Prepared]:
            n = 0
            while True:
                request = Request(id=n, prompt="hi", prompt_tokens=1, max_tokens=TOKENS)
                body = CHAT.body(request, model, {"max_tokens", "stream_options"})
                yield Prepared(request, where.post(body))
                n += 1

        log = Path(folder) / "log"
        plan = Plan(
            address=resolve(where.host, where.port),
            host=where.host,
            tls=False,
            ca=None,
            load=Closed(asked.streams),
            ramp=TOKENS / asked.rate,
            warm_up=asked.streams // 2,
            duration=asked.seconds,
        )
        driven = hold(plan, requests, log, watch=lambda _: None)
        with urllib.request.urlopen(url + "/truth") as answer:
            truth = json.load(answer)
        with log.open("rb") as file:
            records = [record_of(capture, CHAT) for capture in read_log(file)]

    first, gaps, lags, inside = [], [], [], 0
    for record in records:
        if not record.ok or record.server_timings is None:
            continue
        sent = np.array([s[0] for s in truth[record.server_timings["golden"]]["sent"] if s[2]])
        tokens = [chunk for chunk in record.chunks if chunk.is_token]
        assert len(tokens) == len(sent) == TOKENS, "a token was lost"
        seen = np.array([chunk.at for chunk in tokens]) + driven.started_at
        first.append(seen[0] - sent[0])
        gaps += list(np.abs(np.diff(seen) - np.diff(sent)))
        lags += [chunk.lag for chunk in tokens]
    assert driven.window is not None
    start, end = driven.window
    inside = sum(start <= c.at < end for r in records for c in r.chunks)
    shared = sum(c.coalesced for r in records for c in r.chunks)
    print(f"{asked.streams} streams × {asked.rate:g} tokens/s, {len(first)} requests, ms")
    print(f"{'':16}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, values in (("ttft error", first), ("gap error", gaps), ("lag", lags)):
        row = np.quantile(np.abs(values), (0.5, 0.99, 1.0)) * 1e3
        print(f"{name:16}" + "".join(f"{value:9.3f}" for value in row))
    print(f"chunks {inside} in the window, {driven.client_cpu_s / inside * 1e6:.1f} µs of CPU each")
    print(f"events that shared a read: {shared}")


if __name__ == "__main__":
    main()
