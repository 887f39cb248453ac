"""What the golden server can be asked to do, by the model's name: good streams, quirks, faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile

from latok.load.golden import HEAD, TAIL, Asked, Script, Step, chunked, event, response, steady

TOKEN = event({"choices": [{"delta": {"content": "a"}}]})
END = event({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + chunked(b"data: [DONE]\n\n")


def by_model(asked: Asked) -> Iterable[Step]:
    """The script that the request's model names; `steady` for any other."""
    model = str(asked.body["model"]) if asked.body else ""
    return SCRIPTS.get(model.partition(":")[0], steady)(asked)


def slowed(asked: Asked) -> Iterable[Step]:
    """`by_model`, but what would be slowing from some request on is slow from the first."""
    if not asked.body:
        return by_model(asked)
    model = str(asked.body["model"]).replace("from=", "after=")
    return by_model(asked._replace(body={**asked.body, "model": model}))


def slowing(asked: Asked) -> Iterable[Step]:
    """Steady, and slower by a share from a request on: `slowing:ttft=0.1,gap=0.02,from=99,by=0.2`;
    with `until` as well, up to that one. The server counts all that it was ever asked to answer."""
    words = dict(w.split("=") for w in str(asked.body["model"]).partition(":")[2].split(","))
    slow = int(words.get("from", 0)) <= asked.n < int(words.get("until", 10**9))
    factor = 1.0 + float(words["by"]) if slow else 1.0
    ttft, gap = (factor * float(words[name]) for name in ("ttft", "gap"))
    model = f"steady:ttft={ttft},gap={gap}"
    return steady(asked._replace(body={**asked.body, "model": model}))


def reset(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, HEAD + TOKEN, 1, "content")
    yield Step(0.05, TOKEN, 1, "content", end="reset")


def cut(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, HEAD + TOKEN, 1, "content", end="close")


def garbage(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, b"\x16\x03\x01 this is not HTTP\r\n\r\n", end="close")


def in_band(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, HEAD + TOKEN, 1, "content")
    yield Step(0.01, event({"error": {"message": "out of memory"}}) + TAIL)


def refused(asked: Asked) -> Iterator[Step]:
    body = b'{"error":{"message":"too long","type":"invalid_request_error"}}'
    yield Step(0.0, b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def limited(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, b"HTTP/1.1 429 Slow\r\nRetry-After: 0.5\r\nContent-Length: 0\r\n\r\n")


def unfinished(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, HEAD + TOKEN + TAIL, 1, "content")


def stalled(asked: Asked) -> Iterator[Step]:
    yield Step(0.0, HEAD + TOKEN, 1, "content")
    yield Step(60.0, TAIL)


def mute(asked: Asked) -> Iterator[Step]:
    yield Step(60.0, TAIL)


def closing(asked: Asked) -> Iterator[Step]:
    """As llama.cpp does: promises to keep the connection, answers, and closes it."""
    yield Step(0.0, HEAD, 0)
    yield Step(0.01, TOKEN, 1, "content")
    yield Step(0.02, END + TAIL, 0, "done", end="close")


def recalling(asked: Asked) -> Iterator[Step]:
    """Says how many messages it was sent, and sends them back beside its answer; refuses a fourth
    turn. `recalling:gap=0.01`: seconds from token to token, eight of them."""
    messages = asked.body["messages"]
    if len(messages) > 5:
        yield from in_band(asked)
        return
    gap = float(asked.body["model"].partition("=")[2] or 0.002)
    yield Step(0.0, HEAD, 0)
    for n in range(8):
        said = {"choices": [{"delta": {"content": f" {len(messages)}.{n}"}}]}
        yield Step(0.005 + n * gap, event(said), 1, "content")
    last = {
        "choices": [{"delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10 * len(messages), "completion_tokens": 8},
        "timings": {"messages": messages},
    }
    yield Step(0.006 + 7 * gap, event(last) + chunked(b"data: [DONE]\n\n") + TAIL, 0, "done")


KNOWN: set[tuple[str, ...]] = set()


def caching(asked: Asked) -> Iterator[Step]:
    """A prefix cache of blocks of eight tokens that forgets nothing; a token is a word.
    `caching:prefill=0.001`: seconds that each takes which is not in it, and each answered five."""
    if asked.path == "/tokenize":
        yield Step(0.0, response({"count": len(asked.body["prompt"].split())}))
        return
    words = [word for said in asked.body["messages"] for word in said["content"].split()]
    beginnings = [tuple(words[:end]) for end in range(8, len(words), 8)]
    cached = 8 * sum(1 for _ in takewhile(KNOWN.__contains__, beginnings))
    KNOWN.update(beginnings)
    tokens = asked.body["max_tokens"]
    each = float(asked.body["model"].partition("=")[2] or 0.0)
    read, gap = each * (len(words) - cached), 5 * each or 0.0005
    yield Step(0.0, HEAD, 0)
    for n in range(tokens):
        said = {"choices": [{"delta": {"content": f" {n}"}}]}
        yield Step(read + 0.002 + n * gap, event(said), 1, "content")
    last = {
        "choices": [{"delta": {}, "finish_reason": "length"}],
        "usage": {
            "prompt_tokens": len(words),
            "completion_tokens": tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
    yield Step(
        read + 0.003 + tokens * gap, event(last) + chunked(b"data: [DONE]\n\n") + TAIL, 0, "done"
    )


SCRIPTS: dict[str, Script] = {
    script.__name__: script
    for script in (
        reset,
        cut,
        garbage,
        in_band,
        refused,
        limited,
        unfinished,
        stalled,
        mute,
        slowing,
        closing,
        recalling,
        caching,
    )
}
