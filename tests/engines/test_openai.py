"""Bodies in, values or refusals out; values in, events out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from latok.engines.openai import (
    ChatBody,
    CompletionBody,
    Refusal,
    Shape,
    StreamOptions,
    Usage,
    read,
)
from latok.wire.dialects import DIALECTS
from latok.wire.sse import EventStream

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def chat(**fields: Any) -> ChatBody:
    return read(ChatBody, msgspec.json.encode({**HELLO, **fields}))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": "12"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
    ],
)
def test_a_wrong_or_unsupported_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        chat(**fields)
    assert refused.value.status == 400
    assert refused.value.param == param


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"hello"', b'{"messages": 1}', b"\xff\xfe"])
def test_what_is_no_body_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal):
        read(ChatBody, data)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Refusal) as refused:
        read(CompletionBody, b"{}")
    assert refused.value.param == "prompt"


def test_what_clients_send_by_habit_is_accepted() -> None:
    asked = chat(n=1, user="me", logprobs=False, tools=[], presence_penalty=0.0, stop=None)
    assert asked.limit is None
    assert chat(max_tokens=5).limit == 5
    assert chat(max_tokens=5, max_completion_tokens=7).limit == 7
    assert chat(stop="x").stops == ["x"]


def test_a_message_in_parts_is_read_and_pictures_are_refused() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].text == "ab"
    with pytest.raises(Refusal, match="not image_url"):
        _ = chat(messages=[{"role": "user", "content": [{"type": "image_url"}]}]).messages[0].text


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions"])
@pytest.mark.parametrize("continuous", [False, True])
def test_our_events_are_read_by_our_own_dialect(dialect: str, continuous: bool) -> None:
    options = StreamOptions(include_usage=True, continuous_usage_stats=continuous)
    shape = Shape(chat=dialect == "openai-chat", id="x", model="m", created=1, options=options)
    data = shape.chunk('say "', Usage(9, 0, 1)) + shape.chunk("", Usage(9, 0, 2))
    data += shape.chunk("hé\n", Usage(9, 0, 5), "length", b'{"queue":0.5}')
    data += shape.last(Usage(9, 0, 5))
    reply = DIALECTS[dialect].reply()
    seen = [reply.see(event) for event in EventStream().feed(data)]
    assert "".join(reply.text) == 'say "hé\n'
    assert [one.kind for one in seen] == ["content", "content", "content", "usage", "done"]
    if continuous:
        assert [one.tokens for one in seen[:3]] == [1, 1, 3]
    assert reply.usage
    assert reply.usage.completion_tokens == 5
    assert reply.timings == {"queue": 0.5}
    assert reply.finish_reason == "length"
