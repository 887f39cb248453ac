"""What the client did to the numbers, and the laws that every run's records must obey.

The error printed with a quantile is a bound: every event is moved to the ends of its doubt (the
kernel's stamp of a read is that of its last packet; a send happened between two readings of the
clock), and the quantile is taken again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from latok.analysis.point import Check, Instrument, Summary
from latok.analysis.stats import quantile
from latok.records import Chunk, Closed, Manifest, Open, Record

# A metric is invalid where its error passes the larger of these two.
_ERROR_FLOOR = 1e-3
_ERROR_SHARE = 0.02
# Gaps may be bent by coalesced reads without harm to the axes of a frontier.
_DECISIVE = ("ttft", "tpot", "e2e")

Doubts = dict[str, tuple[list[float], list[float], list[float]]]


def instrument(
    manifest: Manifest, window: Sequence[Record], metrics: Mapping[str, Summary]
) -> Instrument:
    """Judges the client's part in a run; `metrics` are those of the same window."""
    chunks = [chunk for record in window for chunk in record.chunks]
    lags = np.asarray([chunk.lag for chunk in chunks])
    late = np.asarray(
        [r.sent_first - r.due for r in window if r.sent_first is not None], dtype=np.float64
    )
    errors = _errors([record for record in window if record.ok])
    bent = tuple(
        name
        for name, error in errors.items()
        if any(
            value > max(_ERROR_FLOOR, _ERROR_SHARE * (getattr(metrics[name], label) or 0.0))
            for label, value in error.items()
        )
    )
    why = [
        f"the client may have moved {name} by {max(errors[name].values()) * 1e3:.3g} ms"
        for name in bent
        if name in _DECISIVE
    ]
    why += _schedule_trouble(manifest, late, metrics)
    if manifest.clock_step > _ERROR_FLOOR:
        why.append(f"the system's clock stepped by {manifest.clock_step * 1e3:.3g} ms")
    return Instrument(
        verdict="invalid" if why else "valid",
        why=tuple(why),
        bent=bent,
        error_s=errors,
        lag_s={label: quantile(lags, q) for label, q in (("p50", 0.5), ("p99", 0.99))},
        lateness_s={label: quantile(late, q) for label, q in (("p50", 0.5), ("p99", 0.99))},
        reads=len({(r.id, chunk.at) for r in window for chunk in r.chunks}),
        chunks=len(chunks),
        coalesced=sum(chunk.coalesced for chunk in chunks),
        client_cpu_s=manifest.client_cpu_s,
        kernel_stamps=manifest.kernel_stamps,
    )


def _schedule_trouble(
    manifest: Manifest, late: np.ndarray, metrics: Mapping[str, Summary]
) -> list[str]:
    """An open loop promises its due times: late sends are another load than the one asked for."""
    if not isinstance(manifest.load, Open) or not len(late):
        return []
    tolerance = max(_ERROR_FLOOR, _ERROR_SHARE * (metrics["ttft"].p50 or 0.0))
    worst = float(np.quantile(late, 0.99))
    return [f"requests were sent up to {worst * 1e3:.3g} ms late"] if worst > tolerance else []


def _errors(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """The bound on each metric's p50 and p99 (p95 where there are too few), in seconds."""
    doubts: Doubts = {name: ([], [], []) for name in ("ttft", "ttft_user", "tpot", "gap", "e2e")}
    for record in records:
        _doubts(record, doubts)
    found: dict[str, dict[str, float]] = {}
    for name, (low, value, high) in doubts.items():
        found[name] = {}
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            middle = quantile(np.asarray(value), q)
            if middle is not None:
                below = middle - float(np.quantile(low, q))
                above = float(np.quantile(high, q)) - middle
                found[name][label] = max(below, above, 0.0)
    return found


def _doubts(record: Record, into: Doubts) -> None:
    """Adds the least, the stated and the greatest value that each metric may truly have had."""

    def add(name: str, value: float, less: float, more: float = 0.0) -> None:
        for values, each in zip(into[name], (value - less, value, value + more), strict=True):
            values.append(each)

    events: list[Chunk] = [chunk for chunk in record.chunks if chunk.is_token]
    if not events or record.sent_first is None:
        return
    first, last = events[0], events[-1]
    sending = (record.sent_last or record.sent_first) - record.sent_first
    add("ttft", first.at - record.sent_first, first.doubt + sending)
    add("ttft_user", first.at - record.due, first.doubt)
    add("e2e", last.at - record.sent_first, last.doubt + sending)
    for before, after in pairwise(events):
        add("gap", after.at - before.at, after.doubt, before.doubt)
    tokens = record.usage.completion_tokens if record.usage else None
    steps = (tokens or len(events)) - (first.tokens or 1)
    if steps > 0:
        span = last.at - first.at
        add("tpot", span / steps, last.doubt / steps, first.doubt / steps)


def checks(
    manifest: Manifest, everything: Sequence[Record], window: Sequence[Record]
) -> tuple[Check, ...]:
    """Little's law, delivered load, token counts, and the cache regime."""
    return (
        _littles_law(manifest, everything, window),
        _offered(manifest, window),
        _lengths(window),
        _cold(manifest, window),
    )


def _littles_law(
    manifest: Manifest, everything: Sequence[Record], window: Sequence[Record]
) -> Check:
    """Mean number in flight = rate × mean time, as long as arrivals and departures balance."""
    if manifest.window is None or not window:
        return Check("littles_law", None, "no window")
    start, end = manifest.window
    spans = [
        (r.sent_first, r.closed_at)
        for r in everything
        if r.sent_first is not None and r.closed_at is not None
    ]
    held = sum(max(min(b, end) - max(a, start), 0.0) for a, b in spans) / (end - start)
    times = [
        r.closed_at - r.sent_first
        for r in window
        if r.sent_first is not None and r.closed_at is not None
    ]
    if not times or not held:
        return Check("littles_law", None, "no request ended")
    rate, mean = len(times) / (end - start), sum(times) / len(times)
    # the window's edges cut requests in two: the fewer there are, the more that matters
    tolerance = max(0.1, 3.0 / math.sqrt(len(times)))
    ok = abs(rate * mean / held - 1.0) <= tolerance
    return Check("littles_law", ok, f"{held:.2f} in flight, {rate:.3g}/s × {mean:.3g} s")


def _offered(manifest: Manifest, window: Sequence[Record]) -> Check:
    if manifest.window is None:
        return Check("offered_load", None, "no window")
    start, end = manifest.window
    if isinstance(manifest.load, Closed):
        return Check("offered_load", None, f"{manifest.load}, as fast as it answers")
    rate = len(window) / (end - start) if end > start else 0.0
    # a Poisson count of n varies by √n: three of those
    tolerance = 3.0 * math.sqrt(max(manifest.load.rate * (end - start), 1.0)) / (end - start)
    ok = abs(rate - manifest.load.rate) <= tolerance
    return Check("offered_load", ok, f"asked {manifest.load.rate:g}/s, sent {rate:.3g}/s")


def _lengths(window: Sequence[Record]) -> Check:
    """Tokens asked against tokens got; over 2 % apart is said."""
    known = [(r, r.usage) for r in window if r.ok and r.usage is not None]
    if not known:
        return Check("token_counts", None, "the target does not say how many tokens")
    asked_in = sum(r.prompt_tokens for r, _ in known)
    got_in = sum(u.prompt_tokens or 0 for _, u in known)
    asked_out = sum(r.max_tokens for r, _ in known)
    got_out = sum(u.completion_tokens or 0 for _, u in known)
    ok = abs(got_in - asked_in) <= 0.02 * asked_in and abs(got_out - asked_out) <= 0.02 * asked_out
    return Check(
        "token_counts",
        ok,
        f"in: asked {asked_in}, got {got_in}; out: asked {asked_out}, got {got_out}",
    )


def _cold(manifest: Manifest, window: Sequence[Record]) -> Check:
    """Unique prompts must not find themselves in a cache; what a template adds to each may."""
    usages = [r.usage for r in window if r.usage is not None and r.usage.cached_tokens is not None]
    if not usages:
        return Check("cache_cold", None, "the target does not say what was cached")
    shared = int(manifest.workload.get("template_tokens", 0))
    total = sum(usage.prompt_tokens or 0 for usage in usages)
    cached = sum(max((usage.cached_tokens or 0) - shared, 0) for usage in usages)
    part = cached / total if total else 0.0
    return Check("cache_cold", part <= 0.05, f"{part:.1%} of the unique input came from a cache")
