"""The engine itself, in a process of its own: a pipeline, and the loop that steps it.

`step()` holds Python's global lock all the while, so nothing that should answer quickly can live
here. Orders come and steps go over one socket: a message for each step, with the tokens of all
requests (one for each token would cost the engine 5 to 18 %).
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from typing import Any, NamedTuple

import msgspec

from latok.engines.launch import die_with_parent
from latok.engines.prefix import BLOCK, PrefixMirror

_LOOKUP_NGRAM = 3  # tokens that must be the same, so that what followed them is guessed


class Add(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A request. `prompt`: token ids as little-endian int64. `temperature` 0: greedy."""

    id: int
    prompt: bytes
    max_tokens: int
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    ignore_eos: bool = False


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=True):
    id: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The pipeline is warm; `blocks` of 32 tokens fit in its pool."""

    blocks: int


class Taken(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """These requests are in the batch from the coming step on."""

    ids: list[int]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The pipeline cannot be made, or broke; the core is gone."""

    why: str


class Got(NamedTuple):
    """What a step gave to one request; `finish` is stop, length or error when it is the last."""

    id: int
    tokens: list[int]
    finish: str | None


class Step(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What one step did. Times are CLOCK_REALTIME seconds; `kv_used` is a share of the pool.

    `batch`: requests that were worked on; `steps` and `batched`: all steps and their batches so
    far, this one included. `first`: (id, cached tokens) of those worked on for the first time.
    `doubt`: blocks by which our mirror of the prefix cache and the pipeline differ.
    """

    began: float
    ended: float
    batch: int
    steps: int
    batched: int
    kv_used: float
    doubt: int
    first: list[tuple[int, int]]
    got: list[Got]


ORDERS = msgspec.msgpack.Decoder(Add | Cancel)
Report = Ready | Taken | Step | Failed
REPORTS = msgspec.msgpack.Decoder(Report)


def packed(message: Add | Cancel | Report) -> bytes:
    """A message as it goes over the socket: its length, then itself."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(4, "big") + data


class _Gone(Exception):
    """The other side of the socket is not there any more."""


class _Orders:
    """What the API wants, read without waiting while there is work, else as it comes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def read(self, *, wait: bool) -> list[Add | Cancel]:
        """Raises _Gone when the API's process is."""
        while self._poll.poll(None if wait else 0):
            data = self._sock.recv(1 << 20)
            if not data:
                raise _Gone
            self._buffer += data
            wait = False
        found: list[Add | Cancel] = []
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:4], "big")
            if len(self._buffer) < end:
                break
            found.append(ORDERS.decode(self._buffer[4:end]))
            del self._buffer[:end]
        return found


class _Job:
    """A request that the pipeline has."""

    __slots__ = (
        "add",
        "answering",
        "blocks",
        "cached",
        "handle",
        "new",
        "processed",
        "size",
        "started",
    )

    def __init__(self, add: Add, draft: int, keep: int | None) -> None:
        """`draft`: tokens that are guessed for a step. `keep`: tokens that cache eviction leaves of
        a request, None without it."""
        self.add = add
        self.size = len(add.prompt) // 8  # of the prompt, tokens
        most = self.size + add.max_tokens + draft
        if keep is not None:  # a block or two over, and no prompt is cut before it is read
            most = max(self.size, min(most, keep + 2 * BLOCK))
        self.blocks = -(-most // BLOCK)
        self.handle: Any = None
        self.cached = 0
        self.processed = 0  # tokens of the prompt
        self.started = False
        self.answering = False  # its prompt is behind it
        self.new: list[int] = []  # tokens of the step before


class Core:
    """Steps a pipeline; knows which request was worked on when, which the pipeline does not say."""

    def __init__(self, model: str, levers: dict[str, Any]) -> None:
        import openvino_genai

        self._genai = openvino_genai
        self._limit: int = levers["batch_limit"]
        self._step_tokens: int = levers["step_tokens"]
        self._keep: int | None = levers["cache_eviction"]
        self._draft: int = levers["draft_tokens"] if levers["speculation"] != "off" else 0
        self._pipeline: Any = pipeline_of(model, levers)
        self._prefix_cache: bool = levers["prefix_cache"]
        self._mirror: PrefixMirror | None = None
        self._free = 1 << 30  # blocks; known once warm
        self._waiting: deque[Add] = deque()
        self._running: dict[int, _Job] = {}
        self._failed: list[Got] = []
        self._steps = 0
        self._batched = 0

    def warm(self) -> int:
        """The first inference takes a second, which nobody should wait for. Returns the pool."""
        self.order(Add(0, bytes(8 * 2 * BLOCK), 8, ignore_eos=True))
        blocks = 0
        while self.busy:
            self.admit()
            step = self.step()
            if step.got and not blocks:
                blocks = round(2 / step.kv_used)  # the prompt is two of them
        self._free = blocks
        if self._prefix_cache:
            self._mirror = PrefixMirror(blocks)
        self._steps = self._batched = 0
        return blocks

    @property
    def busy(self) -> bool:
        return bool(
            self._waiting
            or self._running
            or self._failed
            or self._pipeline.has_non_finished_requests()
        )

    def order(self, order: Add | Cancel) -> None:
        if isinstance(order, Add):
            self._waiting.append(order)
        elif job := self._running.pop(order.id, None):
            job.handle.cancel()
            self._leave(job)
        else:
            self._waiting = deque(add for add in self._waiting if add.id != order.id)

    def step(self) -> Step:
        planned = self._plan()
        began = time.time()
        self._pipeline.step()
        ended = time.time()
        metrics = self._pipeline.get_metrics()
        batch: int = metrics.scheduled_requests
        in_use = self._mirror.in_use if self._mirror else 0
        self._steps += 1
        self._batched += batch
        first = self._first(planned, batch)
        got = [*self._failed, *self._read(first)]
        self._failed.clear()
        used = metrics.cache_usage / 100
        doubt = abs(round(used * self._mirror.size) - in_use) if self._mirror else 0
        return Step(
            began=began,
            ended=ended,
            batch=batch,
            steps=self._steps,
            batched=self._batched,
            kv_used=used,
            doubt=doubt,
            first=first,
            got=got,
        )

    def admit(self) -> list[int]:
        """Hands over what fits: into the batch, and with its whole answer into the pool; which.

        So the pipeline never has to take a request back, and what it works on first is what came
        first. A prompt's cached beginning is looked up when it is handed over.
        """
        taken: list[int] = []
        while self._waiting and len(self._running) < self._limit:
            add = self._waiting[0]
            job = _Job(add, self._draft, self._keep)
            if job.blocks > self._free and self._running:
                break
            self._waiting.popleft()
            try:
                job.handle = self._hand_over(add)
            except RuntimeError as why:
                print(f"request {add.id} was refused: {why}", file=sys.stderr, flush=True)
                self._failed.append(Got(add.id, [], "error"))
                continue
            self._free -= job.blocks
            self._running[add.id] = job
            taken.append(add.id)
            if self._mirror:
                ids = memoryview(add.prompt).cast("q").tolist()
                job.cached = job.processed = self._mirror.add(add.id, ids)
        return taken

    def _hand_over(self, add: Add) -> Any:
        import numpy as np
        import openvino

        config = self._genai.GenerationConfig(
            max_new_tokens=add.max_tokens,
            min_new_tokens=add.min_tokens,
            ignore_eos=add.ignore_eos,
            do_sample=add.temperature > 0,
            rng_seed=add.seed,
        )
        if add.temperature > 0:  # 0 is an error there, not greedy
            config.temperature = add.temperature
            config.top_p = add.top_p
        if self._draft:
            config.num_assistant_tokens = self._draft
            config.max_ngram_size = _LOOKUP_NGRAM
        prompt = openvino.Tensor(np.frombuffer(add.prompt, dtype=np.int64)[None, :].copy())
        return self._pipeline.add_request(add.id, prompt, config)

    def _plan(self) -> list[_Job]:
        """Requests whose prompt the coming step works on: in order, as far as its tokens go.

        Those that have their prompt behind them take a token each, and come first.
        """
        left, planned = self._step_tokens, []
        for job in self._running.values():
            if job.answering:
                left -= 1
                if self._mirror:
                    self._mirror.extend(job.add.id, job.new)
        for job in self._running.values():
            if job.answering or left <= 0:
                continue
            part = min(left, job.size - job.processed)
            left -= part
            job.processed += part
            planned.append(job)
            if self._mirror:
                self._mirror.fill(job.add.id, job.processed)
        return planned

    def _first(self, planned: list[_Job], batch: int) -> list[tuple[int, int]]:
        """Those of the plan that the step did begin with, by the pipeline's count of requests.

        Guessed tokens take room in a step too, so with speculation it may begin with fewer.
        """
        answering = sum(job.answering for job in self._running.values())
        fresh = [job for job in planned[: max(0, batch - answering)] if not job.started]
        for job in fresh:
            job.started = True
        return [(job.add.id, job.cached) for job in fresh]

    def _read(self, first: list[tuple[int, int]]) -> list[Got]:
        """What the step gave; whoever got a token was begun with, though the count said less (a
        request that was taken back is in it for one step more)."""
        got: list[Got] = []
        for id, job in list(self._running.items()):
            tokens: list[int] = []
            finish = None
            while job.handle.can_read():
                for output in job.handle.read().values():
                    tokens += output.generated_ids
                    reason = output.finish_reason.name
                    finish = None if reason == "NONE" else reason.lower()
            if tokens and not job.started:
                job.started = True
                first.append((id, job.cached))
            if not tokens and job.handle.get_status().name == "IGNORED":
                finish = "error"
            job.new = tokens
            job.answering = job.answering or bool(tokens)
            if tokens or finish:
                got.append(Got(id, tokens, finish))
            if finish:
                self._leave(self._running.pop(id))
        return got

    def _leave(self, job: _Job) -> None:
        self._free += job.blocks
        if self._mirror:
            self._mirror.drop(job.add.id)


def pipeline_of(model: str, levers: dict[str, Any]) -> Any:
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = levers["cache_gb"]
    scheduler.max_num_batched_tokens = levers["step_tokens"]
    scheduler.max_num_seqs = levers["batch_limit"]
    scheduler.enable_prefix_caching = levers["prefix_cache"]
    if levers["sparse_attention"] != "off":
        scheduler.use_sparse_attention = True
        scheduler.sparse_attention_config = genai.SparseAttentionConfig(
            mode=getattr(genai.SparseAttentionMode, levers["sparse_attention"].upper()),
            # trishape's default, 1,920, would leave all but the longest prompts as they are
            num_retained_recent_tokens_in_cache=512,
        )
    if levers["cache_eviction"] is not None:
        scheduler.use_cache_eviction = True
        scheduler.cache_eviction_config = genai.CacheEvictionConfig(
            start_size=BLOCK,
            recent_size=2 * BLOCK,
            max_cache_size=levers["cache_eviction"] // BLOCK * BLOCK,
            aggregation_mode=genai.AggregationMode.NORM_SUM,
            # its default, 8, fails on prompts of a few tokens over a block (2026.4.1: 33 tokens)
            snapkv_window_size=0,
        )
    properties: dict[str, Any] = {"KV_CACHE_PRECISION": levers["kv_cache"]}
    if levers["precision"] != "auto":
        properties["INFERENCE_PRECISION_HINT"] = levers["precision"]
    if levers["threads"] is not None:
        properties["INFERENCE_NUM_THREADS"] = levers["threads"]
    if levers["speculation"] == "prompt_lookup":
        properties["prompt_lookup"] = True
    return genai.ContinuousBatchingPipeline(model, scheduler, "CPU", properties)


def _main(fd: int, model: str, levers: dict[str, Any]) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the API's to answer
    sock = socket.socket(fileno=fd)
    orders = _Orders(sock)
    try:
        orders.read(wait=False)  # it may have gone before we asked to die with it
        core = Core(model, levers)
        sock.sendall(packed(Ready(core.warm())))
        while True:
            for order in orders.read(wait=not core.busy):
                core.order(order)
            if core.busy:
                if taken := core.admit():
                    sock.sendall(packed(Taken(taken)))
                sock.sendall(packed(core.step()))
    except (_Gone, OSError):
        # Not sys.exit: the pipeline's destructor complains of requests that are still in it.
        os._exit(0)
    except Exception as why:
        traceback.print_exc()
        sock.sendall(packed(Failed(str(why).strip().splitlines()[0])))
        os._exit(1)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
