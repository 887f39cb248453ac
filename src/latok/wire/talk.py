"""How one target is talked to: requests to bytes, an ended capture to what was said."""

from __future__ import annotations

from typing import Any

import msgspec

from latok.records import Request
from latok.wire.capture import Capture
from latok.wire.dialects import dialect_named
from latok.wire.http1 import request_bytes
from latok.wire.reply import Reply


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """All that a request is built from besides itself. `more`: JSON merged into each body;
    `stream`: whether the answer comes as it is made; `effort`: how much to think, one of the
    dialect's `EFFORTS`, or the target's own way.

    It goes to the driver's process, which builds what depends on answers; `headers` hold secrets.
    """

    dialect: str
    model: str
    accepts: frozenset[str]
    more: dict[str, Any]
    path: str
    authority: str
    headers: tuple[tuple[str, str], ...]
    stream: bool = True
    effort: str | None = None

    def bytes_of(self, request: Request) -> bytes:
        """A request as it goes to the socket. Raises UsageError for what the dialect has not."""
        dialect = dialect_named(self.dialect)
        body = dialect.body(request, self.model, self.accepts) | self.more
        if not self.stream:
            body = dialect.unstreamed(body)
        if self.effort is not None:
            body = dialect.with_effort(body, self.effort)
        encoded = msgspec.json.encode(body)
        return request_bytes("POST", self.path, self.authority, self.headers, encoded)

    def heard(self, capture: Capture) -> Reply:
        """What an ended stream said, without its times."""
        dialect = dialect_named(self.dialect)
        reply = dialect.reply()
        stream = dialect.splitter(dict(reversed(capture.headers)).get("content-type", ""))
        bodies = [read.body for read in capture.reads]
        if stream is None:
            reply.whole(b"".join(bodies))
            return reply
        for body in bodies:
            for event in stream.feed(body):
                reply.see(event)
        for event in stream.end():
            reply.see(event)
        return reply
