"""HTTP/1.1 responses: bytes in, body out, wherever the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.wire.http1 import ProtocolError, Response, request_bytes

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Two: b\r\n\r\n"
    b"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: t\r\n\r\n"
)
PLAIN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 11\r\nContent-Type: a/b\r\n\r\nhello world"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED


def fed(data: bytes, cuts: list[int]) -> tuple[Response, bytes]:
    response, body, start = Response(), b"", 0
    for cut in [*sorted(cuts), len(data)]:
        if data[start:cut]:
            body += response.feed(data[start:cut])
        start = max(start, cut)
    return response, body


@given(st.sampled_from([CHUNKED, PLAIN, INTERIM]), st.lists(st.integers(0, 200), max_size=8))
def test_a_response_reads_the_same_wherever_it_is_cut(data: bytes, cuts: list[int]) -> None:
    response, body = fed(data, [min(cut, len(data)) for cut in cuts])
    assert body == b"hello world"
    assert response.complete
    assert response.keep_alive
    assert response.status == (404 if data is PLAIN else 200)


def test_a_body_without_a_length_ends_when_the_peer_closes() -> None:
    response, body = fed(b"HTTP/1.1 200 OK\r\n\r\nabc", [])
    assert (body, response.complete) == (b"abc", False)
    response.eof()
    assert response.complete
    assert not response.keep_alive


@pytest.mark.parametrize("data", [b"", CHUNKED[:-3], PLAIN[:-1]])
def test_closing_in_the_middle_is_the_peers_fault(data: bytes) -> None:
    response = Response()
    if data:
        response.feed(data)
    with pytest.raises(ProtocolError, match="closed"):
        response.eof()


@given(st.binary(min_size=1, max_size=300))
def test_garbage_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    response = Response()
    try:
        response.feed(data)
    except ProtocolError:
        return
    assert not response.complete or data.startswith(b"HTTP/")


def test_one_parser_reads_response_after_response() -> None:
    response = Response()
    for _ in range(3):
        response.feed(PLAIN)
        assert response.complete
        assert response.header("content-type") == "a/b"
        response.restart()


def test_bytes_that_nobody_asked_for_are_refused() -> None:
    response = Response()
    response.feed(PLAIN)
    with pytest.raises(ProtocolError):
        response.feed(b"HTTP/1.1 200 OK\r\n\r\n")


def test_a_request_carries_its_length() -> None:
    data = request_bytes("POST", "/v1/x", "h:1", [("A", "b")], b"{}")
    assert data == b"POST /v1/x HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
