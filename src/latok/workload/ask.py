"""What is asked, whatever the load: one session after another, drawn, given by a file, or replayed.

A Workload says what it means for a prefix cache, too: its regime is part of the run, is checked
against what the server says was cached, and runs of different regimes are not compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice
from typing import Any, NamedTuple

from latok.errors import UsageError
from latok.records import Request, Turn
from latok.workload.apps import App
from latok.workload.given import Given
from latok.workload.lengths import pairs, parse_lengths
from latok.workload.prefix import cache_name
from latok.workload.prompts import PromptMaker
from latok.workload.traces import Trace

# Prompts that a warm cache knows. More would not fit beside the requests in flight on a small
# engine, fewer would share most of a batch.
_WARM_PROMPTS = 32
_TURN = 1 << 44  # the ids of a session's requests differ by this: no two sessions share one


class Ask(NamedTuple):
    """A session: its first request, and the turns that depend on answers."""

    request: Request
    later: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`asks(first_id)`: sessions, numbered from there. `regime`: what a prefix cache may know.

    `share`: how much of the input it is then expected to know, None where nobody can say; `most`:
    whether that is the most that can be (a cache that forgets knows less). `warm_up`: sessions at
    the beginning that only teach it. `trace`: the due times, where the workload has its own.
    """

    asks: Callable[[int], Iterator[Ask]]
    regime: str = "cold"
    share: float | None = 0.0
    most: bool = False
    warm_up: int = 0
    trace: Trace | None = None
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> dict[str, Any]:
        """What a run's manifest says of it."""
        return {
            **self.said,
            "cache": self.regime,
            "cache_share": self.share,
            "cache_share_is_most": self.most,
        }


def next_id(request: Request) -> int:
    """The id of the turn that follows."""
    return request.id + _TURN


# --- drawn from an app's distributions -----------------------------------------------------------


def drawn(
    app: App,
    maker: PromptMaker,
    *,
    seed: int,
    overhead: int = 0,
    room: int | None = None,
    cache: float = 0.0,
) -> Workload:
    """Endless sessions of an app; the nth depends on n and the seeds alone.

    `overhead`: tokens that the target adds to each text (its chat template); the text is shorter by
    as many, so that the target sees what was asked. `room`: tokens that fit its context; a session
    ends before it would pass it. `cache`: the share of each prompt that a cache shall know.
    """
    said = {"input_tokens": str(app.input), "output_tokens": str(app.output)}
    if app.prefix.levels:
        said["prefix"] = str(app.prefix)
    several = app.turns.quantile(1) > 1
    if several:
        said |= {"turns": str(app.turns), "follow_up": str(app.follow_up), "think": str(app.think)}

    def sessions(first: int) -> Iterator[Ask]:
        turns = _turns(app, maker, seed, overhead, room)
        for request in _requests(app, maker, seed, first, overhead, cache):
            yield Ask(request, turns(request) if several else ())

    if cache == 1.0:
        return Workload(
            asks=lambda first: _warm(sessions(first), first),
            regime=cache_name(cache),
            share=1.0,
            warm_up=_WARM_PROMPTS,
            said=said,
        )
    if cache:
        longest = round(cache * app.input.quantile(0.9999))

        def shared(first: int) -> Iterator[Ask]:
            yield Ask(_teaching(maker.common(longest), longest, first, app.name))
            yield from sessions(first + 1)

        regime = cache_name(cache)
        return Workload(asks=shared, regime=regime, share=cache, warm_up=1, said=said)
    if app.prefix.levels:
        known = app.prefix.tokens / (app.prefix.tokens + app.input.mean())
        share = None if several else known
        return Workload(asks=sessions, regime=str(app.prefix), share=share, most=True, said=said)
    if several:
        return Workload(asks=sessions, regime="sessions", share=None, said=said)
    return Workload(asks=sessions, said=said)


def _requests(
    app: App, maker: PromptMaker, seed: int, first: int, overhead: int, cache: float
) -> Iterator[Request]:
    shares = 0.0 < cache < 1.0
    for n, (asked, answer) in enumerate(
        pairs(app.input, app.output, seed=seed, first=first), first
    ):
        known = ""
        own = asked - overhead
        if app.prefix.levels:
            nodes = app.prefix.path(n, seed=seed)
            known = "".join(
                maker.block(tokens, key, behind=level > 0)
                for level, (key, tokens) in enumerate(nodes)
            )
        elif shares:
            share = min(round(cache * asked), own - 1)
            known, own = maker.common(share), own - share
        prompt = known + maker.make(max(own, 1), n, behind=bool(known))
        yield Request(
            id=n, prompt=prompt, prompt_tokens=asked + app.prefix.tokens, max_tokens=answer,
            app=app.name, session=str(n) if app.turns.quantile(1) > 1 else "",
        )  # fmt: skip


def _turns(
    app: App, maker: PromptMaker, seed: int, overhead: int, room: int | None
) -> Callable[[Request], tuple[Turn, ...]]:
    def turns(request: Request) -> tuple[Turn, ...]:
        rng = random.Random(f"turns {seed} {request.id}")
        left = round(app.turns.quantile(rng.random())) - 1
        held, later = request.prompt_tokens + request.max_tokens, list[Turn]()
        for turn in range(1, left + 1):
            tokens = max(round(app.follow_up.quantile(rng.random())), 1)
            answer = max(round(app.output.quantile(rng.random())), 1)
            # what a template adds to one message is less than to the first, which bears its head
            held += tokens + answer + overhead
            if room is not None and held > room:
                break
            text = maker.make(tokens, request.id + turn * _TURN)
            later.append(Turn(text, tokens, answer, app.think.quantile(rng.random())))
        return tuple(later)

    return turns


def _teaching(prompt: str, tokens: int, id: int, app: str) -> Request:
    """A request that is only there for what it leaves in a cache."""
    return Request(id=id, prompt=prompt, prompt_tokens=tokens, max_tokens=1, app=app)


def _warm(cold: Iterator[Ask], first: int) -> Iterator[Ask]:
    """A few prompts, each asked once for a single token, then again and again."""
    pool = [ask.request for ask in islice(cold, _WARM_PROMPTS)]
    for request in pool:
        yield Ask(_teaching(request.prompt, request.prompt_tokens, request.id, request.app))
    for n, request in zip(count(first + len(pool)), cycle(pool), strict=False):
        yield Ask(_with_id(request, n))


def _with_id(request: Request, id: int) -> Request:
    return Request(
        id=id,
        prompt=request.prompt,
        prompt_tokens=request.prompt_tokens,
        max_tokens=request.max_tokens,
        app=request.app,
    )


def resembling(app: App, lengths: Sequence[tuple[int, int]]) -> App:
    """The app with the mean lengths (in, out) of what a file asks instead: for estimates."""
    mean_in, mean_out = (
        max(round(sum(each) / len(each)), 1) for each in zip(*lengths, strict=True)
    )
    return replace(app, input=parse_lengths(str(mean_in)), output=parse_lengths(str(mean_out)))


# --- from a file of prompts ----------------------------------------------------------------------


class Counted(NamedTuple):
    """A prompt of a file with its length, and that of its answer if the file tells."""

    given: Given
    tokens: int
    output: int | None


def from_file(
    prompts: Sequence[Counted], app: App, *, seed: int, name: str, room: int | None = None
) -> Workload:
    """The prompts of a file in their order, again and again; answers are as it says, or the app.

    What would pass `room` is left out. Raises UsageError if that is everything.
    """
    answers = (output for _, output in pairs(app.input, app.output, seed=seed))
    known = [
        (each.given, each.tokens, output)
        for each, drawn_output in zip(prompts, answers, strict=False)
        for output in [each.output or drawn_output]
        if room is None or each.tokens + output <= room
    ]
    if not known:
        raise UsageError(f"no prompt of {name} fits the context together with its answer")

    def asks(first: int) -> Iterator[Ask]:
        for n, (given, tokens, output) in zip(count(first), cycle(known), strict=False):
            yield Ask(
                Request(
                    id=n, prompt=given.prompt, prompt_tokens=tokens, max_tokens=output,
                    app=app.name, before=given.before,
                )
            )  # fmt: skip

    left_out = len(prompts) - len(known)
    said = {"prompts": name, "prompts_used": len(known), "prompts_too_long": left_out}
    return Workload(asks=asks, regime="file", share=None, said=said)


# --- from a trace --------------------------------------------------------------------------------


def replayed(
    trace: Trace, app: App, maker: PromptMaker, *, overhead: int = 0, left_out: int = 0
) -> Workload:
    """A trace's requests, once each. Equal leading blocks are equal text, so that a prefix cache
    finds just what the trace says; other requests begin with words of their own."""

    def asks(first: int) -> Iterator[Ask]:
        for n, call in enumerate(trace.calls, first):
            if call.blocks:
                whole = trace.block * (len(call.blocks) - 1)
                sizes = [trace.block] * (len(call.blocks) - 1)
                # blocks must stay whole, so what the template adds is taken off the last
                sizes.append(max(call.input - whole - overhead, 1))
                prompt = "".join(
                    maker.block(size, f"{first} {block}", behind=at > 0)
                    for at, (size, block) in enumerate(zip(sizes, call.blocks, strict=True))
                )
                tokens = sum(sizes) + overhead
            else:
                tokens = call.input
                prompt = maker.make(max(tokens - overhead, 1), n)
            yield Ask(
                Request(
                    id=n, prompt=prompt, prompt_tokens=tokens, max_tokens=call.output, app=app.name
                )
            )

    said = {
        "trace": trace.name,
        "trace_requests": len(trace.calls),
        "trace_too_long": left_out,
        "block_tokens": trace.block,
    }
    if not trace.block:
        return Workload(asks=asks, trace=trace, said=said)
    return Workload(
        asks=asks, regime="trace", share=trace.hit_share(), most=True, trace=trace, said=said
    )
