"""The golden server: it knows what it sends, and when it truly sent it.

An instrument is judged against it. It speaks HTTP on its own epoll loop, one thread, one process;
what it answers is a script, a list of steps with absolute times. `GET /truth` gives, for every
request, when it arrived (the kernel's stamp), when it was received, and when each step was truly
sent (the clock before and after the `send`), all on one clock. A script's last event carries
`timings.golden`, the number of the request in that list, so that each Record finds its truth.

    with golden("tests.golden.scripts:steady") as url: ...
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import importlib
import json
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httptools

from latok.load.socket import SO_TIMESTAMPNS, receive

_SPIN = 0.002  # epoll rounds to milliseconds; before a due step we poll
_READ = 1 << 16


class Step(NamedTuple):
    """One thing to do, `at` seconds after the request was received.

    `data` goes out as it is (a script writes its own HTTP framing); `tokens` and `kind` say what
    a reader should make of it (None: it cannot know how many). `end`: then close politely
    (`close`), with a reset (`reset`), our half only (`half`); or the whole server dies, every
    connection with it (`die`), until a later step raises it again (`rise`).
    """

    at: float
    data: bytes = b""
    tokens: int | None = 0
    kind: str = ""
    end: Literal["", "close", "reset", "half", "die", "rise"] = ""


class Asked(NamedTuple):
    """A request as a script sees it: its number (from 0), method and path, headers, JSON body."""

    n: int
    method: str
    path: str
    headers: dict[str, str]
    body: Any


Script = Callable[[Asked], Iterable[Step]]


def chunked(body: bytes) -> bytes:
    """One chunk of a chunked response."""
    return b"%x\r\n%b\r\n" % (len(body), body)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TAIL = b"0\r\n\r\n"


def response(value: Any, status: str = "200 OK", headers: str = "") -> bytes:
    """A JSON value as a whole response. `headers` are lines, each with its end."""
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


NOT_FOUND = response({"detail": "Not Found"}, "404 Not Found")


def event(value: Any) -> bytes:
    """A JSON value as one server-sent event in one HTTP chunk."""
    return chunked(b"data: " + json.dumps(value).encode() + b"\n\n")


_CHUNK = {"object": "chat.completion.chunk"}  # some clients read nothing without it


@cache
def _token(n: int) -> bytes:
    return event(_CHUNK | {"choices": [{"delta": {"content": f" {n}"}}]})


def steady(asked: Asked) -> Iterator[Step]:
    """Tokens at an even pace, as the request's `model` says: `steady:ttft=0.05,gap=0.02`.

    One token an event, `max_tokens` of them, then usage with the golden number, then [DONE]. Who
    asks for models is told of one.
    """
    if not asked.path.endswith("/completions"):
        models = response({"data": [{"id": "steady"}]})
        yield Step(0.0, models if asked.path == "/v1/models" else NOT_FOUND)
        return
    words = dict(w.split("=") for w in str(asked.body["model"]).partition(":")[2].split(",") if w)
    ttft, gap = float(words.get("ttft", 0.05)), float(words.get("gap", 0.02))
    tokens = int(asked.body.get("max_tokens") or asked.body["max_completion_tokens"])
    role = _CHUNK | {"choices": [{"delta": {"role": "assistant"}}]}
    yield Step(0.0, HEAD + event(role), 0, "role")
    for n in range(tokens):
        yield Step(ttft + n * gap, _token(n), 1, "content")
    last = _CHUNK | {
        "choices": [{"delta": {}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens},
        "timings": {"golden": asked.n},
    }
    tail = event(last) + chunked(b"data: [DONE]\n\n") + TAIL
    yield Step(ttft + (tokens - 1) * gap + 0.0005, tail, 0, "done")


class _Talk:
    """One connection: the request that is coming in on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.parser: Any = httptools.HttpRequestParser(self)
        self.path, self.headers, self.body, self.complete = "", dict[str, str](), b"", False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_url(self, url: bytes) -> None:
        self.path = url.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class _Answer(NamedTuple):
    """A script being played: to whom, what is left of it, since when, and what was sent."""

    talk: _Talk
    steps: Iterator[Step]
    received: float
    sent: list[Any]


class Golden:
    """The server. `run()` serves until `stop()`."""

    def __init__(
        self,
        script: Script,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        """`certificate`: speaks TLS with it; its key is in the same file."""
        self._script = script
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._epoll = select.epoll()
        self._address = host, port
        self._listen()
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self._address[1]}"
        self._talks: dict[int, _Talk] = {}
        self._due: list[tuple[float, int, Step, _Answer]] = []
        self._serial = 0
        self._truth: list[dict[str, Any]] = []
        self._stopped = False

    def stop(self, *_: Any) -> None:
        self._stopped = True

    def run(self) -> None:
        """Serves. Every step is sent at its time or as soon after as one thread can."""
        while not self._stopped:
            wait = min(self._due[0][0] - time.time() - _SPIN if self._due else 0.1, 0.1)
            for fd, _ in self._epoll.poll(max(int(wait * 1000), 0) / 1000):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._talks:
                    self._receive(self._talks[fd])
            while self._due and self._due[0][0] <= time.time():
                _, _, step, answer = heapq.heappop(self._due)
                self._send(step, answer)
        self._die()
        self._epoll.close()

    def _listen(self) -> None:
        self._listener = socket.create_server(self._address, backlog=4096)
        self._listener.setblocking(False)
        with contextlib.suppress(OSError):  # what is accepted inherits it
            self._listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._address = self._listener.getsockname()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def _die(self) -> None:
        """The process is gone, as its clients see it: connections reset, and nobody listens."""
        if self._listener.fileno() < 0:
            return
        self._epoll.unregister(self._listener.fileno())
        self._listener.close()
        for talk in list(self._talks.values()):
            self._close(talk, reset=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    sock = self._tls.wrap_socket(
                        sock, server_side=True, do_handshake_on_connect=False
                    )
                self._talks[sock.fileno()] = _Talk(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _receive(self, talk: _Talk) -> None:
        stamp = 0
        try:
            if self._tls is None:
                view, stamp = receive(talk.sock)
                data = bytes(view)
            else:
                # of a TLS record more than it holds: none is left behind
                data = talk.sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        if not data:
            self._close(talk)
            return
        talk.parser.feed_data(data)
        if talk.complete:
            self._answer(talk, time.time(), stamp * 1e-9 or None)

    def _answer(self, talk: _Talk, received: float, arrived: float | None) -> None:
        method = talk.parser.get_method().decode()
        path, headers, body = talk.path, talk.headers, talk.body
        talk.parser = httptools.HttpRequestParser(talk)
        talk.headers, talk.body, talk.complete = {}, b"", False
        sent: list[Any] = []
        asked = Asked(len(self._truth), method, path, headers, json.loads(body or b"null"))
        if path == "/truth":
            steps: Iterable[Step] = [Step(0.0, response(self._truth))]
        else:
            steps = self._script(asked)
        if method == "POST":
            self._truth.append(
                {"arrived": arrived, "received": received, "path": path, "sent": sent}
            )
        self._next(_Answer(talk, iter(steps), received, sent))

    def _next(self, answer: _Answer) -> None:
        step = next(answer.steps, None)
        if step is not None:
            self._serial += 1  # of two steps at one time the first scheduled goes first
            heapq.heappush(self._due, (answer.received + step.at, self._serial, step, answer))

    def _send(self, step: Step, answer: _Answer) -> None:
        if step.end == "rise":
            if self._listener.fileno() < 0:
                self._listen()
            return
        sock = answer.talk.sock
        if sock.fileno() < 0:  # the client left
            return
        before = time.time()
        try:
            size = sock.send(step.data) if step.data else 0
        except (BlockingIOError, ssl.SSLWantWriteError):
            size = 0
        except OSError:
            self._close(answer.talk)
            return
        if size < len(step.data):  # the client is slow: the rest a little later
            rest = step._replace(data=step.data[size:])
            self._serial += 1
            heapq.heappush(self._due, (before + 0.001, self._serial, rest, answer))
            return
        answer.sent.append((before, time.time(), step.tokens, step.kind))
        if step.end == "half":
            sock.shutdown(socket.SHUT_WR)
        elif step.end == "die":
            self._die()
            self._next(answer)
        elif step.end:
            self._close(answer.talk, reset=step.end == "reset")
        else:
            self._next(answer)

    def _close(self, talk: _Talk, *, reset: bool = False) -> None:
        fd = talk.sock.fileno()
        if fd >= 0:
            if reset:
                linger = struct.pack("ii", 1, 0)
                talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._talks.pop(fd, None)
            self._epoll.unregister(fd)
            talk.sock.close()


# --- in a process of its own ---------------------------------------------------------------------


@contextlib.contextmanager
def golden(
    script: str = "latok.load.golden:steady", certificate: Path | None = None
) -> Iterator[str]:
    """Starts the server with the script at `module:function` and gives its URL."""
    command = [sys.executable, "-m", "latok.load.golden", script]
    command += [str(certificate)] if certificate else []
    # It inherits that it hears no Ctrl-C of the terminal: it ends when its owner says. (Where we
    # have other threads one of them may hear it and interrupt us while we start the server.)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as server:
            assert server.stdout is not None
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # a Ctrl-C so far comes here
                yield server.stdout.readline().decode().strip()
            finally:
                server.terminate()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(script: str, certificate: Path | None = None) -> None:
    module, _, name = script.partition(":")
    sys.path.insert(0, "")
    server = Golden(getattr(importlib.import_module(module), name), certificate=certificate)
    signal.signal(signal.SIGTERM, server.stop)
    try:
        os.write(sys.stdout.fileno(), f"{server.url}\n".encode())
    except BrokenPipeError:  # who wanted it was interrupted while it started us
        return
    gc.freeze()
    gc.disable()
    server.run()


if __name__ == "__main__":
    _serve(sys.argv[1], *map(Path, sys.argv[2:]))
