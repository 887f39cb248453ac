"""One response of any dialect: what its events are, and what they say together.

What a server may send is anything: nothing here trusts a shape.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from latok.records import Failure, Kind, Usage
from latok.wire.sse import PING, Event

_LONGEST = 500  # characters of an error's text that are kept
_MOST_LISTED = 100  # tokens whose log-probability is kept; no API gives more than 20 or so


class Seen(NamedTuple):
    """What one event was: its kind, and how many generated tokens it carried (None: not said)."""

    kind: Kind
    tokens: int | None


class Reply:
    """One response, event by event: what each was, and what they say of the whole."""

    def __init__(self, read: Callable[[Reply, dict[str, Any]], Seen]) -> None:
        self.text: list[str] = []
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.error: Failure | None = None
        self.timings: dict[str, Any] | None = None
        self.served = ""
        self.fingerprint = ""
        self.done = False
        self.first: dict[str, float] | None = None  # log-probabilities of the first token
        self.so_far: dict[int, int] = {}  # tokens counted, by choice (there may be n > 1)
        self.counts: dict[str, int] = {}  # usage that comes in parts
        self._read = read
        self._uncounted = False
        self._begun = False
        self._finished: dict[int, bool] = {}

    @property
    def ended(self) -> bool:
        """Whether the server said that the answer is whole."""
        return self.done or (self.finish_reason is not None and all(self._finished.values()))

    @property
    def counted(self) -> bool:
        """Whether each chunk said its tokens."""
        return bool(self.so_far) and not self._uncounted

    def see(self, event: Event) -> Seen:
        """Classifies one event and keeps what it says of the whole response."""
        if event is PING or not event.data or event.data.isspace():
            return Seen("ping", 0)
        if event.data.startswith(b"[DONE]"):
            self.done = True
            return Seen("done", 0)
        try:
            said = msgspec.json.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = None
        if isinstance(said, dict):
            if said.get("error") or "error" in (event.name, said.get("type"), said.get("object")):
                return self.fail(error_text(said))
            self._named(said)
            return self._read(self, said)
        text = event.data[:_LONGEST].decode("utf-8", "replace")
        return self.fail(text, "in_band" if event.name == "error" else "garbage")

    def whole(self, body: bytes) -> list[Seen]:
        """A response that came as one JSON body although a stream was asked for."""
        seen = self.see(Event("", body))
        self.done = self.error is None
        return [seen]

    def _named(self, said: dict[str, Any]) -> None:
        """Keeps who answers: OpenAI and those like it say so in each chunk, Anthropic and Responses
        in the first."""
        within = as_dict(said.get("message")) or as_dict(said.get("response"))
        model = said.get("model") or within.get("model")
        if isinstance(model, str):
            self.served = model[:_LONGEST]
        if isinstance(mark := said.get("system_fingerprint"), str):
            self.fingerprint = mark[:_LONGEST]

    # what the readers below say

    def fail(self, text: str, kind: str = "in_band") -> Seen:
        """The first failure is the cause, the others follow from it."""
        self.error = self.error or Failure(kind, text[:_LONGEST])
        return Seen("error", 0)

    def finish(self, reason: Any, choice: int = 0) -> None:
        if isinstance(reason, dict):  # SGLang: {"type": "stop", "matched": 2}
            reason = reason.get("type")
        self.finish_reason = reason if isinstance(reason, str) else "stop"
        self._finished[choice] = True
        if reason in ("error", "abort"):  # OpenRouter; SGLang and vLLM
            self.fail(f"the server ended the answer with '{reason}'")

    def timed(self, said: Any) -> None:
        """Keeps the server's own timings, as it says them."""
        if isinstance(said, dict) and _shallow(said):
            self.timings = {**(self.timings or {}), **said}

    def likely(self, chosen: Any, others: Any) -> None:
        """Keeps the log-probabilities of the likeliest tokens, as an event says them of its first
        token: `chosen` and each of `others` an object with `token` (TGI: `text`) and `logprob`, or
        `others` an object of tokens. To be told before `token`, since only the first counts.

        Tokens that are written alike (pieces of characters) are one: their probabilities add.
        """
        if self._begun or self.first is not None:
            return
        listed = (
            list(others.items()) if isinstance(others, dict) else map(_listed, as_dicts(others))
        )
        found: dict[str, float] = {}
        for token, value in islice(filter(_is_logprob, listed), _MOST_LISTED):
            found[token] = _together(found[token], value) if token in found else float(value)
        token, value = one = _listed(as_dict(chosen))
        if _is_logprob(one):
            found.setdefault(token, float(value))
        self.first = found or None

    def token(self, kind: Kind, so_far: int | None = None, choice: int = 0) -> Seen:
        """A chunk of generated tokens; `so_far`: how many there are with it, if the server says.

        A chunk without text (`role`) is a token if the count has grown: one whose text is empty.
        """
        self._finished.setdefault(choice, False)
        before = self.so_far.get(choice, 0)
        grown = so_far is not None and so_far > before
        if kind == "role":
            if not (self.counted and grown):
                return Seen("role", 0)
            kind = "content"
        self._begun = True
        # A usage at the end counts all, not this chunk; one that is 0 beside text counts nothing.
        if so_far is None or self._uncounted or not (grown or self.so_far):
            self._uncounted = True
            return Seen(kind, None)
        self.so_far[choice] = max(so_far, before)
        return Seen(kind, self.so_far[choice] - before)


def error_text(said: Any) -> str:
    """The message in an error body, in the shapes that OpenAI, vLLM, FastAPI and others use."""
    while not isinstance(said, str):
        inner = None
        if isinstance(said, dict):
            inner = next((said[w] for w in ("error", "message", "detail", "msg") if said.get(w)), 0)
        elif isinstance(said, list):
            inner = said[0] if said else 0
        if not inner:
            return reprlib.repr(said)
        said = inner
    return said


def as_dict(value: Any) -> dict[str, Any]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none for anything else."""
    return [as_dict(item) for item in as_list(value)]


def as_count(value: Any) -> int | None:
    """A count of tokens; None for what cannot be one (a Record stores it in 32 bits)."""
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def _listed(said: dict[str, Any]) -> tuple[Any, Any]:
    return said.get("token", said.get("text")), said.get("logprob")


def _is_logprob(pair: tuple[Any, Any]) -> bool:
    token, value = pair
    return isinstance(token, str) and type(value) in (int, float) and -1e6 < value <= 1.0


def _together(a: float, b: float) -> float:
    """The logarithm of the sum of two probabilities."""
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _shallow(value: Any, levels: int = 4) -> bool:
    """Whether a value is nested no deeper than any timings are: who stores it must not choke."""
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return True
    return levels > 0 and all(_shallow(item, levels - 1) for item in inner)


_WEIGHTS: dict[Kind, int] = {"content": 3, "tool": 2, "reasoning": 1, "role": 0}


def most(kinds: Iterable[Kind]) -> Kind:
    """What several pieces in one chunk are together: visible text before all."""
    heaviest: Kind = "role"
    for kind in kinds:
        heaviest = max(heaviest, kind, key=_WEIGHTS.__getitem__)
    return heaviest
