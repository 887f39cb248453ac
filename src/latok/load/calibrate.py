"""How wrong the driver is on this machine: it drives the golden server, which knows when it sent.

Errors are the driver's time for an event less the server's clock just before its `send`, seconds.
Server and driver share the machine's cores, so this is a machine's worse case.
"""

from __future__ import annotations

import json
import math
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latok.load.fleet import hold, logs
from latok.load.golden import golden
from latok.load.plan import Driven, Plan, Prepared
from latok.load.probe import site
from latok.load.socket import resolve
from latok.records import Closed, Load, Open, Record, Request
from latok.wire.capture import read_log, record_of
from latok.wire.dialects import DIALECTS
from latok.workload.arrivals import poisson

_CHAT = DIALECTS["openai-chat"]
_EXTRAS = frozenset({"max_tokens", "stream_options"})
TTFT = 0.05

Floats = NDArray[np.float64]


class Judged(NamedTuple):
    """A run against the golden server. `ttft`, `gap`: absolute errors; `lag`: by how much a client
    without the kernel's stamps would have been late; `late`: how late requests were sent; `served`:
    how late the server itself was after it was asked. All in seconds. `cpu`: seconds of the driver
    per chunk. `truth`: what the server says."""

    ttft: Floats
    gap: Floats
    lag: Floats
    late: Floats
    served: Floats
    chunks: int
    coalesced: int
    cpu: float
    driven: Driven
    records: Sequence[Record]
    truth: Any


def judge(
    load: Load, *, rate: float, tokens: int, seconds: float, processes: int = 1, seed: int = 0
) -> Judged:
    """Holds `load` on a golden server that streams `rate` tokens a second, and compares."""
    with golden() as url:
        return judge_at(
            url, load, rate=rate, tokens=tokens, seconds=seconds, processes=processes, seed=seed
        )


def judge_at(
    url: str,
    load: Load,
    *,
    rate: float,
    tokens: int,
    seconds: float,
    processes: int = 1,
    seed: int = 0,
) -> Judged:
    """As `judge`, on a golden server that runs already."""
    where = site(url)
    with tempfile.TemporaryDirectory() as folder:
        lasting = TTFT + tokens / rate
        slots = load.concurrency if isinstance(load, Closed) else 0
        until = seconds + 2.0 if isinstance(load, Open) else 0.0
        arrivals = poisson(load.rate, seed=seed) if isinstance(load, Open) else iter(())
        log = Path(folder) / "log"
        plan = Plan(
            address=resolve(where.host, where.port),
            host=where.host,
            tls=False,
            ca=None,
            load=load,
            due=list(takewhile(lambda due: due < until, arrivals)),
            ramp=lasting if slots else 0.0,
            warm_up=max(slots // 2, 1),
            duration=seconds,
        )
        driven = hold(
            plan,
            lambda: posted(url, rate=rate, tokens=tokens),
            log,
            watch=lambda _: None,
            processes=processes,
        )
        with urllib.request.urlopen(url + "/truth") as answer:
            truth = json.load(answer)
        records = []
        for part in logs(log):
            with part.open("rb") as file:
                records += [record_of(capture, _CHAT) for capture in read_log(file)]
    return _judged(driven, records, truth, 1 / rate)


def posted(url: str, *, rate: float, tokens: int) -> Iterator[Prepared]:
    """Endless requests for streams of `tokens` tokens, `rate` of them a second."""
    where = replace(site(url), path=_CHAT.path)
    model = f"steady:ttft={TTFT},gap={1 / rate}"
    for n in count():
        request = Request(id=n, prompt="hi", prompt_tokens=1, max_tokens=tokens)
        yield Prepared(request, where.post(_CHAT.body(request, model, _EXTRAS)))


def _judged(driven: Driven, records: list[Record], truth: Any, gap: float) -> Judged:
    first, gaps, lags, served = [], [], [], []
    for record in records:
        if not record.ok or record.server_timings is None:
            continue
        known = truth[record.server_timings["golden"]]
        sent = np.asarray([step[0] for step in known["sent"] if step[2]])
        tokens = [chunk for chunk in record.chunks if chunk.is_token]
        seen = np.asarray([chunk.at for chunk in tokens]) + driven.started_at
        if len(seen) != len(sent):
            raise AssertionError("a token was lost or made up")
        first.append(abs(seen[0] - sent[0]))
        gaps += list(np.abs(np.diff(seen) - np.diff(sent)))
        lags += [chunk.lag for chunk in tokens]
        # not from when it took the request in: an overloaded server does that late, too
        asked = (record.sent_last or 0.0) + driven.started_at
        served += list(sent - asked - TTFT - np.arange(len(sent)) * gap)
    start, end = driven.window or (0.0, math.inf)
    chunks = [c for r in records for c in r.chunks if start <= c.at < end]
    late = [r.sent_first - r.due for r in records if r.sent_first is not None]
    return Judged(
        ttft=np.asarray(first),
        gap=np.asarray(gaps),
        lag=np.asarray(lags),
        late=np.asarray(late),
        served=np.asarray(served),
        chunks=len(chunks),
        coalesced=sum(chunk.coalesced for chunk in chunks),
        cpu=driven.client_cpu_s / max(len(chunks), 1),
        driven=driven,
        records=records,
        truth=truth,
    )
