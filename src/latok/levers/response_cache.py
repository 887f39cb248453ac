"""The lever `response_cache`: the same question of the same tenant, answered from memory.

Exact: the key is all of the request. What may not be said twice is not kept: failures, streams that
were cut off, and answers that were drawn by chance, unless that is asked for.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec


def key(tenant: str, dialect: str, body: dict[str, Any]) -> str:
    """SHA-256 of all that shapes an answer, as JSON with sorted names. `body`: the request's, with
    model, messages and every parameter; a parameter that is there and one that is not differ."""
    whole = msgspec.json.encode([tenant, dialect, body], order="sorted")
    return hashlib.sha256(whole).hexdigest()


def drawn(dialect: str, body: dict[str, Any]) -> bool:
    """Whether the answer is drawn by chance: any temperature but a stated 0. TGI alone takes the
    likeliest token unless told otherwise."""
    if dialect == "tgi":
        parameters = body.get("parameters") or {}
        return bool(parameters.get("do_sample") or parameters.get("temperature"))
    options = body.get("options") or {} if dialect.startswith("ollama") else body
    return bool(options.get("temperature", 1) != 0)


class _Kept(NamedTuple):
    answer: bytes
    until: float


class ResponseCache:
    """Answers for `ttl` seconds, at most so many bytes of them with their keys; the longest unused
    goes first. The time is given with each call, in seconds on any one clock that goes forward."""

    def __init__(self, *, ttl: float, most_bytes: int, even_drawn: bool = False) -> None:
        self._ttl = ttl
        self._most = most_bytes
        self._even_drawn = even_drawn
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self.size = 0

    def get(self, key: str, now: float) -> bytes | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.until:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def put(
        self, key: str, answer: bytes, now: float, *, status: int, ended: bool, drawn: bool
    ) -> bool:
        """Whether it was kept. `ended`: the answer came to its own end (a finish reason was said,
        no error came in the stream); `drawn`: by chance, see `drawn`."""
        if status != 200 or not ended or (drawn and not self._even_drawn):
            return False
        size = len(key) + len(answer)
        if size > self._most:
            return False
        self._drop(key)
        self._kept[key] = _Kept(answer, now + self._ttl)
        self.size += size
        while self.size > self._most:
            self._drop(next(iter(self._kept)))
        return True

    def _drop(self, key: str) -> None:
        if kept := self._kept.pop(key, None):
            self.size -= len(key) + len(kept.answer)
