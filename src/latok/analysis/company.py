"""What company does to a request: queueing, batching, and a huge prompt among running streams."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from latok.analysis.fits import Curve, Law, curve, median
from latok.analysis.laws import FLOOR, Level, Mixed, Part, Prefill, Timed
from latok.analysis.probed import Answer, Seen, answers
from latok.analysis.rhythm import gaps
from latok.analysis.stats import Floats


class _Parts(NamedTuple):
    """What a request's time went into, seconds; they sum to its e2e. `delivery`: the first event
    waited for the other tokens that it holds."""

    front_end: float
    queue: float
    prefill: float
    delivery: float
    decode: float

    @property
    def ttft(self) -> float:
        return self.front_end + self.queue + self.prefill + self.delivery


def levels(timed: Timed, law: Prefill, *, step: float, network: float) -> tuple[Level, ...]:
    """What each load shows, in the order in which they were held. `step`: seconds of a step alone,
    `network`: of a round trip."""
    front = _front_end(timed, law, step, network)
    found = []
    for each in timed.seen:
        together = answers([each], "load")
        if len(together) >= 3:
            found.append(_level(together, _parts(together, timed, law, front), timed, network))
    return tuple(found)


def _front_end(timed: Timed, law: Prefill, step: float, network: float) -> float | None:
    """Seconds from a request's sending until an engine may begin with it; None where its headers
    say when, as they come long before its first token.

    A small prompt that comes at any time of a running stream is read from the next edge on that it
    reaches; of several the one that had to wait least says how long it took to be ready.
    """
    alone = timed.answers("prefill")
    if float(np.median([(a.first - a.headers) / a.ttft for a in alone])) > 0.3:
        return None
    waited = []
    for each in timed.seen:
        together = answers([each], "arrival")
        if len(together) > 4:
            began = zip(together, _began(together, law), strict=True)
            waited += [at - a.sent for a, at in began if a.tokens == 1 and at > a.sent]
    # without that: a first token's step has costs of its own, those of any other step
    longest = max(law.fixed.value - step, network)
    return max(min([longest, *waited]), network)


def _level(
    together: Sequence[Answer], parts: Sequence[_Parts], timed: Timed, network: float
) -> Level:
    tpots = [tpot for a in together if (tpot := timed.tpot(a)) is not None]
    return Level(
        concurrency=together[0].concurrency,
        ttft=median([a.ttft for a in together]),
        queue=median(
            [each.queue for each in parts],
            cannot_tell="waiting before headers are sent, which counts as the front end's",
        ),
        prefill=median([each.prefill for each in parts]),
        tpot=median(tpots) if tpots else None,
        running=_running(together)[0],
        parts=_typical(parts, network),
    )


def _typical(parts: Sequence[_Parts], network: float) -> tuple[Part, ...]:
    """Of the middle half of the requests, the mean of each part, so that they sum to the whole."""
    low, high = np.quantile([each.ttft for each in parts], (0.25, 0.75))
    typical = [each for each in parts if low <= each.ttft <= high]
    known = min(network, *(each.front_end for each in typical))
    rows = {"network": [known for _ in typical]}
    rows |= {name: [getattr(each, name) for each in typical] for name in _Parts._fields}
    rows["front_end"] = [seconds - known for seconds in rows["front_end"]]
    found = []
    for of, names in (("ttft", list(rows)[:-1]), ("e2e", list(rows))):
        means = {name: float(np.mean(rows[name])) for name in names}
        whole = sum(means.values())
        found += [
            Part(name=n, of=of, seconds=x, share=x / whole, ci95=median(rows[n]).ci95)
            for n, x in means.items()
            if x > 0 or n != "delivery"
        ]
    return tuple(found)


def _parts(
    together: Sequence[Answer], timed: Timed, law: Prefill, front: float | None
) -> list[_Parts]:
    """A step of the engine ends for all its streams at once, so tokens arrive at its edges. Where
    the step began in which a prompt's reading did, its queueing ended."""
    found = []
    for a, began in zip(together, _began(together, law), strict=True):
        ready = a.headers if front is None else min(a.sent + front, a.first)
        # an event of several tokens waits for its last
        first = max(a.first - (a.per_event - 1) * (timed.tpot(a) or 0.0), ready)
        start = min(max(began, ready), first)
        found.append(
            _Parts(ready - a.sent, start - ready, first - start, a.first - first, a.last - a.first)
        )
    return found


def _began(together: Sequence[Answer], law: Prefill) -> list[float]:
    """When the step began in which the reading of each prompt did.

    How long a step took beyond its tokens says how much of prompts it may have read. From the last
    step back, each is filled with the prompts whose first token it gave, and what does not fit was
    read in the step before. Steps that did so one after another are a wave; a prompt takes what the
    law says, but no more than its share of the wave: the machine may be faster than it was.
    """
    pauses = np.concatenate([gaps(a) for a in together])
    pace = float(np.median(pauses)) if len(pauses) else 0.0
    edges = _edges(np.concatenate([a.times for a in together]), 0.25 * pace)
    starts = np.concatenate([[min(a.sent for a in together)], edges[:-1]])
    given = np.array([int(np.abs(edges - a.first).argmin()) for a in together])
    count = np.bincount(given, minlength=len(edges))
    free = (edges - starts)[count == 0]
    pace = min(float(np.median(free)), pace) if len(free) else pace
    own = np.array([law.seconds(a.prompt) - law.fixed.value for a in together])
    room = np.maximum(edges - starts - pace, 0.0)  # seconds, for prompts
    reads = (count > 0) | (room > max(0.3 * pace, 0.15 * float(own.min())))
    wave = np.cumsum(~reads)  # those of a wave have one number
    for number in np.unique(wave[given]):
        mine = wave[given] == number
        own[mine] *= min(1.0, float(room[reads & (wave == number)].sum() / own[mine].sum()))
    began = np.zeros(len(together))
    for n in sorted(
        range(len(together)), key=lambda n: (-given[n], -together[n].headers, -together[n].sent)
    ):
        left, step = own[n], int(given[n])
        while True:
            part = min(left, room[step])
            room[step] -= part
            left -= part
            if left < 0.15 * own[n] or step == 0 or not reads[step - 1]:
                break
            step -= 1
        began[n] = starts[step]
    return list(map(float, began))


def _edges(times: Floats, together: float) -> Floats:
    """Times that are no more than so far apart, as one: their median."""
    ordered = np.sort(times)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > together) + 1)
    return np.array([float(np.median(group)) for group in groups])


def per_stream(timed: Timed, seed: int) -> Law | None:
    """Seconds per token for each further stream."""
    found = streams_curve(timed, seed)
    doubt = "prompts of others that were read in the same steps"
    return found.fit.law(1, cannot_tell=doubt) if found is not None else None


def streams_curve(timed: Timed, seed: int) -> Curve | None:
    """Seconds per token by the streams beside it, from the pauses between tokens in which nobody's
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
    return curve(x, y, 1, floor=FLOOR / 10, seed=seed)


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
