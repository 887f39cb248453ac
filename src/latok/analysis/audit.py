"""What the client did to the numbers, and the laws that every run's records must obey.

The error printed with a quantile is a bound: every event is moved to the ends of its doubt (the
kernel's stamp of a read is that of its last packet; a send happened between two readings of the
clock), and the quantile is taken again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latok.analysis.digest import Digest
from latok.analysis.point import Check, Instrument, Summary
from latok.analysis.stats import Floats, quantile
from latok.records import Closed, Manifest, Open, Record
from latok.workload.arrivals import arrivals_spread
from latok.workload.slo import parse_slo

# A metric is bent where its error passes the larger of these two.
ERROR_FLOOR = 1e-3
ERROR_SHARE = 0.02
# The axes of a frontier hang on these; on others the point does where its SLO names them.
_DECISIVE = ("ttft", "tpot")
# Sent gaps further from the due ones than this are not the arrivals that were asked for; epoll's
# rounding to milliseconds alone gives 0.6 at 2,000 requests a second.
_UNPACED = 0.1

_CACHE_SLACK = 0.05  # share of the input by which a cache may differ from its regime
_CACHE_BLOCK = 32  # tokens of a block, where they are large

Bounds = dict[str, dict[str, float]]


def instrument(
    manifest: Manifest, window: Sequence[Digest], metrics: Mapping[str, Summary]
) -> Instrument:
    """Judges the client's part in a run; `metrics` are those of the same window."""
    lags = _joined([each.lags for each in window])
    late = np.asarray(
        [each.record.sent_first - each.record.due for each in window if each.record.sent_first],
        dtype=np.float64,
    )
    errors = _errors([each for each in window if each.ok])
    bent = tuple(name for name, error in errors.items() if _is_bent(error, metrics[name]))
    why = [
        f"the client may have moved {name} by {max(errors[name].values()) * 1e3:.3g} ms"
        for name in bent
        if name in _DECISIVE or _decides(manifest.slo, name, errors[name])
    ]
    delivered = _delivered(manifest, window)
    why += _schedule_trouble(manifest, late, metrics, delivered)
    why += _limits_of_ours(window)
    if manifest.clock_step > ERROR_FLOOR:
        why.append(f"the system's clock stepped by {manifest.clock_step * 1e3:.3g} ms")
    return Instrument(
        verdict="invalid" if why else "valid",
        why=tuple(why),
        bent=bent,
        error_s=errors,
        lag_s={label: quantile(lags, q) for label, q in (("p50", 0.5), ("p99", 0.99))},
        lateness_s={label: quantile(late, q) for label, q in (("p50", 0.5), ("p99", 0.99))},
        reads=sum(each.reads for each in window),
        chunks=len(lags),
        coalesced=sum(each.coalesced for each in window),
        client_cpu_s=manifest.client_cpu_s,
        kernel_stamps=manifest.kernel_stamps,
        client_share=_share(manifest),
        stall_s=manifest.client_stall_s,
        delivered=delivered,
    )


def _share(manifest: Manifest) -> float | None:
    """How much of a core each process of the driver needed."""
    if manifest.window is None:
        return None
    seconds = (manifest.window[1] - manifest.window[0]) * manifest.processes
    return manifest.client_cpu_s / seconds if seconds > 0 else None


def _limits_of_ours(window: Sequence[Digest]) -> list[str]:
    """What this machine itself could not give: no file, no port, no memory for a connection."""
    errors = [each.record.error for each in window]
    texts = Counter(error.text for error in errors if error and error.kind == "client")
    return [f"{count} requests were never sent: {text}" for text, count in texts.items()]


def _delivered(manifest: Manifest, window: Sequence[Digest]) -> dict[str, float] | None:
    """How the requests went out against how they were due; None for a closed loop."""
    sent = [each.record.sent_first for each in window if each.record.sent_first is not None]
    due = [each.record.due for each in window]
    if not isinstance(manifest.load, Open) or len(sent) < 2:
        return None
    gaps, asked = np.diff(np.sort(sent)), np.diff(np.sort(due))
    both = np.sort(np.concatenate([gaps, asked]))
    ours = np.searchsorted(np.sort(gaps), both, side="right") / len(gaps)
    theirs = np.searchsorted(np.sort(asked), both, side="right") / len(asked)
    return {"share": len(sent) / len(due), "distance": float(np.abs(ours - theirs).max())}


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0)


def _is_bent(error: Mapping[str, float], summary: Summary) -> bool:
    """Whether a bound is too large for the metric's own size, at any quantile."""
    return any(
        value > max(ERROR_FLOOR, ERROR_SHARE * (getattr(summary, label) or 0.0))
        for label, value in error.items()
    )


def _decides(slo: str, name: str, error: Mapping[str, float]) -> bool:
    """Whether the SLO asks for this metric more exactly than it is known."""
    limits = [clause.limit for clause in parse_slo(slo).clauses if clause.metric == name]
    worst = max(error.values())
    return any(worst > max(ERROR_FLOOR, ERROR_SHARE * limit) for limit in limits)


def _schedule_trouble(
    manifest: Manifest,
    late: Floats,
    metrics: Mapping[str, Summary],
    delivered: Mapping[str, float] | None,
) -> list[str]:
    """An open loop promises its due times: late or unpaced sends are another load."""
    if not isinstance(manifest.load, Open) or not len(late) or delivered is None:
        return []
    tolerance = max(ERROR_FLOOR, ERROR_SHARE * (metrics["ttft"].p50 or 0.0))
    worst = float(np.quantile(late, 0.99))
    why = [f"requests were sent up to {worst * 1e3:.3g} ms late"] if worst > tolerance else []
    # constant arrivals are one value, which the least jitter moves: there lateness judges
    if manifest.load.arrivals != "constant" and delivered["distance"] > _UNPACED and len(late) > 99:
        why.append(
            f"arrivals were not paced as drawn (their gaps are {delivered['distance']:.2f} apart "
            "by Kolmogorov and Smirnov)"
        )
    return why


def _errors(requests: Sequence[Digest]) -> Bounds:
    """The bound on each metric's p50, p95 and p99, in seconds, as far as there are values enough:
    the quantile of the least and of the greatest that each value may truly have been."""
    found: Bounds = {}
    for name, (low, value, high) in _doubts(requests).items():
        found[name] = {}
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            middle = quantile(value, q)
            if middle is not None:
                below = middle - float(np.quantile(low, q))
                above = float(np.quantile(high, q)) - middle
                found[name][label] = max(below, above, 0.0)
    return found


def _doubts(requests: Sequence[Digest]) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Of each metric the least, the stated and the greatest that each value may truly have been."""
    found: dict[str, list[tuple[float, float, float]]] = {
        name: [] for name in ("ttft", "ttft_user", "ttfv", "tpot", "e2e")
    }

    def add(name: str, value: float, less: float, more: float = 0.0) -> None:
        found[name].append((value - less, value, value + more))

    for each in requests:
        record = each.record
        if not len(each.at) or record.sent_first is None:
            continue
        first, last = float(each.doubt[0]), float(each.doubt[-1])
        sending = (record.sent_last or record.sent_first) - record.sent_first
        add("ttft", each.at[0] - record.sent_first, first + sending)
        add("ttft_user", each.at[0] - record.due, first)
        add("e2e", each.at[-1] - record.sent_first, last + sending)
        seen = each.metrics["ttfv"]
        if seen is not None:
            place = int(np.searchsorted(each.at, record.sent_first + seen - 1e-9))
            add("ttfv", seen, float(each.doubt[min(place, len(each.at) - 1)]) + sending)
        steps = (each.tokens or len(each.at)) - (each.first_tokens or 1)
        if steps > 0:
            add("tpot", (each.at[-1] - each.at[0]) / steps, last / steps, first / steps)
    table = {n: np.asarray(rows, dtype=np.float64).reshape(-1, 3).T for n, rows in found.items()}
    bounds = {name: (low, value, high) for name, (low, value, high) in table.items()}
    gaps = _joined([each.gaps for each in requests])
    less = _joined([each.doubt[1:] for each in requests])
    more = _joined([each.doubt[:-1] for each in requests])
    return bounds | {"gap": (gaps - less, gaps, gaps + more)}


def checks(
    manifest: Manifest, everything: Sequence[Record], window: Sequence[Record]
) -> tuple[Check, ...]:
    """Little's law, delivered load, token counts, and the cache regime."""
    return (
        _littles_law(manifest, everything, window),
        _offered(manifest, window),
        _lengths(manifest, window),
        _cache(manifest, window),
        *_rate_limits(window),
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
    said = f"asked {manifest.load.rate:g}/s, sent {rate:.3g}/s"
    spread = arrivals_spread(manifest.load.arrivals)
    if spread is None:
        return Check("offered_load", None, f"{said}; {manifest.load.arrivals} has no even rate")
    # a Poisson count of n varies by √n, a burstier one by more: three of those
    tolerance = 3.0 * math.sqrt(spread * max(manifest.load.rate * (end - start), 1.0))
    ok = abs(rate - manifest.load.rate) * (end - start) <= tolerance
    return Check("offered_load", ok, said)


def _lengths(manifest: Manifest, window: Sequence[Record]) -> Check:
    """Tokens asked against tokens got; over 2 % apart is said. What a later turn holds is what the
    target answered, so it is not ours to count; where answers are graded they end by themselves."""
    if "graded" in manifest.workload:
        return Check("token_counts", None, "graded answers end by themselves")
    known = [(r, r.usage) for r in window if r.ok and r.usage is not None]
    if not known:
        return Check("token_counts", None, "the target does not say how many tokens")
    first = [(r, u) for r, u in known if r.turn == 0]
    asked_in = sum(r.prompt_tokens for r, _ in first)
    got_in = sum(u.prompt_tokens or 0 for _, u in first)
    asked_out = sum(r.max_tokens for r, _ in known)
    got_out = sum(u.completion_tokens or 0 for _, u in known)
    ok = abs(got_in - asked_in) <= 0.02 * asked_in and abs(got_out - asked_out) <= 0.02 * asked_out
    return Check(
        "token_counts",
        ok,
        f"in: asked {asked_in}, got {got_in}; out: asked {asked_out}, got {got_out}",
    )


def _cache(manifest: Manifest, window: Sequence[Record]) -> Check:
    """Whether the server found in its cache what the regime says, by its own counts.

    Unique prompts must not be found; what a template adds to each may be. Elsewhere a share is
    expected, or is the most that a cache can know.
    """
    name, asked = "cache_regime", manifest.workload
    asked_of_it = [r.usage for r in window if r.usage is not None and r.answered_by is None]
    usages = [usage for usage in asked_of_it if usage.cached_tokens is not None]
    total = sum(usage.prompt_tokens or 0 for usage in usages)
    if not usages or not total:
        return Check(name, None, "the target does not say what was cached")
    regime, expected = asked.get("cache", "cold"), asked.get("cache_share", 0.0)
    if regime == "cold":
        template = int(asked.get("template_tokens", 0))
        cached = sum(max((usage.cached_tokens or 0) - template, 0) for usage in usages)
        part = cached / total
        return Check(name, part <= _CACHE_SLACK, f"cold: {part:.1%} of it came from a cache")
    part = sum(usage.cached_tokens or 0 for usage in usages) / total
    said = f"{regime}: {part:.1%} of the input came from a cache"
    if expected is None:
        return Check(name, None, said)
    # caches hold whole blocks, so that a little of each prompt's share is lost
    slack = _CACHE_SLACK + _CACHE_BLOCK * len(usages) / total
    if asked.get("cache_share_is_most"):
        ok = False if part > expected + slack else True if part >= expected - slack else None
        return Check(name, ok, f"{said}; a cache that never forgets would give {expected:.1%}")
    return Check(name, abs(part - expected) <= slack, f"{said}; {expected:.1%} was meant to")


def _rate_limits(window: Sequence[Record]) -> list[Check]:
    """What the target said of its limits, and whether it enforced them; nothing if it has none."""
    refused = sum(r.error is not None and r.error.kind == "rate_limited" for r in window)
    least: dict[str, str] = {}
    for record in window:
        for name, value in (record.rate_limits or {}).items():
            if "remaining" in name and _lower(value, least.get(name)):
                least[name] = value
    if not least and not refused:
        return []
    said = "; ".join(f"{name} fell to {value}" for name, value in sorted(least.items()))
    parts = [f"{refused} requests were refused (429)"] if refused else []
    return [Check("rate_limits", not refused, "; ".join([*parts, said] if said else parts))]


def _lower(value: str, than: str | None) -> bool:
    try:
        return than is None or float(value) < float(than)
    except ValueError:
        return False
