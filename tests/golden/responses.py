"""OpenAI's Responses: named events, four of them before the first token, and no [DONE]."""

from __future__ import annotations

from typing import Any

from latok.load.golden import Step
from latok.records import Kind, Usage
from tests.golden.case import Case, Family, json_body, sse

USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
}


def named(name: str, kind: Kind = "role", tokens: int | None = 0, **fields: Any) -> Step:
    return sse({"type": name, "sequence_number": 1, **fields}, kind, tokens, name=name)


def delta(what: str, kind: Kind, text: str = "x") -> Step:
    return named(f"response.{what}.delta", kind, None, delta=text, obfuscation="kd8")


def text(content: str) -> Step:
    return delta("output_text", "content", content)


def response(status: str, usage: Any = None, **fields: Any) -> dict[str, Any]:
    return {"object": "response", "status": status, "error": None, "usage": usage, **fields}


def over(status: str = "completed", usage: Any = USAGE, **fields: Any) -> Step:
    return named(f"response.{status}", "usage", response=response(status, usage, **fields))


def added(kind: str, seen: Kind = "role", tokens: int | None = 0) -> Step:
    item = {"type": kind, "content": [], "summary": [], "name": "f"}
    return named("response.output_item.added", seen, tokens, item=item)


OPEN = (
    named("response.created", response=response("in_progress")),
    named("response.in_progress", response=response("in_progress")),
    added("message"),
    named("response.content_part.added", part={"type": "output_text", "text": ""}),
)
CLOSE = (
    named("response.output_text.done", text="ab"),
    named("response.content_part.done"),
    named("response.output_item.done", item={"type": "message"}),
)


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words: dict[str, Any] = {"usage": Usage(7, 2, 4, 0), "finish": "completed"}
    return Case(steps, text, **(words | truth))


def stream(texts: list[str]) -> Case:
    n = len(texts)
    steps = (*OPEN, *map(text, texts), *CLOSE, over(usage={**USAGE, "output_tokens": n}))
    return answer(*steps, text="".join(texts), usage=Usage(7, n, 4, 0))


def whole() -> Case:
    parts = [{"type": "output_text", "text": "ab"}]
    output = [{"type": "reasoning", "summary": []}, {"type": "message", "content": parts}]
    body = response("completed", USAGE, output=output)
    return answer(*json_body(body, "content", 2), source="continuous_usage")


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def failed() -> Step:
    why = {"code": "server_error", "message": "out of memory"}
    return named("response.failed", "error", response=response("failed", error=why))


OWN = {
    "reasoning": answer(
        *OPEN[:2],
        added("reasoning"),
        *(delta("reasoning_text", "reasoning"), delta("reasoning_summary_text", "reasoning")),
        *(*OPEN[2:], text("a"), text("b"), *CLOSE, over()),
    ),
    "refusal": answer(
        *OPEN, delta("refusal", "content", "a"), delta("refusal", "content", "b"), over()
    ),
    "empty_token": answer(*OPEN, text("a"), text(""), text("b"), *CLOSE, over()),
    "tools": answer(
        *OPEN[:2],
        added("function_call", "tool", None),
        delta("function_call_arguments", "tool", "{"),
        delta("function_call_arguments", "tool", "}"),
        named("response.function_call_arguments.done", arguments="{}"),
        over(),
        text="",
    ),
    "parallel_tools": answer(
        *OPEN[:2],
        added("function_call", "tool", None),
        added("custom_tool_call", "tool", None),
        delta("function_call_arguments", "tool", "{"),
        delta("custom_tool_call_input", "tool", "{"),
        over(),
        text="",
    ),
    "cut_at_the_limit": answer(
        *(*OPEN, text("a"), text("b")),
        over("incomplete", incomplete_details={"reason": "max_output_tokens"}),
        finish="max_output_tokens",
    ),
    "failed_at_the_end": answer(
        *(*OPEN, text("a"), failed()),
        text="a",
        usage=None,
        source="unknown",
        finish=None,
        error="in_band",
    ),
    "cached_and_reasoning_tokens": answer(
        *(*OPEN, text("a"), text("b")),
        over(usage={**USAGE, "output_tokens_details": {"reasoning_tokens": 1}}),
        usage=Usage(7, 2, 4, 1),
    ),
}

BROKEN = (sse({"type": "error", "code": "x", "message": "out of memory"}, "error", name="error"),)
FAMILIES = {"openai-responses": Family(stream, whole, error, BROKEN, ends=1, own=OWN)}
