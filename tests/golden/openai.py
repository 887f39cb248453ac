"""Chat completions and completions, as OpenAI and those who speak like it send them."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from latok.load.golden import Step
from latok.records import Kind, Usage
from tests.golden.case import Case, Family, json_body, says, sse

DONE = says(b"data: [DONE]\n\n", "done")
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def usage(completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": 7, "completion_tokens": completion, **more}


def said(completion: int, cached: int | None = None, reasoning: int | None = None) -> Usage:
    return Usage(7, completion, cached, reasoning)


def delta(
    fields: Mapping[str, Any],
    kind: Kind,
    tokens: int | None = None,
    finish: str | None = None,
    index: int = 0,
    logprobs: Any = None,
    **more: Any,
) -> Step:
    """A chat chunk; its tokens are unknown unless it is none."""
    choice = {"index": index, "delta": fields, "logprobs": logprobs, "finish_reason": finish}
    tokens = 0 if kind == "role" else tokens
    return sse({"object": "chat.completion.chunk", "choices": [choice], **more}, kind, tokens)


def text(content: str, tokens: int | None = None, **more: Any) -> Step:
    return delta({"content": content}, "content", tokens, **more)


def end(reason: str = "stop", **more: Any) -> Step:
    return delta({}, "role", finish=reason, **more)


def counted(completion: int = 2, timings: Any = None, **details: Any) -> Step:
    return sse({"choices": [], "usage": usage(completion, **details), "timings": timings}, "usage")


ROLE = delta({"role": "assistant", "content": ""}, "role")
A, B = text("a"), text("b")
TAIL = (end(), counted(), DONE)


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words: dict[str, Any] = {"usage": said(2), "finish": "stop"}
    return Case(steps, text, **(words | truth))


METRICS = {"metrics": {"queue_time_ms": 1.5, "speculative_decoding": {"histogram": [1, 2]}}}


def timed(*steps: Step, **truth: Any) -> Case:
    return answer(*steps, timings=METRICS["metrics"], **truth)


def chat(texts: list[str]) -> Case:
    n = len(texts)
    return answer(
        ROLE, *map(text, texts), end(), counted(n), DONE, text="".join(texts), usage=said(n)
    )


def chat_whole() -> Case:
    message = {"role": "assistant", "content": "ab", "refusal": None, "tool_calls": []}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    return answer(*json_body(body, "content", 2), source="continuous_usage")


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


def tool(**call: Any) -> Step:
    return delta({"tool_calls": [call]}, "tool")


def thinking(name: str, thought: Any = "hm") -> Case:
    step = delta({name: thought, "content": None}, "reasoning")
    return answer(ROLE, step, step, A, B, *TAIL)


def listed(token: str, value: Any, *tops: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A token with its log-probability, and the likeliest ones'."""

    def one(token: str, value: Any) -> dict[str, Any]:
        return {"token": token, "logprob": value, "bytes": list(token.encode()), **more}

    return {**one(token, value), "top_logprobs": [one(*top) for top in tops]}


FIRST = {"a": -0.25, "b": -1.75}
LIKELY = listed("a", -0.25, ("a", -0.25), ("b", -1.75))
NEXT = listed("b", -0.5, ("b", -0.5), ("c", -3.0))


def likely(text_: str, *said: Any) -> Step:
    return text(text_, logprobs={"content": list(said), "refusal": None})


def cumulative(n: int) -> dict[str, Any]:
    return {"usage": usage(n)}


CHAT = {
    "done_missing": answer(ROLE, A, B, end(), counted()),
    "role_merged": answer(delta({"role": "assistant", "content": "a"}, "content"), B, *TAIL),
    "role_null": answer(delta({"role": "assistant", "content": None}, "role"), A, B, *TAIL),
    "empty_token": answer(ROLE, A, text(""), B, *TAIL),
    "empty_token_of_sglang": answer(
        ROLE, A, delta({"role": None, "content": "", "tool_calls": None}, "content"), B, *TAIL
    ),
    "reasoning": thinking("reasoning_content"),
    "reasoning_vllm": thinking("reasoning"),
    "reasoning_openrouter": thinking("reasoning_details", [{"type": "reasoning.text"}]),
    "reasoning_parts": answer(
        ROLE,
        delta({"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}]}, "reasoning"),
        delta({"content": [{"type": "text", "text": "a"}]}, "content"),
        B,
        *TAIL,
    ),
    "reasoning_ends_in_text": answer(
        ROLE, delta({"reasoning": "m.", "content": "a"}, "content"), B, *TAIL
    ),
    "tools": answer(
        delta(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}],
            },
            "tool",
        ),
        tool(index=0, function={"arguments": '{"x'}),
        tool(index=0, function={"arguments": '":1}'}),
        end("tool_calls"),
        counted(),
        DONE,
        text="",
        finish="tool_calls",
    ),
    "parallel_tools": answer(
        ROLE,
        tool(index=0, id="c", function={"name": "f", "arguments": "{"}),
        tool(index=1, id="d", function={"name": "g", "arguments": "{"}),
        tool(index=0, function={"arguments": "}"}),
        tool(index=1, function={"arguments": "}"}),
        end("tool_calls"),
        counted(),
        DONE,
        text="",
        finish="tool_calls",
    ),
    "function_call": answer(ROLE, delta({"function_call": {"name": "f"}}, "tool"), A, B, *TAIL),
    "refusal": answer(
        ROLE, delta({"refusal": "a"}, "content"), delta({"refusal": "b"}, "content"), *TAIL
    ),
    "several_tokens": answer(
        delta({"role": "assistant", "content": ""}, "role", **cumulative(0)),
        text("a", 3, **cumulative(3)),
        text("b", 1, **cumulative(4)),
        end(**cumulative(4)),
        counted(4),
        DONE,
        usage=said(4),
        source="continuous_usage",
    ),
    "token_without_text_but_counted": answer(
        ROLE,
        text("a", 1, **cumulative(1)),
        text("", 1, **cumulative(2)),
        text("b", 1, **cumulative(3)),
        delta({}, "content", 1, finish="stop", **cumulative(4)),
        DONE,
        usage=said(4),
        source="continuous_usage",
    ),
    "usage_that_does_not_count": answer(
        text("a", **cumulative(0)), text("b", **cumulative(0)), end(**cumulative(2)), DONE
    ),
    "usage_stops_midway": answer(
        text("a", 1, **cumulative(1)), text("b"), text("c", **cumulative(3)), *TAIL, text="abc"
    ),
    "several_choices": answer(
        ROLE,
        delta({"role": "assistant", "content": ""}, "role", index=1),
        text("a"),
        text("b", index=1),
        end(),
        text("c", index=1),
        end(index=1),
        counted(),
        text="abc",
    ),
    "several_choices_counted": answer(
        text("a", 1, **cumulative(1)),
        text("b", 1, index=1, **cumulative(1)),
        text("c", 1, index=1, **cumulative(2)),
        end(**cumulative(1)),
        end(index=1, **cumulative(2)),
        counted(3),
        DONE,
        text="abc",
        usage=said(3),
        source="continuous_usage",
    ),
    "one_choice_of_two_unfinished": answer(
        A, text("b", index=1), end(), text="ab", usage=None, source="unknown", error="incomplete"
    ),
    "filter_results_first": answer(
        sse({"choices": [], "prompt_filter_results": [{}]}, "usage"), ROLE, A, B, *TAIL
    ),
    "cached_and_reasoning_tokens": answer(
        ROLE,
        A,
        B,
        end(),
        counted(
            prompt_tokens_details={"cached_tokens": 4},
            completion_tokens_details={"reasoning_tokens": 1},
        ),
        DONE,
        usage=said(2, 4, 1),
    ),
    "cached_tokens_deepseek": answer(
        ROLE, A, B, end(usage=usage(2, prompt_cache_hit_tokens=4)), DONE, usage=said(2, 4)
    ),
    "finish_error": answer(
        *(A, end("error"), DONE),
        text="a",
        usage=None,
        source="unknown",
        finish="error",
        error="in_band",
    ),
    "prompt_progress": answer(
        delta({"role": "assistant", "content": None}, "ping", 0, prompt_progress={"processed": 1}),
        *(ROLE, A, B, *TAIL),
    ),
    "usage_in_last_content": answer(ROLE, A, text("b", finish="stop", usage=usage(2)), DONE),
    "logprobs": answer(ROLE, likely("a", LIKELY), likely("b", NEXT), *TAIL, first=FIRST),
    "logprobs_late": answer(ROLE, A, likely("b", NEXT), *TAIL),
    "logprobs_empty": answer(
        delta({"role": "assistant", "content": ""}, "role", logprobs={"content": []}),
        likely("a", listed("a", -0.25)),
        *(likely("b"), *TAIL),
        first={"a": -0.25},
    ),
    "logprobs_unlikely": answer(
        ROLE,
        likely("a", listed("a", -9999.0, ("b", -1.75))),
        B,
        *TAIL,
        first={"a": -9999.0, "b": -1.75},
    ),
    "logprobs_without_bytes": answer(
        ROLE,
        likely("a", listed("a", -0.25, ("a", -0.25), ("b", -1.75), bytes=None)),
        B,
        *TAIL,
        first=FIRST,
    ),
    "logprobs_written_alike": answer(
        ROLE,
        likely("a", listed("�", -1.0, ("�", -1.0), ("a", -2.0), ("�", -1.0))),
        B,
        *TAIL,
        first={"�": -1.0 + log(2.0), "a": -2.0},
    ),
    "logprobs_broken": answer(
        ROLE, likely("a", listed("a", None, ("b", "low"), ("c", 10**30))), likely("b", NEXT), *TAIL
    ),
    "logprobs_of_reasoning": answer(
        ROLE,
        delta({"reasoning_content": "hm"}, "reasoning", logprobs={"reasoning_content": [LIKELY]}),
        *(likely("a", NEXT), B, *TAIL),
        first=FIRST,
    ),
    "timings": timed(A, B, end(), sse({"choices": [], **METRICS, "usage": USAGE}, "usage"), DONE),
    "timings_groq": answer(
        *(A, B, end(x_groq={"usage": usage(2, queue_time=0.1, total_time=0.3)}), DONE),
        timings={"queue_time": 0.1, "total_time": 0.3},
    ),
    "timings_cerebras": answer(
        *(A, B, end(usage=USAGE, time_info={"queue_time": 0.1, "completion_time": 0.2}), DONE),
        timings={"queue_time": 0.1, "completion_time": 0.2},
    ),
    "timings_llamacpp": answer(
        *(A, B, end(), counted(timings={"prompt_ms": 5.5, "predicted_n": 2}), DONE),
        timings={"prompt_ms": 5.5},
    ),
}


def piece(
    content: str,
    tokens: int | None = None,
    finish: str | None = None,
    logprobs: Any = None,
    **more: Any,
) -> Step:
    """A chunk of a completion."""
    kind: Kind = "role" if finish and not content else "content"
    choice = {"index": 0, "text": content, "logprobs": logprobs, "finish_reason": finish}
    tokens = 0 if kind == "role" else tokens
    return sse({"object": "text_completion", "choices": [choice], **more}, kind, tokens)


LISTS = {
    "tokens": ["a"],
    "token_logprobs": [-0.25],
    "top_logprobs": [FIRST],
    "text_offset": [0],
}
LAST = (piece("", finish="stop"), counted(), DONE)


def completion(texts: list[str]) -> Case:
    n = len(texts)
    steps = (*map(piece, texts), piece("", finish="stop"), counted(n), DONE)
    return answer(*steps, text="".join(texts), usage=said(n))


def completion_whole() -> Case:
    body = {"choices": [{"index": 0, "text": "ab", "finish_reason": "stop"}], "usage": USAGE}
    return answer(*json_body(body, "content", 2), source="continuous_usage")


COMPLETIONS = {
    "done_missing": answer(piece("a"), piece("b"), *LAST[:-1]),
    "empty_token": answer(piece("a"), piece(""), piece("b"), *LAST),
    "several_tokens": answer(
        piece("a", 3, **cumulative(3)),
        piece("b", 1, **cumulative(4)),
        piece("", finish="stop", **cumulative(4)),
        DONE,
        usage=said(4),
        source="continuous_usage",
    ),
    "logprobs": answer(piece("a", logprobs=LISTS), piece("b", logprobs=LISTS), *LAST, first=FIRST),
    "logprobs_late": answer(piece("a"), piece("b", logprobs=LISTS), *LAST),
    "logprobs_empty": answer(
        piece("a", logprobs={**LISTS, "top_logprobs": [None]}),
        piece("b", logprobs={"tokens": [], "token_logprobs": [], "top_logprobs": None}),
        *LAST,
        first={"a": -0.25},
    ),
    "logprobs_as_in_chat": answer(
        piece("a", logprobs={"content": [LIKELY]}), piece("b"), *LAST, first=FIRST
    ),
    "usage_in_last_content": answer(piece("a"), piece("b", finish="stop", **cumulative(2)), DONE),
    "prompt_progress": answer(
        sse({"choices": [{"text": ""}], "prompt_progress": {"processed": 1}}, "ping"),
        *(piece("a"), piece("b"), *LAST),
    ),
    "timings": timed(
        *(piece("a"), piece("b"), piece("", finish="length")),
        *(sse({"choices": [], **METRICS, "usage": USAGE}, "usage"), DONE),
        finish="length",
    ),
    "cached_and_reasoning_tokens": answer(
        *(piece("a"), piece("b"), piece("", finish="stop")),
        *(counted(prompt_tokens_details={"cached_tokens": 4}), DONE),
        usage=said(2, 4),
    ),
}

BROKEN = (sse(error("out of memory"), "error"), DONE)
FAMILIES = {
    "openai-chat": Family(chat, chat_whole, error, BROKEN, ends=3, own=CHAT),
    "openai-completions": Family(
        completion, completion_whole, error, BROKEN, ends=3, own=COMPLETIONS
    ),
}
