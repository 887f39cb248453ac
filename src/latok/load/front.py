"""A cache in front of the load, as a gateway has it: in the driver's process, at its own cost."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from latok.levers.response_cache import ResponseCache, drawn, key
from latok.levers.semantic_cache import SemanticCache, differs, parted
from latok.load.plan import Prepared
from latok.wire.capture import Capture, pack_read
from latok.wire.talk import Talk

_TTL = 3600.0  # seconds, longer than a run
_BYTES = 256 << 20


class _Answer(msgspec.Struct, array_like=True):
    """What is kept: whose it was, its head, and its body as it came."""

    id: int
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Place(msgspec.Struct, frozen=True):
    """Where an answer is kept: a key, or for a cache by likeness a scope and the question in it."""

    key: str
    question: str
    drawn: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Answer).decode


class Front:
    """Answers that were given, for one tenant: whoever the headers are of."""

    def __init__(self, talk: Talk, likeness: float | None) -> None:
        """`likeness`: from which on a question gets the answer to another; None: only the same
        request gets the same answer."""
        self._talk = talk
        self._tenant = msgspec.json.encode(sorted(talk.headers)).decode()
        self._exact = ResponseCache(ttl=_TTL, most_bytes=_BYTES)
        self._alike: SemanticCache | None = None
        if likeness is not None:
            self._alike = SemanticCache(self._exact, threshold=likeness, guard=differs)
        self._asked: dict[int, _Place] = {}

    def answer(self, prepared: Prepared, capture: Capture) -> bool:
        """Answers from the cache, in `capture`; False if it must be sent: then `keep` takes what
        comes. The time that it takes is that of the answer: reading the body, its key, looking."""
        began = time.time_ns()
        place = self._place(prepared.data)
        if place is None:
            return False
        now = began * 1e-9
        if self._alike is None:
            found = self._exact.get(place.key, now)
        else:
            found = self._alike.get(place.key, place.question, now)
        if found is None:
            self._asked[capture.id] = place
            return False
        kept = _decode(found)
        capture.answered_by, capture.status, capture.headers = kept.id, kept.status, kept.headers
        at = time.time_ns()
        capture.packed = [pack_read(at, 0, began, 1) + kept.body]
        capture.sent_first = capture.sent_last = (began - capture.zero) * 1e-9
        capture.headers_at = capture.closed_at = (at - capture.zero) * 1e-9
        return True

    def keep(self, capture: Capture) -> None:
        """Takes what the target answered, if it may be said again."""
        place = self._asked.pop(capture.id, None)
        if place is None or capture.error is not None or capture.status != 200:
            return
        reply = self._talk.heard(capture)
        body = b"".join(read.body for read in capture.reads)
        answer = _encode(_Answer(capture.id, capture.status, capture.headers, body))
        may: dict[str, Any] = {
            "status": capture.status,
            "ended": reply.ended and reply.error is None,
            "drawn": place.drawn,
        }
        now = time.time()
        if self._alike is None:
            self._exact.put(place.key, answer, now, **may)
        else:
            self._alike.put(place.key, place.question, answer, now, **may)

    def _place(self, data: bytes) -> _Place | None:
        body: dict[str, Any] = msgspec.json.decode(data.partition(b"\r\n\r\n")[2])
        by_chance = drawn(self._talk.dialect, body)
        if self._alike is None:
            return _Place(key(self._tenant, self._talk.dialect, body), "", by_chance)
        parts = parted(body)
        if parts is None:
            return None
        question, rest = parts
        return _Place(key(self._tenant, self._talk.dialect, rest), question, by_chance)
