"""The law: no metric that is wrong by more than its printed error is called valid.

Short random runs (drawn from a seed) of the driver against the golden server, judged as any run is.
The truth of an event lies between the server's clock before its `send` and after; that of a request
is the kernel's stamp of its arrival at the server (behind TLS, which hides that, the driver's
clocks around its own `send`).
"""

from __future__ import annotations

import json
import random
import ssl
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, pairwise, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latok.analysis.metrics import digest, in_window, point, steady_part
from latok.analysis.point import Point
from latok.load.drive import Driver
from latok.load.golden import HEAD, TAIL, Asked, Step, chunked, event, golden
from latok.load.plan import Driven, Plan, Prepared
from latok.load.probe import site
from latok.load.socket import resolve
from latok.records import Closed, Load, Manifest, Open, Record, Request
from latok.wire.capture import Capture, record_of
from latok.wire.dialects import DIALECTS
from latok.workload.arrivals import poisson
from tests.golden.busy import busy_neighbour
from tests.simulated import manifest

CHAT = DIALECTS["openai-chat"]
CERTIFICATE = Path(__file__).with_name("localhost.pem")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# What a packet needs from our `send` to the kernel's stamp, over the time between the two clocks
# around that `send`: on loopback the stamp is set inside the call (measured: under 0.01 ms).
TRANSIT = 1e-4

Span = tuple[float, float]  # from, to


class Case(NamedTuple):
    """One short run. `burst`: events in one write; `cut`: writes end in the middle of an event;
    `busy`: another process runs on the driver's core."""

    load: Load
    ttft: float
    gap: float
    tokens: int
    burst: int
    cut: bool
    tls: bool
    busy: bool
    seed: int

    @property
    def model(self) -> str:
        """What the golden server is asked for."""
        words = f"ttft={self.ttft},gap={self.gap},burst={self.burst},cut={int(self.cut)}"
        return f"varied:{words},seed={self.seed}"


def case(seed: int) -> Case:
    """A random run of a few tenths of a second."""
    draw = random.Random(seed)
    return Case(
        load=Closed(draw.randint(1, 40)) if draw.random() < 0.6 else Open(draw.uniform(5.0, 200.0)),
        ttft=draw.choice((0.0, 0.002, 0.01, 0.05)),
        gap=draw.choice((0.0002, 0.001, 0.005, 0.01)),
        tokens=draw.randint(2, 20),
        burst=draw.choice((1, 1, 1, 2, 5)),
        cut=draw.random() < 0.3,
        tls=draw.random() < 0.3,
        busy=draw.random() < 0.3,
        seed=seed,
    )


def varied(asked: Asked) -> Iterator[Step]:
    """Bursts of events at uneven times, perhaps with the writes cut anywhere."""
    words = dict(w.split("=") for w in str(asked.body["model"]).partition(":")[2].split(","))
    ttft, gap, burst = float(words["ttft"]), float(words["gap"]), int(words["burst"])
    draw = random.Random(f"{words['seed']} {asked.n}")
    tokens = int(asked.body["max_tokens"])
    at, done = ttft, 0
    pending = HEAD  # bytes of what was not yet written
    while done < tokens:
        now = min(burst, tokens - done)
        said = [event({"choices": [{"delta": {"content": f" {done + n}"}}]}) for n in range(now)]
        data = pending + b"".join(said)
        # at least the line that ends it; its chunk of HTTP ends with two bytes more
        keep = draw.randint(3, len(said[-1]) - 1) if words["cut"] == "1" else 0
        # of a cut event the last piece makes it complete
        complete = (now - 1 if keep else now) + (pending not in (HEAD, b""))
        yield Step(at, data[: len(data) - keep], complete, "content")
        pending = data[len(data) - keep :] if keep else b""
        done += now
        at += gap * burst * draw.uniform(0.5, 1.5)
    last = {
        "choices": [{"delta": {}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens},
        "timings": {"golden": asked.n},
    }
    tail = event(last) + chunked(b"data: [DONE]\n\n")
    yield Step(at, pending + tail + TAIL, int(bool(pending)), "content")


class Run(NamedTuple):
    """A case that was run: its point, its records, and what was true."""

    case: Case
    point: Point
    records: list[Record]
    driven: Driven
    truth: Any = None

    @property
    def broken(self) -> list[str]:
        """Where the law fails: what is called valid, and wrong by more than was said."""
        return [
            f"{name} is wrong by {wrong * 1e3:.3f} ms, said to be by {bound * 1e3:.3f} at the most"
            for name, wrong, bound in self.errors()
            if wrong > bound + TRANSIT and name.split()[0] not in self.point.instrument.bent
        ]

    def errors(self) -> Iterator[tuple[str, float, float]]:
        """Of each quantile that was printed: its name, by how much it is wrong, and by how much it
        was said to be wrong at the most. Seconds."""
        for name, spans in true_quantiles(self).items():
            for label, bound in self.point.instrument.error_s.get(name, {}).items():
                value = getattr(self.point.metrics[name], label)
                low, high = spans[label]
                yield f"{name} {label}", max(low - value, value - high, 0.0), bound


def played(cases: Iterable[Case], seconds: float = 0.15) -> list[Run]:
    """Runs the cases one after the other, on one golden server, or on one that speaks TLS."""
    script, runs = "tests.golden.truth:varied", []
    with (
        golden(script) as plain,
        golden(script, CERTIFICATE) as sealed,
        busy_neighbour() as neighbour,
    ):
        for what in cases:
            with neighbour(what.busy):
                runs.append(drive(sealed if what.tls else plain, what, seconds))
        truth = {True: told(sealed), False: told(plain)}
    return [run._replace(truth=truth[run.case.tls]) for run in runs]


def drive(url: str, what: Case, seconds: float) -> Run:
    """Runs one case in this process."""
    where = replace(site(url), path=CHAT.path)
    arrivals: Iterable[float] = ()
    if isinstance(what.load, Open):
        arrivals = poisson(what.load.rate, seed=what.seed)
    slots = what.load.concurrency if isinstance(what.load, Closed) else 0

    def requests() -> Iterator[Prepared]:
        extras = frozenset({"max_tokens", "stream_options"})
        for n in count():
            request = Request(id=n, prompt="hi", prompt_tokens=1, max_tokens=what.tokens)
            yield Prepared(request, where.post(CHAT.body(request, what.model, extras)))

    captures: list[Capture] = []
    plan = Plan(
        address=resolve("127.0.0.1", where.port),
        host="localhost",
        tls=what.tls,
        ca=str(CERTIFICATE) if what.tls else None,
        load=what.load,
        due=list(takewhile(lambda due: due < seconds + 1.0, arrivals)),
        ramp=what.ttft + what.gap * what.tokens if slots else 0.0,
        warm_up=slots,
        duration=seconds,
        limit=10.0,
    )
    driven = Driver(plan, requests(), captures.append, lambda _: None).run()
    records = [record_of(capture, CHAT) for capture in captures]
    return Run(what, point(manifest_of(driven, what.load), records), records, driven)


def manifest_of(driven: Driven, load: Load) -> Manifest:
    """What the run would have been stored with."""
    window = driven.window or (0.0, 0.0)
    return manifest(load, window, clock_step=driven.clock_step, kernel_stamps=driven.kernel_stamps)


def told(url: str) -> Any:
    """All that a golden server knows, behind TLS or not."""
    context = ssl.create_default_context(cafile=str(CERTIFICATE)) if url[4] == "s" else None
    where = url.replace("127.0.0.1", "localhost") + "/truth"
    with urllib.request.urlopen(where, context=context) as answer:
        return json.load(answer)


def true_quantiles(run: Run) -> dict[str, dict[str, Span]]:
    """Between what each quantile of each metric truly was, over the good requests of the window."""
    spans: dict[str, list[Span]] = {n: [] for n in ("ttft", "ttft_user", "e2e", "tpot", "gap")}
    plan, _ = steady_part(
        manifest_of(run.driven, run.case.load), [digest(record) for record in run.records]
    )
    for record in run.records:
        if record.ok and in_window(record, plan):
            assert record.server_timings is not None
            known = run.truth[record.server_timings["golden"]]
            _spans(record, known, run.driven.started_at, spans)
    found: dict[str, dict[str, Span]] = {}
    for name, both in spans.items():
        low, high = np.asarray(both or [(0.0, 0.0)]).T
        found[name] = {
            label: (float(np.quantile(low, q)), float(np.quantile(high, q)))
            for label, q in QUANTILES.items()
        }
    return found


def sent(known: Any, zero: float) -> list[Span]:
    """The clocks around the sending of each token event of an answer."""
    return [
        (before - zero, after - zero)
        for before, after, tokens, _ in known["sent"]
        for _ in range(tokens or 0)
    ]


def _spans(record: Record, known: Any, zero: float, into: dict[str, list[Span]]) -> None:
    events = sent(known, zero)
    seen = [chunk for chunk in record.chunks if chunk.is_token]
    if len(seen) != len(events):
        raise AssertionError(f"{len(events)} tokens were sent, {len(seen)} read")
    assert record.sent_first is not None
    if known["arrived"] is None:
        asked = record.sent_first, record.sent_last or record.sent_first
    else:
        asked = known["arrived"] - zero, known["arrived"] - zero
    first, last = events[0], events[-1]
    into["ttft"].append((first[0] - asked[1], first[1] - asked[0]))
    into["ttft_user"].append((first[0] - record.due, first[1] - record.due))
    into["e2e"].append((last[0] - asked[1], last[1] - asked[0]))
    into["gap"] += [(b[0] - a[1], b[1] - a[0]) for a, b in pairwise(events)]
    if (steps := len(events) - 1) > 0:
        into["tpot"].append(((last[0] - first[1]) / steps, (last[1] - first[0]) / steps))
