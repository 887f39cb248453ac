"""What the golden server can be asked to do, by the model's name: good streams, quirks, faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from latok.load.golden import HEAD, TAIL, Asked, Script, Step, chunked, event, steady

TOKEN = event({"choices": [{"delta": {"content": "a"}}]})
END = event({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + chunked(b"data: [DONE]\n\n")


def by_model(asked: Asked) -> Iterable[Step]:
    """The script that the request's model names; `steady` for any other."""
    model = str(asked.body["model"]) if asked.body else ""
    return SCRIPTS.get(model.partition(":")[0], steady)(asked)


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
        closing,
    )
}
