"""How hard a task must be for a model, so that its answers tell most.

A task that a model always or never gets right cannot show that a lever changed it. Between 60 % and
90 % there is much to lose and something to win. So each task is asked at one size, then at one that
is harder or easier, at most `ROUNDS` times: the search halves the sizes that are left, for accuracy
falls as the size grows.

Twenty answers leave a wide doubt: 15 right of 20 is a share between 0.53 and 0.89 (Wilson's 95 %
interval). So a task is kept at the size nearest to the middle of the band unless that interval lies
wholly below the band, or every answer was right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from latok.analysis.stats import share_interval
from latok.quality.items import Graded, Item
from latok.quality.task import Task

LOW, HIGH = 0.6, 0.9
ROUNDS = 3  # sizes of a task that are asked
ITEMS = 20  # of a task and a size
_FIRST = 1_000_000  # the number of the first item: far from those that are graded later

AskItems = Callable[[list[Item]], Sequence[Graded]]


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a task. `size`: None if it is left out. `seen`: accuracy and number of the
    answers at each size that was asked."""

    task: str
    size: int | None
    seen: dict[int, tuple[float, int]]

    @property
    def said(self) -> str:
        """One clause for the user: the size that was found, or why it is left out."""
        if self.size is not None:
            accuracy, n = self.seen[self.size]
            return f"{self.task} {self.size} ({accuracy:.2f} of {n})"
        if not self.seen:
            return f"{self.task} (no answer came)"
        size = _nearest(self.seen)
        accuracy, n = self.seen[size]
        how = "hard" if accuracy < LOW else "easy"
        return f"{self.task} (too {how} for this model: {accuracy:.2f} of {n} at size {size})"


def calibrate(tasks: Sequence[Task], ask: AskItems, *, seed: int) -> list[Sized]:
    """The size of each task that this model gets right between `LOW` and `HIGH`, as far as that can
    be known. `ask`: is called with the items of all tasks that are still searched, mixed by turns;
    requests that failed tell nothing about the model and are left out."""
    seen: dict[str, dict[int, tuple[float, int]]] = {task.name: {} for task in tasks}
    for turn in range(ROUNDS):
        sizes = {task.name: _next(task, seen[task.name]) for task in tasks}
        asked = [(task, size) for task in tasks if (size := sizes[task.name]) is not None]
        if not asked:
            break
        numbers = range(_FIRST + turn * ITEMS, _FIRST + (turn + 1) * ITEMS)
        answers = ask([task.item(seed, n, size) for n in numbers for task, size in asked])
        for task, size in asked:
            scores = [each.score for each in answers if each.task == task.name and not each.failed]
            if scores:
                seen[task.name][size] = sum(scores) / len(scores), len(scores)
    return [_sized(task, seen[task.name]) for task in tasks]


def _next(task: Task, seen: dict[int, tuple[float, int]]) -> int | None:
    """The size to ask next; None once one is found, or none is left."""
    if any(LOW <= accuracy <= HIGH for accuracy, _ in seen.values()):
        return None
    easiest = max((size for size, (accuracy, _) in seen.items() if accuracy > HIGH), default=0)
    hardest = min((size for size, (accuracy, _) in seen.items() if accuracy < LOW), default=None)
    left = [s for s in task.sizes if s > easiest and (hardest is None or s < hardest)]
    if not seen and task.usual in left:
        return task.usual
    return left[len(left) // 2] if left else None


def _nearest(seen: dict[int, tuple[float, int]]) -> int:
    return min(seen, key=lambda size: abs(seen[size][0] - (LOW + HIGH) / 2))


def _sized(task: Task, seen: dict[int, tuple[float, int]]) -> Sized:
    size = _nearest(seen) if seen else None
    if size is not None:
        accuracy, n = seen[size]
        if accuracy >= 1.0 or share_interval(accuracy * n, n)[1] < LOW:
            size = None
    return Sized(task=task.name, size=size, seen=seen)
