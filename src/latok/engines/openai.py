"""OpenAI's API as our engine speaks it: what may be asked, and how answers look. Pure.

What this engine would ignore is refused, so that no one measures something else than they asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]

# Fields that would change the answer and that this engine cannot honour, with the values that
# mean "not asked".
_CANNOT: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "modalities": (["text"],),
    "echo": (False,),
    "suffix": ("",),
}


class Refusal(Exception):
    """An answer other than 200, in words for the one who asked."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        if other := [part.type for part in self.content if part.type != "text"]:
            raise Refusal(f"this model reads text only, not {other[0]}", param="messages")
        return "".join(part.text for part in self.content)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    model: str | None = None
    max_tokens: Positive | None = None
    min_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class ChatBody(_Asked, frozen=True, kw_only=True):
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_completion_tokens: Positive | None = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(_Asked, frozen=True, kw_only=True):
    prompt: str | list[str | int | list[int]]

    @property
    def limit(self) -> int | None:
        return self.max_tokens or 16  # OpenAI's default here


class TokenizeBody(msgspec.Struct, frozen=True, kw_only=True):
    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    add_generation_prompt: bool = True


Body = TypeVar("Body", ChatBody, CompletionBody, TokenizeBody)


def read(kind: type[Body], data: bytes) -> Body:
    """The body as a value. Raises Refusal with the field that is wrong."""
    try:
        body = msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as why:
        field = re.search(r"\$\.(\w+)", str(why)) or re.search(r"field `(\w+)`", str(why))
        param = field[1] if field else None
        text = str(why).replace(" - at `$.", " at `")
        raise Refusal(text, param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as why:
        raise Refusal(f"the body is not JSON: {why}") from None
    if kind is not TokenizeBody:
        _refuse_what_would_be_ignored(msgspec.json.decode(data))
    return body


def _refuse_what_would_be_ignored(said: Mapping[str, Any]) -> None:
    for field, harmless in _CANNOT.items():
        value = said.get(field)
        if value is not None and value not in harmless:
            raise Refusal(f"this engine does not support {field}={value!r}", param=field)


class Usage(NamedTuple):
    prompt: int
    cached: int
    completion: int

    def json(self) -> bytes:
        return (
            b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
            b'"prompt_tokens_details":{"cached_tokens":%d}}'
        ) % (self.prompt, self.completion, self.prompt + self.completion, self.cached)


class Shape:
    """How one answer is written. Most of an event is the same each time, so it is made once.

    An event costs 2 µs this way and 8 µs by encoding a dictionary; there is one for each token.
    """

    def __init__(
        self, *, chat: bool, id: str, model: str, created: int, options: StreamOptions | None
    ) -> None:
        self._chat = chat
        self._options = options or StreamOptions()
        self._continuous = self._options.include_usage and self._options.continuous_usage_stats
        kind = ("chat.completion", "chat.completion.chunk") if chat else ("text_completion",) * 2
        common = msgspec.json.encode({"id": id, "created": created, "model": model})[:-1]
        self._whole = common + b',"object":"%b"' % kind[0].encode()
        self._stream = b"data: " + common + b',"object":"%b"' % kind[1].encode()
        # The role comes with the first text: an event for itself would say "first token" too early.
        role = b'"role":"assistant",' if chat else b""
        self._open = self._stream + b',"choices":[{"index":0,'
        self._first = self._open + (b'"delta":{%b"content":' % role if chat else b'"text":')
        self._next = self._open + (b'"delta":{"content":' if chat else b'"text":')
        self._brace = b"}" if chat else b""
        self._begun = False

    def chunk(
        self, text: str, usage: Usage, finish: str | None = None, timings: bytes | None = None
    ) -> bytes:
        """One event for the tokens of one step.

        A token that ends no character has an event too, with empty text (as vLLM does it): clients
        that join texts see nothing of it, and those that time tokens miss none.
        """
        start = self._next if self._begun else self._first
        self._begun = True
        reason = b'"%b"' % finish.encode() if finish else b"null"
        event = b'%b%b%b,"logprobs":null,"finish_reason":%b}]' % (
            start,
            msgspec.json.encode(text),
            self._brace,
            reason,
        )
        if self._continuous:
            event += b',"usage":' + usage.json()
        elif self._options.include_usage:
            event += b',"usage":null'
        if timings:
            event += b',"timings":' + timings
        return event + b"}\n\n"

    def last(self, usage: Usage) -> bytes:
        """What follows the chunk with the finish reason."""
        if not self._options.include_usage:
            return b"data: [DONE]\n\n"
        return self._stream + b',"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % usage.json()

    def whole(self, text: str, usage: Usage, finish: str, timings: bytes) -> bytes:
        """The answer that is not streamed."""
        content = msgspec.json.encode(text)
        if self._chat:
            content = b'"message":{"role":"assistant","content":%b}' % content
        else:
            content = b'"text":' + content
        choice = b'{"index":0,%b,"logprobs":null,"finish_reason":"%b"}' % (content, finish.encode())
        return b'%b,"choices":[%b],"usage":%b,"timings":%b}' % (
            self._whole,
            choice,
            usage.json(),
            timings,
        )
