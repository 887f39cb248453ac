"""Server-sent events, and JSON lines: bytes in, events out, cut anywhere.

Lines end with LF, CR LF or CR and with nothing else (a U+2028 inside a token is text), so bytes are
split before they are decoded. Each byte is looked at a bounded number of times: a 100 MB line or a
million empty events cost linear time.
"""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One event. A comment alone (a keep-alive) has the name `ping`, which no data can have."""

    name: str
    data: bytes


PING = Event("ping", b"")


class EventStream:
    """Splits a body into events."""

    __slots__ = ("_buffer", "_cr", "_started")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._cr = False
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        buffer, seen = self._buffer, len(self._buffer)
        buffer += self._plain(data)
        if not self._started and len(buffer) >= 3:
            self._started = True
            if buffer.startswith(b"\xef\xbb\xbf"):
                del buffer[:3]
                seen = 0
        events: list[Event] = []
        start = 0
        end = buffer.find(b"\n\n", max(seen - 1, 0))
        while end >= 0:
            event = _event(bytes(buffer[start:end]))
            if event is not None:
                events.append(event)
            start = end + 2
            end = buffer.find(b"\n\n", start)
        if start:
            del buffer[:start]
        return events

    def end(self) -> list[Event]:
        """The body has ended: an event without its blank line still counts (servers do that)."""
        event = _event(bytes(self._buffer))
        self._buffer.clear()
        return [] if event is None else [event]

    @property
    def pending(self) -> bool:
        """Whether the last bytes fed belong to an event that is not complete."""
        return any(byte != 0x0A for byte in self._buffer[:2])

    def _plain(self, data: bytes) -> bytes:
        """`data` with every line ending as LF; a CR LF may be cut between two calls."""
        if self._cr and data[:1] == b"\n":
            data = data[1:]
            self._cr = False
        if data:
            self._cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


class Lines:
    """Splits a body with one JSON value a line into events, as EventStream does."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of the line that is not complete

    def feed(self, data: bytes) -> list[Event]:
        """The lines that `data` completes; a CR before the LF is white space to JSON."""
        self._parts.append(data)
        if b"\n" not in data:
            return []
        *lines, rest = b"".join(self._parts).split(b"\n")
        self._parts = [rest]
        return [Event("", line) for line in lines if line and not line.isspace()]

    def end(self) -> list[Event]:
        """The body has ended: a last line needs no end."""
        return self.feed(b"\n")

    @property
    def pending(self) -> bool:
        """Whether the last bytes fed belong to a line that is not complete."""
        return any(self._parts)


def _event(block: bytes) -> Event | None:
    if block.startswith(b"data: ") and b"\n" not in block:  # nearly all of them
        return Event("", block[6:])
    name, data, comment = "", [], False
    for line in block.split(b"\n"):
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"error":  # no field of the standard, but of older llama.cpp
            name = "error"
            data.append(value)
        elif not field and colon:
            comment = True
    if data:
        return Event(name, b"\n".join(data))
    return PING if comment else None
