"""What a target was asked in order to learn its laws, and what was seen of each answer.

A probe is a few requests whose lengths and company are chosen (`latok.decide.probes`); its answers
are Records like any other. Nothing that a server says of its own time is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from latok.analysis.stats import Floats
from latok.records import Record

Aim = Literal["warm", "prefill", "decode", "context", "cache", "block", "arrival", "load", "mixed"]


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """One request: tokens of its text (what a chat template adds apart) and of its answer.

    It begins with the first `shared` tokens of a text that all have in common; the rest is its own.
    `at`: seconds after the probe's start; None: as soon as a slot is free.
    """

    prompt_tokens: int
    max_tokens: int
    shared: int = 0
    at: float | None = None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.max_tokens


class Probe(msgspec.Struct, frozen=True, array_like=True):
    """What is asked for one aim: so many at a time, or each at its time."""

    aim: Aim
    asks: tuple[Ask, ...]
    concurrency: int = 1

    @property
    def tokens(self) -> int:
        return sum(ask.tokens for ask in self.asks)


class Seen(NamedTuple):
    """A probe and its records, in the order of its asks; fewer, if it was interrupted."""

    probe: Probe
    records: Sequence[Record]


class Answer(NamedTuple):
    """An answered request: when it was sent, when its headers and its token events came (seconds of
    the run), how many tokens prompt and answer had by the server's count (else as asked)."""

    ask: Ask
    concurrency: int
    sent: float
    headers: float
    times: Floats
    prompt: int
    tokens: int

    @property
    def first(self) -> float:
        return float(self.times[0])

    @property
    def last(self) -> float:
        return float(self.times[-1])

    @property
    def ttft(self) -> float:
        return self.first - self.sent

    @property
    def per_event(self) -> float:
        """Tokens in a token event, on average."""
        return self.tokens / len(self.times)

    @property
    def tpot(self) -> float | None:
        """Seconds per token after the first event; None where there is no second event."""
        behind = self.tokens - self.per_event
        return (self.last - self.first) / behind if len(self.times) > 1 else None

    @property
    def own(self) -> int:
        """Tokens that do not belong to the common text, the template's among them."""
        return self.prompt - self.ask.shared


def answers(seen: Sequence[Seen], *aims: Aim) -> list[Answer]:
    """The answers to probes of these aims, in the order in which they were asked."""
    return [
        answer
        for probe, records in seen
        if probe.aim in aims
        for answer in _answers(probe, records)
    ]


def _answers(probe: Probe, records: Sequence[Record]) -> Iterator[Answer]:
    for ask, record in zip(probe.asks, records, strict=False):
        times = np.array([chunk.at for chunk in record.chunks if chunk.is_token])
        if not record.ok or record.sent_first is None or not len(times):
            continue
        usage = record.usage
        prompt = usage.prompt_tokens if usage else None
        output = usage.completion_tokens if usage else None
        yield Answer(
            ask=ask,
            concurrency=probe.concurrency,
            sent=record.sent_first,
            headers=min(record.headers_at or times[0], times[0]),
            times=times,
            prompt=prompt or ask.prompt_tokens,
            tokens=max(output or ask.max_tokens, len(times)),
        )
