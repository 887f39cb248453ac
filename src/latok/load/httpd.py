"""A small HTTP/1.1 server on asyncio and httptools, for the engine and the server of known times.

A streamed chunk costs 3 to 10 µs here (one write, no framework around it); through uvicorn and
starlette it cost 50 to 100 µs, which at 32 streams an engine on two cores can feel.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec

Header = tuple[str, str]
Handler = Callable[["Exchange"], None]

JSON: Header = ("content-type", "application/json")
_REQUEST_LIMIT = 16 * 2**20  # bytes of one request, head and body: 8k tokens are some 40 KiB
# A reader this far behind is not reading: a whole answer of 8k tokens is 2 MiB of events.
_UNREAD_LIMIT = 4 * 2**20
_PIPELINED = 8  # requests held while one is answered; then we stop reading
_REASONS = {status.value: status.phrase for status in HTTPStatus}


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error in OpenAI's shape."""
    said = {"message": message, "type": kind, "param": param, "code": code}
    return msgspec.json.encode({"error": said})


class Exchange:
    """One request, whole, and the means to answer it: `respond`, or `start`, `write`… and `end`.

    `received`: CLOCK_REALTIME seconds when its last byte was parsed. `headers`: names in lower
    case. `on_gone` is called at most once, if the client leaves before the answer has ended; what
    is written after that goes nowhere. `transport` is there for those who want to misbehave.
    """

    __slots__ = (
        "_connection",
        "_keep",
        "body",
        "gone",
        "headers",
        "method",
        "on_gone",
        "path",
        "query",
        "received",
        "started",
        "transport",
    )

    def __init__(
        self,
        connection: _Connection,
        transport: asyncio.Transport,
        *,
        method: str,
        url: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep: bool,
    ) -> None:
        self._connection = connection
        self._keep = keep
        self.transport = transport
        self.method = method
        path, _, query = url.partition(b"?")
        self.path = unquote(path.decode("latin-1"))
        self.query = query.decode("latin-1")
        self.headers = headers
        self.body = body
        self.received = time.time()
        self.on_gone: Callable[[], None] | None = None
        self.gone = False
        self.started = False

    def respond(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """The whole answer at once."""
        self.started = True
        if not self.gone:
            length = ("content-length", str(len(body)))
            self._send(_head(status, [*headers, length], self._keep) + body)
            self._connection.ended(self._keep)

    def start(self, status: int, headers: Iterable[Header]) -> None:
        """The head of an answer that comes in pieces. It leaves with the first piece or `flush`.

        One segment fewer for each stream, and no client that wakes for a head alone.
        """
        self.started = True
        framing = ("transfer-encoding", "chunked")
        self._connection.head = _head(status, [*headers, framing], self._keep)

    def write(self, data: bytes) -> None:
        """One piece, sent at once, in one HTTP chunk."""
        if data and not self.gone:
            head = self._connection.head
            self._connection.head = b""
            self._send(b"%b%x\r\n%b\r\n" % (head, len(data), data))

    def end(self, data: bytes = b"") -> None:
        """The last piece, if any, and the end of the answer in the same write."""
        if not self.gone:
            last = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            head = self._connection.head
            self._connection.head = b""
            self._send(b"%b%b0\r\n\r\n" % (head, last))
            self._connection.ended(self._keep)

    def flush(self) -> None:
        """Sends the head without a first piece."""
        head = self._connection.head
        self._connection.head = b""
        if head and not self.gone:
            self._send(head)

    def _send(self, data: bytes) -> None:
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > _UNREAD_LIMIT:
            self.transport.abort()


def _head(status: int, headers: Iterable[Header], keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if not keep:
        lines.append("connection: close")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


class _Connection(asyncio.Protocol):
    """One client: parses, hands over one exchange at a time, in the order of the requests."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._broken: tuple[int, str] | None = None  # what to say once those before are answered
        self._fed = 0  # bytes of the request that is being read
        self._clear()
        self.head = b""

    def _clear(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    # --- from asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # asyncio has set TCP_NODELAY on it
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        self._fed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as why:
            self._break(400, f"this is not HTTP: {why}")
        if self._fed > _REQUEST_LIMIT:
            self._break(413, f"a request may have {_REQUEST_LIMIT:,} bytes")
        if len(self._waiting) > _PIPELINED and self._transport:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        unanswered = [self._current, *self._waiting]
        self._waiting.clear()
        for exchange in unanswered:
            if exchange and not exchange.gone:
                exchange.gone = True
                if exchange.on_gone:
                    exchange.on_gone()

    # --- from httptools

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._transport is None or self._fed > _REQUEST_LIMIT or self._parser.should_upgrade():
            return
        exchange = Exchange(
            self,
            self._transport,
            method=self._parser.get_method().decode(),
            url=self._url,
            headers=self._headers,
            body=b"".join(self._body),
            keep=self._parser.should_keep_alive(),
        )
        self._clear()
        self._fed = 0
        self._waiting.append(exchange)
        self._next()

    # --- one at a time

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as why:
            # An offer to change the protocol (Java's client makes one by default) may be ignored,
            # but the parser has stopped before the body: it reads the request again without.
            lines = [b"%b %b HTTP/1.1" % (self._parser.get_method(), self._url)]
            hop = (b"upgrade", b"connection")
            lines += [b"%b: %b" % pair for pair in self._headers.items() if pair[0] not in hop]
            self._clear()
            self._parser = httptools.HttpRequestParser(self)
            self._feed(b"\r\n".join([*lines, b"", data[why.args[0] :]]))

    def _next(self) -> None:
        while self._current is None and self._waiting:
            exchange = self._current = self._waiting.popleft()
            try:
                self._handler(exchange)
            except Exception:
                traceback.print_exc()
                self._failed(exchange)
        if self._current is None and self._broken and self._transport:
            status, why = self._broken
            body = error_body(why, "invalid_request_error")
            length = ("content-length", str(len(body)))
            self._transport.write(_head(status, [JSON, length], keep=False) + body)
            self._transport.close()

    def _failed(self, exchange: Exchange) -> None:
        if exchange.started:  # half an answer cannot be taken back
            exchange.transport.abort()
        else:
            exchange.respond(500, [JSON], error_body("the server has a bug", "server_error"))

    def _break(self, status: int, why: str) -> None:
        self._broken = self._broken or (status, why)
        self._next()

    def ended(self, keep: bool) -> None:
        """The answer to the current exchange has been written."""
        self._current = None
        if self._transport is None:
            return
        if not keep:
            self._waiting.clear()
            self._transport.close()
            return
        if len(self._waiting) <= _PIPELINED:
            self._transport.resume_reading()
        self._next()


async def serve(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Listens; `port` 0 takes a free one. `handler` is called once for each request and answers at
    once or later; what it raises becomes a 500 and the server goes on. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    # As long a queue of unaccepted connections as the kernel grants: load comes in bursts.
    return await loop.create_server(lambda: _Connection(handler), host, port, backlog=4096)


def port_of(server: asyncio.Server) -> int:
    """The port that a server listens on."""
    name: Any = server.sockets[0].getsockname()
    return int(name[1])
