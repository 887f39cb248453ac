"""What company does to a request: queueing, batching, and a huge prompt among running streams."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from latok.analysis.fits import Law, fit, median
from latok.analysis.laws import FLOOR, Component, Level, Mixed, Prefill, Timed
from latok.analysis.probed import Answer, Seen, answers
from latok.analysis.rhythm import gaps
from latok.analysis.stats import Floats


def levels(timed: Timed, law: Prefill, *, pace: float, network: float) -> tuple[Level, ...]:
    """What each load shows, in the order in which they were held."""
    found = (_level(each, timed, law, pace, network) for each in timed.seen)
    return tuple(level for level in found if level is not None)


def per_stream(timed: Timed, seed: int) -> Law | None:
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
    line = fit((np.ones_like(x), x), y, floor=FLOOR / 10, seed=seed)
    return line.law(1, cannot_tell="prompts of others that were read in the same steps")


def _level(each: Seen, timed: Timed, law: Prefill, pace: float, network: float) -> Level | None:
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
    for a, step in zip(together, began, strict=True):
        # an event of several tokens waits for its last
        first = a.first - (a.per_event - 1) * (timed.tpot(a) or 0.0)
        start = min(max(step, a.sent + law.fixed.value), first)
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
    for (at, kind, change), (after, _, _) in pairwise(edges):
        count += change
        waiting += {2: 1, 1: -1, 0: 0}[kind]
        if count == most and waiting:
            longest = max(longest, after - at)
    return most, longest


def batch_limit(seen: Sequence[Seen], law: Prefill) -> Law | None:
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


def mixed(timed: Timed, law: Prefill) -> Mixed | None:
    """What a huge prompt did to streams that ran, and to a small one behind it."""
    stalled, chunks, shares, smalls = [], [], [], []
    for each in timed.seen:
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
