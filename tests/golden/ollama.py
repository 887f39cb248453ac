"""Ollama's chat and generate: a JSON value a line, all counts and durations in the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latok.load.golden import Step
from latok.records import Kind, Usage
from tests.golden.case import Case, Family, dumped, says
from tests.golden.openai import FIRST, LIKELY, NEXT

Spell = Callable[..., dict[str, Any]]
COUNTS = {"prompt_eval_count": 7, "eval_count": 2}
DURATIONS = {"total_duration": 9000, "load_duration": 100, "eval_duration": 5000}


def spelled_chat(text: str, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text, **more}}


def spelled_generate(text: str, **more: Any) -> dict[str, Any]:
    return {"response": text, **more}


def line(value: dict[str, Any], kind: Kind, tokens: int | None = 0, **more: Any) -> Step:
    return says(dumped({"model": "m", **value, "done": False, **more}) + b"\n", kind, tokens)


def last(spell: Spell, counts: dict[str, int] = COUNTS, reason: str = "stop") -> Step:
    return line(spell(""), "usage", done=True, done_reason=reason, **counts, **DURATIONS)


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words: dict[str, Any] = {"usage": Usage(7, 2), "finish": "stop", "timings": DURATIONS}
    return Case(steps, text, **(words | truth))


def error(message: str) -> dict[str, Any]:
    return {"error": message}


BROKEN = (says(dumped(error("out of memory")) + b"\n", "error"),)


def family(spell: Spell, **own: Case) -> Family:
    def text(content: str) -> Step:
        return line(spell(content), "content", None)

    def stream(texts: list[str]) -> Case:
        n = len(texts)
        steps = (*map(text, texts), last(spell, {**COUNTS, "eval_count": n}))
        return answer(*steps, text="".join(texts), usage=Usage(7, n))

    def whole() -> Case:
        step = line(spell("ab"), "content", 2, done=True, done_reason="stop", **COUNTS, **DURATIONS)
        return answer(step, source="continuous_usage", content_type="application/json")

    think = line(spell("", thinking="hm"), "reasoning", None)
    ordinary = (text("a"), text("b"), last(spell))
    own = {
        "reasoning": answer(think, *ordinary),
        "empty_token": answer(text("a"), text(""), text("b"), last(spell)),
        "usage_in_last_content": answer(
            text("a"),
            line(spell("b"), "content", None, done=True, done_reason="stop", **COUNTS, **DURATIONS),
        ),
        "prompt_all_cached": answer(
            *ordinary[:2], last(spell, {"eval_count": 2}), usage=Usage(None, 2)
        ),
        "timings": answer(*ordinary),
        "logprobs": answer(
            line(spell("a"), "content", None, logprobs=[LIKELY]),
            line(spell("b"), "content", None, logprobs=[NEXT]),
            last(spell),
            first=FIRST,
        ),
        **own,
    }
    return Family(stream, whole, error, BROKEN, 1, own, "application/x-ndjson")


CALL = line(spelled_chat("", tool_calls=[{"function": {"name": "f"}}]), "tool", None)
FAMILIES = {
    "ollama-chat": family(
        spelled_chat,
        tools=answer(CALL, last(spelled_chat), text=""),
        parallel_tools=answer(CALL, CALL, last(spelled_chat), text=""),
    ),
    "ollama-generate": family(spelled_generate),
}
