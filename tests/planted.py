"""A server whose laws are planted: a continuous-batching engine of a few lines.

In virtual time (`Simulated`) it answers probes at once, over a network with jitter; in real time
`tests/golden/planted.py` is a golden server that plays the same engine.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from latok.analysis.probed import Ask, Probe
from latok.records import Chunk, Connection, Record, Usage


@dataclass(frozen=True, kw_only=True)
class Laws:
    """Seconds and tokens. `fixed`: before the engine sees a request. A step takes `decode`, and
    `per_stream` for each further stream, `per_context` for each token that they hold, and `prefill`
    for each token of a prompt, of which there are `step_tokens` at the most in one step (None: all
    that wait, whole). `block`: of the prefix cache, 0 for none, found from `from_tokens` on.
    `chunk`: tokens in an event. `fake`: everything is sent when all is done. `stall`: how long the
    server stands still, each `stall_each`."""

    rtt: float = 0.001
    fixed: float = 0.015
    prefill: float = 2e-4
    curvature: float = 0.0
    decode: float = 0.008
    per_stream: float = 2e-4
    per_context: float = 0.0
    batch_limit: int = 1000
    step_tokens: int | None = 256
    block: int = 0
    from_tokens: int = 0
    chunk: int = 1
    fake: bool = False
    stall: float = 0.0
    stall_each: float = 2.0


@dataclass(eq=False)
class Job:
    """A request in the engine. `events`: when tokens were let go, and how many."""

    arrival: float
    prompt: int
    output: int
    cached: int = 0
    done: int = 0
    made: int = 0
    held: int = 0
    events: list[tuple[float, int]] = field(default_factory=list)
    started: float | None = None

    @property
    def over(self) -> bool:
        return self.made >= self.output


class Engine:
    """Steps, one after another. `noise`: of a step's time, relative standard deviation."""

    def __init__(self, laws: Laws, *, seed: int, noise: float = 0.02, zero: float = 0.0) -> None:
        self.laws = laws
        self._rng = random.Random(seed)
        self._noise = noise
        self._zero = zero
        self._waiting: list[tuple[float, int, Job]] = []
        self._serial = 0
        self._running: list[Job] = []
        self._planned: list[tuple[Job, int]] = []
        self.step_end: float | None = None  # of the step that is under way
        self._free_at = zero

    def add(self, job: Job) -> None:
        self._serial += 1
        heapq.heappush(self._waiting, (job.arrival, self._serial, job))

    @property
    def next_start(self) -> float | None:
        """When the next step begins, of those that are not yet; None while nobody asks."""
        if self._running:
            return self._free_at
        return max(self._free_at, self._waiting[0][0]) if self._waiting else None

    def begin(self) -> None:
        """Begins the next step, with all who have arrived by then."""
        start, laws = self.next_start, self.laws
        assert start is not None
        while self._waiting and self._waiting[0][0] <= start:
            if len(self._running) >= laws.batch_limit:
                break
            _, _, job = heapq.heappop(self._waiting)
            job.done = job.cached
            self._running.append(job)
        left = math.inf if laws.step_tokens is None else laws.step_tokens
        seconds, decoding = 0.0, 0
        self._planned = []
        for job in self._running:
            if job.done == job.prompt:
                decoding += 1
                seconds += laws.per_context * (job.prompt + job.made)
                self._planned.append((job, 0))
        for job in self._running:
            part = int(min(job.prompt - job.done, left))
            if part > 0:
                left -= part
                job.started = start if job.started is None else job.started
                ends = job.done + part
                seconds += laws.prefill * part + laws.curvature * (ends**2 - job.done**2)
                self._planned.append((job, part))
        if decoding:
            seconds += laws.decode + laws.per_stream * (decoding - 1)
        seconds *= math.exp(self._rng.gauss(0.0, self._noise))
        self.step_end = self._stalled(start, start + seconds)

    def _stalled(self, start: float, end: float) -> float:
        """When a step ends that would have ended at `end`, had the server not stood still."""
        laws = self.laws
        if not laws.stall:
            return end
        at = self._zero + math.ceil((start - self._zero) / laws.stall_each) * laws.stall_each
        while at < end:
            end += laws.stall
            at += laws.stall_each
        return end

    def finish(self) -> list[Job]:
        """Ends the step; the jobs that are over with it."""
        end = self.step_end
        assert end is not None
        for job, part in self._planned:
            job.done += part
            if job.done == job.prompt:
                job.made += 1
                job.held += 1
                full = job.held == self.laws.chunk and not self.laws.fake
                if full or job.over:
                    self._let_go(job, end)
        over = [job for job in self._running if job.over]
        self._running = [job for job in self._running if not job.over]
        self._free_at, self.step_end = end, None
        return over

    def _let_go(self, job: Job, end: float) -> None:
        size = self.laws.chunk
        while job.held:
            tokens = min(size, job.held)
            job.events.append((end, tokens))
            job.held -= tokens

    def known(self, shared: int, longest: int) -> int:
        """How many tokens of a prompt are in the cache, if it has so many in common."""
        block, common = self.laws.block, min(shared, longest)
        if not block or common < self.laws.from_tokens:
            return 0
        return common // block * block


class Simulated:
    """A client of the engine, in virtual time: what `probe` asks, as Records."""

    def __init__(self, laws: Laws, *, seed: int, template: int = 7, noise: float = 0.02) -> None:
        self._laws = laws
        self._rng = random.Random(seed + 1)
        self._engine = Engine(laws, seed=seed, noise=noise, zero=self._rng.random())
        self._template = template  # tokens that the server puts around a text, some of them before
        self._longest = 0
        self.now = 0.0

    def ask(self, probe: Probe) -> list[Record]:
        """Holds it, from some time after the last."""
        self.now += self._rng.uniform(0.2, 0.5)
        start, engine = self.now, self._engine
        sends: list[tuple[float, int]] = []
        asks = list(enumerate(probe.asks))
        if any(ask.at is not None for ask in probe.asks):
            sends = [(start + (ask.at or 0.0), n) for n, ask in asks]
            queue: Iterator[tuple[int, Ask]] = iter(())
        else:
            queue = iter(asks)
            for _ in range(min(probe.concurrency, len(asks))):
                sends.append((start, next(queue)[0]))
        heapq.heapify(sends)
        sent: dict[int, float] = {}
        numbers: dict[int, int] = {}
        records: dict[int, Record] = {}
        fresh = max(probe.concurrency, 1)
        while sends or engine.next_start is not None:
            begins = engine.next_start
            if sends and (begins is None or sends[0][0] <= begins):
                at, n = heapq.heappop(sends)
                job = self._job(at, probe.asks[n])
                sent[n], numbers[id(job)] = at, n
                engine.add(job)
                continue
            engine.begin()
            for job in engine.finish():
                n = numbers[id(job)]
                records[n] = self._record(n, probe.asks[n], sent[n], job, n < fresh)
                self.now = max(self.now, records[n].closed_at or 0.0)
                if (following := next(queue, None)) is not None:
                    heapq.heappush(sends, ((records[n].closed_at or 0.0) + 1e-4, following[0]))
        return [records[n] for n in sorted(records)]

    def _job(self, at: float, ask: Ask) -> Job:
        laws = self._laws
        fixed = laws.fixed * math.exp(self._rng.gauss(0.0, 0.05))
        if self._rng.random() < 0.01:  # something else had its turn
            fixed += 0.02
        before = self._template // 2
        cached = self._engine.known(ask.shared + before, self._longest)
        if ask.shared:
            self._longest = max(self._longest, ask.shared + before)
        return Job(
            arrival=at + laws.rtt / 2 + fixed,
            prompt=ask.prompt_tokens + self._template,
            output=ask.max_tokens,
            cached=cached,
        )

    def _record(self, n: int, ask: Ask, sent: float, job: Job, fresh: bool) -> Record:
        chunks, before = [], 0.0
        for at, _ in job.events:
            jitter = self._rng.expovariate(1 / 1e-4)
            before = max(at + self._laws.rtt / 2 + jitter, before)  # TCP keeps the order
            chunks.append(Chunk(before, None, "content"))
        connect = self._laws.rtt * (1 + self._rng.expovariate(1 / 0.05))
        return Record(
            id=n,
            app="explain",
            prompt_tokens=ask.prompt_tokens,
            max_tokens=ask.max_tokens,
            due=sent,
            sent_first=sent,
            sent_last=sent,
            headers_at=job.arrival + self._laws.rtt / 2,
            closed_at=before,
            status=200,
            finish_reason="length",
            usage=Usage(job.prompt, job.output),
            connection=Connection(False, connect) if fresh else Connection(),
            chunks=tuple(chunks),
            server_timings={"queue": (job.started or 0.0) - job.arrival},
        )
