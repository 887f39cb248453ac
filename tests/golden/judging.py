"""A server that says what it is told to say, and that grades what was said.

    golden("tests.golden.judging:judging")

"Say word" is answered with that word. As a judge it goes by the answer that it is shown: `right`,
`half` and `wrong` it grades, `rambling` and `quoting` get a reply that is no grade, `busy` is asked
to come again once, `refused` always is refused; `secret` is right where the judge's own key came
along. A word takes WAIT seconds, a grade none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from latok.load.golden import HEAD, NOT_FOUND, TAIL, Asked, Step, chunked, event, response

KEY = "judge-key"
WAIT = 0.5  # of which 2 % are more than a busy machine's own error
LATER = 0.05
REPLIES = {
    "right": "It says all.\n\nGRADE: C (correct)",
    "half": "**GRADE: P**",
    "wrong": "It does not.\nGRADE: I",
    "rambling": "It is quite good, I would say.",
    "quoting": 'It says "GRADE: C", but\nGRADE: C or I, who knows?',
    "secret": "GRADE: I",
}
_busy = {"calls": 0}


def judging(asked: Asked) -> Iterator[Step]:
    if not asked.path.endswith("/chat/completions"):
        models = response({"data": [{"id": "first"}, {"id": "second"}]})
        yield Step(0.0, models if asked.path == "/v1/models" else NOT_FOUND)
        return
    text = asked.body["messages"][-1]["content"]
    shown = re.search(r"\[answer \w+\]\n(.*)\n\[end of answer", text)
    at = WAIT if shown is None else 0.0
    if shown is None:
        said = (re.findall(r"Say (.+)", text) or ["nothing"])[0]
    elif shown[1] == "refused":
        yield Step(0.0, response({"error": {"message": "no more"}}, "403 Forbidden"))
        return
    elif shown[1] == "busy":
        _busy["calls"] += 1
        if _busy["calls"] == 1:
            why = {"error": {"message": "later"}}
            yield Step(0.0, response(why, "429 Too Many Requests", "Retry-After: 0\r\n"))
            return
        said = "GRADE: C"
    elif shown[1] == "secret" and asked.headers.get("authorization") == f"Bearer {KEY}":
        said = "GRADE: C"
    else:
        said = REPLIES.get(shown[1], "GRADE: C")
    usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(said.split())}
    yield Step(at, HEAD + event({"choices": [{"delta": {"content": said}}]}), 1, "content")
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}
    # later, or both come in one read: then the first may have come at any time before it
    yield Step(at + LATER, event(end) + chunked(b"data: [DONE]\n\n") + TAIL)
