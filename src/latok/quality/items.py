"""A graded item: a question with one right answer, and how well it was answered."""

from __future__ import annotations

from typing import Any

import msgspec

from latok.workload.parts import Parts


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A question with a known answer.

    `id` is the same whoever is asked, so that two sides can be paired: `task/seed/number`.
    `family`: what it was made from; items of one family are alike, and count as less than as many
    strangers. `scorer` names how `answer` is compared with what was said (`latok.quality.score`).
    `about`: what it was made with (depth of a needle from 0 to 1, tokens of the document), to
    group it by.
    """

    id: str
    task: str
    family: str
    parts: Parts
    scorer: str
    answer: Any
    about: dict[str, float | str] = {}


class Graded(msgspec.Struct, frozen=True, kw_only=True):
    """How one item was answered. `score`: from 0 (wrong, or no answer came) to 1 (right).

    `text`: what was said, empty if nothing came. `tokens`: of the answer, None where nobody says.
    `finish`: as the server says (`stop`, `length`); `failed`: the request did not succeed. `first`:
    log-probabilities of the likeliest first tokens, where the target gives them. `request`: its id.
    `about`: the item's.
    """

    item: str
    task: str
    family: str
    score: float
    request: int | None = None
    text: str = ""
    tokens: int | None = None
    finish: str | None = None
    failed: bool = False
    first: dict[str, float] | None = None
    about: dict[str, float | str] = {}

    @property
    def right(self) -> bool:
        return self.score >= 1.0
