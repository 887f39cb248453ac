"""A task: makes graded items of a chosen size."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from latok.errors import UsageError
from latok.quality.items import Item
from latok.workload.parts import Parts


class Made(NamedTuple):
    """What a task makes of a draw: an Item that does not know yet which one of its task it is."""

    parts: Parts
    scorer: str
    answer: Any
    family: str
    about: Mapping[str, float | str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Questions of one sort, each with one right answer, as many as one wants.

    `what`: one line for the user. `sizes`: how hard it can be made, easiest first; what they count
    (pairs, tokens, hops) is the task's own. `usual`: the size where nothing was calibrated.
    `swept`: its items are of the sizes beside its own, too, so that one sees what size does.
    """

    name: str
    app: str
    what: str
    make: Callable[[random.Random, int], Made]
    sizes: tuple[int, ...]
    usual: int
    swept: bool = False

    def nearest(self, size: int) -> int:
        """Of its sizes the one that is nearest."""
        return min(self.sizes, key=lambda each: abs(each - size))

    def beside(self, size: int, number: int) -> int:
        """The size of an item in a suite whose items of this task are of about `size`: its own or,
        where it is swept, by turns also the next smaller and the next larger."""
        if not self.swept:
            return size
        smaller = [each for each in self.sizes if each < size][-1:]
        larger = [each for each in self.sizes if each > size][:1]
        turns = [*smaller, size, *larger]
        return turns[number % len(turns)]

    def item(self, seed: int, number: int, size: int | None = None) -> Item:
        """Same seed, number and size: same item. Raises UsageError for a size below 1."""
        size = self.usual if size is None else size
        if size < 1:
            raise UsageError(f"task {self.name} cannot have size {size}; sizes are 1 or above")
        made = self.make(random.Random(f"{self.name} {seed} {number} {size}"), size)
        return Item(
            id=f"{self.name}/{seed}/{number}",
            task=self.name,
            family=made.family,
            parts=made.parts,
            scorer=made.scorer,
            answer=made.answer,
            about={"size": size, **made.about},
        )
