"""The lever `warm_prefix`: beginnings that many requests share, sent before the users come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from latok.errors import UsageError
from latok.records import Message
from latok.workload.parts import Parts, Piece

_Step = Message | Piece


class Warm(NamedTuple):
    """`parts`: a request for one token that has the beginning; `tokens` of it; `reuse`: how many of
    the requests begin so."""

    parts: Parts
    tokens: int
    reuse: int


def prefixes(
    batch: Sequence[Parts],
    least_tokens: int,
    count: Callable[[list[str]], list[int]],
    *,
    most: int = 8,
) -> tuple[Warm, ...]:
    """At most `most` beginnings of whole messages and pieces that two requests or more share and
    that have `least_tokens`, those first that save most: reuse × tokens. One that another of them
    goes on from is left out, as the cache learns it from that one."""
    if least_tokens < 1 or most < 1:
        raise UsageError("a prefix to be warmed has at least one token, and there is at least one")
    seen: Counter[tuple[_Step, ...]] = Counter()
    for parts in batch:
        steps: tuple[_Step, ...] = (*parts.before, *parts.pieces)
        seen.update(steps[:n] for n in range(1, len(steps) + 1))
    shared = [steps for steps, reuse in seen.items() if reuse > 1]
    goes_on = {steps[:-1] for steps in shared if seen[steps] == seen[steps[:-1]]}
    ends = [steps for steps in shared if steps not in goes_on]
    sizes = count([_text(steps) for steps in ends]) if ends else []
    long = [
        Warm(_asking(steps), tokens, seen[steps])
        for steps, tokens in zip(ends, sizes, strict=True)
        if tokens >= least_tokens
    ]
    best = sorted(long, key=lambda warm: -warm.reuse * warm.tokens)[:most]
    return tuple(
        warm for warm in best if not any(_begins(warm, other) for other in best if other != warm)
    )


def _steps(warm: Warm) -> tuple[_Step, ...]:
    return (*warm.parts.before, *warm.parts.pieces)


def _begins(warm: Warm, other: Warm) -> bool:
    return _steps(other)[: len(_steps(warm))] == _steps(warm)


def _text(steps: tuple[_Step, ...]) -> str:
    return "\n\n".join(step.content if isinstance(step, Message) else step.text for step in steps)


def _asking(steps: tuple[_Step, ...]) -> Parts:
    before = tuple(step for step in steps if isinstance(step, Message))
    pieces = tuple(step for step in steps if isinstance(step, Piece))
    return Parts(pieces=pieces, before=before, max_tokens=1)
