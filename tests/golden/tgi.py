"""TGI's generate_stream: one token an event, the whole text and the details in the last."""

from __future__ import annotations

from typing import Any

from latok.load.golden import Step
from latok.records import Usage
from tests.golden.case import Case, Family, dumped, json_body, says


def token(
    text: str, special: bool = False, whole: str | None = None, n: int = 0, **more: Any
) -> Step:
    details = {"finish_reason": "eos_token", "generated_tokens": n, "input_length": 7}
    said = {
        "index": n,
        "token": {"id": 1, "text": text, "logprob": -0.1, "special": special},
        "generated_text": whole,
        "details": None if whole is None else details,
        **more,
    }
    return says(b"data:" + dumped(said) + b"\n\n", "content", 1)  # TGI leaves no space


def answer(*steps: Step, text: str = "ab", **truth: Any) -> Case:
    words = {"usage": Usage(7, 2), "finish": "eos_token", "source": "continuous_usage"}
    return Case(steps, text, **(words | truth))


def stream(texts: list[str]) -> Case:
    *early, final = texts
    n, text = len(texts), "".join(texts)
    return answer(*map(token, early), token(final, whole=text, n=n), text=text, usage=Usage(7, n))


def whole() -> Case:
    details = {"finish_reason": "eos_token", "generated_tokens": 2, "input_length": 7}
    return answer(*json_body({"generated_text": "ab", "details": details}, "content", 2))


def error(message: str) -> dict[str, Any]:
    return {"error": message, "error_type": "overloaded"}


def tops(**values: float) -> list[dict[str, Any]]:
    return [
        {"id": n, "text": text, "logprob": value, "special": False}
        for n, (text, value) in enumerate(values.items())
    ]


OWN = {
    "logprobs": answer(
        token("a", top_tokens=tops(a=-0.1, b=-2.5)),
        token("b", whole="ab", n=2, top_tokens=tops(b=-0.1, c=-2.5)),
        first={"a": -0.1, "b": -2.5},
    ),
    "empty_token": answer(token("a"), token(""), token("b", whole="ab", n=3), usage=Usage(7, 3)),
    "special_token": answer(
        token("a"), token("b"), token("</s>", special=True, whole="ab", n=3), usage=Usage(7, 3)
    ),
}
BROKEN = (says(b"data:" + dumped(error("out of memory")) + b"\n\n", "error"),)
FAMILIES = {"tgi": Family(stream, whole, error, BROKEN, ends=1, own=OWN)}
