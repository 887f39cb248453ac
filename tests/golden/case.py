"""What a golden answer is: steps of its body, and what a reader should make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from latok.load.golden import Step
from latok.records import Kind, Usage


class Case(NamedTuple):
    """One answer as a server gives it, and the truth about it.

    `steps`: pieces of the body; one that completes an event says its kind and tokens. `error`: the
    kind of Failure. `timings`: some of what the server says of its time. `first`: log-probabilities
    of the first token.
    """

    steps: tuple[Step, ...]
    text: str = ""
    usage: Usage | None = None
    finish: str | None = None
    source: str = "usage"
    error: str = ""
    timings: Mapping[str, Any] = {}
    retry_after: float | None = None
    status: str = "200 OK"
    headers: Mapping[str, str] = {}
    content_type: str = ""
    first: Mapping[str, float] | None = None

    @property
    def truth(self) -> list[tuple[str, int | None]]:
        return [(step.kind, step.tokens) for step in self.steps if step.kind]


class Family(NamedTuple):
    """What the quirks that every dialect has are made of.

    `stream`: an ordinary answer of these texts, one token each. `whole`: the same, not streamed.
    `error`: the JSON of an error. `broken`: the steps of an error in the middle of a stream.
    `ends`: how many of the last steps of a stream say that it is whole.
    """

    stream: Callable[[list[str]], Case]
    whole: Callable[[], Case]
    error: Callable[[str], Any]
    broken: tuple[Step, ...]
    ends: int
    own: dict[str, Case]
    content_type: str = "text/event-stream"


def dumped(value: Any) -> bytes:
    """JSON as most servers write it: without white space, text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def says(data: bytes, kind: Kind, tokens: int | None = 0) -> Step:
    return Step(0.0, data, tokens, kind)


def sse(value: Any, kind: Kind, tokens: int | None = 0, name: str = "") -> Step:
    """A value as a server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return says(head + b"data: " + dumped(value) + b"\n\n", kind, tokens)


def json_body(value: Any, kind: Kind, tokens: int | None) -> tuple[Step, ...]:
    """A body that is one JSON value, as its only event."""
    return (says(json.dumps(value, indent=1).encode(), kind, tokens),)
