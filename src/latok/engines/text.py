"""Tokens to text as it can be shown: whole characters, nothing of a stop string. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Detokeniser:
    """Bytes of tokens in, whole characters out; what is no UTF-8 at the end becomes U+FFFD."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """`pieces`: the bytes of each token id, empty for those that are not text."""
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, ids: Sequence[int]) -> str:
        return self._decoder.decode(b"".join([self._pieces[i] for i in ids]))

    def end(self) -> str:
        return self._decoder.decode(b"", final=True)


class StopText:
    """Lets text through until a stop string; holds back what may be the start of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """What can be shown now. After a hit: nothing more."""
        if not self._stops:
            return text
        if self.hit:
            return ""
        text = self._held + text
        places = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if places:
            self.hit, self._held = True, ""
            return text[: min(places)]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        """What was held back, once it is known that no stop string came of it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop` (and are not all of it)."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
