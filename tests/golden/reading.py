"""A server that reads: it answers with the number that the text gives for the name asked about.

    golden("tests.golden.reading:reading")

The question is "How many crates does Ada keep?", the text says "Ada keeps 17 crates." Without that
it says NONE. Of answers by parts ("Part 2: 17") it takes the number. An answer takes WORD seconds
for each word of its question, then TOKEN for each of its own; with `reasoning_effort` it thinks
first, so many tokens more. It answers whole where that is asked for, and then refuses
`stream_options`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from latok.load.golden import HEAD, NOT_FOUND, TAIL, Asked, Step, chunked, event, response

WORD, TOKEN = 0.0002, 0.01
THOUGHTS = {"low": 1, "medium": 3, "high": 6}


def answer(text: str) -> str:
    if found := re.findall(r"^Part \d+: (\d+)", text, re.MULTILINE):
        return " ".join(found)
    (name,) = re.findall(r"How many crates does (\w+) keep", text) or [""]
    return " ".join(re.findall(rf"{name} keeps (\d+) crates", text)) or "NONE"


def reading(asked: Asked) -> Iterator[Step]:
    if not asked.path.endswith("/chat/completions"):
        models = response({"data": [{"id": "reader"}]})
        yield Step(0.0, models if asked.path == "/v1/models" else NOT_FOUND)
        return
    body = asked.body
    text = body["messages"][-1]["content"]
    if "unreadable" in text:
        yield Step(0.0, response({"error": {"message": "unreadable"}}, "500 Oops"))
        return
    words, tokens = len(text.split()), answer(text).split()
    thoughts = THOUGHTS.get(body.get("reasoning_effort"), 0)
    usage = {
        "prompt_tokens": words,
        "completion_tokens": thoughts + len(tokens),
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    begun, over = words * WORD, words * WORD + (thoughts + len(tokens) - 1) * TOKEN
    if not body["stream"]:
        if "stream_options" in body:
            why = {"error": {"message": "stream_options is only allowed when stream is true"}}
            yield Step(0.0, response(why, "400 Bad Request"))
            return
        message = {"role": "assistant", "content": " ".join(tokens)}
        choices = [{"message": message, "finish_reason": "stop"}]
        yield Step(over, response({"choices": choices, "usage": usage}))
        return
    yield Step(0.0, HEAD)
    for n in range(thoughts):
        delta = {"reasoning_content": "hm"}
        yield Step(begun + n * TOKEN, event({"choices": [{"delta": delta}]}), 1, "reasoning")
    for n, token in enumerate(tokens):
        delta = {"content": f" {token}" if n else token}
        at = begun + (thoughts + n) * TOKEN
        yield Step(at, event({"choices": [{"delta": delta}]}), 1, "content")
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}
    yield Step(over, event(end) + chunked(b"data: [DONE]\n\n") + TAIL)
