"""OpenVINO GenAI behind OpenAI's API: this process answers, another one computes.

    HTTP ──► read, template, tokenise ──► Add ──► openvino_core: waiting → batch → step ─┐
    SSE  ◄── text, stop strings ◄── detokenise ◄── one Step for all requests ◄───────────┘

The `timings` of an answer are seconds on CLOCK_REALTIME, and its parts are all of it:
`total = tokenise + queue + prefill + decode + send`. They meet where a request was received,
tokenised, first in a step (the start of that step), given its first token (the end of that step),
given its last, and answered in full. Sending earlier tokens overlaps `decode`; `first_send`, from
the first token to its chunk's being written, is not a part but needed to explain a client's ttft.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import secrets
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from latok.engines.launch import announce_ready, cannot_listen, when_stdin_closes
from latok.engines.model import model_name
from latok.engines.openai import (
    ChatBody,
    CompletionBody,
    Refusal,
    Shape,
    TokenizeBody,
    Usage,
    read,
)
from latok.engines.openvino_core import (
    REPORTS,
    Add,
    Cancel,
    Failed,
    Got,
    Ready,
    Report,
    Step,
    Taken,
    packed,
)
from latok.engines.openvino_text import Text
from latok.engines.prefix import BLOCK
from latok.engines.table import ENGINES, effective, require
from latok.engines.text import Detokeniser, StopText
from latok.engines.variants import model_file
from latok.errors import TargetError
from latok.load.httpd import JSON, Exchange, error_body, port_of
from latok.load.httpd import serve as listen
from latok.version import VERSION

_SERVER = ("server", f"latok/{VERSION} openvino")
_EVENTS = (("content-type", "text/event-stream"), ("cache-control", "no-cache"), _SERVER)
_PHASES = ("tokenise", "queue", "prefill", "decode", "send")


class _Answer:
    """One request on its way: what was asked, where it goes, when what happened."""

    def __init__(
        self, exchange: Exchange, shape: Shape, add: Add, stops: list[str], *, stream: bool
    ) -> None:
        self.exchange = exchange
        self.shape = shape
        self.add = add
        self.stream = stream
        self.prompt_tokens = len(add.prompt) // 8
        self.tokens = 0
        self.cached = 0
        self.stop = StopText(stops)
        self.detokeniser: Detokeniser
        self.texts: list[str] = []
        self.tokenised = 0.0
        self.running = False  # in the batch, be it that its first step is under way
        self.scheduled: Step | None = None
        self.first: Step | None = None
        self.last: Step | None = None
        self.first_sent = 0.0

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.cached, self.tokens)

    def timings(self, now: float) -> dict[str, Any]:
        """Raises AssertionError before the last step: there is nothing to say yet."""
        scheduled, first, last = self.scheduled, self.first, self.last
        assert scheduled is not None
        assert first is not None
        assert last is not None
        received = self.exchange.received
        marks = (received, self.tokenised, scheduled.began, first.ended, last.ended, now)
        parts = {
            phase: max(0.0, round(end - start, 6))
            for phase, start, end in zip(_PHASES, marks, marks[1:], strict=False)
        }
        steps = last.steps - scheduled.steps + 1
        batched = last.batched - scheduled.batched + scheduled.batch
        return {
            "received": received,
            **parts,
            "total": round(sum(parts.values()), 6),
            **(
                {"first_send": max(0.0, round(self.first_sent - first.ended, 6))}
                if self.stream
                else {}
            ),
            "steps": steps,
            "mean_batch": round(batched / steps, 3),
            "cached_tokens": self.cached,
        }


class Api:
    """Reads requests, hands them to the core, writes what it gives. All on one event loop."""

    def __init__(
        self,
        *,
        model: str,
        text: Text,
        levers: Mapping[str, Any],
        blocks: int,
        send: Callable[[Add | Cancel], None],
    ) -> None:
        self.model = model
        self._text = text
        self._send = send
        self._pool = blocks * BLOCK
        self._context: int = min(levers["context_limit"], self._pool)
        self._queue_limit: int = levers["queue_limit"]
        self._batch_limit: int = levers["batch_limit"]
        self._prefix_cache: bool = levers["prefix_cache"]
        self._created = int(time.time())
        self._answers: dict[int, _Answer] = {}
        self._last_id = 0
        self._step: Step | None = None
        self._pace = 1.0  # seconds from one finished request to the next, smoothed
        self._finished_at = 0.0
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._finished: Counter[str] = Counter()
        self._routes: dict[tuple[str, str], Callable[[Exchange], None]] = {
            ("POST", "/v1/chat/completions"): functools.partial(self._generate, chat=True),
            ("POST", "/v1/completions"): functools.partial(self._generate, chat=False),
            ("POST", "/tokenize"): self._tokenize,
            ("GET", "/v1/models"): self._models,
            ("GET", "/health"): lambda exchange: _json(exchange, {"status": "ok"}),
            ("GET", "/metrics"): self._metrics,
        }

    def handle(self, exchange: Exchange) -> None:
        route = self._routes.get((exchange.method, exchange.path))
        try:
            if route is None:
                raise self._nowhere(exchange)
            route(exchange)
        except Refusal as why:
            self._finished["refused"] += 1
            headers = [("retry-after", str(self._retry_after()))] if why.status == 429 else []
            kind = "rate_limit_error" if why.status == 429 else "invalid_request_error"
            body = error_body(why.message, kind, why.param, why.code)
            exchange.respond(why.status, [JSON, _SERVER, *headers], body)

    def _nowhere(self, exchange: Exchange) -> Refusal:
        methods = [method for method, path in self._routes if path == exchange.path]
        if methods:
            return Refusal(f"{exchange.path} takes {', '.join(methods)}", status=405)
        paths = ", ".join(path for _, path in self._routes)
        return Refusal(f"there is no {exchange.path}; there are {paths}", status=404)

    # --- what is asked

    def _generate(self, exchange: Exchange, *, chat: bool) -> None:
        asked: ChatBody | CompletionBody
        if chat:
            asked = read(ChatBody, exchange.body)
            self._check_model(asked.model)
            ids = self._text.chat(asked.messages)
        else:
            asked = read(CompletionBody, exchange.body)
            self._check_model(asked.model)
            ids = self._prompt(asked.prompt)
        tokenised = time.time()
        limit = self._limit(len(ids), asked.limit, "messages" if chat else "prompt")
        if self._waiting(1) > self._queue_limit:
            raise Refusal(
                f"{self._queue_limit} requests are waiting already", status=429, code="queue_full"
            )
        self._last_id += 1
        add = Add(
            id=self._last_id,
            prompt=_int64(ids),
            max_tokens=limit,
            min_tokens=min(asked.min_tokens or 0, limit),
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            seed=secrets.randbits(32) if asked.seed is None else asked.seed % 2**32,
            ignore_eos=bool(asked.ignore_eos),
        )
        shape = Shape(
            chat=chat,
            id=f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(8)}",
            model=self.model,
            created=int(exchange.received),
            options=asked.stream_options,
        )
        answer = _Answer(exchange, shape, add, asked.stops, stream=bool(asked.stream))
        answer.detokeniser = Detokeniser(self._text.pieces)
        answer.tokenised = tokenised
        self._answers[add.id] = answer
        exchange.on_gone = functools.partial(self._gone, answer)
        if answer.stream:
            exchange.start(200, _EVENTS)
        self._send(add)

    def _check_model(self, model: str | None) -> None:
        if model not in (None, self.model):
            raise Refusal(
                f"there is no model '{model}' here; there is '{self.model}'",
                status=404,
                param="model",
                code="model_not_found",
            )

    def _prompt(self, prompt: str | list[str | int | list[int]]) -> list[int]:
        one: Any = prompt
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
            if len(prompt) > 1:
                raise Refusal("this engine takes one prompt for each request", param="prompt")
            one = prompt[0]
        if isinstance(one, str):
            return self._text.ids(one)
        if not all(isinstance(id, int) and 0 <= id < len(self._text.pieces) for id in one):
            raise Refusal("the prompt has ids that are no tokens of this model", param="prompt")
        return list(one)

    def _limit(self, prompt: int, asked: int | None, param: str) -> int:
        """How many tokens may be generated. Raises Refusal if the answer could not fit."""
        if not prompt:
            raise Refusal("the prompt is empty", param=param)
        room = self._context - prompt
        if room < (asked or 1):
            raise Refusal(
                f"the context is {self._context} tokens, but {prompt} in the prompt"
                f" and {asked or 1} in the answer are {prompt + (asked or 1)}",
                param=param,
                code="context_length_exceeded",
            )
        return asked or room

    def _tokenize(self, exchange: Exchange) -> None:
        asked = read(TokenizeBody, exchange.body)
        self._check_model(asked.model)
        if (asked.prompt is None) == (asked.messages is None):
            raise Refusal("give either prompt or messages", param="prompt")
        if asked.messages is not None:
            ids = self._text.chat(asked.messages, answer=asked.add_generation_prompt)
        else:
            ids = self._text.ids(asked.prompt or "")
        _json(exchange, {"count": len(ids), "max_model_len": self._context, "tokens": ids})

    # --- what the core gives

    def take(self, report: Step | Taken) -> None:
        """Writes what a step gave to whom it belongs; marks those who run before it is over."""
        if isinstance(report, Step):
            self._take(report)
            return
        for id in report.ids:
            if answer := self._answers.get(id):
                answer.running = True

    def _take(self, step: Step) -> None:
        self._step = step
        self._sums["steps"] += 1
        self._sums["batched"] += step.batch
        self._sums["step_seconds"] += step.ended - step.began
        for id, cached in step.first:
            if answer := self._answers.get(id):
                answer.scheduled = step
                answer.cached = cached
                if self._prefix_cache:
                    self._sums["prefix_queried"] += answer.prompt_tokens
                    self._sums["prefix_hit"] += cached
        for got in step.got:
            if answer := self._answers.get(got.id):
                self._give(answer, got, step)

    def _give(self, answer: _Answer, got: Got, step: Step) -> None:
        if got.finish == "error":
            self._fail(answer, "the engine gave up on this request")
            return
        answer.tokens += len(got.tokens)
        answer.first = answer.first or step
        answer.last = step
        text = answer.stop.push(answer.detokeniser.push(got.tokens))
        finish = got.finish
        if finish:
            text += answer.stop.push(answer.detokeniser.end())
            text += "" if answer.stop.hit else answer.stop.end()
        if answer.stop.hit:
            if not finish:
                self._send(Cancel(answer.add.id))
            finish = "stop"
        if finish:
            self._finish(answer, text, finish)
        elif answer.stream:
            answer.exchange.write(answer.shape.chunk(text, answer.usage))
            answer.first_sent = answer.first_sent or time.time()
        else:
            answer.texts.append(text)

    def _finish(self, answer: _Answer, text: str, finish: str) -> None:
        del self._answers[answer.add.id]
        now = time.time()
        answer.first_sent = answer.first_sent or now
        timings = answer.timings(now)
        said, shape, usage = msgspec.json.encode(timings), answer.shape, answer.usage
        if answer.stream:
            answer.exchange.end(shape.chunk(text, usage, finish, said) + shape.last(usage))
        else:
            whole = shape.whole("".join([*answer.texts, text]), usage, finish, said)
            answer.exchange.respond(200, [JSON, _SERVER], whole)
        for phase in _PHASES:
            self._sums[phase] += timings[phase]
        self._count(answer, finish)
        self._pace += 0.1 * (min(now - (self._finished_at or now), 60.0) - self._pace)
        self._finished_at = now

    def _count(self, answer: _Answer, reason: str) -> None:
        self._finished[reason] += 1
        self._sums["prompt_tokens"] += answer.prompt_tokens
        self._sums["generation_tokens"] += answer.tokens

    def _gone(self, answer: _Answer) -> None:
        """The client has left: so does its request, at the next step."""
        if self._answers.pop(answer.add.id, None):
            self._send(Cancel(answer.add.id))
            self._count(answer, "cancelled")

    def _fail(self, answer: _Answer, why: str) -> None:
        del self._answers[answer.add.id]
        self._count(answer, "error")
        body = error_body(why, "server_error")
        if answer.stream:  # the status has been sent, so it is said in the stream
            answer.exchange.end(b"data: " + body + b"\n\ndata: [DONE]\n\n")
        else:
            answer.exchange.respond(500, [JSON, _SERVER], body)

    def fail_all(self, why: str) -> None:
        """Tells all who wait that nothing will come."""
        for answer in list(self._answers.values()):
            self._fail(answer, why)

    # --- what is said of it

    def _waiting(self, more: int = 0) -> int:
        """Requests, with so many more, that the batch has no room for."""
        return max(0, len(self._answers) + more - max(self._batch_limit, self._running()))

    def _running(self) -> int:
        return sum(answer.running for answer in self._answers.values())

    def _retry_after(self) -> int:
        """Seconds until about half of those who wait now have had their turn."""
        return max(1, min(60, math.ceil(self._pace * self._waiting() / 2)))

    def _models(self, exchange: Exchange) -> None:
        model = {
            "id": self.model,
            "object": "model",
            "created": self._created,
            "owned_by": "latok",
            "max_model_len": self._context,
        }
        _json(exchange, {"object": "list", "data": [model]})

    def _metrics(self, exchange: Exchange) -> None:
        running, step, sums = self._running(), self._step, self._sums
        gauges = {
            "requests_running": running,
            "requests_waiting": len(self._answers) - running,
            "kv_cache_usage": step.kv_used if step and self._answers else 0.0,
            "kv_cache_tokens": self._pool,
            "prefix_cache_doubt_blocks": step.doubt if step else 0,
        }
        totals = {
            "prompt_tokens_total": sums["prompt_tokens"],
            "generation_tokens_total": sums["generation_tokens"],
            "prefix_cache_queried_tokens_total": sums["prefix_queried"],
            "prefix_cache_hit_tokens_total": sums["prefix_hit"],
            "steps_total": sums["steps"],
            "step_seconds_total": sums["step_seconds"],
            "batched_requests_total": sums["batched"],
        }
        lines = [
            f"# TYPE latok:{name} gauge\nlatok:{name} {value}" for name, value in gauges.items()
        ]
        lines += [
            f"# TYPE latok:{name} counter\nlatok:{name} {value}" for name, value in totals.items()
        ]
        lines.append("# TYPE latok:phase_seconds_total counter")
        lines += [f'latok:phase_seconds_total{{phase="{p}"}} {sums[p]}' for p in _PHASES]
        lines.append("# TYPE latok:requests_finished_total counter")
        lines += [
            f'latok:requests_finished_total{{reason="{reason}"}} {self._finished[reason]}'
            for reason in ("stop", "length", "cancelled", "error", "refused")
        ]
        body = "\n".join([*lines, ""]).encode()
        exchange.respond(200, [("content-type", "text/plain; version=0.0.4"), _SERVER], body)


def _json(exchange: Exchange, said: Any) -> None:
    exchange.respond(200, [JSON, _SERVER], msgspec.json.encode(said))


def _int64(ids: list[int]) -> bytes:
    return array("q", ids).tobytes()


# --- the process ---------------------------------------------------------------------------------


def serve(
    *,
    host: str,
    port: int,
    levers: Mapping[str, Any],
    until_stdin_closes: bool,
    announce: Callable[[str], None],
) -> None:
    """Serves until Ctrl-C, SIGTERM or, if asked, the end of standard input.

    `port` 0 takes a free one. When it answers, it says so: to `announce`, or, to whoever launched
    it and holds its standard input, as one line of JSON on standard output. Raises UsageError if it
    cannot be started as asked, TargetError if the core dies.
    """
    values = effective("openvino", levers)
    require(ENGINES["openvino"])
    path = str(model_file(values, announce))
    asyncio.run(_serve(host, port, values, path, until_stdin_closes, announce))


async def _serve(
    host: str,
    port: int,
    levers: Mapping[str, Any],
    path: str,
    until_stdin_closes: bool,
    announce: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    if until_stdin_closes:
        when_stdin_closes(lambda: loop.call_soon_threadsafe(stop))
    api: Api | None = None

    def handle(exchange: Exchange) -> None:
        if api is None:
            body = error_body("the model is being loaded", "unavailable_error")
            exchange.respond(503, [JSON, _SERVER, ("retry-after", "5")], body)
        else:
            api.handle(exchange)

    try:
        server = await listen(handle, host, port)
    except OSError as why:
        raise cannot_listen(host, port, why) from None
    ours, theirs = socket.socketpair()
    core = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "latok.engines.openvino_core"),
            *(str(theirs.fileno()), path, json.dumps(levers)),
        ],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,  # it has nothing to say there, but the library may
    )
    theirs.close()
    try:
        reader, writer = await asyncio.open_connection(sock=ours)
        text = Text(path)  # while the core loads its own
        warming = asyncio.create_task(_report(reader))
        await _either(stopped, warming)
        if stopped.done():
            return
        ready = warming.result()
        if not isinstance(ready, Ready):
            raise TargetError(f"the engine's core did not start: {_why(ready, core)}")
        api = Api(
            model=model_name(Path(path)),
            text=text,
            levers=levers,
            blocks=ready.blocks,
            send=lambda order: writer.write(packed(order)),
        )
        url = f"http://{host}:{port_of(server)}"
        announce_ready(url, api.model, until_stdin_closes, announce)
        following = asyncio.create_task(_follow(reader, api))
        await _either(stopped, following)
        last_word = "the engine is stopping"
        if not stopped.done():
            last_word = f"the engine's core is gone: {_why(following.result(), core)}"
        api.fail_all(last_word)
        await asyncio.sleep(0)  # what was written goes out
        if not stopped.done():
            raise TargetError(last_word)
    finally:
        server.close()
        core.kill()  # it has nothing to save
        core.wait()


async def _either(stopped: asyncio.Future[None], task: asyncio.Task[Any]) -> None:
    """Waits for what comes first; the task does not outlive it."""
    await asyncio.wait((stopped, task), return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()


async def _report(reader: asyncio.StreamReader) -> Report | None:
    """The next message of the core; None if it is gone."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        report: Report = REPORTS.decode(await reader.readexactly(size))
        return report
    except (asyncio.IncompleteReadError, OSError):
        return None


async def _follow(reader: asyncio.StreamReader, api: Api) -> Ready | Failed | None:
    """Hands the core's reports to the API; returns its last word."""
    while isinstance(report := await _report(reader), Step | Taken):
        api.take(report)
    return report


def _why(report: Report | None, core: subprocess.Popen[bytes]) -> str:
    if isinstance(report, Failed):
        return report.why
    code = core.wait()
    return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
