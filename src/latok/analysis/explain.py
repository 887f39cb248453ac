"""Where the latency goes: the parts of a typical and of a slow request, at each load.

A typical request is the mean of those around the median, a slow one the mean of those around the
highest quantile that so many requests tell (p99 from 100 of them): means, so that the parts still
sum to the whole. Three grades of knowledge make the same values: told by the server request by
request (here), told by its counters (`latok.analysis.counters`), inferred from outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from latok.analysis.counters import Counters
from latok.analysis.floor import Floor, Law
from latok.analysis.laws import Claim, Laws
from latok.analysis.metrics import digest, in_window, output_tokens, steady_part
from latok.analysis.point import Check, Interval
from latok.analysis.stats import Floats, alike, allowed, block_count, quantile_intervals
from latok.analysis.told import PARTS, Source, Split, Told, Whole, client_parts, split, told
from latok.records import Load, Manifest, Record, Target

Grade = Literal["told", "counters", "inferred"]

_SEED = 0  # of the bootstrap: the same records give the same intervals
_RESAMPLES = 200
_AROUND = 0.1  # of the requests, on each side of a quantile, as far as there are any
WHOLES: tuple[Whole, ...] = ("ttft", "e2e")


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a request's time. `seconds` with its 95 % interval, `share` of the whole with its.

    `of`: the whole that it is a part of, `ttft` or `e2e`, both from when the request was wanted.
    `source`: who tells it: the client's clock, the server, or what is left when those are taken
    off (`difference`); `fit`: it was inferred.
    """

    name: str
    of: Whole
    seconds: float
    share: float
    ci95: Interval | None = None
    share_ci95: Interval | None = None
    source: Source | Literal["fit"] = "server"


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """One whole cut into its parts, in the order in which they happen; they sum to `seconds`.

    `quantile`: `p50` for a typical request, `p99` (`p95`, `p90`, where they are too few) for a slow
    one, `mean` where only sums are known. `requests`: whose mean it is; the tokens are theirs.
    """

    of: Whole
    quantile: str
    requests: int
    seconds: float
    components: tuple[Component, ...]
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None


class AtLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one load. `server`: whose names the times came under.

    `unexplained`: of each whole the median share of what nobody accounts for, without its sign.
    `error_s`: of each whole the median bound on the instrument's own error. `counters`: what the
    server counted meanwhile, whatever the grade.
    """

    load: Load
    run: str
    grade: Grade
    server: str
    offered: int
    explained: int
    waterfalls: tuple[Waterfall, ...]
    unexplained: dict[str, float]
    error_s: dict[str, float]
    round_trip_s: float | None
    laws: dict[str, Law] = {}
    counters: Counters | None = None

    def waterfall(self, of: Whole, *, slow: bool = False) -> Waterfall | None:
        """That of a typical or a slow request; None where too few requests tell it."""
        found = [w for w in self.waterfalls if w.of == of]
        return next((w for w in found if (w.quantile not in ("p50", "mean")) == slow), None)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that costs time. `most_s`: what a request of `of` could gain at the most if it were
    gone altogether (Amdahl), as `share` of its whole; `speedup`: the whole over what would be left.

    `levers`: what addresses it. `p`: how probable such a difference is by chance alone, corrected
    for all that were looked at; None where it is a share that was measured, not a comparison.
    """

    name: str
    what: str
    of: Whole
    quantile: str
    most_s: float
    share: float
    speedup: float
    levers: tuple[str, ...]
    p: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where the latency goes. `components`: those of a typical request at the operating point
    (`at`), the last of `loads` where none is advised; `unexplained`: the larger of its shares.

    `inferred` and `claims`: of that grade, the laws with what each cannot tell, and what the target
    does besides. `report`: where its HTML page lies.
    """

    grade: Grade
    target: Target
    app: str
    at: str
    components: tuple[Component, ...]
    laws: dict[str, Law]
    unexplained: float | None
    findings: tuple[Finding, ...] = ()
    loads: tuple[AtLoad, ...] = ()
    floor: Floor | None = None
    inferred: Laws | None = None
    claims: tuple[Claim, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    report: str = ""
    schema: str = "latok.explain/1"


class Joined(NamedTuple):
    """One request that the server told of: its record, what it told, its wholes cut in parts."""

    record: Record
    said: Told
    splits: dict[Whole, Split]


def _measured(manifest: Manifest, records: Sequence[Record]) -> list[Record]:
    """The answered requests of the steady window, in the order in which they were wanted."""
    steady, _ = steady_part(manifest, [digest(record) for record in records])
    inside = [record for record in records if record.ok and in_window(record, steady)]
    return sorted(inside, key=lambda record: record.due)


def _joined(
    manifest: Manifest, records: Sequence[Record], measured: Sequence[Record]
) -> list[Joined]:
    """The measured requests of which the server told its times, each cut in parts."""
    round_trip = round_trip_of(records)
    waiting = _Waiting(records)
    found = []
    for record in measured:
        said = told(record.server_timings)
        if said is None:
            continue
        parts = split(
            record,
            said,
            round_trip=round_trip,
            alone=waiting.alone(record),
            kernel_stamps=manifest.kernel_stamps,
        )
        if parts is not None:
            found.append(Joined(record, said, parts))
    return found


def explained(
    manifest: Manifest, records: Sequence[Record], *, run: str = ""
) -> tuple[AtLoad, list[Joined]] | None:
    """Where the latency of a run goes as its server tells; None where it tells nothing."""
    measured = _measured(manifest, records)
    found = _joined(manifest, records, measured)
    if not found:
        return None
    times = np.asarray([each.record.due for each in found])
    waterfalls: list[Waterfall] = []
    unexplained: dict[str, float] = {}
    for of in WHOLES:
        splits = [each.splits[of] for each in found]
        rest = [abs(s.parts["unexplained"]) / s.whole for s in splits if s.whole > 0]
        unexplained[of] = float(np.median(rest)) if rest else 0.0
        for q in (0.5, slow_quantile(len(found))):
            if q is not None:
                waterfalls.append(_waterfall(of, q, found, splits, times))
    servers = Counter(each.said.server for each in found)
    at_load = AtLoad(
        load=manifest.load,
        run=run,
        grade="told",
        server=servers.most_common(1)[0][0],
        offered=len(measured),
        explained=len(found),
        waterfalls=tuple(waterfalls),
        unexplained=unexplained,
        error_s=_errors([each.record for each in found]),
        round_trip_s=round_trip_of(records),
        laws=_laws(found, times),
    )
    return at_load, found


def by_counters(
    manifest: Manifest, records: Sequence[Record], counters: Counters, *, run: str = ""
) -> AtLoad | None:
    """Where the latency of a run goes as its server's counters tell: means over all that it served,
    joined with the means of our own requests that ended meanwhile. None where none did, or where
    the counters tell no time."""
    start, end = counters.window
    ours = [
        record
        for record in records
        if record.ok
        and record.sent_first is not None
        and record.closed_at is not None
        and start <= record.closed_at < end
        and any(chunk.is_token for chunk in record.chunks)
    ]
    server = dict(counters.values)
    for total in ("prefill", "decode"):  # a server that counts seconds and no requests
        if ours and f"{total}_total" in server:
            server[total] = server[f"{total}_total"] / len(ours)
    timed = ("queue", "prefill", "compute", "decode", "front_end", "delivery")
    if not ours or not any(name in server for name in timed):
        return None
    round_trip = round_trip_of(records)
    clients = [client_parts(record, round_trip) for record in ours]
    begun = {name: sum(each[name] for each in clients) / len(clients) for name in clients[0]}
    sources: dict[str, Source] = dict.fromkeys(server, "server")
    sources |= dict.fromkeys((*begun, "read"), "client")
    waterfalls = []
    unexplained: dict[str, float] = {}
    for of in WHOLES:
        parts = dict(begun)
        late = () if of == "ttft" else ("compute", "decode", "delivery")
        for name in ("front_end", "queue", "prefill", *late):
            if name in server:
                parts[name] = server[name]
        ends = [
            [c for c in record.chunks if c.is_token][0 if of == "ttft" else -1] for record in ours
        ]
        parts["read"] = sum(c.lag for c in ends) / len(ends) if manifest.kernel_stamps else 0.0
        waited = sum(end.at - record.due for end, record in zip(ends, ours, strict=True))
        whole = parts["read"] + waited / len(ours)
        left = whole - sum(parts.values())
        if "queue" not in server and left > 0.0 and server.get("waiting", 0.0) > 0.0:
            parts["queue"], left = left, 0.0
        parts["unexplained"] = left
        unexplained[of] = abs(left) / whole if whole > 0 else 0.0
        waterfalls.append(
            Waterfall(
                of=of,
                quantile="mean",
                requests=len(ours),
                seconds=whole,
                components=tuple(
                    Component(
                        name=name,
                        of=of,
                        seconds=parts[name],
                        share=parts[name] / whole if whole > 0 else 0.0,
                        source=sources.get(name, "difference"),
                    )
                    for name in PARTS
                    if name in parts
                ),
                prompt_tokens=_mean([r.usage.prompt_tokens if r.usage else None for r in ours]),
                cached_tokens=_mean([r.usage.cached_tokens if r.usage else None for r in ours]),
                output_tokens=_mean([output_tokens(r) for r in ours]),
            )
        )
    laws = {
        f"{name}_s_per_token": Law(server[f"{name}_token"])
        for name in ("prefill", "decode")
        if f"{name}_token" in server
    }
    return AtLoad(
        load=manifest.load,
        run=run,
        grade="counters",
        server=counters.server,
        offered=len(ours),
        explained=len(ours),
        waterfalls=tuple(waterfalls),
        unexplained=unexplained,
        error_s=_errors(ours),
        round_trip_s=round_trip,
        laws=laws,
        counters=counters,
    )


def slow_quantile(n: int) -> float | None:
    """The highest of p99, p95 and p90 that so many requests tell; None where they tell none."""
    return next((q for q in (0.99, 0.95, 0.9) if allowed(q, n)), None)


def round_trip_of(records: Sequence[Record]) -> float | None:
    """The network's round trip: the least that opening a connection took in this run."""
    seen = [r.connection.connect for r in records if r.connection.connect is not None]
    return min(seen, default=None)


class _Waiting:
    """Who waited for a first token when; to know whether a request was alone in that."""

    def __init__(self, records: Sequence[Record]) -> None:
        sent = [(r.sent_first, r.closed_at) for r in records if r.sent_first is not None]
        self._begun = np.sort(np.asarray([a for a, _ in sent]))
        self._ended = np.sort(np.asarray([b if b is not None else np.inf for _, b in sent]))

    def alone(self, record: Record) -> bool:
        """Whether no other request was in flight when this one was sent, nor was sent before its
        first token."""
        assert record.sent_first is not None
        first = next((chunk.at for chunk in record.chunks if chunk.is_token), record.sent_first)
        begun = int(np.searchsorted(self._begun, first, side="right"))
        ended = int(np.searchsorted(self._ended, record.sent_first, side="right"))
        return begun - ended <= 1


def _around(n: int, q: float) -> slice:
    """The places, of n in order, whose mean stands for the quantile q."""
    half = min(_AROUND, 1.0 - q)
    low = min(int((q - half) * n + 1e-9), n - 1)
    return slice(low, max(low + 1, min(int(np.ceil((q + half) * n - 1e-9)), n)))


def _waterfall(
    of: Whole, q: float, found: Sequence[Joined], splits: Sequence[Split], times: Floats
) -> Waterfall:
    names = [name for name in PARTS if any(name in s.parts for s in splits)]
    table = np.asarray([[s.parts.get(name, 0.0) for name in names] for s in splits])
    wholes = np.asarray([s.whole for s in splits])
    place = np.argsort(wholes, kind="stable")[_around(len(wholes), q)]
    mean = table[place].mean(axis=0)
    drawn = _resampled(table, wholes, times, q)
    sources: dict[str, Source] = {}
    for each in splits:
        sources.update(each.sources)
    whole = float(wholes[place].mean())
    shares = None if drawn is None else drawn / np.maximum(drawn.sum(axis=1), 1e-12)[:, None]
    components = tuple(
        Component(
            name=name,
            of=of,
            seconds=float(mean[n]),
            share=float(mean[n] / whole) if whole > 0 else 0.0,
            ci95=_interval(drawn, n),
            share_ci95=_interval(shares, n),
            source=sources[name],
        )
        for n, name in enumerate(names)
    )
    records = [found[n].record for n in place]
    return Waterfall(
        of=of,
        quantile=f"p{q * 100:g}",
        requests=len(place),
        seconds=whole,
        components=components,
        prompt_tokens=_mean([r.usage.prompt_tokens if r.usage else None for r in records]),
        cached_tokens=_mean([r.usage.cached_tokens if r.usage else None for r in records]),
        output_tokens=_mean([output_tokens(r) for r in records]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _interval(drawn: Floats | None, n: int) -> Interval | None:
    if drawn is None:
        return None
    low, high = np.quantile(drawn[:, n], (0.025, 0.975))
    return float(low), float(high)


def _resampled(table: Floats, wholes: Floats, times: Floats, q: float) -> Floats | None:
    """The parts' means as other draws of the same run's blocks of time would give them."""
    if len(wholes) < 4:
        return None
    inside = np.argsort(times, kind="stable")
    members = np.array_split(inside, block_count(len(wholes), alike(wholes[inside])))
    rng = np.random.default_rng(_SEED)
    means = np.empty((_RESAMPLES, table.shape[1]))
    for row in means:
        drawn = np.concatenate([members[n] for n in rng.integers(len(members), size=len(members))])
        order = drawn[np.argsort(wholes[drawn], kind="stable")]
        row[:] = table[order[_around(len(order), q)]].mean(axis=0)
    return means


def _errors(records: Sequence[Record]) -> dict[str, float]:
    """The bound on each whole by what the client cannot tell apart, as the median."""
    found: dict[str, list[float]] = {"ttft": [], "e2e": []}
    for record in records:
        events = [chunk for chunk in record.chunks if chunk.is_token]
        sending = (record.sent_last or 0.0) - (record.sent_first or 0.0)
        for of, chunk in (("ttft", events[0]), ("e2e", events[-1])):
            found[of].append(chunk.doubt + max(sending, 0.0))
    return {of: float(np.median(values)) for of, values in found.items()}


def _laws(found: Sequence[Joined], times: Floats) -> dict[str, Law]:
    """Prefill per token that was not cached and decode per token, medians over the requests."""
    prefill: list[tuple[float, float]] = []
    decode: list[tuple[float, float]] = []
    for each, at in zip(found, times, strict=True):
        fresh, tokens = fresh_tokens(each.record), output_tokens(each.record)
        if fresh and "prefill" in each.said.before:
            prefill.append((each.said.before["prefill"] / fresh, at))
        if tokens is not None and tokens > 1 and "decode" in each.said.after:
            decode.append((each.said.after["decode"] / (tokens - 1), at))
    laws = {"prefill_s_per_token": _law(prefill), "decode_s_per_token": _law(decode)}
    return {name: law for name, law in laws.items() if law is not None}


def fresh_tokens(record: Record) -> int:
    """Tokens of the prompt that the prefix cache did not know; 0 where the server counted none."""
    usage = record.usage
    return max((usage.prompt_tokens or 0) - (usage.cached_tokens or 0), 0) if usage else 0


def _law(pairs: Sequence[tuple[float, float]]) -> Law | None:
    if not pairs:
        return None
    values, times = np.asarray(pairs).T
    [interval] = quantile_intervals(values, times, [0.5], seed=_SEED)
    return Law(float(np.median(values)), interval)


def shares(waterfall: Waterfall) -> Mapping[str, float]:
    """The share of each part, by name."""
    return {component.name: component.share for component in waterfall.components}
