"""What costs time, and what would help: the parts that are large, and what slow requests have.

A part's finding is arithmetic: were it gone altogether, the rest would remain (Amdahl). What
distinguishes the slow requests is a comparison, and so may be chance: ranks of a quality among the
slow against the rest, with as many independent requests as neighbours that are alike leave (Bayley
and Hammersley 1946), corrected for every quality that was looked at (Holm 1979).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from latok.analysis.explain import AtLoad, Finding, Waterfall
from latok.analysis.metrics import output_tokens
from latok.analysis.stats import Floats
from latok.analysis.told import PARTS, Whole
from latok.records import Record

_LEAST = 0.05  # share of a whole from which a part is worth a word
_MORE = 0.1  # by so much more of a slow request's time, it has a finding of its own
_SLOWEST = 0.1  # share of the requests that are called slow
_FEWEST = 40  # requests, below which nothing is compared
_SURE = 0.05  # chance of one false finding among all that are looked at
_LEAST_GAIN = 0.01  # share of a slow request's time from which its having more is worth a word
_APART = 0.2  # beyond ½: how much more often than not a slow request has more of it

# What addresses a part, the strongest first.
LEVERS: dict[str, tuple[str, ...]] = {
    "lateness": ("more driver processes: this is the client's own",),
    "connect": ("keep connections open",),
    "upload": ("shorter prompts", "a faster uplink"),
    "network": ("a nearer region", "keep connections open"),
    "load": ("keep the model loaded",),
    "front_end": ("more API workers", "tokenise elsewhere"),
    "queue": ("a higher batch limit", "more replicas", "admission: refuse sooner"),
    "server": ("timings of the server, to know which part",),
    "prefill": ("a prefix cache, shared beginnings first", "context selection", "a smaller model"),
    "compute": ("a smaller or quantised model", "timings of the server, to know which part"),
    "decode": ("quantisation", "speculation", "a smaller model", "shorter answers"),
    "delivery": ("streaming that nothing buffers on its way",),
    "read": ("fewer streams for each driver process: this is the client's own",),
}
_TOKEN = {"ttft": "the first token", "e2e": "the whole answer"}


def findings(at: AtLoad) -> list[Finding]:
    """The parts worth a word at a load, by what they could win."""
    found: list[Finding] = []
    wholes: tuple[Whole, ...] = ("ttft", "e2e")
    for of in wholes:
        typical, slow = at.waterfall(of), at.waterfall(of, slow=True)
        for each in (typical, slow):
            found += _parts(each, beside=typical if each is slow else None) if each else []
    return sorted(found, key=lambda each: -each.most_s)


def _parts(waterfall: Waterfall, beside: Waterfall | None) -> list[Finding]:
    """`beside`: the typical request's, of which a slow one's findings repeat nothing."""
    before = {c.name: c.share for c in beside.components} if beside else {}
    found = []
    for part in waterfall.components:
        # what is before the first token is said of that
        late = part.name in ("decode", "compute", "delivery")
        if part.name not in LEVERS or (waterfall.of == "e2e") != late:
            continue
        if part.share < _LEAST or (beside and part.share < before.get(part.name, 0.0) + _MORE):
            continue
        found.append(
            Finding(
                name=part.name,
                what=f"{100 * part.share:.0f} % of {_TOKEN[waterfall.of]} of {_who(waterfall)} is "
                f"{PARTS[part.name]}{_amount(part.name, waterfall)}",
                of=waterfall.of,
                quantile=waterfall.quantile,
                most_s=part.seconds,
                share=part.share,
                speedup=_amdahl(part.share),
                levers=LEVERS[part.name],
            )
        )
    return found


def _who(waterfall: Waterfall) -> str:
    if waterfall.quantile in ("p50", "mean"):
        return "a typical request"
    return f"a slow request ({waterfall.quantile})"


def _amount(name: str, waterfall: Waterfall) -> str:
    if name == "prefill" and waterfall.prompt_tokens is not None:
        fresh = waterfall.prompt_tokens - (waterfall.cached_tokens or 0.0)
        return f" of {fresh:,.0f} tokens"
    if name == "decode" and waterfall.output_tokens is not None:
        return f" of {waterfall.output_tokens:,.0f} tokens"
    return ""


def _amdahl(share: float) -> float:
    """The whole over what is left without a part of that share."""
    return 1.0 / max(1.0 - share, 1e-3)


# --- why slow ------------------------------------------------------------------------------------


class Quality(NamedTuple):
    """Something that a slow request may have more of. `unit` follows its size in a sentence."""

    name: str
    what: str
    unit: str
    levers: tuple[str, ...]
    of: tuple[Whole, ...] = ("ttft", "e2e")


QUALITIES = (
    Quality("long_prompt", "have longer prompts", "tokens", LEVERS["prefill"]),
    Quality("long_answer", "have longer answers", "tokens", LEVERS["decode"], ("e2e",)),
    Quality("burst", "arrived in a burst", "sent just before", ("admission: smooth the arrivals",)),
    Quality("crowd", "met more requests in flight", "in flight", LEVERS["queue"]),
    Quality(
        "met_prefill",
        "met the prefill of others",
        "of their tokens",
        ("smaller prefill steps (step_tokens)", "a server of its own for prefill"),
    ),
    Quality(
        "cache_miss",
        "found less in the prefix cache",
        "tokens fewer than the most",
        LEVERS["prefill"],
    ),
    Quality(
        "preempted",
        "ran while the server preempted",
        "preemptions",
        ("more memory for the attention caches (kv_cache, cache_gb)", "a lower batch limit"),
    ),
    Quality("new_connection", "needed a new connection", "of them", LEVERS["connect"]),
    Quality("our_stall", "met a stall of the client's own", "ms", ("fewer other programs here",)),
)

Preempted = Sequence[tuple[float, float, float]]  # from, to, how many: seconds from the run's start


def why_slow(
    wholes: Mapping[Whole, Floats],
    requests: Sequence[Record],
    everything: Sequence[Record],
    *,
    preempted: Preempted = (),
) -> list[Finding]:
    """What distinguishes the slowest tenth of `requests` (in the order of time), by size.

    `wholes`: their times, seconds. `everything`: all that was sent, whom they may have met. Few
    requests tell nothing: then there are no findings.
    """
    if len(requests) < _FEWEST:
        return []
    values = _qualities(requests, everything, preempted)
    tried: list[tuple[float, Quality, Whole, _Compared]] = []
    for quality in QUALITIES:
        for of in quality.of:
            if np.ptp(values[quality.name]) > 0 and (of in wholes):
                compared = _compare(values[quality.name], wholes[of])
                tried.append((compared.p, quality, of, compared))
    found: list[Finding] = []
    # Holm: the least p against all, the next against one fewer, until one does not hold
    for n, (p, quality, of, compared) in enumerate(sorted(tried, key=lambda each: each[0])):
        corrected = min(p * (len(tried) - n), 1.0)
        if corrected > _SURE:
            break
        if compared.more >= 0.5 + _APART and compared.gain >= _LEAST_GAIN * compared.whole:
            found.append(_why(quality, of, compared, corrected))
    best: dict[str, Finding] = {}  # of one quality the whole on which it weighs most
    for each in sorted(found, key=lambda each: -each.share):
        best.setdefault(each.name, each)
    return sorted(best.values(), key=lambda each: -each.most_s)


def _why(quality: Quality, of: Whole, compared: _Compared, p: float) -> Finding:
    slow, rest = (f"{size:,.3g}" for size in (compared.slow, compared.rest))
    whole = {"ttft": "first tokens", "e2e": "answers"}[of]
    return Finding(
        name=quality.name,
        what=f"the tenth with the slowest {whole} {quality.what} "
        f"({slow} {quality.unit} against {rest})",
        of=of,
        quantile="p90",
        most_s=compared.gain,
        share=compared.gain / compared.whole,
        speedup=_amdahl(compared.gain / compared.whole),
        levers=quality.levers,
        p=p,
    )


class _Compared(NamedTuple):
    """`more`: how often a slow request has more of it than another. `gain`: seconds that a slow one
    would win with as much of it as the others, if it costs what it does on a straight line."""

    p: float
    more: float
    slow: float
    rest: float
    gain: float
    whole: float


def _compare(quality: Floats, whole: Floats) -> _Compared:
    from scipy.stats import rankdata
    from scipy.stats import t as student

    count = max(round(len(whole) * _SLOWEST), 1)
    slow = np.zeros(len(whole), dtype=bool)
    slow[np.argsort(whole, kind="stable")[-count:]] = True
    ranks = rankdata(quality)
    r = float(np.corrcoef(ranks, slow)[0, 1])
    free = max(_independent(ranks, slow.astype(np.float64)) - 2.0, 1.0)
    statistic = r * np.sqrt(free / max(1.0 - r * r, 1e-12))
    beyond = ranks[slow].sum() - count * (count + 1) / 2
    high, low = float(quality[slow].mean()), float(quality[~slow].mean())
    slope = float(np.polyfit(quality, whole, 1)[0])
    apart = float(whole[slow].mean() - whole[~slow].mean())
    return _Compared(
        p=float(student.sf(statistic, free)),
        more=float(beyond / (count * (len(whole) - count))),
        slow=high,
        rest=low,
        gain=min(max(slope * (high - low), 0.0), apart),
        whole=float(whole[slow].mean()),
    )


def _independent(x: Floats, y: Floats) -> float:
    """How many independent pairs tell as much of the correlation of two series as these do."""
    n = len(x)
    size = 2 << (n - 1).bit_length()
    both = np.ones(n // 2)
    for series in (x, y):
        centred = series - series.mean()
        covariance = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[: n // 2]
        both *= covariance / max(covariance[0], 1e-12)
    over = np.flatnonzero(both[1:] <= 0.0)  # Geyer's rule: what comes after is noise
    upto = int(over[0]) + 1 if len(over) else len(both)
    return float(np.clip(n / (1.0 + 2.0 * both[1:upto].sum()), 3.0, n))


def _qualities(
    requests: Sequence[Record], everything: Sequence[Record], preempted: Preempted
) -> dict[str, Floats]:
    sent = sorted(r.sent_first for r in everything if r.sent_first is not None)
    ended = sorted(r.closed_at for r in everything if r.closed_at is not None)
    tokens = [_fresh(r) for r in sorted(everything, key=_sent) if r.sent_first is not None]
    upto = np.concatenate([[0.0], np.cumsum(tokens)])  # tokens of the first so many that were sent
    typical = float(np.median([_first(r) - _sent(r) for r in requests]))
    lasting = float(np.median([_last(r) - _sent(r) for r in requests]))

    def before(record: Record) -> float:
        at = _sent(record)
        return bisect_left(sent, at) - bisect_left(sent, at - min(typical, 1.0))

    def crowd(record: Record) -> float:
        at = _sent(record)
        return bisect_left(sent, at) - bisect_right(ended, at)

    # A slow request meets more for being slow, so all are asked of what was there while a typical
    # one would have lasted.
    def met(record: Record) -> float:
        begin = _sent(record)
        first, last = bisect_right(sent, begin - typical), bisect_left(sent, begin + lasting)
        return float(upto[last] - upto[first]) - _fresh(record)

    def during(record: Record) -> float:
        begin = _sent(record)
        return sum(count for a, b, count in preempted if a < begin + lasting and b > begin)

    def stall(record: Record) -> float:
        first = next((c.lag for c in record.chunks if c.is_token), 0.0)
        return 1e3 * (_sent(record) - record.due + first)

    most = max(map(_cached, requests))
    read: dict[str, Callable[[Record], float]] = {
        "long_prompt": _prompt,
        "long_answer": lambda r: float(output_tokens(r) or 0),
        "burst": before,
        "crowd": crowd,
        "met_prefill": met,
        "cache_miss": lambda r: most - _cached(r),
        "preempted": during,
        "new_connection": lambda r: float(not r.connection.reused),
        "our_stall": stall,
    }
    return {n: np.asarray([of(r) for r in requests], dtype=np.float64) for n, of in read.items()}


def _sent(record: Record) -> float:
    return record.due if record.sent_first is None else record.sent_first


def _prompt(record: Record) -> float:
    said = record.usage.prompt_tokens if record.usage else None
    return float(record.prompt_tokens if said is None else said)


def _cached(record: Record) -> float:
    return float((record.usage and record.usage.cached_tokens) or 0)


def _fresh(record: Record) -> float:
    return _prompt(record) - _cached(record)


def _first(record: Record) -> float:
    return next((c.at for c in record.chunks if c.is_token), _sent(record))


def _last(record: Record) -> float:
    return record.chunks[-1].at if record.chunks else record.due
