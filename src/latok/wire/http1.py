"""HTTP/1.1 as a client speaks it: a request to bytes, bytes to a response. No socket.

The parser is llhttp (through httptools). What the peer does wrong is a ProtocolError; any other
exception that leaves this module is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httptools

Headers = list[tuple[str, str]]

# Bytes of head, trailer or chunk framing in a row, without any body (Node and h11 allow 16 KiB).
# The parser joins a header piece by piece: one without end would cost the square of its length.
_LONGEST_HEAD = 64 * 1024


class ProtocolError(Exception):
    """The peer broke HTTP."""


def request_bytes(
    method: str, path: str, host: str, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> bytes:
    """One request, whole: head and body, ready for the socket."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Response:
    """Reads the responses of one connection, one after the other.

    Feed it bytes as they come; it returns the body bytes among them. `restart()` before the next.
    """

    __slots__ = (
        "_bare",
        "_body",
        "_delimited",
        "_interim",
        "_keep",
        "_parser",
        "complete",
        "headers",
        "on_body",
        "status",
    )

    def __init__(self) -> None:
        self._body: list[bytes] = []  # of the bytes being fed
        self.on_body = self._body.append  # what llhttp calls; no frame of ours for each piece
        self._parser: Any = httptools.HttpResponseParser(self)
        self.restart()

    def restart(self) -> None:
        """Makes ready for the next response on the same connection."""
        self._bare = 0
        self._body.clear()
        self._delimited = False
        self._interim = False
        self._keep = False
        self.status: int | None = None
        self.headers: Headers = []
        self.complete = False

    def release(self) -> None:
        """Breaks the cycle with the parser: the collector is off while we measure."""
        self._parser = None

    def feed(self, data: bytes | memoryview) -> bytes:
        """Body bytes in `data`. Raises ProtocolError for what is not HTTP.

        Bytes after the end of the response are refused: we never pipeline.
        """
        if self.complete:
            raise ProtocolError("bytes after the end of the response")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise ProtocolError("the server wants to change protocols") from None
        except httptools.HttpParserError as why:
            raise ProtocolError(str(why) or type(why).__name__) from None
        body = self._body
        if not body:
            self._bare += len(data)
            if self._bare > _LONGEST_HEAD:
                raise ProtocolError(f"a head of more than {_LONGEST_HEAD >> 10} KiB")
            return b""
        self._bare = 0
        whole = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        return whole

    def eof(self) -> None:
        """The peer closed. Ends a body that is delimited by closing, else raises ProtocolError."""
        if self.complete:
            return
        if self.status is None:
            raise ProtocolError("closed before any response")
        if self._delimited:
            raise ProtocolError("closed in the middle of the response")
        self.complete = True

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can serve another request (once complete)."""
        return self._delimited and self._keep

    # what llhttp calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim:  # 100 Continue and 103 Early Hints come before the response
            self.headers.clear()
            return
        self.status = status
        self._delimited = status in (204, 304) or any(
            name == "content-length" or (name == "transfer-encoding" and "chunked" in value)
            for name, value in self.headers
        )

    def on_message_complete(self) -> None:
        self.complete = not self._interim
        self._keep = self._parser.should_keep_alive()  # llhttp forgets it after this call
