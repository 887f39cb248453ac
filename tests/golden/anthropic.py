"""Anthropic's Messages: blocks that open and close, pings, usage in parts."""

from __future__ import annotations

from typing import Any

from latok.load.golden import Step
from latok.records import Kind, Usage
from tests.golden.case import Case, Family, json_body, sse

INPUT = {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1}


def named(name: str, kind: Kind = "role", tokens: int | None = 0, **fields: Any) -> Step:
    return sse({"type": name, **fields}, kind, tokens, name=name)


def started(**usage: Any) -> Step:
    return named("message_start", message={"role": "assistant", "content": [], "usage": usage})


def block(kind: Kind = "role", tokens: int | None = 0, **fields: Any) -> Step:
    return named("content_block_start", kind, tokens, index=0, content_block=fields)


def delta(kind: Kind, tokens: int | None = None, **fields: Any) -> Step:
    return named("content_block_delta", kind, tokens, index=0, delta=fields)


def text(content: str) -> Step:
    return delta("content", type="text_delta", text=content)


def stop(reason: str = "end_turn", output: int = 2, **usage: Any) -> Step:
    return named(
        *("message_delta", "usage"),
        delta={"stop_reason": reason},
        usage={"output_tokens": output, **usage},
    )


START = started(**INPUT, output_tokens=1)
OPEN = (START, block(type="text", text=""), named("ping", "ping"))
SHUT = named("content_block_stop", index=0)
OVER = named("message_stop", "done")


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words: dict[str, Any] = {"usage": Usage(8, 2, 4), "finish": "end_turn"}
    return Case(steps, text, **(words | truth))


def stream(texts: list[str]) -> Case:
    n = len(texts)
    steps = (*OPEN, *map(text, texts), SHUT, stop(output=n), OVER)
    return answer(*steps, text="".join(texts), usage=Usage(8, n, 4))


def whole() -> Case:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ab"}]
    usage = {**INPUT, "output_tokens": 2}
    body = {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}
    return answer(*json_body(body, "content", 2), source="continuous_usage")


def error(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


CALL = (
    block("tool", None, type="tool_use", id="t", name="f", input={}),
    delta("role", 0, type="input_json_delta", partial_json=""),
    delta("tool", type="input_json_delta", partial_json='{"x'),
    delta("tool", type="input_json_delta", partial_json='":1}'),
    SHUT,
)
OWN = {
    "reasoning": answer(
        START,
        block(type="thinking", thinking="", signature=""),
        delta("reasoning", type="thinking_delta", thinking="hm"),
        delta("role", 0, type="signature_delta", signature="EqQB"),
        *(SHUT, *OPEN[1:], text("a"), text("b"), SHUT, stop(), OVER),
    ),
    "reasoning_redacted": answer(
        START,
        block("reasoning", None, type="redacted_thinking", data="EqQB"),
        *(SHUT, *OPEN[1:], text("a"), text("b"), SHUT, stop(), OVER),
    ),
    "tools": answer(START, *CALL, stop("tool_use"), OVER, text="", finish="tool_use"),
    "parallel_tools": answer(
        START, *CALL, *CALL, stop("tool_use"), OVER, text="", finish="tool_use"
    ),
    "start_missing": answer(
        *(OPEN[1], text("a"), text("b"), SHUT, stop(), OVER), usage=Usage(None, 2)
    ),
    "usage_at_the_end_alone": answer(
        *(started(input_tokens=0, output_tokens=0), *OPEN[1:], text("a"), text("b"), SHUT),
        *(stop(**INPUT), OVER),
    ),
    "cached_and_reasoning_tokens": answer(*OPEN, text("a"), text("b"), SHUT, stop(), OVER),
}

OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
BROKEN = (sse(OVERLOADED, "error", name="error"),)
FAMILIES = {"anthropic": Family(stream, whole, error, BROKEN, ends=2, own=OWN)}
