"""What prompts share: a tree of beginnings, and how much of each is known to a cache already."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import accumulate

from latok.errors import UsageError

_LEVEL = re.compile(r"\s*([1-9]\d*)\s*:\s*([1-9]\d*)\s*")
_FORM = "tree(4:400,8:200,50:60)"


@dataclass(frozen=True, slots=True)
class Tree:
    """Shared beginnings, such as system prompts × few-shot groups × users.

    `levels`: of each, how many branches every node above has, and how many tokens one is long.
    """

    levels: tuple[tuple[int, int], ...] = ()

    @property
    def tokens(self) -> int:
        """Of a whole beginning."""
        return sum(tokens for _, tokens in self.levels)

    def scaled(self, factor: float) -> Tree:
        """Shorter beginnings, just as many."""
        return Tree(tuple((n, max(round(tokens * factor), 1)) for n, tokens in self.levels))

    def path(self, n: int, *, seed: int) -> list[tuple[str, int]]:
        """The nodes from the root on which the nth prompt stands, as (key, tokens); all alike."""
        rng = random.Random(f"tree {seed} {n}")
        turns = [f"/{rng.randrange(branches)}" for branches, _ in self.levels]
        lengths = [tokens for _, tokens in self.levels]
        return list(zip(accumulate(turns), lengths, strict=True))

    def __str__(self) -> str:
        return f"tree({','.join(f'{n}:{tokens}' for n, tokens in self.levels)})"


def parse_tree(text: str) -> Tree:
    """Reads `tree(4:400,8:200)`, branches and tokens of each level. Raises UsageError."""
    inside = re.fullmatch(r"\s*tree\s*\((.*)\)\s*", text)
    levels = [_LEVEL.fullmatch(part) for part in inside[1].split(",")] if inside else [None]
    found = tuple((int(level[1]), int(level[2])) for level in levels if level)
    if len(found) != len(levels):
        raise UsageError(
            f"cannot read the prefix '{text}'; it reads like {_FORM}: branches and tokens of each "
            "level"
        )
    return Tree(found)


def parse_cache(text: str) -> float:
    """The share of each prompt that a cache shall know: cold is 0, warm 1. Raises UsageError."""
    word = text.strip()
    try:
        share = {"cold": 0.0, "warm": 1.0}.get(word)
        share = float(word) if share is None else share
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"no cache regime '{text}'; there are cold, warm, or a share such as 0.5")
    return share


def cache_name(share: float) -> str:
    """The word for a regime, as it stands in a run's manifest."""
    return {0.0: "cold", 1.0: "warm"}.get(share, f"{share:g}")
