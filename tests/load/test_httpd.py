"""The small HTTP server: any cut of the bytes, one answer at a time, and clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.load import httpd
from latok.load.httpd import Exchange, port_of, serve

REQUEST = (
    b"POST /v1/echo?a=1&b=%20 HTTP/1.1\r\nHost: x\r\nX-Thing: one\r\nContent-Length: 11\r\n\r\n"
    b"hello there"
)


def answered(handler: Callable[[Exchange], None], talk: Callable[[int], Awaitable[Any]]) -> Any:
    """Serves with `handler` while `talk(port)` lasts; its result."""

    async def run() -> Any:
        server = await serve(handler, "127.0.0.1", 0)
        try:
            return await asyncio.wait_for(talk(port_of(server)), 10)
        finally:
            server.close()
            await asyncio.sleep(0)  # connections that were aborted say so

    return asyncio.run(run())


def sending(
    *pieces: bytes, answers: int = 1
) -> Callable[[int], Awaitable[list[tuple[int, bytes]]]]:
    """Sends the pieces, one after another, and reads so many answers: (status, body)."""

    async def talk(port: int) -> list[tuple[int, bytes]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen = Seen()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        while len(seen.answers) < answers and (data := await reader.read(65536)):
            seen.parser.feed_data(data)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return seen.answers

    return talk


class Seen:
    """What a client reads."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.pieces: list[bytes] = []
        self.parser = httptools.HttpResponseParser(self)

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.answers.append((self.parser.get_status_code(), b"".join(self.pieces)))
        self.pieces.clear()


def echo(exchange: Exchange) -> None:
    said = [
        exchange.method.encode(),
        exchange.path.encode(),
        exchange.query.encode(),
        exchange.headers.get(b"x-thing", b""),
        exchange.body,
    ]
    exchange.respond(200, [], b"|".join(said))


ECHOED = b"POST|/v1/echo|a=1&b=%20|one|hello there"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2 * len(REQUEST)), max_size=6))
def test_a_request_may_be_cut_anywhere(cuts: list[int]) -> None:
    data = REQUEST * 2
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert answered(echo, sending(*pieces, answers=2)) == [(200, ECHOED)] * 2


def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order() -> None:
    waiting: list[Exchange] = []

    def later(exchange: Exchange) -> None:
        waiting.append(exchange)
        assert len(waiting) == 1  # the next comes only after this one is answered
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: waiting.pop().respond(200, [], exchange.body))

    requests = [
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n%02d" % number for number in range(30)
    ]
    got = answered(later, sending(b"".join(requests), answers=30))
    assert got == [(200, b"%02d" % number) for number in range(30)]


def test_a_streamed_answer_comes_piece_by_piece_and_ends() -> None:
    def stream(exchange: Exchange) -> None:
        exchange.start(200, [("content-type", "text/event-stream")])
        exchange.write(b"one ")
        exchange.write(b"")  # would otherwise end the answer
        exchange.write(b"two ")
        exchange.end(b"three")

    assert answered(stream, sending(REQUEST)) == [(200, b"one two three")]


def test_the_head_of_a_stream_can_leave_before_its_first_piece() -> None:
    def stream(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.flush()
        asyncio.get_running_loop().call_later(0.01, exchange.end)

    assert answered(stream, sending(REQUEST)) == [(200, b"")]


def test_a_client_that_leaves_is_told_of_once_and_writing_to_it_harms_nothing() -> None:
    gone: list[int] = []

    async def talk(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        while not exchanges:
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        while not gone:
            await asyncio.sleep(0.001)
        exchanges[0].write(b"too late")
        exchanges[0].end()

    exchanges: list[Exchange] = []

    def hold(exchange: Exchange) -> None:
        exchange.on_gone = lambda: gone.append(1)
        exchange.start(200, [])
        exchanges.append(exchange)

    answered(hold, talk)
    assert gone == [1]


def test_after_its_answer_a_client_may_leave_without_a_word() -> None:
    gone: list[int] = []

    def once(exchange: Exchange) -> None:
        exchange.on_gone = lambda: gone.append(1)
        exchange.respond(200, [], b"")

    answered(once, sending(REQUEST))
    assert not gone


def test_a_reader_that_is_far_behind_is_dropped() -> None:
    gone: list[int] = []

    def flood(exchange: Exchange) -> None:
        exchange.on_gone = lambda: gone.append(1)
        exchange.start(200, [])

        def more() -> None:
            if not exchange.gone:
                exchange.write(bytes(1 << 16))
                asyncio.get_running_loop().call_soon(more)

        more()

    async def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(REQUEST)
            while not gone:
                await asyncio.sleep(0.01)

    answered(flood, talk)


def test_a_body_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "_REQUEST_LIMIT", 1000)
    large = b"POST / HTTP/1.1\r\ncontent-length: 5000\r\n\r\n" + bytes(5000)
    [(status, body)] = answered(echo, sending(large[:3000], large[3000:]))
    assert status == 413
    assert b"1,000 bytes" in body


def test_what_is_not_http_is_answered_with_400_after_what_was() -> None:
    statuses = [
        status for status, _ in answered(echo, sending(REQUEST + b"garbage\r\n\r\n", answers=2))
    ]
    assert statuses == [200, 400]


def test_a_handler_that_raises_is_a_500_and_the_next_request_is_served(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fussy(exchange: Exchange) -> None:
        if not exchange.body.startswith(b"hello"):
            raise RuntimeError("a bug")
        echo(exchange)

    bad = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
    got = answered(fussy, sending(bad + REQUEST, answers=2))
    assert [status for status, _ in got] == [500, 200]
    assert b'"error":{"message"' in got[0][1]
    assert "a bug" in capsys.readouterr().err


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"]
)
def test_a_connection_is_closed_where_the_client_wants_that(head: bytes) -> None:
    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        data = await reader.read()  # to the end
        writer.close()
        await writer.wait_closed()
        return data

    assert b"connection: close\r\n" in answered(echo, talk)


def test_an_offer_to_change_the_protocol_is_ignored() -> None:
    offer = (
        b"POST /v1/echo?a=1&b=%20 HTTP/1.1\r\nX-Thing: one\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAM\r\nContent-Length: 11\r\n\r\nhello there"
    )
    assert answered(echo, sending(offer + REQUEST, answers=2)) == [(200, ECHOED)] * 2
