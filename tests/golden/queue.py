"""A golden server with `servers` places, each taken for `service` seconds: M/D/c in real time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator

from latok.load.golden import HEAD, NOT_FOUND, TAIL, Asked, Step, chunked, event, response

_FREE: dict[str, list[float]] = {}  # by model: when each place is free, seconds of the wall clock


def single(asked: Asked) -> Iterator[Step]:
    """The same with one place only, whatever is asked."""
    model = f"{asked.body['model']},servers=1" if asked.body else ""
    return queue(asked._replace(body={**(asked.body or {}), "model": model}))


def queue(asked: Asked) -> Iterator[Step]:
    """One token once its turn has come and the service is over: `queue:servers=4,service=0.02`."""
    if not asked.path.endswith("/completions"):
        models = response({"data": [{"id": "queue"}]})
        yield Step(0.0, models if asked.path == "/v1/models" else NOT_FOUND)
        return
    model = str(asked.body["model"])
    words = dict(w.split("=") for w in model.partition(":")[2].split(",") if w)
    service, now = float(words.get("service", 0.02)), time.time()
    free = _FREE.setdefault(model, [0.0] * int(words.get("servers", 1)))
    done = max(free[0], now) + service
    heapq.heapreplace(free, done)
    said = {"choices": [{"delta": {"content": "a"}, "finish_reason": "length"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    yield Step(0.0, HEAD, 0)
    yield Step(done - now, event(said), 1, "content")
    # later than the token: of two in one read the client cannot tell when the first came
    yield Step(done - now + 0.002, event(usage) + chunked(b"data: [DONE]\n\n") + TAIL, 0, "done")
