"""Which probe to send next, from what the earlier ones showed: the design of an inference.

Cheap first: each aim gets a share of the requests, tokens and seconds that are left to spend, and
lengths are chosen so that it stays within it. What has shown nothing is not asked further.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np

from latok.analysis.cost import dollars
from latok.analysis.infer import decode, prefill
from latok.analysis.known import prefix_cache, saws
from latok.analysis.laws import Prefill, Timed
from latok.analysis.probed import Aim, Ask, Probe, Seen, answers
from latok.analysis.rhythm import stalls

LEVELS = (1, 8, 24)  # at a time
_SHORT = 48  # tokens of a prompt that is only there to be answered
_OWN = 24  # tokens that a prompt has of its own behind common text: an id and a question
_STREAM = 40  # tokens of an answer whose pace is measured
_SMALL_CONTEXT = 2048


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent: `tokens` of prompts and answers, `seconds` of measuring. `context`: tokens
    of a prompt and its answer; `overhead`: what the target's template adds to each prompt."""

    requests: int = 200
    tokens: int = 100_000
    seconds: float = 120.0
    context: int | None = None
    overhead: int = 0
    levels: tuple[int, ...] = LEVELS


def outlook(limits: Limits, most_usd: float | None = None) -> str:
    """What will be sent at the most, in one line, and what it may cost where that is known."""
    most = max(limits.levels, default=1)
    cost = "" if most_usd is None else f", for at most {dollars(most_usd)}"
    return (
        f"will send at most {limits.requests:,} requests of {limits.tokens:,} tokens in all "
        f"(prompts and answers), up to {most} at a time, in about {limits.seconds:.0f} s{cost}"
    )


def next_probe(seen: Sequence[Seen], limits: Limits, *, seconds: float, seed: int) -> Probe | None:
    """The next probe, None when all is known or spent. `seconds`: that were spent so far."""
    design = _Design(seen, limits, seconds, seed)
    for aim in (
        design.warm,
        design.prefill,
        design.decode,
        design.cache,
        design.block,
        design.arrival,
        design.load,
        design.mixed,
        design.context,
        design.more_blocks,
    ):
        probe = aim()
        if probe is not None and (fitting := design.fit(probe)) is not None:
            return fitting
    return None


class _Design:
    """What is known, and each aim's next probe: None if it has enough."""

    def __init__(self, seen: Sequence[Seen], limits: Limits, seconds: float, seed: int) -> None:
        self._seen = seen
        self._limits = limits
        self._seconds = limits.seconds - seconds
        self._requests = limits.requests - sum(len(each.probe.asks) for each in seen)
        spent = sum(each.probe.tokens + len(each.probe.asks) * limits.overhead for each in seen)
        self._tokens = limits.tokens - spent
        self._rng = random.Random(f"{seed} {len(seen)}")
        self._timed = Timed(seen, stalls(answers(seen, "decode")))
        self._seed = seed
        self._law: Prefill | None = prefill(self._timed, seed)

    # --- how much

    def _of(self, *aims: Aim) -> list[Seen]:
        return [each for each in self._seen if each.probe.aim in aims]

    @property
    def _room(self) -> int:
        """Tokens of the longest prompt that may be asked."""
        context = self._limits.context or _SMALL_CONTEXT + 512
        return max(context - self._limits.overhead - 2 * _STREAM, _OWN + 8)

    @property
    def _longest_stream(self) -> int:
        """Tokens of the longest answer to a short prompt that a probe waits for."""
        return min(300, self._room - _SHORT)

    @property
    def _per_token(self) -> float:
        """Seconds for a token of a prompt, a guess until it is known."""
        if self._law is not None:
            return max(self._law.per_token.value, 1e-6)
        rough = [a.ttft / a.prompt for a in answers(self._seen, "warm")]
        return max(float(np.median(rough)), 1e-6) if rough else 1e-3

    @property
    def _pace(self) -> float:
        """Seconds for a token of an answer."""
        alone = answers(self._seen, "warm", "decode")
        paced = decode(self._timed, None, None, self._seed)
        if paced is not None:
            return max(paced.per_token.value, 1e-5)
        # of one that came all at once, its whole time is a bound
        rough = [max(a.last - a.sent, 1e-5) / a.tokens for a in alone if a.tokens > 4]
        return float(np.median(rough)) if rough else 0.05

    def _longest(self, times: float, *, share: float) -> int:
        """The longest prompt, up to 4,096 tokens, that may be sent so many times for this share of
        all that may be spent."""
        by_tokens = share * self._limits.tokens / times
        by_seconds = share * self._limits.seconds / times / self._per_token
        return int(min(self._room, by_tokens, by_seconds, 4096))

    def fit(self, probe: Probe) -> Probe | None:
        """The probe, if there is room for it; else as much of it as still tells something."""
        asks: list[Ask] = []
        tokens = 0
        for ask in probe.asks:
            tokens += ask.tokens + self._limits.overhead
            if len(asks) == self._requests or tokens > self._tokens:
                break
            asks.append(ask)
        whole = len(asks) == len(probe.asks)
        parts = probe.aim in ("load", "block")
        if self._seconds <= 0 or not asks or (not whole and not parts):
            return None
        if not whole and len(asks) < 2 * probe.concurrency:
            return None
        return msgspec.structs.replace(probe, asks=tuple(asks))

    # --- alone

    def warm(self) -> Probe | None:
        if self._of("warm"):
            return None
        return Probe("warm", (Ask(_SHORT, 12),) * 3)

    def prefill(self) -> Probe | None:
        """Lengths that double, first the short, which tell how long one may be."""
        done = self._of("prefill")
        if len(done) == 0:
            return Probe(
                "prefill", self._shuffled([_OWN, 256 if self._room > 256 else self._room], 3)
            )
        longest = self._longest(9.0, share=0.25)
        if len(done) == 1:
            lengths = [longest // 2**k for k in range(6) if longest // 2**k > _OWN]
            return Probe("prefill", self._shuffled(lengths, 4))
        return None

    def decode(self) -> Probe | None:
        done = self._of("decode")
        if len(done) == 0:
            return Probe("decode", self._shuffled_outputs((4, _STREAM), 4))
        if len(done) == 1:
            # long enough to meet stalls that come each few seconds
            long = int(min(0.04 * self._limits.seconds / self._pace, 400, self._room - _SHORT))
            if long > 2 * _STREAM:
                return Probe("decode", (Ask(_SHORT, long),) * 5)
        return None

    def context(self) -> Probe | None:
        """The same answers behind long prompts."""
        longest = min(self._longest(4.0, share=0.12), self._room - _STREAM, 2048)
        if self._of("context") or longest < 8 * _SHORT:
            return None
        return Probe("context", (Ask(longest, _STREAM),) * 4)

    def _shuffled(self, lengths: Sequence[int], times: int) -> tuple[Ask, ...]:
        asks = [Ask(tokens, 1) for tokens in lengths for _ in range(times)]
        self._rng.shuffle(asks)
        return tuple(asks)

    def _shuffled_outputs(self, outputs: Sequence[int], times: int) -> tuple[Ask, ...]:
        asks = [Ask(_SHORT, tokens) for tokens in outputs for _ in range(times)]
        self._rng.shuffle(asks)
        return tuple(asks)

    # --- the prefix cache

    def cache(self) -> Probe | None:
        """Known beginnings, ever shorter; then between the longest that saved nothing and the
        shortest that did."""
        done, law = self._of("cache"), self._law
        if law is None:
            return None
        if not done:
            longest = min(self._longest(6.0, share=0.15), 2048)
            levels = [longest // 2**k for k in range(6) if longest // 2**k >= 2 * _OWN]
            asks = [Ask(longest + _OWN, 1, longest)]
            asks += [Ask(known + _OWN, 1, known) for known in levels for _ in range(2)]
            return Probe("cache", tuple(asks)) if levels else None
        found = prefix_cache(self._timed, law)
        if found is None or not found.present or len(done) > 5:
            return None
        low, high = found.not_from, found.from_tokens
        if low is None or high is None or high - low <= max(32, high // 16):
            return None
        middle = (low + high) // 2
        return Probe("cache", (Ask(middle + _OWN, 1, middle),) * 3)

    def block(self) -> Probe | None:
        """Known beginnings of many lengths, longest first."""
        return None if self._of("block") else self.more_blocks()

    def more_blocks(self) -> Probe | None:
        done, law = self._of("block"), self._law
        if law is None:
            return None
        found = prefix_cache(self._timed, law)
        if found is None or not found.present or found.block_tokens is not None or len(done) > 3:
            return None
        low = max(found.from_tokens or 0, _OWN)
        # a saw of 128 tokens shows its teeth in 256; larger blocks need two of their own
        high = low + 272 if low < 512 else low + 544
        top = max((a.shared for each in self._of("cache") for a in each.probe.asks), default=0)
        high = min(high, top, self._room - _OWN)
        if high - low < 64:
            return None
        count = 26
        step = (high - low) / count
        points = [int(low + (n + self._rng.random()) * step) for n in range(count)]
        size, phase = self._likely_block()
        if size > 1:
            # where blocks of this size and of half of it end, one token less tells the most
            half = size // 2
            edges = [k for k in range(low, high) if (k - phase) % half in (0, half - 1)]
            some = min(len(edges), count // 2)
            points = self._rng.sample(points, count - some) + self._rng.sample(edges, some)
        points = sorted(set(points))
        asks = [Ask(known + _OWN, 1, known) for known in (high, *reversed(points))]
        return Probe("block", tuple(asks))

    def _likely_block(self) -> tuple[int, int]:
        """The size of a block that explains best what was seen so far, and its phase."""
        found = saws(self._timed, self._law) if self._law is not None else {}
        best = min(found.values(), key=lambda saw: saw.misfit, default=None)
        return (best.size, best.phase) if best else (1, 0)

    # --- in company

    def arrival(self) -> Probe | None:
        """Small prompts at odd times of a running stream: what they wait for its next step."""
        law = self._law
        if law is None or self._of("arrival"):
            return None
        own = law.seconds(_OWN + self._limits.overhead)
        apart = 2 * own + 6 * self._pace
        begins = law.seconds(_SHORT) + 6 * self._pace
        small = [Ask(_OWN, 1, at=begins + (n + 0.7 * self._rng.random()) * apart) for n in range(8)]
        # what reads a prompt makes no token for the stream, so this is longer than it must be
        tokens = int(min((begins + 8 * apart) / self._pace, self._longest_stream))
        return Probe("arrival", (Ask(_SHORT, tokens, at=0.0), *small), 2)

    def load(self) -> Probe | None:
        done = {each.probe.concurrency for each in self._of("load")}
        for level in self._limits.levels:
            if level not in done:
                count = max(2 * level, 8)
                return Probe("load", (Ask(2 * _SHORT, _STREAM),) * count, level)
        return None

    def mixed(self) -> Probe | None:
        """Two streams, in their midst a huge prompt, and a small one behind it."""
        done, law = self._of("mixed"), self._law
        if law is None or len(done) > 2:
            return None
        huge = min(self._longest(3.0, share=0.10), 2048)
        takes = law.seconds(huge) - law.fixed.value
        if huge < 8 * _SHORT or takes < 4 * self._pace:
            return None
        # the streams run for a while before it comes and after it has been read
        tokens = int(min(max(1.5 * takes / self._pace, 24) + 24, self._longest_stream))
        begins = law.seconds(_SHORT) + 12 * self._pace
        streams = [Ask(_SHORT, tokens, at=0.0), Ask(_SHORT, tokens, at=0.0)]
        behind = begins + min(0.1 * takes, 0.05)
        others = [Ask(huge, 1, at=begins), Ask(_OWN, 1, at=behind)]
        return Probe("mixed", (*streams, *others), 2)
