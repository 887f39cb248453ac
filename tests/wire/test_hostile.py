"""Whatever a server sends: no crash, no hang, no more than linear time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.wire.capture import Capture, pack_read, record_of, retry_after
from latok.wire.dialects import DIALECTS
from latok.wire.http1 import ProtocolError, Response
from latok.wire.reply import error_text
from tests.golden.quirks import CASES, http
from tests.wire.test_dialects import heard

TYPES = st.sampled_from(["text/event-stream", "application/json", "application/x-ndjson", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
DIALECT = st.sampled_from(sorted(DIALECTS))


def read(
    dialect: str, body: bytes, content_type: str = "", status: int = 200, size: int = 0
) -> Any:
    capture = Capture(id=0, app="", session="", turn=0, prompt_tokens=1, max_tokens=2, due=0.0)
    capture.status, capture.headers = status, [("content-type", content_type)]
    edges = [*range(0, len(body), size or len(body) or 1), len(body)]
    capture.packed = [
        pack_read((n + 1) * 10**9, 0, n * 10**9, 0) + body[start:end]
        for n, (start, end) in enumerate(pairwise(edges))
    ]
    record = record_of(capture, DIALECTS[dialect], keep_text=True)
    assert all(c.tokens is None or 0 <= c.tokens < 1 << 31 for c in record.chunks)
    msgspec.json.encode(record)  # it can be stored
    return record


@given(DIALECT, st.binary(max_size=300), TYPES, st.sampled_from([200, 204, 301, 400, 503]))
def test_any_bytes_are_a_record(dialect: str, body: bytes, kind: str, status: int) -> None:
    read(dialect, body, kind, status)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_any_value_anywhere_in_an_answer_is_a_record(
    name: tuple[str, str], data: st.DataObject
) -> None:
    case, body = CASES[name], b""
    for step in case.steps:
        start = step.data.find(b"{")
        try:
            said = msgspec.json.decode(step.data[start:])
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = None
        if said and data.draw(st.booleans()):
            holder, key = data.draw(st.sampled_from(list(places(said))))
            holder[key] = data.draw(VALUES)
            ending = step.data[len(step.data.rstrip()) :]
            body += step.data[:start] + msgspec.json.encode(said) + ending
        else:
            body += step.data
    read(name[0], body, case.content_type)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(CASES)), st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 9)
)
def test_a_damaged_response_is_a_record_or_a_broken_protocol(
    name: tuple[str, str], at: int, noise: bytes, gone: int
) -> None:
    data = http(CASES[name])
    with suppress(ProtocolError):
        heard(name[0], data[:at] + noise + data[at + gone :], [at])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("value", [b"[" * 10**5, b'{"error":' * 900 + b"1" + b"}" * 900])
def test_deep_nesting_is_a_record(dialect: str, value: bytes) -> None:
    for status in (200, 500):
        assert read(dialect, b"data: " + value + b"\n\n", "", status).error
        assert read(dialect, value, "application/json", status).error


@given(VALUES)
def test_any_error_has_a_text(value: Any) -> None:
    assert isinstance(error_text(value), str)


@given(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=40), st.text())
def test_any_retry_after_is_seconds_or_none(name: str, value: str, date: str) -> None:
    seconds = retry_after({name: value, "date": date})
    assert seconds is None or seconds >= 0


# --- time ----------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    """The least of three: what the others have more is the machine's."""
    took = []
    for _ in range(3):
        before = time.process_time()
        work()
        took.append(time.process_time() - before)
    return min(took)


def bodies(n: int) -> dict[str, tuple[str, bytes, int]]:
    """Hostile bodies of `n` units: the dialect, the bytes, the size of a read."""
    half = b"data: " + b"x" * 16 * n
    return {
        "a line without end": ("openai-chat", half, 1000),
        "a line without end, byte by byte": ("openai-chat", half[: 2 * n], 1),
        "carriage returns, byte by byte": ("openai-chat", b"\r" * n, 1),
        "empty events": ("openai-chat", b"\n\n" * n * 4, 1000),
        "events without data": ("openai-chat", b"data:\n\n" * n, 1000),
        "comments": ("anthropic", b":\n\n" * n, 1000),
        "an event of many lines": ("openai-chat", b"data: x\n" * n * 2, 1000),
        "a JSON line without end": ("ollama-chat", b'{"a":"' + b"x" * 16 * n, 1000),
        "a JSON line, byte by byte": ("ollama-chat", b'{"a":"' + b"x" * n, 1),
        "empty JSON lines": ("ollama-chat", b"\n" * n * 4, 1000),
        "garbage, event after event": ("tgi", b"data: x\n\n" * n, 1000),
    }


@pytest.mark.parametrize("what", bodies(0))
def test_hostile_bodies_take_linear_time(what: str) -> None:
    def work(n: int) -> Callable[[], object]:
        dialect, body, size = bodies(n)[what]
        return lambda: read(dialect, body, size=size)

    once, more = seconds(work(4_000)), seconds(work(16_000))
    assert more <= 4 * 1.6 * once + 0.002  # four times the work; if it were quadratic, sixteen


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
    ],
)
def test_a_head_or_trailer_without_end_is_a_broken_protocol(start: bytes) -> None:
    response = Response()
    response.feed(start)

    def go_on() -> None:
        for _ in range(1000):
            response.feed(b"x" * 100)

    with pytest.raises(ProtocolError):
        go_on()
