"""What the read path keeps of one request, its log on disk, and its reading into a Record.

The driver only appends; everything here runs after a stream has ended. A log is a sequence of
frames (four bytes of length, then MessagePack): one that was cut short by a crash is read up to
its last whole frame.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import BinaryIO, NamedTuple

import msgspec

from latok.records import Chunk, Connection, Failure, Record, Usage
from latok.wire.dialects import Dialect
from latok.wire.reply import Reply, error_text
from latok.wire.sse import Event


class Read(NamedTuple):
    """One read of the socket that held body bytes.

    `at`: the kernel's stamp of the last packet in it (our clock after the read where the kernel
    gives none), seconds from the start of the run. `lag`: from the stamp to our read. `since`: when
    the previous read of this socket (or the sending) began: packets of this read came later.
    `segments`: how many TCP segments it was, 0 where that is not known.
    """

    at: float
    lag: float
    since: float
    segments: int
    body: bytes


# A read as it is kept: the stamp, the lag and `since` in nanoseconds of the wall clock, segments;
# the body follows. Objects for each read would cost more, when they are made, written and freed,
# than the reading itself.
_READ = struct.Struct("<qqqI")
pack_read = _READ.pack


class Capture(msgspec.Struct, array_like=True, kw_only=True):
    """All that the read path keeps of one request. Times in seconds from the start of the run.

    `packed`: its reads, each as `pack_read` and the body; `zero`: the run's start in their times.
    """

    id: int
    app: str
    session: str
    turn: int
    prompt_tokens: int
    max_tokens: int
    due: float
    sent_first: float | None = None
    sent_last: float | None = None
    headers_at: float | None = None
    closed_at: float | None = None
    status: int | None = None
    headers: list[tuple[str, str]] = []
    zero: int = 0
    packed: list[bytes] = []
    error: Failure | None = None
    connection: Connection = Connection()
    kernel_stamps: bool = True
    built: float | None = None
    answered_by: int | None = None

    @property
    def reads(self) -> list[Read]:
        """The reads of the socket, unpacked."""
        found, zero, size = [], self.zero, _READ.size
        for packed in self.packed:
            at, lag, since, segments = _READ.unpack_from(packed)
            times = (at - zero) * 1e-9, lag * 1e-9, (since - zero) * 1e-9
            found.append(Read(*times, segments, packed[size:]))
        return found


class _Head(msgspec.Struct, array_like=True):
    """The beginning of a Capture: what comes after is passed over."""

    id: int
    app: str
    session: str
    turn: int
    prompt_tokens: int
    max_tokens: int
    due: float


Mark = tuple[int, float]  # so many characters of the answer's text were there at that time

_LENGTH = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Capture)
_head = msgspec.msgpack.Decoder(_Head)


def frame(capture: Capture) -> bytes:
    """A capture as it stands in the log."""
    body = _encoder.encode(capture)
    return _LENGTH.pack(len(body)) + body


def read_log(file: BinaryIO) -> Iterator[Capture]:
    """The captures of a log from where it stands, up to the first that is not whole."""
    with suppress(EOFError, msgspec.DecodeError):
        while True:
            yield _decoder.decode(_frame(file))


def read_order(file: BinaryIO) -> Iterator[tuple[float, int, int]]:
    """When each capture of a log was due, its id, and its place: `read_log` from there begins with
    it. Captures stand in the order in which they ended."""
    with suppress(EOFError, msgspec.DecodeError):
        while True:
            place = file.tell()
            head = _head.decode(_frame(file))
            yield head.due, head.id, place


def _frame(file: BinaryIO) -> bytes:
    """The next frame's body. Raises EOFError if it is not whole, as after a crash."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    body = file.read(size)
    if len(body) < size:
        raise EOFError
    return body


def record_of(capture: Capture, dialect: Dialect, *, keep_text: bool = False) -> Record:
    """Decodes a capture: HTTP is already off, so events, then the dialect's meaning of each.

    Raises nothing for what a server may send: garbage is an error in the Record.
    """
    reply = dialect.reply()
    header = dict(reversed(capture.headers))
    error, chunks, marks = capture.error, tuple[Chunk, ...](), list[Mark]()
    if capture.status is not None and not 200 <= capture.status < 300:
        body = b"".join(read.body for read in capture.reads)
        error = Failure(_refusal(capture.status), f"{capture.status} {_message(body)}".strip())
    elif capture.status is not None:
        chunks = _chunks(capture, dialect, reply, header.get("content-type", ""), marks)
        reply.timed(_header_timings(header))
        error = reply.error or error
        if error is None and not reply.ended:
            error = Failure("incomplete", "the stream ended without a finish reason or [DONE]")
    text = "".join(reply.text)
    sentence, line = first_sentence(text), first_line(text)
    return Record(
        id=capture.id,
        app=capture.app,
        session=capture.session,
        turn=capture.turn,
        prompt_tokens=capture.prompt_tokens,
        max_tokens=capture.max_tokens,
        due=capture.due,
        sent_first=capture.sent_first,
        sent_last=capture.sent_last,
        headers_at=capture.headers_at,
        closed_at=capture.closed_at,
        status=capture.status,
        error=error,
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        token_source=_token_source(reply.usage, reply.counted),
        server_timings=reply.timings,
        retry_after=retry_after(header),
        rate_limits={n: v for n, v in header.items() if _LIMITS.fullmatch(n)} or None,
        connection=capture.connection,
        text_hash=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16] if text else "",
        text=text if keep_text else None,
        built=capture.built,
        first_sentence_at=_shown(sentence, marks),
        first_line_at=_shown(line, marks),
        served=reply.served,
        fingerprint=reply.fingerprint,
        first_token=reply.first,
        answered_by=capture.answered_by,
        chunks=chunks,
    )


def _chunks(
    capture: Capture, dialect: Dialect, reply: Reply, content_type: str, marks: list[Mark]
) -> tuple[Chunk, ...]:
    """The events as chunks; `marks` takes how much of the answer's text was there when."""
    stream = dialect.splitter(content_type)
    reads = capture.reads
    if stream is None:
        body = b"".join(read.body for read in reads)
        if not body:
            return ()
        last = reads[-1]
        seen = reply.whole(body)
        marks.append((sum(map(len, reply.text)), last.at))
        return tuple(Chunk(last.at, s.tokens, s.kind, lag=last.lag) for s in seen)
    chunks: list[Chunk] = []
    heard = length = 0
    held, until = math.inf, -math.inf  # since when, and up to which stamps
    for n, read in enumerate(reads):
        events = stream.feed(read.body)
        since = min(held, read.since) if read.at < until else read.since
        chunks += _stamped(events, read, reply, stream.pending, capture.kernel_stamps, since)
        if _crowded(read, len(events)):
            began = reads[n + 1].since if n + 1 < len(reads) else read.at
            held, until = since, began + max(began - since, _FLUSH)
        if len(reply.text) > heard:
            length += sum(map(len, reply.text[heard:]))
            heard = len(reply.text)
            marks.append((length, read.at))
    if reads and capture.error is None:  # of a broken stream the last event may be cut
        last = reads[-1]
        chunks += _stamped(stream.end(), last, reply, False, capture.kernel_stamps, last.since)
    return tuple(chunks)


# TCP begins with ten packets on their way; what would be the eleventh waits at the server until the
# client has read them, which it may do late.
_CROWD = 8
# What waited there comes within so many seconds of that, at least (more after a longer wait).
_FLUSH = 1e-3


def _crowded(read: Read, events: int) -> bool:
    """Whether so much lay unread that the server may have had to wait for us. An event of which we
    do not know the segments may have come in three: HTTP's framing before, itself, and after."""
    return (read.segments or (3 * events if events > 1 else 1)) >= _CROWD


def _stamped(
    events: list[Event], read: Read, reply: Reply, more: bool, kernel_stamps: bool, since: float
) -> Iterator[Chunk]:
    """The events of one read as chunks. `more`: the read also held the beginning of another event.

    The kernel's stamp is that of the read's last packet. So an event that ends the read is stamped
    exactly, and so is every event of a read that was a single segment; any other came at some time
    between the previous read and the stamp. `since` is that time, or earlier where a crowded read
    before may have kept the server from sending: then it is the doubt of every event. Without the
    kernel's stamps the driver's bound on its own lag is the doubt of every event.
    """
    last = len(events) - 1
    for n, event in enumerate(events):
        kind, tokens = reply.see(event)
        alone = since == read.since and (read.segments == 1 or (n == last and not more))
        between = max(read.at - since, 0.0)
        doubt = between if not alone else 0.0 if kernel_stamps else read.lag
        yield Chunk(read.at, tokens, kind, last > 0 or more, doubt, read.lag)


# What may end a sentence: a sign before white space, a line's end, a sign of Chinese or Japanese.
_ENDING = re.compile(r"[.!?…][\"'”’)\]*_]*(?=\s)|(?=\n)|[。！？]")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*\n", re.MULTILINE)
_VISIBLE = re.compile(r"\S")


def first_sentence(text: str) -> int | None:
    """How many characters of an answer hold its first sentence: all, if it has no end.

    A sentence has two words, so "1." at the start of a list is none, nor is the point in "3.14".
    """
    start = _VISIBLE.search(text)
    for found in _ENDING.finditer(text, start.start()) if start else ():
        if found[0] in ("。", "！", "？") or len(text[: found.end()].split(None, 2)) > 1:
            return found.end()
    return len(text) or None


def first_line(text: str) -> int | None:
    """How many hold its first line that is not blank: of code, where it is fenced as such."""
    fence = _FENCE.search(text)
    start = _VISIBLE.search(text, fence.end() if fence else 0)
    end = text.find("\n", start.start()) if start else -1
    return end if end >= 0 else len(text) or None


def _shown(length: int | None, marks: list[Mark]) -> float | None:
    """When so many characters of the text had arrived."""
    if length is None or not marks:
        return None
    place = min(bisect_left(marks, (length, -math.inf)), len(marks) - 1)
    return marks[place][1]


def _refusal(status: int) -> str:
    """429, 503 and 529 say that the server sheds load; anything else is a plain HTTP error."""
    return {429: "rate_limited", 503: "overloaded", 529: "overloaded"}.get(status, "http")


def _message(body: bytes) -> str:
    try:
        return error_text(msgspec.json.decode(body))[:500]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:200].decode("utf-8", "replace")


def _token_source(usage: Usage | None, counted: bool) -> str:
    if counted:
        return "continuous_usage"
    return "unknown" if usage is None or usage.completion_tokens is None else "usage"


# OpenAI; a mesh (Envoy); TGI; Fireworks; LiteLLM; and the standard's own
_TIMING = re.compile(
    r"openai-processing-ms|x-envoy-upstream-service-time|x-(queue|validation|inference|total)-time"
    r"|x-time-per-token|fireworks-.*time.*|x-litellm-.*(duration|timing).*|server-timing"
)

# OpenAI's, Anthropic's, the IETF draft's, and those of gateways before them
_LIMITS = re.compile(r"(x-|anthropic-|[a-z]+-)?ratelimit(-.*)?|x-should-retry")


def _header_timings(headers: dict[str, str]) -> dict[str, float | str] | None:
    """What the headers say of the server's time, under their own names."""
    said = {name: _number(value) for name, value in headers.items() if _TIMING.fullmatch(name)}
    return {name: headers[name] if value is None else value for name, value in said.items()} or None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def retry_after(headers: dict[str, str]) -> float | None:
    """How long to wait, in seconds. A date is counted from the response's own Date: we have no
    clock. Azure and OpenAI say it in milliseconds, too, and then more exactly."""
    exact = _number(headers.get("retry-after-ms", ""))
    if exact is not None:
        return max(exact / 1000, 0.0)
    asked = headers.get("retry-after")
    if asked is None:
        return None
    seconds = _number(asked)
    if seconds is not None:
        return max(seconds, 0.0)
    try:
        until, now = (parsedate_to_datetime(date) for date in (asked, headers.get("date", "")))
        return max((until - now).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
