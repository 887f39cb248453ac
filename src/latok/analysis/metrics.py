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
from latok.analysis.cost import billed, charged, tokens_of
from latok.analysis.digest import Digest
from latok.analysis.point import (
    QUANTILES,
    Check,
    ClauseResult,
    Counts,
    Goodput,
    Point,
    Summary,
    Throughput,
)
from latok.analysis.stats import (
    Floats,
    Reals,
    Small,
    alike,
    effective_size,
    quantile,
    quantile_intervals,
    share_interval,
)
from latok.analysis.steady import LATENCIES, Series, steady
from latok.analysis.users import reading, users
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


def first_sentence(record: Record) -> float | None:
    """The first sentence of the answer, from sending: what can be spoken."""
    return _since_sent(record, record.first_sentence_at)


def first_line(record: Record) -> float | None:
    """The first line of the answer's code (of the answer, if it marks none), from sending."""
    return _since_sent(record, record.first_line_at)


def _since_sent(record: Record, at: float | None) -> float | None:
    return None if at is None or record.sent_first is None else at - record.sent_first


def stall(record: Record) -> float | None:
    """Share of a stream's duration in which a reader (10 tokens/s) has caught up and waits."""
    found = reading(record)
    return None if found is None else found.stall


def wait(record: Record) -> float | None:
    """The longest of that reader's waits."""
    found = reading(record)
    return None if found is None else found.longest


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
    "first_sentence": first_sentence,
    "first_line": first_line,
    "stall": stall,
    "wait": wait,
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
    """Summarises the steady part of a run. `records` may be any records of it, and are taken one by
    one; those outside the window only count for the tokens that arrived inside it and for the whole
    run's throughput.
    """
    everything = [digest(record) for record in records]
    manifest, constancy = steady_part(manifest, everything)
    window = [each for each in everything if in_window(each.record, manifest)]
    good = [each for each in window if each.ok]
    counts = Counts(
        offered=len(window),
        ok=len(good),
        failed=sum(not each.ok and not cut_short(each.record) for each in window),
        unfinished=sum(_error(each.record) == "cut" for each in window),
        cancelled=sum(_error(each.record) == "cancelled" for each in window),
    )
    metrics = {name: _summary(good, name) for name in METRICS}
    throughput = _throughput(manifest, everything)
    slo = parse_slo(manifest.slo)
    bills = [tokens_of(each.record, each.tokens) for each in good]
    found = Point(
        id=manifest.id,
        target=manifest.target,
        app=manifest.app,
        load=manifest.load,
        levers=manifest.levers,
        counts=counts,
        errors=dict(
            Counter(
                kind for each in window if (kind := _error(each.record)) not in ("", "cancelled")
            )
        ),
        metrics=metrics,
        throughput=throughput,
        goodput=_goodput(slo, window, throughput.window_s, isinstance(manifest.load, Open)),
        instrument=audit.instrument(manifest, window, metrics),
        checks=(
            constancy,
            *audit.checks(
                manifest,
                [each.record for each in everything],
                [each.record for each in window],
            ),
        ),
        tokens=_tokens(good),
        token_source=_source(good),
        billed=billed([tokens for tokens in bills if tokens]) if None not in bills else (),
        users=users(slo, good, open_loop=isinstance(manifest.load, Open)),
        run=run,
        ended_by=manifest.ended_by,
    )
    return charged(found, manifest.prices, manifest.energy)


def steady_part(manifest: Manifest, requests: Sequence[Digest]) -> tuple[Manifest, Check]:
    """The manifest with the steady part of the run as its window, and the check that says so."""
    window = [each for each in requests if each.ok and in_window(each.record, manifest)]
    records = [each.record for each in requests]
    return steady(manifest, records, _series(manifest, requests, window))


def _series(
    manifest: Manifest, requests: Sequence[Digest], window: Sequence[Digest]
) -> list[Series]:
    """What must keep its level in a steady run: first tokens, pace, and tokens per second."""
    found = []
    for name in LATENCIES:
        rows = sorted((each.record.due, v) for each in window if (v := each.metrics[name]))
        at, values = np.asarray(rows, dtype=np.float64).reshape(-1, 2).T
        found.append(Series(name, at, np.log(np.maximum(values, 1e-6))))
    if manifest.window is not None and window:
        arrived, weights = arrivals(requests)
        edges = np.linspace(*manifest.window, min(len(window), 200) + 1)
        rates = np.histogram(arrived, bins=edges, weights=weights)[0]
        if rates.any():
            found.append(Series("throughput", edges[:-1], rates / rates.mean()))
    return found


def arrivals(requests: Sequence[Digest]) -> tuple[Floats, Small]:
    """When tokens arrived, seconds from the run's start, and how many at each time."""
    arrived = np.concatenate([each.at for each in requests] or [np.empty(0)])
    return arrived, np.concatenate([each.weight for each in requests] or [np.empty(0, np.float32)])


def _error(record: Record) -> str:
    return record.error.kind if record.error is not None else ""


def cut_short(record: Record) -> bool:
    """Whether we ended it ourselves: with the run, or as a client that goes away."""
    return _error(record) in ("cut", "cancelled")


def _summary(requests: Sequence[Digest], name: str) -> Summary:
    """A metric of the good requests; `gap` is pooled over all of theirs, not one per request.

    What came from one session has one time, its first, so that no block cuts it in two.
    """
    requests = sorted(requests, key=lambda each: each.record.due)
    begun: dict[str, float] = {}
    for record in (each.record for each in requests if each.record.session):
        begun.setdefault(record.session, record.due)
    dues = [begun.get(each.record.session, each.record.due) for each in requests]
    array: Reals
    counts: list[int] | None = None
    if name == "gap":
        found = [each.gaps for each in requests]
        counts = [len(gaps) for gaps in found]
        array = np.concatenate(found) if found else np.empty(0)
        times = np.asarray(dues)
    else:
        known = [
            (v, due)
            for each, due in zip(requests, dues, strict=True)
            if (v := each.metrics[name]) is not None
        ]
        array, times = np.asarray(known, dtype=np.float64).reshape(-1, 2).T
    if not len(array):
        return Summary(n=0)
    intervals = quantile_intervals(
        array, times, list(QUANTILES.values()), seed=_SEED, counts=counts
    )
    found_quantiles = {label: quantile(array, q) for label, q in QUANTILES.items()}
    return Summary(
        n=len(array),
        ess=effective_size(array),
        mean=float(array.mean(dtype=np.float64)),
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
    arrived, weights = arrivals(requests)
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
        ci95=rate_interval(arrived[inside], weights[inside], start, end) if known else None,
        whole_run_output_tokens_per_s=everywhere / whole if whole else None,
    )


def rate_interval(
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


def clause_value(request: Digest, clause: Clause, open_loop: bool) -> float | None:
    """What a clause judges a request by: in an open loop a first token counts from when it was due.

    Infinite for a request that failed.
    """
    name = "ttft_user" if open_loop and clause.metric == "ttft" else clause.metric
    return request.metrics[name] if request.ok else np.inf


def judged(request: Digest, clause: Clause, open_loop: bool) -> bool | None:
    """Whether a request met a clause; None where it does not apply (or is not over: censored)."""
    name = "ttft_user" if open_loop and clause.metric == "ttft" else clause.metric
    value, record = request.metrics[name], request.record
    if cut_short(record):
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
    open_loop = isinstance(manifest.load, Open)
    rows = [[judged(each, clause, open_loop) for each in window] for clause in clauses]
    return tuple(np.asarray([v for v in row if v is not None], dtype=np.float64) for row in rows)


def _goodput(slo: Slo, window: Sequence[Digest], seconds: float, open_loop: bool) -> Goodput:
    window = sorted(window, key=lambda each: each.record.due)
    rows = [[judged(each, c, open_loop) for c in slo.clauses] for each in window]
    results = tuple(
        _clause_result(
            clause,
            [row[n] for row in rows],
            [clause_value(each, clause, open_loop) for each in window],
        )
        for n, clause in enumerate(slo.clauses)
    )
    decided = [
        (each, False not in row)
        for each, row in zip(window, rows, strict=True)
        if False in row or (each.ok and True in row) or (each.ok and not slo.clauses)
    ]
    good = [each for each, met in decided if met]
    one = alike(np.asarray([met for _, met in decided], dtype=np.float64))
    tokens = [each.tokens for each in good]
    verdicts = {result.met for result in results}
    return Goodput(
        slo=str(slo),
        met=False if False in verdicts else None if None in verdicts or not decided else True,
        clauses=results,
        attainment=len(good) / len(decided) if decided else None,
        ci95=share_interval(len(good) / one, len(decided) / one) if decided else None,
        requests_per_s=len(good) / seconds if seconds else 0.0,
        output_tokens_per_s=(
            sum(n or 0 for n in tokens) / seconds if seconds and None not in tokens else None
        ),
    )


def together(verdicts: Sequence[bool], values: Sequence[float | None], limit: float) -> float:
    """How many neighbouring requests of a clause count as one (`latok.analysis.stats.alike`): by
    how its misses come in clumps, if there are enough of them to tell, and by how its slowest tenth
    does, as far as that comes near to the limit: beyond half of it."""
    missed = alike(np.asarray(verdicts, dtype=np.float64)) if verdicts.count(False) >= 5 else 1.0
    known = np.round([np.inf if value is None else value for value in values], 6)
    slow = max(float(np.quantile(known, 0.9, method="higher")), limit / 2.0)
    return max(missed, alike((known > slow).astype(np.float64)))


def _clause_result(
    clause: Clause, verdicts: Sequence[bool | None], values: Sequence[float | None]
) -> ClauseResult:
    """Met where the whole interval of the share is above what the clause asks; a share of 100 %
    can only be refuted, so for `p100` none may fail. In the order of time."""
    pairs = [(v, value) for v, value in zip(verdicts, values, strict=True) if v is not None]
    decided = [verdict for verdict, _ in pairs]
    if not decided:
        return ClauseResult(str(clause), None, None, None)
    hits = sum(decided)
    one = together(decided, [value for _, value in pairs], clause.limit)
    low, high = share_interval(hits / one, len(decided) / one)
    share = hits / len(decided)
    if clause.quantile == 1.0:
        met: bool | None = hits == len(decided)
    else:
        met = True if low >= clause.quantile else False if high < clause.quantile else None
    return ClauseResult(str(clause), share, (low, high), met)


def _tokens(requests: Sequence[Digest]) -> dict[str, float | None]:
    """Mean tokens per good request: asked and got, in and out, and from a cache. The target was
    asked for none of what the client answered from a cache of its own."""

    def mean(values: Iterable[float | None]) -> float | None:
        pairs = zip(values, records, strict=True)
        known = [v if r.answered_by is None else 0 for v, r in pairs if v is not None]
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
