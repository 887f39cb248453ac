"""A target's laws, inferred from outside: from when answers came, and nothing that it says of time.

Each law has its interval and says what it cannot tell. A claim (that there is a cache, a limit, a
buffer …) is made only when it is beyond doubt; `None` is an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.fits import Law, fit, median
from latok.analysis.probed import Answer, Seen, answers
from latok.analysis.rhythm import Rhythm, Stalls, gaps, rhythm, stalls
from latok.analysis.stats import Floats

_FLOOR = 5e-4  # seconds of noise that any network and scheduler have
_SURE = 5.0  # standard errors: some twenty questions are asked of each target
BLOCKS = (1, 8, 16, 32, 64, 128, 256, 512)  # tokens: those of engines and providers
_UNSEEN = 16  # blocks of so many tokens may be too small to be seen, and cost as little
_DECISIVE = 12.0  # of a log likelihood ratio, for blocks


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


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a typical request's time: `of` its `ttft` or its `e2e`; the parts sum to the whole."""

    name: str
    of: str
    seconds: float
    share: float
    ci95: tuple[float, float] | None = None


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """So many at a time: medians of the requests, seconds. `running`: streams that ran beside each
    other, at the most. `queue`: until the step that began with its prompt; `prefill`: from there to
    the first token, in the company that it had. `components`: of the middle half of the requests,
    by their time to the first token."""

    concurrency: int
    ttft: Law
    queue: Law
    prefill: Law
    tpot: Law | None
    running: int
    components: tuple[Component, ...] = ()


class Mixed(msgspec.Struct, frozen=True, kw_only=True):
    """A huge prompt among running streams. `stall`: how much longer than usual they paused
    while it was read, seconds; `whole`: that is its whole prefill, so prompts are not cut into chunks;
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
    """What was learnt; None where the probes that tell it were not answered, or it cannot be told."""

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

    def answers(self, *aims: str) -> list[Answer]:
        return answers(self.seen, *aims)  # type: ignore[arg-type]  # Literals are strings


def infer(seen: Sequence[Seen], *, seed: int = 0) -> Laws:
    """All that the probes tell. Wants no probe in particular: what is missing is None."""
    timed = Timed(seen, stalls(answers(seen, "decode", "context")))
    fixed = prefill(timed, seed)
    slope = ttft_per_token(timed, seed)
    streamed = rhythm(timed.answers("decode"), slope)
    paced = decode(timed, streamed, slope, seed)
    connects = _connections(seen)
    levels = []
    if fixed is not None and paced is not None and not is_fake(streamed):
        pace, network = paced.per_token.value, connects[0].value if connects[0] else 0.0
        levels = [found for each in seen if (found := _level(each, timed, fixed, pace, network))]
    return Laws(
        connect_s=connects[0],
        tls_s=connects[1],
        fixed_s=fixed and fixed.fixed,
        prefill_s_per_token=fixed and fixed.per_token,
        prefill_s_per_token2=fixed and fixed.per_token2,
        decode_s_per_token=paced and paced.per_token,
        decode_s_per_context_token=paced and paced.per_context_token,
        decode_s_per_stream=paced and paced.per_stream,
        prefix_cache=fixed and prefix_cache(timed, fixed, seed),
        batch_limit=fixed and _batch_limit(seen, fixed),
        levels=tuple(levels),
        rhythm=streamed,
        stalls=timed.stalls,
        mixed=fixed and _mixed(seen, timed, fixed),
    )


# --- alone ---------------------------------------------------------------------------------------


def _connections(seen: Sequence[Seen]) -> tuple[Law | None, Law | None]:
    made = [r.connection for each in seen for r in each.records if not r.connection.reused]
    tcp = [c.connect for c in made if c.connect is not None]
    tls = [c.tls for c in made if c.tls is not None]
    note = "the way to a proxy or load balancer, not to the server behind it"
    return tuple(median(x, cannot_tell=note) if x else None for x in (tcp, tls))  # type: ignore[return-value]


def prefill(timed: Timed, seed: int) -> Prefill | None:
    """From prompts that nobody shares, answered with one token."""
    found = timed.answers("prefill")
    x = np.array([float(answer.prompt) for answer in found])
    y = np.array([timed.ttft(answer) for answer in found])
    if len(found) < 6 or len(np.unique(x)) < 2:
        return None
    ones = np.ones_like(x)
    line = fit((ones, x), y, floor=_FLOOR, seed=seed)
    curve = None
    if len(np.unique(x)) > 3:
        curve = fit((ones, x, x**2), y, floor=_FLOOR, seed=seed)
        bends = curve.values[2] * x.max() > 0.1 * curve.values[1] > 0
        if curve.sigmas(2) < _SURE or not bends:
            curve = None
    best = curve or line
    return Prefill(
        fixed=best.law(
            0,
            cannot_tell="the network both ways, the server's front end and a step's own cost; the "
            "tokens of a template that is always cached are missing",
        ),
        per_token=best.law(1, cannot_tell="a server that pads prompts to some length"),
        per_token2=curve and curve.law(2),
    )


def ttft_per_token(timed: Timed, seed: int) -> Law | None:
    """How much later the first token comes for each token that is asked for: nothing, if tokens
    are sent as they are made."""
    found = [a for a in timed.answers("decode")]
    x = np.array([float(answer.tokens) for answer in found])
    y = np.array([timed.ttft(answer) for answer in found])
    if len(found) < 5 or len(np.unique(x)) < 2:
        return None
    return fit((np.ones_like(x), x), y, floor=_FLOOR, seed=seed).law(1)


def is_fake(found: Rhythm | None) -> bool:
    """Whether streams are made whole before their first token is sent."""
    return (
        found is not None
        and found.at_end is not None
        and found.at_end.value > 0.8
        and (found.at_end.ci95 or (0.0, 0.0))[0] > 0.6
    )


def decode(
    timed: Timed, found: Rhythm | None, later: Law | None, seed: int
) -> Decode | None:
    """From streams alone, and then beside others. Of a stream that is sent whole at its end, from
    how much later that is for each token."""
    if is_fake(found) and later is not None:
        return Decode(per_token=later, per_context_token=None, per_stream=None)
    short = [a for a in timed.answers("decode") if a.tokens >= 16]
    alone = [tpot for a in short if (tpot := timed.tpot(a)) is not None]
    if not alone:
        return None
    per_token = median(alone)
    return Decode(
        per_token=per_token,
        per_context_token=_growth(timed, short, seed),
        per_stream=_company(timed, seed),
    )


def _growth(timed: Timed, short: list[Answer], seed: int) -> Law | None:
    """Seconds per token for each token of context, where it is beyond doubt and matters."""
    both = [*short, *timed.answers("context")]
    rows = [(a.prompt + a.tokens / 2, tpot) for a in both if (tpot := timed.tpot(a)) is not None]
    x, y = np.array(rows, dtype=float).reshape(-1, 2).T
    if len(x) < 5 or np.ptp(x) < 200:
        return None
    line = fit((np.ones_like(x), x), y, floor=_FLOOR / 10, seed=seed)
    if line.sigmas(1) < _SURE or line.values[1] * np.ptp(x) < 0.05 * line.values[0]:
        return None
    return line.law(1, cannot_tell="what of it is attention and what is reading the cache")


def _company(timed: Timed, seed: int) -> Law | None:
    """Seconds per token for each further stream, from the pauses between tokens in which nobody's
    first token came, so that most are free of prompts."""
    beside, pauses = [], []
    for each in timed.seen:
        together = answers([each], "load")
        firsts = np.sort(np.array([a.first for a in together]))
        spans = np.array([(a.first, a.last) for a in together]).reshape(-1, 2)
        for a in together:
            steps = gaps(a)
            free = np.searchsorted(firsts, a.times[:-1], side="right") == np.searchsorted(
                firsts, a.times[1:], side="right"
            )
            middle = (a.times[:-1] + a.times[1:]) / 2
            running = ((spans[:, :1] <= middle) & (spans[:, 1:] >= middle)).sum(axis=0)
            beside += list(running[free] - 1.0)
            pauses += list(steps[free] / a.per_event)
    x, y = np.array(beside), np.array(pauses)
    if len(x) < 30 or np.ptp(x) < 2:
        return None
    if len(x) > 400:  # neighbours tell the same
        x, y = x[:: len(x) // 400], y[:: len(y) // 400]
    line = fit((np.ones_like(x), x), y, floor=_FLOOR / 10, seed=seed)
    return line.law(1, cannot_tell="prompts of others that were read in the same steps")


# --- the prefix cache ----------------------------------------------------------------------------


def _known(seen: Sequence[Seen], aim: str) -> list[Answer]:
    """Answers to prompts of which something is known: the first of each probe leaves the text."""
    return [
        answer
        for probe, records in seen
        if probe.aim == aim
        for answer in answers(
            [Seen(msgspec.structs.replace(probe, asks=probe.asks[1:]), records[1:])], probe.aim
        )
    ]


def gains(timed: Timed, law: Prefill) -> list[tuple[int, float, float]]:
    """For each number of known tokens: the share of their time that was saved (median), and what
    they would cost, seconds. Those whose cost drowns in the noise are left out."""
    by_shared: dict[int, list[float]] = {}
    for answer in _known(timed.seen, "cache"):
        known = answer.ask.shared
        worth = law.seconds(answer.prompt) - law.seconds(answer.prompt - known)
        if worth > max(4 * _FLOOR, 0.2 * law.fixed.value * 0.5):
            saved = law.seconds(answer.prompt) - timed.ttft(answer)
            by_shared.setdefault(known, []).append(saved / worth)
    rows = []
    for known, shares in sorted(by_shared.items()):
        worth = law.seconds(known) - law.seconds(0)
        rows.append((known, float(np.median(shares)), worth))
    return rows


def prefix_cache(timed: Timed, law: Prefill, seed: int) -> PrefixCache | None:
    """Whether known beginnings are cheaper, from how many tokens on, and in what blocks."""
    rows = gains(timed, law)
    if not rows:
        return None
    longest = rows[-1][1]
    if longest < 0.2 and max(share for _, share, _ in rows) < 0.4:
        return PrefixCache(present=False)
    if longest < 0.5:
        return PrefixCache(present=None)
    enough = [known for known, share, _ in rows if share >= 0.5]
    few = [known for known, share, _ in rows if share < 0.3 and known < min(enough)]
    block, at_most = _block(timed, law)
    return PrefixCache(
        present=True,
        saves=median([share for known, share, _ in rows if known >= max(enough) / 2]),
        from_tokens=min(enough),
        not_from=max(few, default=None),
        block_tokens=block,
        block_at_most=at_most,
    )


def _block(timed: Timed, law: Prefill) -> tuple[int | None, int | None]:
    """The block's tokens, and up to which size blocks would not have been seen."""
    found = saws(timed, law)
    if not found:
        return None, None
    n = len(_known(timed.seen, "block"))
    best = min(found.values(), key=lambda saw: saw.misfit)
    possible = [s for s, saw in found.items() if n * np.log(saw.misfit / best.misfit) < _DECISIVE]
    if possible == [best.size]:
        return best.size, best.size
    if possible[0] == 1 and max(possible) <= _UNSEEN:
        return 1, max(possible)
    return None, max(possible)


class Saw(NamedTuple):
    """How well blocks of `size` explain what was seen, if a block ends after `phase` tokens of the
    common text (and every `size` more): the mean absolute deviation of the
    nearest nine tenths, seconds."""

    size: int
    phase: int
    misfit: float


def saws(timed: Timed, law: Prefill) -> dict[int, Saw]:
    """For each size of a block how well it explains what was seen; none from too few probes.

    With `own` tokens behind `shared` known ones, all that is computed is own + (shared − phase) mod
    block: a saw, whose height is known, as a token costs what it costs.
    """
    found = _known(timed.seen, "block")
    if len(found) < 12:
        return {}
    s = np.array([float(a.ask.shared) for a in found])
    own = np.array([float(a.own) for a in found])
    per_token = law.per_token.value
    y = np.array([timed.ttft(a) for a in found]) - per_token * (own - own.min())
    return {size: _saw(s, y, size, per_token) for size in BLOCKS}


def _saw(s: Floats, y: Floats, size: int, per_token: float) -> Saw:
    """The saw of a block of `size` that fits best, its height from half to one and a half of what
    the tokens cost, on a slope: what is known costs a little, too, as attention reads it."""
    best = Saw(size, 0, np.inf)
    tilt = s - s.mean()
    for phase in range(0, size, max(size // 64, 1)):
        left = y - np.median(y)
        if size > 1:
            saw = (s - phase) % size * per_token
            saw = saw - np.median(saw)
            left = left - saw * np.clip((saw @ left) / max(saw @ saw, 1e-30), 0.5, 1.5)
        apart = tilt != 0
        slope = np.clip(np.median(left[apart] / tilt[apart]), 0.0, 0.25 * per_token)
        left = left - slope * tilt
        off = np.sort(np.abs(left - np.median(left)))
        misfit = float(off[: math.ceil(0.9 * len(off))].mean())  # of hiccups nothing can be learnt
        if misfit < best.misfit:
            best = Saw(size, phase, max(misfit, 1e-9))
    return best


# --- in company ----------------------------------------------------------------------------------


def _level(
    each: Seen, timed: Timed, law: Prefill, pace: float, network: float
) -> Level | None:
    """What a load shows. A step of the engine ends for all its streams at once, so tokens arrive
    at its edges, and how long it took says how many tokens of prompts it may have read. From the
    last step back, each step is filled with the prompts whose first token it gave, and what does
    not fit was read in the step before: where a prompt's reading began, its queueing ended."""
    together = answers([each], "load")
    if len(together) < 3:
        return None
    edges = _edges(np.concatenate([a.times for a in together]), 0.3 * pace)
    began = _began(together, edges, law, pace)
    queues, prefills = [], []
    for a, start in zip(together, began, strict=True):
        # an event of several tokens waits for its last
        first = a.first - (a.per_event - 1) * (timed.tpot(a) or 0.0)
        start = min(max(start, a.sent + law.fixed.value), first)
        queues.append(max(start - a.sent - law.fixed.value, 0.0))
        prefills.append(first - start)
    tpots = [tpot for a in together if (tpot := timed.tpot(a)) is not None]
    return Level(
        concurrency=each.probe.concurrency,
        ttft=median([a.ttft for a in together]),
        queue=median(queues, cannot_tell="a server that holds requests back before its engine"),
        prefill=median(prefills),
        tpot=median(tpots) if tpots else None,
        running=_running(together)[0],
        components=_components(together, queues, timed, law, network),
    )


def _components(
    together: Sequence[Answer], queues: list[float], timed: Timed, law: Prefill, network: float
) -> tuple[Component, ...]:
    ttfts = np.array([a.ttft for a in together])
    low, high = np.quantile(ttfts, (0.25, 0.75))
    typical = [n for n in range(len(together)) if low <= ttfts[n] <= high]
    fixed = max(law.fixed.value, network)
    parts: dict[str, list[float]] = {"network": [], "front_end": [], "queue": [], "prefill": []}
    parts |= {"delivery": [], "decode": []}
    for n in typical:
        a = together[n]
        held = min((a.per_event - 1) * (timed.tpot(a) or 0.0), a.ttft)
        known = (network, fixed - network, queues[n])
        for name, seconds in zip(parts, known, strict=False):
            parts[name].append(seconds)
        parts["prefill"].append(a.ttft - sum(known) - held)
        parts["delivery"].append(held)
        parts["decode"].append(a.last - a.first)
    found = []
    for of, names in (("ttft", list(parts)[:-1]), ("e2e", list(parts))):
        whole = sum(float(np.mean(parts[name])) for name in names)
        for name in names:
            seconds = float(np.mean(parts[name]))
            if name != "delivery" or seconds > 0:
                ci = median(parts[name]).ci95
                share = seconds / whole
                found.append(Component(name=name, of=of, seconds=seconds, share=share, ci95=ci))
    return tuple(found)


def _edges(times: Floats, together: float) -> Floats:
    """Times that are no more than so far apart, as one: their median."""
    ordered = np.sort(times)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > together) + 1)
    return np.array([float(np.median(group)) for group in groups])


def _began(together: Sequence[Answer], edges: Floats, law: Prefill, pace: float) -> list[float]:
    """When the step began in which the reading of each prompt did; 0 if before all steps seen."""
    starts = np.concatenate([[-np.inf], edges[:-1]])
    firsts = np.array([float(np.abs(edges - a.first).argmin()) for a in together]).astype(int)
    busy = np.isin(np.arange(len(edges)), np.arange(firsts.min() + 1, len(edges)))
    room = np.maximum(edges - starts - np.where(busy, pace, 0.0), 0.0)  # seconds, for prompts
    began = [0.0] * len(together)
    for n in sorted(range(len(together)), key=lambda n: (-firsts[n], -together[n].sent)):
        own = law.seconds(together[n].prompt) - law.fixed.value
        left, step = own, int(firsts[n])
        while True:
            part = min(left, room[step])
            room[step] -= part
            left -= part
            if left < 0.15 * own or step == 0:
                break
            step -= 1
        began[n] = float(max(starts[step], 0.0))
    return began


def _running(together: Sequence[Answer]) -> tuple[int, float]:
    """How many streams ran at once at the most, and the longest time that so many ran and others
    waited, none of which began."""
    edges = sorted(
        [(a.first, 1, 1) for a in together]
        + [(a.last, 0, -1) for a in together]
        + [(a.sent, 2, 0) for a in together]
    )
    most = count = 0
    for _, _, change in edges:
        count += change
        most = max(most, count)
    longest, count, waiting = 0.0, 0, 0
    for (at, kind, change), (after, _, _) in zip(edges, edges[1:], strict=False):
        count += change
        waiting += {2: 1, 1: -1, 0: 0}[kind]
        if count == most and waiting:
            longest = max(longest, after - at)
    return most, longest


def _batch_limit(seen: Sequence[Seen], law: Prefill) -> Law | None:
    """How many streams run at once, where more wanted to and for long nothing else kept them."""
    for each in sorted(seen, key=lambda s: -s.probe.concurrency):
        together = answers([each], "load")
        if len(together) < 6:
            continue
        most, longest = _running(together)
        prompt = float(np.median([a.prompt for a in together]))
        pause = float(np.median([a.tpot for a in together if a.tpot] or [0.0]))
        own = law.seconds(prompt) - law.fixed.value
        if 1 <= most <= each.probe.concurrency * 2 / 3 and longest > 4 * (own + pause):
            full = sum(a.tokens for a in together)
            return Law(
                value=float(most),
                ci95=(float(most), float(most)),
                n=min(len(together), full),
                cannot_tell="a limit of the engine from one of the account or of a proxy",
            )
    return None


def _mixed(seen: Sequence[Seen], timed: Timed, law: Prefill) -> Mixed | None:
    """What a huge prompt did to streams that ran, and to a small one behind it."""
    stalled, chunks, shares, smalls = [], [], [], []
    for each in seen:
        together = answers([each], "mixed")
        if len(together) < 3:
            continue
        huge = max(together, key=lambda a: a.prompt)
        alone = law.seconds(huge.prompt) - law.fixed.value
        streams = [a for a in together if a is not huge and a.tokens >= 16]
        small = [a for a in together if a is not huge and a.tokens < 16]
        smalls += [max(timed.ttft(a) - law.seconds(a.prompt), 0.0) for a in small]
        for a in streams:
            steps, ends = gaps(a), a.times[1:]
            if len(steps) < 8:
                continue
            met = (ends > huge.sent) & (ends - steps < huge.first)
            if not met.any() or met.all():
                continue
            usual = float(np.median(steps[~met]))
            pause = _most_of(steps[met]) - usual
            stalled.append(pause)
            shares.append(pause / alone)
            chunks.append(pause / law.per_token.value)
    if not shares:
        return None
    share = float(np.median(shares))
    whole = True if share > 0.75 else False if share < 0.6 else None
    return Mixed(
        stall=median(stalled),
        whole=whole,
        chunk_tokens=median(chunks) if whole is False and share > 0.02 else None,
        small=median(smalls) if smalls else None,
    )


def _most_of(pauses: Floats) -> float:
    """The pause in which half of their time had passed: of one long pause among short ones that,
    of many long ones what is usual of them."""
    ordered = np.sort(pauses)
    passed = np.cumsum(ordered)
    return float(ordered[np.searchsorted(passed, passed[-1] / 2)])


# --- what is claimed -----------------------------------------------------------------------------


def claims(laws: Laws) -> list[Claim]:
    """What the target does beyond answering one after another, each as one line."""
    found = []
    cache = laws.prefix_cache
    if cache is not None and cache.present:
        size = cache.block_tokens
        blocks = f", in blocks of {size} tokens" if size and size > 1 else ""
        saves = cache.saves.value if cache.saves else 0.0
        text = f"known beginnings of prompts are cached{blocks}, which saves {saves:.0%} of them"
        found.append(Claim("prefix_cache", float(size or 0), "tokens", text))
    if laws.batch_limit is not None:
        most = laws.batch_limit.value
        text = f"at most {most:.0f} requests run at once; others wait for their turn"
        found.append(Claim("batch_limit", most, "requests", text))
    found += _claims_of_rhythm(laws)
    if laws.stalls is not None:
        each, long = laws.stalls.period.value, laws.stalls.seconds.value
        text = f"it stands still for {long * 1000:.0f} ms each {each:.2g} s"
        found.append(Claim("periodic_stalls", long, "seconds", text))
    if laws.mixed is not None and laws.mixed.whole:
        long = laws.mixed.stall.value
        text = f"a long prompt is read whole: running streams stood still for {long:.2f} s"
        found.append(Claim("whole_prefill", long, "seconds", text))
    if (bend := laws.prefill_s_per_token2) is not None:
        text = "the longer a prompt, the more each of its tokens costs"
        found.append(Claim("prefill_curvature", bend.value, "seconds per token²", text))
    if (more := laws.decode_s_per_context_token) is not None:
        text = f"a token behind 1,000 more tokens takes {more.value * 1e6:.2g} ms longer"
        found.append(Claim("decode_growth", more.value, "seconds per token", text))
    return found


def _claims_of_rhythm(laws: Laws) -> list[Claim]:
    found = laws.rhythm
    if found is None:
        return []
    if is_fake(found):
        text = "answers are made whole and only then sent: streaming is for show"
        return [Claim("fake_streaming", found.at_end.value if found.at_end else 1.0, "share", text)]
    several = found.per_event.value
    if several > 1.5:
        text = f"an event holds {several:.2g} tokens"
        return [Claim("tokens_per_chunk", several, "tokens", text)]
    if found.per_burst.value > 1.5:
        kind = "always as many" if found.spread < 0.2 else "now more, now fewer"
        text = (
            f"tokens come {found.per_burst.value:.2g} at a time, {kind}: speculation, several "
            "steps at once, or a buffer on the way"
        )
        return [Claim("bursts", found.per_burst.value, "tokens", text)]
    return []
