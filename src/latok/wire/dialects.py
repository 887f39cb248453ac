"""How an API spells request, chunk, usage and error. Pure: values in, bytes or values out.

A dialect is a row of `DIALECTS`. Its `body` makes a request's JSON from a Request and the *extras*
that the target was found to accept (a server may refuse a field that another one needs). Its
`reply` makes a reader that is shown each event of one response.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, NamedTuple

import msgspec

from latok.errors import UsageError
from latok.records import Failure, Kind, Request, Usage
from latok.wire.sse import PING, Event

# Fields that a server may refuse, richest first. With none of them a request is as plain as the
# API's documentation has it.
EXTRAS = ("continuous_usage_stats", "stream_options", "ignore_eos", "temperature", "max_tokens")


class Seen(NamedTuple):
    """What one event was: its kind, and how many generated tokens it carried (None: not said)."""

    kind: Kind
    tokens: int | None


class Reply:
    """Reads one response of the OpenAI family (chat or completions), event by event."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.error: Failure | None = None
        self.timings: dict[str, Any] | None = None
        self.done = False
        self.counted = False  # whether each chunk said its tokens (continuous usage)
        self._so_far = 0
        self._uncounted = False

    @property
    def ended(self) -> bool:
        """Whether the server said that the answer is whole."""
        return self.done or self.finish_reason is not None

    def see(self, event: Event) -> Seen:
        """Classifies one event and keeps what it says of the whole response."""
        if event is PING:
            return Seen("ping", 0)
        if event.data == b"[DONE]":
            self.done = True
            return Seen("done", 0)
        try:
            said = msgspec.json.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._fail("garbage", repr(event.data[:200]))
        if not isinstance(said, dict):
            return self._fail("garbage", repr(event.data[:200]))
        if said.get("error"):
            return self._fail("in_band", error_text(said))
        for word in ("timings", "metrics"):  # llama.cpp and our engine; vLLM
            if isinstance(said.get(word), dict):
                self.timings = said[word]
        tokens = self._count(said)
        choices = said.get("choices") or []
        if not choices:
            return Seen("usage", 0)
        kind: Kind = "role"
        for choice in choices:
            kind = self._choice(choice, kind)
        if kind == "role" and not (tokens and self.counted):
            return Seen("role", 0)
        if tokens is None or self._uncounted:  # usage at the end counts all, not this chunk's
            self._uncounted = True
            return Seen(kind, None)
        self.counted = True
        # without text but with a count: a token whose text is empty
        return Seen("content" if kind == "role" else kind, tokens)

    def whole(self, body: bytes) -> list[Seen]:
        """A response that came as one JSON body although a stream was asked for."""
        seen = self.see(Event("", body))
        self.done = self.error is None
        if seen.kind in ("content", "reasoning", "tool") and self.usage is not None:
            seen = Seen(seen.kind, self.usage.completion_tokens)
        return [seen]

    def _fail(self, kind: str, text: str) -> Seen:
        self.error = Failure(kind, text)
        return Seen("error", 0)

    def _count(self, said: dict[str, Any]) -> int | None:
        """Tokens in this chunk by the difference of cumulative usage; None if it has no usage."""
        usage = usage_of(said.get("usage"))
        if usage is None:
            return None
        self.usage = usage
        if usage.completion_tokens is None:
            return None
        tokens = usage.completion_tokens - self._so_far
        self._so_far = usage.completion_tokens
        return max(tokens, 0)

    def _choice(self, choice: dict[str, Any], kind: Kind) -> Kind:
        delta = choice.get("delta") or choice.get("message") or {}
        if choice.get("finish_reason"):
            self.finish_reason = str(choice["finish_reason"])
        content = choice.get("text") if "text" in choice else delta.get("content")
        if not content:
            content = delta.get("refusal") or content
        if content:
            self.text.append(content if isinstance(content, str) else str(content))
            return "content"
        if delta.get("tool_calls") or delta.get("function_call"):
            return "tool"
        if delta.get("reasoning_content") or delta.get("reasoning"):
            return "reasoning"
        # An empty string with neither a role nor an end is a token without text (half a character,
        # a special token): vLLM sends those. Elsewhere it is the opening or the closing chunk.
        if content == "" and "role" not in delta and not choice.get("finish_reason"):
            return "content"
        return kind


def usage_of(said: Any) -> Usage | None:
    """Usage in our terms from OpenAI's: input includes what was cached."""
    if not isinstance(said, dict):
        return None
    prompt = said.get("prompt_tokens_details") or {}
    completion = said.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=said.get("prompt_tokens"),
        completion_tokens=said.get("completion_tokens"),
        cached_tokens=prompt.get("cached_tokens"),
        reasoning_tokens=completion.get("reasoning_tokens"),
    )


def error_text(said: Any) -> str:
    """The message in an error body, in the shapes that OpenAI, vLLM, FastAPI and others use."""
    if isinstance(said, dict):
        for word in ("error", "message", "detail"):
            if said.get(word):
                return error_text(said[word])
    if isinstance(said, list) and said:
        return error_text(said[0].get("msg", said[0]) if isinstance(said[0], dict) else said[0])
    return str(said)


def _common(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    limit = "max_tokens" if "max_tokens" in extras else "max_completion_tokens"
    body: dict[str, Any] = {"model": model, "stream": True, limit: request.max_tokens}
    if "temperature" in extras:
        body["temperature"] = 0.0
    if "ignore_eos" in extras:
        body["ignore_eos"] = True
    if "stream_options" in extras:
        body["stream_options"] = {"include_usage": True}
        if "continuous_usage_stats" in extras:
            body["stream_options"]["continuous_usage_stats"] = True
    return body


def _chat(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    messages = [{"role": "user", "content": request.prompt}]
    return {"messages": messages, **_common(request, model, extras)}


def _completions(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {"prompt": request.prompt, **_common(request, model, extras)}


class Dialect(NamedTuple):
    """One way to speak: where to post, what, and how to read the answer."""

    name: str
    what: str
    path: str
    body: Callable[[Request, str, Set[str]], dict[str, Any]]
    reply: Callable[[], Reply]


DIALECTS = {
    row.name: row
    for row in (
        Dialect("openai-chat", "OpenAI chat completions", "/v1/chat/completions", _chat, Reply),
        Dialect("openai-completions", "OpenAI completions", "/v1/completions", _completions, Reply),
    )
}


def dialect_named(name: str) -> Dialect:
    """Raises UsageError, with the choices, for a name that is not in the table."""
    if name not in DIALECTS:
        raise UsageError(f"no dialect '{name}'; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]
