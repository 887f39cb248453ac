"""A golden server with planted laws, in real time: `planted:block=16,batch_limit=8` as the model.

It plays the engine of `tests.planted` as the clock goes on; whoever waits for a step wakes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache

from latok.load.golden import HEAD, NOT_FOUND, TAIL, Asked, Step, chunked, event, response
from latok.workload.prompts import estimate
from tests.planted import Engine, Job, Laws

TEMPLATE = 7  # tokens around each text


def laws_of(model: str) -> tuple[Laws, int]:
    """The laws that a model's name plants, and its seed."""
    words = dict(w.split("=") for w in model.partition(":")[2].split(",") if w)
    seed = int(words.pop("seed", 0))
    kinds = {field.name: str(field.type) for field in fields(Laws)}
    planted: dict[str, float | int | bool | None] = {}
    for name, value in words.items():
        kind = kinds[name]
        whole = "int" in kind or kind == "bool"
        planted[name] = None if value == "None" else int(value) if whole else float(value)
    return Laws(rtt=0.0, **planted), seed  # type: ignore[arg-type]


class _Live:
    """The engine, as far as the clock has come, and the prompts that it has seen."""

    def __init__(self, model: str) -> None:
        self.laws, seed = laws_of(model)
        self._engine = Engine(self.laws, seed=seed, zero=time.time())
        self._texts: list[str] = []

    def take(self, text: str, output: int, received: float) -> Job:
        common = max((_common(text, other) for other in self._texts), default=0)
        shared = estimate([text[:common]])[0] + TEMPLATE // 2
        job = Job(
            arrival=received + self.laws.fixed,
            prompt=estimate([text])[0] + TEMPLATE,
            output=output,
            cached=self._engine.known(shared, shared),
        )
        if self.laws.block:
            self._texts.append(text)
        self._engine.add(job)
        return job

    def advance(self, now: float) -> float | None:
        """Ends all steps that are over; when there is something to do again."""
        engine = self._engine
        while True:
            if engine.step_end is None:
                start = engine.next_start
                if start is None or start > now:
                    return start
                engine.begin()
            end = engine.step_end
            if end is not None and end > now:
                return end
            engine.finish()


@cache
def _live(model: str) -> _Live:
    return _Live(model)


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def planted(asked: Asked) -> Iterable[Step]:
    """Chat completions by the laws that the model's name plants; the model to list is `planted`."""
    if asked.path == "/v1/models":
        models = {"data": [{"id": "planted", "max_model_len": 8192}]}
        return [Step(0.0, response(models))]
    if not asked.path.endswith("/chat/completions"):
        return [Step(0.0, NOT_FOUND)]
    return _answer(asked)


def _answer(asked: Asked) -> Iterator[Step]:
    received = time.time()
    text = "".join(message["content"] for message in asked.body["messages"])
    tokens = int(asked.body["max_tokens"])
    live = _live(asked.body["model"])
    job, sent = live.take(text, tokens, received), 0
    yield Step(
        live.laws.fixed, HEAD + event({"choices": [{"delta": {"role": "assistant"}}]}), 0, "role"
    )
    while not job.over or sent < len(job.events):
        again = live.advance(time.time())
        for at, count in job.events[sent:]:
            said = event({"choices": [{"delta": {"content": " a" * count}}]})
            yield Step(at - received, said, count, "content")
            sent += 1
        if not job.over and again is not None:
            yield Step(again - received)
    usage = {"prompt_tokens": job.prompt, "completion_tokens": job.output}
    last = {"choices": [{"delta": {}, "finish_reason": "length"}], "usage": usage}
    tail = event(last) + chunked(b"data: [DONE]\n\n") + TAIL
    yield Step(job.events[-1][0] - received, tail, 0, "done")
