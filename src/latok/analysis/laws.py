"""A target's laws as they are inferred: values, each with its doubt and what it cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from latok.analysis.fits import Law
from latok.analysis.probed import Aim, Answer, Seen, answers
from latok.analysis.rhythm import Rhythm, Stalls

FLOOR = 5e-4  # seconds of noise that any network and scheduler have
SURE = 5.0  # standard errors: some twenty questions are asked of each target


class Prefill(msgspec.Struct, frozen=True, kw_only=True):
    """The first token of a prompt that nobody shares comes `fixed + per_token·n + per_token2·n²`
    seconds after it was sent, alone. `per_token2` is None where no curvature shows."""

    fixed: Law
    per_token: Law
    per_token2: Law | None

    def seconds(self, tokens: float) -> float:
        square = self.per_token2.value if self.per_token2 else 0.0
        return self.fixed.value + self.per_token.value * tokens + square * tokens**2


class Decode(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds per token alone, behind a short prompt; more for each token of context before it, and
    for each stream that runs beside it. None: not seen."""

    per_token: Law
    per_context_token: Law | None
    per_stream: Law | None


class PrefixCache(msgspec.Struct, frozen=True, kw_only=True):
    """`saves`: share of the time of a known token that need not be spent. `from_tokens`: from how
    many known tokens on; `not_from`: so many were too few (None: none were). `block_tokens`: 1
    where no blocks show, and then `block_at_most` says how small they would have to be."""

    present: bool | None
    saves: Law | None = None
    from_tokens: int | None = None
    not_from: int | None = None
    block_tokens: int | None = None
    block_at_most: int | None = None
    cannot_tell: str = (
        "a cache behind a router that sends the same prompt elsewhere, or one that is kept apart "
        "for others"
    )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a typical request's `ttft` or `e2e` (`of`); the parts sum to the whole."""

    name: str
    of: str
    seconds: float
    share: float
    ci95: tuple[float, float] | None = None


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """So many at a time: medians of the requests, seconds. `running`: streams that ran beside each
    other, at the most. `queue`: until the step that began with its prompt; `prefill`: from there to
    the first token, in the company that it had. `parts`: of the middle half of the requests,
    by their time to the first token."""

    concurrency: int
    ttft: Law
    queue: Law
    prefill: Law
    tpot: Law | None
    running: int
    parts: tuple[Part, ...] = ()


class Mixed(msgspec.Struct, frozen=True, kw_only=True):
    """A huge prompt among running streams. `stall`: how much longer than usual they paused while it
    was read, seconds; `whole`: that is its whole prefill, so prompts are not cut into chunks;
    `chunk_tokens`: into which they seem to be cut. `small`: how long a small prompt that came just
    after it waited for it."""

    stall: Law
    whole: bool | None
    chunk_tokens: Law | None
    small: Law | None
    cannot_tell: str = "chunks from another server doing the prefill (disaggregation)"


class Claim(msgspec.Struct, frozen=True):
    """Something that the target does, said in one line; its size, with the unit."""

    name: str
    value: float
    unit: str
    text: str


class Laws(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt; None where no probe that tells it was answered, or it cannot be told."""

    connect_s: Law | None = None
    tls_s: Law | None = None
    fixed_s: Law | None = None
    prefill_s_per_token: Law | None = None
    prefill_s_per_token2: Law | None = None
    decode_s_per_token: Law | None = None
    decode_s_per_context_token: Law | None = None
    decode_s_per_stream: Law | None = None
    prefix_cache: PrefixCache | None = None
    batch_limit: Law | None = None
    levels: tuple[Level, ...] = ()
    rhythm: Rhythm | None = None
    stalls: Stalls | None = None
    mixed: Mixed | None = None


class Timed(NamedTuple):
    """Answers, less the time in which the target stood still."""

    seen: Sequence[Seen]
    stalls: Stalls | None

    def ttft(self, answer: Answer) -> float:
        return answer.ttft - self.stalled(answer.sent, answer.first)

    def tpot(self, answer: Answer) -> float | None:
        if answer.tpot is None:
            return None
        behind = answer.tokens - answer.per_event
        return answer.tpot - self.stalled(answer.first, answer.last) / behind

    def stalled(self, start: float, end: float) -> float:
        return self.stalls.between(start, end) if self.stalls else 0.0

    def answers(self, *aims: Aim) -> list[Answer]:
        return answers(self.seen, *aims)
