"""SGLang's own generate: the whole text so far in each event, why it ended as an object."""

from __future__ import annotations

from typing import Any

from latok.load.golden import Step
from latok.records import Kind, Usage
from tests.golden.case import Case, Family, json_body, says, sse

TIMES = {"queue_time": 0.01, "first_token_latency": 0.03, "e2e_latency": 0.05}
DONE = says(b"data: [DONE]\n\n", "done", 0)
STOP = {"type": "stop", "matched": 2}


def said(text: str, so_far: int, finish: dict[str, Any] | None = None) -> dict[str, Any]:
    meta = {
        "id": "5d0fa1",
        "finish_reason": finish,
        "prompt_tokens": 7,
        "weight_version": "default",
        "completion_tokens": so_far,
        "cached_tokens": 4,
    }
    times = {**TIMES, "decode_throughput": 50.0} if finish else {}
    return {"text": text, "output_ids": [1] * so_far, "meta_info": {**meta, **times}}


def part(
    text: str,
    so_far: int,
    finish: dict[str, Any] | None = None,
    kind: Kind = "content",
    new: int = 1,
) -> Step:
    return sse(said(text, so_far, finish), kind, new)


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words: dict[str, Any] = {
        "usage": Usage(7, 2, 4),
        "finish": "stop",
        "source": "continuous_usage",
        "timings": TIMES,
    }
    return Case((*steps, DONE), text, **(words | truth))


def stream(texts: list[str]) -> Case:
    steps = [
        part("".join(texts[:n]), n, STOP if n == len(texts) else None)
        for n in range(1, len(texts) + 1)
    ]
    return answer(*steps, text="".join(texts), usage=Usage(7, len(texts), 4))


def whole() -> Case:
    case = answer(*json_body(said("ab", 2, STOP), "content", 2))
    return case._replace(steps=case.steps[:1])


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


ABORT = {"type": "abort", "message": "out of memory", "status_code": 500}
OWN = {
    "several_tokens": answer(
        part("ab", 3, new=3), part("abc", 4, STOP), text="abc", usage=Usage(7, 4, 4)
    ),
    "empty_token": answer(part("a", 1), part("a", 2), part("ab", 3, STOP), usage=Usage(7, 3, 4)),
    "usage_in_last_content": answer(part("a", 1), part("ab", 2, STOP)),
    "timings": answer(part("a", 1), part("ab", 2), part("ab", 2, STOP, "usage", 0)),
}
BROKEN = (part("a", 1, ABORT, "error", 0), DONE)
FAMILIES = {"sglang": Family(stream, whole, error, BROKEN, ends=2, own=OWN)}
