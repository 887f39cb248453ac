"""The golden server: it knows what it sends, and when it truly sent it.

An instrument is judged against it. It speaks HTTP on its own epoll loop, one thread, one process;
what it answers is a script, a list of steps with absolute times. `GET /truth` gives, for every
request, when it was received and when each step was truly sent (the clock before and after the
`send`), on the same clock as the kernel's stamps. A script's last event carries `timings.golden`,
the number of the request in that list, so that each Record finds its truth.

    with golden("tests.golden.scripts:steady") as url: ...
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import importlib
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import httptools

_SPIN = 0.002  # epoll rounds to milliseconds; before a due step we poll
_READ = 1 << 16


class Step(NamedTuple):
    """One thing to do, `at` seconds after the request was received.

    `data` goes out as it is (a script writes its own HTTP framing); `tokens` and `kind` say what
    a reader should make of it; `end`: then close politely (`close`) or with a reset (`reset`).
    """

    at: float
    data: bytes
    tokens: int = 0
    kind: str = ""
    end: Literal["", "close", "reset"] = ""


class Asked(NamedTuple):
    """A request as a script sees it: its number (from 0), the path, the JSON body."""

    n: int
    path: str
    body: Any


Script = Callable[[Asked], Iterable[Step]]


def chunked(body: bytes) -> bytes:
    """One chunk of a chunked response."""
    return b"%x\r\n%b\r\n" % (len(body), body)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TAIL = b"0\r\n\r\n"


def event(value: Any) -> bytes:
    """A JSON value as one server-sent event in one HTTP chunk."""
    return chunked(b"data: " + json.dumps(value).encode() + b"\n\n")


def steady(asked: Asked) -> Iterator[Step]:
    """Tokens at an even pace, as the request's `model` says: `steady:ttft=0.05,gap=0.02`.

    One token an event, `max_tokens` of them, then usage with the golden number, then [DONE].
    """
    words = dict(w.split("=") for w in str(asked.body["model"]).partition(":")[2].split(",") if w)
    ttft, gap = float(words.get("ttft", 0.05)), float(words.get("gap", 0.02))
    tokens = int(asked.body["max_tokens"])
    yield Step(0.0, HEAD + event({"choices": [{"delta": {"role": "assistant"}}]}), 0, "role")
    for n in range(tokens):
        said = {"choices": [{"delta": {"content": f" {n}"}}]}
        yield Step(ttft + n * gap, event(said), 1, "content")
    last = {
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
        self.path, self.body, self.complete = "", b"", False

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

    def __init__(self, script: Script, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._script = script
        self._listener = socket.create_server((host, port), backlog=4096)
        self._listener.setblocking(False)
        self.url = f"http://{host}:{self._listener.getsockname()[1]}"
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
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

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._talks[sock.fileno()] = _Talk(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _receive(self, talk: _Talk) -> None:
        try:
            data = talk.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(talk)
            return
        talk.parser.feed_data(data)
        if talk.complete:
            self._answer(talk, time.time())

    def _answer(self, talk: _Talk, received: float) -> None:
        path, body = talk.path, talk.body
        talk.parser = httptools.HttpRequestParser(talk)
        talk.body, talk.complete = b"", False
        if path == "/truth":
            self._whole(talk, self._truth)
        elif path == "/v1/models":
            self._whole(talk, {"data": [{"id": "steady"}]})
        elif path == "/tokenize":
            talk.sock.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        else:
            sent: list[Any] = []
            asked = Asked(len(self._truth), path, json.loads(body or b"null"))
            self._truth.append({"received": received, "path": path, "sent": sent})
            self._next(_Answer(talk, iter(self._script(asked)), received, sent))

    def _whole(self, talk: _Talk, value: Any) -> None:
        body = json.dumps(value).encode()
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        talk.sock.setblocking(True)
        talk.sock.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        talk.sock.setblocking(False)

    def _next(self, answer: _Answer) -> None:
        step = next(answer.steps, None)
        if step is not None:
            self._serial += 1  # of two steps at one time the first scheduled goes first
            heapq.heappush(self._due, (answer.received + step.at, self._serial, step, answer))

    def _send(self, step: Step, answer: _Answer) -> None:
        sock = answer.talk.sock
        if sock.fileno() < 0:  # the client left
            return
        before = time.time()
        try:
            sock.send(step.data)
        except OSError:
            self._close(answer.talk)
            return
        answer.sent.append((before, time.time(), step.tokens, step.kind))
        if step.end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if step.end:
            self._close(answer.talk)
        else:
            self._next(answer)

    def _close(self, talk: _Talk) -> None:
        fd = talk.sock.fileno()
        if fd >= 0:
            self._talks.pop(fd, None)
            self._epoll.unregister(fd)
            talk.sock.close()


# --- in a process of its own ---------------------------------------------------------------------


@contextlib.contextmanager
def golden(script: str = "latok.load.golden:steady") -> Iterator[str]:
    """Starts the server with the script at `module:function` and gives its URL."""
    command = [sys.executable, "-m", "latok.load.golden", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.terminate()


def _serve(script: str) -> None:
    module, _, name = script.partition(":")
    sys.path.insert(0, "")
    server = Golden(getattr(importlib.import_module(module), name))
    signal.signal(signal.SIGTERM, server.stop)
    print(server.url, flush=True)
    gc.freeze()
    gc.disable()
    server.run()


if __name__ == "__main__":
    _serve(sys.argv[1])
