"""What is asked to be graded, and its place in the load: among the other requests, or instead."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from latok.quality.items import Item
from latok.quality.task import Task
from latok.quality.tasks import tasks_of
from latok.records import Request
from latok.workload.ask import Ask, Workload
from latok.workload.parts import Parts, parts_of_drawn

Count = Callable[[list[str]], list[int]]
_AT_ONCE = 32  # items that are made and counted together: each count is a call to the target


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Items without end: those of each task (at its size) by turns; or a user's `own`, again and
    again."""

    tasks: tuple[tuple[Task, int], ...] = ()
    seed: int = 0
    own: tuple[Item, ...] = ()

    def item(self, n: int) -> Item:
        """The nth; the same whenever it is asked for."""
        if self.own:
            return self.own[n % len(self.own)]
        task, size = self.tasks[n % len(self.tasks)]
        number = n // len(self.tasks)
        return task.item(self.seed, number, task.beside(size, number))

    @property
    def said(self) -> dict[str, Any]:
        """What a run's manifest says of it."""
        if self.own:
            return {"own": len(self.own)}
        return {"tasks": {task.name: size for task, size in self.tasks}, "seed": self.seed}


def suite_of(app: str, seed: int, size: int | None = None) -> Suite:
    """An app's tasks, each at its usual size, or at that of its own which is nearest to `size`.
    Raises UsageError if the app has no tasks."""

    return Suite(tasks=tuple(_sized(task, size) for task in tasks_of(app)), seed=seed)


def suite_of_task(task: Task, seed: int, size: int | None = None) -> Suite:
    """One task alone, sized as `suite_of` does."""
    return Suite(tasks=(_sized(task, size),), seed=seed)


def _sized(task: Task, size: int | None) -> tuple[Task, int]:
    return task, task.usual if size is None else task.nearest(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """A suite inside a load: a `share` of the requests are its items, from the `start`th on.

    `change`: what levers make of a request's parts, None where none is turned. `top_logprobs`: of
    how many of the likeliest first tokens to ask the log-probabilities.
    """

    suite: Suite
    share: float = 1.0
    start: int = 0
    change: Callable[[Parts], Parts] | None = None
    top_logprobs: int = 0

    def item(self, n: int) -> Item | None:
        """The item that a load's nth request is; None for one that is not graded."""
        k = int(n * self.share)
        return self.suite.item(self.start + k) if int((n + 1) * self.share) > k else None

    def into(self, load: Workload, count: Count, *, overhead: int, app: str) -> Workload:
        """The load with the items in it. `count`: tokens of texts by the target's tokeniser;
        `overhead`: what it adds to each by itself."""

        def asks(first: int) -> Iterator[Ask]:
            others = load.asks(first)
            items = self._requests(first, count, overhead, app)
            for n in itertools.count():
                if self.item(n) is not None:
                    yield Ask(next(items))
                elif (other := next(others, None)) is not None:
                    request = self._changed(other.request, count, overhead)
                    yield other._replace(request=msgspec.structs.replace(request, id=first + n))
                else:
                    return

        said = {**load.said, "graded": {**self.suite.said, "share": self.share}}
        # items of a task begin alike: what a cache knows of them nobody can say
        regime = f"{load.regime}, graded" if self.share < 1.0 else "graded"
        return Workload(asks=asks, regime=regime, share=None, warm_up=load.warm_up, said=said)

    def _changed(self, request: Request, count: Count, overhead: int) -> Request:
        """A request that is not graded, as the levers change it."""
        if self.change is None:
            return request
        before = parts_of_drawn(request)
        after = self.change(before)
        if after.pieces != before.pieces:
            tokens = sum(count([after.text, *(m.content for m in after.before)])) + overhead
            request = msgspec.structs.replace(request, prompt=after.text, prompt_tokens=tokens)
        return msgspec.structs.replace(request, max_tokens=after.max_tokens)

    def _requests(self, first: int, count: Count, overhead: int, app: str) -> Iterator[Request]:
        wanted = (n for n in itertools.count() if self.item(n) is not None)
        while True:
            batch = [(n, item) for n in _first(wanted) if (item := self.item(n)) is not None]
            parts = [self.change(i.parts) if self.change else i.parts for _, i in batch]
            texts = ["\n\n".join([*(m.content for m in p.before), p.text]) for p in parts]
            for (n, _), part, tokens in zip(batch, parts, count(texts), strict=True):
                yield part.request(
                    first + n, tokens + overhead, app=app, top_logprobs=self.top_logprobs
                )


def _first(wanted: Iterator[int]) -> list[int]:
    return [next(wanted) for _ in range(_AT_ONCE)]
