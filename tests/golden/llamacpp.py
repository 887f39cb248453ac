"""llama.cpp's own completion, as its server sent it (2026-11, through xllamacpp)."""

from __future__ import annotations

from typing import Any

from latok.load.golden import Step
from latok.records import Kind, Usage
from tests.golden.case import Case, Family, json_body, says, sse
from tests.golden.openai import FIRST, LIKELY, NEXT

TIMINGS = {"cache_n": 4, "prompt_n": 3, "prompt_ms": 5.5, "predicted_n": 2, "predicted_ms": 9.5}


def chunk(text: str, so_far: int, kind: Kind = "content", new: int = 1, **more: Any) -> Step:
    """`tokens` of the JSON is only the last id, however many are new."""
    said = {"index": 0, "content": text, "tokens": [242], "stop": False, "id_slot": -1}
    return sse({**said, "tokens_predicted": so_far, "tokens_evaluated": 7, **more}, kind, new)


def last(so_far: int, kind: Kind = "usage", new: int = 0, reason: str = "eos") -> Step:
    end = {"tokens": [], "stop": True, "stop_type": reason, "timings": TIMINGS}
    return chunk("", so_far, kind, new, **end)


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words: dict[str, Any] = {
        "usage": Usage(7, 2, 4),
        "finish": "eos",
        "source": "continuous_usage",
        "timings": TIMINGS,
    }
    return Case(steps, text, **(words | truth))


def stream(texts: list[str]) -> Case:
    steps = [chunk(text, n) for n, text in enumerate(texts, 1)]
    n = len(texts)
    return answer(*steps, last(n), text="".join(texts), usage=Usage(7, n, 4))


def whole() -> Case:
    body = {"content": "ab", "tokens": [], "stop": True, "stop_type": "eos", "timings": TIMINGS}
    counts = {"tokens_predicted": 2, "tokens_evaluated": 7}
    return answer(*json_body({**body, **counts}, "content", 2))


def error(message: str) -> dict[str, Any]:
    return {"error": {"code": 400, "message": message, "type": "invalid_request_error"}}


A, B = chunk("a", 1), chunk("b", 2)
OLD = says(b'error: {"code":500,"message":"out of memory","type":"server_error"}\n\n', "error")
OWN = {
    "several_tokens": answer(
        chunk("😀", 3, new=3), chunk("a", 4), last(4), text="😀a", usage=Usage(7, 4, 4)
    ),
    "empty_token": answer(A, chunk("", 2), chunk("b", 3), last(3), usage=Usage(7, 3, 4)),
    "token_without_text_but_counted": answer(A, B, last(3, "content", 1), usage=Usage(7, 3, 4)),
    "prompt_progress": answer(
        chunk("", 0, "ping", 0, tokens=[0], prompt_progress={"processed": 1}), A, B, last(2)
    ),
    "error_field": answer(
        *(A, OLD),
        text="a",
        usage=None,
        source="unknown",
        finish=None,
        timings={},
        error="in_band",
    ),
    "cached_and_reasoning_tokens": answer(A, B, last(2)),
    "timings": answer(A, B, last(2)),
    "logprobs": answer(
        chunk("a", 1, completion_probabilities=[{"id": 5, **LIKELY}]),
        chunk("b", 2, completion_probabilities=[{"id": 6, **NEXT}]),
        last(2),
        first=FIRST,
    ),
}

BROKEN = (sse(error("out of memory"), "error"),)
FAMILIES = {"llamacpp": Family(stream, whole, error, BROKEN, ends=1, own=OWN)}
