"""One definition for each metric, as functions of a Record, and the Point that records make.

Definitions: METRICS in the documentation. Times in seconds. A metric is None where the record does
not have it: no first token, one token only, a failed request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from latok.analysis import audit
from latok.analysis.digest import Digest, Small
from latok.analysis.point import (
    QUANTILES,
    ClauseResult,
    Counts,
    Goodput,
    Point,
    Summary,
    Throughput,
)
from latok.analysis.stats import Floats, quantile, quantile_intervals, share_interval
from latok.records import VISIBLE_KINDS, Chunk, Manifest, Open, Record
from latok.workload.slo import Clause, Slo, parse_slo

_SEED = 0  # of the bootstrap: the same records give the same intervals


def token_events(record: Record) -> list[Chunk]:
    """The chunks that carry generated tokens."""
    return [chunk for chunk in record.chunks if chunk.is_token]


def ttfb(record: Record) -> float | None:
    """Response headers, from sending."""
    if record.headers_at is None or record.sent_first is None:
        return None
    return record.headers_at - record.sent_first


def ttft(record: Record) -> float | None:
    """First token event of any kind, from sending on a warm connection."""
    events = token_events(record)
    return events[0].at - record.sent_first if events and record.sent_first is not None else None


def ttft_user(record: Record) -> float | None:
    """First token event, from when the request was due: our lateness and a slot's queue count."""
    events = token_events(record)
    return events[0].at - record.due if events else None


def ttfv(record: Record) -> float | None:
    """First token that a user sees (content or tool), from sending."""
    seen = next((c.at for c in record.chunks if c.is_token and c.kind in VISIBLE_KINDS), None)
    return seen - record.sent_first if seen is not None and record.sent_first is not None else None


def output_tokens(record: Record) -> int | None:
    """Generated tokens by the server's usage, else by its chunks; None where neither says."""
    if record.usage is not None and record.usage.completion_tokens is not None:
        return record.usage.completion_tokens
    counts = [chunk.tokens for chunk in token_events(record)]
    return None if None in counts else sum(count or 0 for count in counts)


def tpot(record: Record) -> float | None:
    """Time per token after the first event: (t_last − t_first) ÷ (N − k_first).

    k_first, the tokens in the first event, counts as 1 where the target does not say.
    """
    events, tokens = token_events(record), output_tokens(record)
    if len(events) < 2 or tokens is None:
        return None
    first = events[0].tokens or 1
    return (events[-1].at - events[0].at) / (tokens - first) if tokens > first else None


def gaps(record: Record) -> list[float]:
    """Times between consecutive token events."""
    return [after.at - before.at for before, after in pairwise(token_events(record))]


def longest_gap(record: Record) -> float | None:
    """What a `gap` clause judges a request by."""
    return max(gaps(record), default=None)


def e2e(record: Record) -> float | None:
    """Last token event, from sending."""
    events = token_events(record)
    return events[-1].at - record.sent_first if events and record.sent_first is not None else None


def e2e_close(record: Record) -> float | None:
    """End of the stream, from sending."""
    if record.closed_at is None or record.sent_first is None:
        return None
    return record.closed_at - record.sent_first


def speed(record: Record) -> float | None:
    """Tokens per second for one user, 1 ÷ tpot."""
    each = tpot(record)
    return 1.0 / each if each else None


METRICS: dict[str, Callable[[Record], float | None]] = {
    "ttft": ttft,
    "ttft_user": ttft_user,
    "ttfv": ttfv,
    "ttfb": ttfb,
    "tpot": tpot,
    "gap": longest_gap,
    "e2e": e2e,
    "e2e_close": e2e_close,
    "speed": speed,
}


def digest(record: Record) -> Digest:
    """What a point needs of a record, in little memory."""
    events, tokens = token_events(record), output_tokens(record)
    weight: list[float] = [chunk.tokens or 0 for chunk in events]
    if any(chunk.tokens is None for chunk in events):  # then spread evenly over the events
        weight = [1.0 if tokens is None else tokens / len(events)] * len(events)
    return Digest(
        record=msgspec.structs.replace(record, chunks=()),
        metrics={name: metric(record) for name, metric in METRICS.items()},
        tokens=tokens,
        at=np.asarray([chunk.at for chunk in events], dtype=np.float64),
        doubt=np.asarray([chunk.doubt for chunk in events], dtype=np.float32),
        weight=np.asarray(weight, dtype=np.float32),
        lags=np.asarray([chunk.lag for chunk in record.chunks], dtype=np.float32),
        first_tokens=events[0].tokens if events else None,
        reads=len({chunk.at for chunk in record.chunks}),
        coalesced=sum(chunk.coalesced for chunk in record.chunks),
    )


def in_window(record: Record, manifest: Manifest) -> bool:
    """Whether a request belongs to the window: by when it was sent (open loop: due)."""
    if manifest.window is None:
        return False
    start, end = manifest.window
    sent = record.due if isinstance(manifest.load, Open) else record.sent_first
    return start <= (record.due if sent is None else sent) < end


def point(manifest: Manifest, records: Iterable[Record], *, run: str = "") -> Point:
    """Summarises a run. `records` may be any records of it, and are taken one by one; those outside
    the window only count for the tokens that arrived inside it and for the whole run's throughput.
    """
    everything = [digest(record) for record in records]
    window = [each for each in everything if in_window(each.record, manifest)]
    good = [each for each in window if each.ok]
    counts = Counts(
        offered=len(window),
        ok=len(good),
        failed=sum(not each.ok and not _unfinished(each.record) for each in window),
        unfinished=sum(_unfinished(each.record) for each in window),
    )
    metrics = {name: _summary(good, name) for name in METRICS}
    throughput = _throughput(manifest, everything)
    slo = parse_slo(manifest.slo)
    return Point(
        id=manifest.id,
        target=manifest.target,
        app=manifest.app,
        load=manifest.load,
        levers=manifest.levers,
        counts=counts,
        errors=dict(Counter(each.record.error.kind for each in window if each.record.error)),
        metrics=metrics,
        throughput=throughput,
        goodput=_goodput(slo, window, throughput.window_s, isinstance(manifest.load, Open)),
        instrument=audit.instrument(manifest, window, metrics),
        checks=audit.checks(
            manifest,
            [each.record for each in everything],
            [each.record for each in window],
        ),
        tokens=_tokens(good),
        token_source=_source(good),
        run=run,
    )


def _unfinished(record: Record) -> bool:
    return record.error is not None and record.error.kind == "cut"


def _summary(requests: Sequence[Digest], name: str) -> Summary:
    """A metric of the good requests; `gap` is pooled over all of theirs, not one per request."""
    if name == "gap":
        found = [each.gaps for each in requests]
        array = np.concatenate(found) if found else np.empty(0)
        times = np.repeat([each.record.due for each in requests], [len(gaps) for gaps in found])
    else:
        known = [(v, each.record.due) for each in requests if (v := each.metrics[name]) is not None]
        array, times = np.asarray(known, dtype=np.float64).reshape(-1, 2).T
    if not len(array):
        return Summary(n=0)
    intervals = quantile_intervals(array, times, list(QUANTILES.values()), seed=_SEED)
    found_quantiles = {label: quantile(array, q) for label, q in QUANTILES.items()}
    return Summary(
        n=len(array),
        mean=float(array.mean()),
        **found_quantiles,
        ci95={
            label: interval
            for label, interval in zip(QUANTILES, intervals, strict=True)
            if interval is not None
        },
    )


def _throughput(manifest: Manifest, requests: Sequence[Digest]) -> Throughput:
    """Tokens that arrived in the window, and requests that ended in it, per second of it."""
    if manifest.window is None:
        return Throughput(None, None, 0.0, 0.0)
    start, end = manifest.window
    seconds = end - start
    arrived = np.concatenate([each.at for each in requests] or [np.empty(0)])
    weights = np.concatenate([each.weight for each in requests] or [np.empty(0, np.float32)])
    inside = (arrived >= start) & (arrived < end)
    records = [each.record for each in requests]
    ended = [
        record
        for record in records
        if record.ok and record.closed_at is not None and start <= record.closed_at < end
    ]
    read = [r.usage.prompt_tokens if r.usage else r.prompt_tokens for r in ended]
    known = len(arrived) > 0
    whole = float(arrived.max() - min(r.due for r in records)) if known else 0.0
    here = float(weights[inside].sum(dtype=np.float64))
    everywhere = float(weights.sum(dtype=np.float64))
    return Throughput(
        output_tokens_per_s=here / seconds if known and seconds else None,
        input_tokens_per_s=sum(n or 0 for n in read) / seconds if seconds else None,
        requests_per_s=len(ended) / seconds if seconds else 0.0,
        window_s=seconds,
        ci95=_rate_interval(arrived[inside], weights[inside], start, end) if known else None,
        whole_run_output_tokens_per_s=everywhere / whole if whole else None,
    )


def _rate_interval(
    times: Floats, weights: Small, start: float, end: float
) -> tuple[float, float] | None:
    """A 95 % interval of the tokens per second, by bootstrap over ten stretches of the window."""
    if len(times) < 10 or end <= start:
        return None
    edges = np.linspace(start, end, 11)
    per_stretch = np.histogram(times, bins=edges, weights=weights)[0] / (edges[1] - edges[0])
    drawn = np.random.default_rng(_SEED).choice(per_stretch, size=(400, 10)).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _judged(request: Digest, clause: Clause, open_loop: bool) -> bool | None:
    """Whether a request met a clause; None where it does not apply (or is not over: censored)."""
    name = "ttft_user" if open_loop and clause.metric == "ttft" else clause.metric
    value, record = request.metrics[name], request.record
    if _unfinished(record):
        if value is not None and value >= clause.limit:
            return False
        waited = (record.closed_at or record.due) - record.due
        started = request.metrics["ttft"] is not None
        over = clause.metric in ("e2e", "e2e_close") or not started
        return False if over and waited >= clause.limit else None
    if not record.ok:
        return False
    # one token has neither a tpot nor a gap
    return None if value is None else value < clause.limit


def clause_hits(manifest: Manifest, records: Iterable[Record]) -> tuple[Floats, ...]:
    """For each clause of the run's SLO whether the requests of the window met it (1 or 0), in the
    order in which they were wanted; those to which it does not apply are left out."""
    clauses = parse_slo(manifest.slo).clauses
    window = [digest(record) for record in records if in_window(record, manifest)]
    window.sort(key=lambda each: (each.record.due, each.record.id))
    judged = [
        [_judged(each, c, isinstance(manifest.load, Open)) for each in window] for c in clauses
    ]
    return tuple(np.asarray([v for v in row if v is not None], dtype=np.float64) for row in judged)


def _goodput(slo: Slo, window: Sequence[Digest], seconds: float, open_loop: bool) -> Goodput:
    judged = [[_judged(each, c, open_loop) for c in slo.clauses] for each in window]
    results = tuple(
        _clause_result(clause, [row[n] for row in judged]) for n, clause in enumerate(slo.clauses)
    )
    decided = [
        (each, False not in row)
        for each, row in zip(window, judged, strict=True)
        if False in row or (each.ok and True in row) or (each.ok and not slo.clauses)
    ]
    good = [each for each, met in decided if met]
    tokens = [each.tokens for each in good]
    verdicts = {result.met for result in results}
    return Goodput(
        slo=str(slo),
        met=False if False in verdicts else None if None in verdicts or not decided else True,
        clauses=results,
        attainment=len(good) / len(decided) if decided else None,
        ci95=share_interval(len(good), len(decided)) if decided else None,
        requests_per_s=len(good) / seconds if seconds else 0.0,
        output_tokens_per_s=(
            sum(n or 0 for n in tokens) / seconds if seconds and None not in tokens else None
        ),
    )


def _clause_result(clause: Clause, verdicts: Sequence[bool | None]) -> ClauseResult:
    """Met where the whole interval of the share is above what the clause asks; a share of 100 %
    can only be refuted, so for `p100` none may fail."""
    decided = [verdict for verdict in verdicts if verdict is not None]
    if not decided:
        return ClauseResult(str(clause), None, None, None)
    hits = sum(decided)
    low, high = share_interval(hits, len(decided))
    share = hits / len(decided)
    if clause.quantile == 1.0:
        met: bool | None = hits == len(decided)
    else:
        met = True if low >= clause.quantile else False if high < clause.quantile else None
    return ClauseResult(str(clause), share, (low, high), met)


def _tokens(requests: Sequence[Digest]) -> dict[str, float | None]:
    """Mean tokens per good request: asked and got, in and out, and from a cache."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    records = [each.record for each in requests]
    return {
        "input_asked": mean(r.prompt_tokens for r in records),
        "input": mean(r.usage.prompt_tokens if r.usage else None for r in records),
        "output_asked": mean(r.max_tokens for r in records),
        "output": mean(each.tokens for each in requests),
        "cached": mean(r.usage.cached_tokens if r.usage else None for r in records),
    }


def _source(requests: Sequence[Digest]) -> str:
    """Where the token counts come from, if all requests agree."""
    sources = {each.record.token_source for each in requests}
    return sources.pop() if len(sources) == 1 else "mixed" if sources else "unknown"
