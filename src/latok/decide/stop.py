"""When a point was measured for long enough: its SLO is decided, or its interval is narrow enough.

Looking again and again at ordinary intervals finds, sooner or later, a difference where none is.
A clause's share is therefore tested by a mixture of likelihood ratios, a martingale against every
share that the clause forbids (Robbins 1970; Waudby-Smith & Ramdas 2024 for confidence sequences in
general): the chance that it ever passes 1/α is at most α, however often one looks. It counts
independent requests; ours are alike, so they count as their effective size.

A narrow interval is a rule of fixed width (Chow & Robbins 1965), which may be looked at as often as
one likes, as long as it is not believed before there are enough values to know their spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from latok.analysis.digest import Digest
from latok.analysis.metrics import METRICS, arrivals, clause_value, judged, rate_interval, together
from latok.analysis.stats import effective_size, quantile_intervals
from latok.workload.slo import Clause, Slo

_ALPHA = 0.05
_LEAST = 30  # effective values before anything is believed
# A few requests show less of how alike they are than there is: by so much more they are taken to be
# (with it at most one in twenty is decided by chance even where each is 0.9 times the one before).
_MORE_ALIKE = 1.5
# The requests still in flight at the end move the interval a little.
_TENTH = 0.9
_SEED = 0


def log_evidence(hits: float, misses: float, wanted: float, *, above: bool) -> float:
    """The logarithm of the mixture's likelihood over that of the share `wanted`: of all shares
    above it (or below), each as likely.

    Started anew it stays under ln(1/α) for ever with a chance of 1 − α, if the share is not on that
    side of `wanted`.
    """
    from scipy.special import betainc, betaln, xlog1py, xlogy

    inside = betainc(hits + 1, misses + 1, wanted)
    part = 1.0 - inside if above else inside
    width = 1.0 - wanted if above else wanted
    if part <= 0.0 or width <= 0.0:
        return -math.inf
    mixture = betaln(hits + 1, misses + 1) + math.log(part) - math.log(width)
    return float(mixture - xlogy(hits, wanted) - xlog1py(misses, -wanted))


def clause_decided(
    clause: Clause, verdicts: Sequence[bool], values: Sequence[float | None], *, alpha: float
) -> bool | None:
    """Whether enough requests meet a clause; None while that is open. In the order of time;
    `values` are what the clause judges by.

    Each answer is wrong with a chance of at most `alpha`, at whichever look it is given. A share of
    100 % can only be refuted.
    """
    hits, wanted = sum(verdicts), clause.quantile
    misses = len(verdicts) - hits
    if wanted >= 1.0:
        return False if misses else None
    if not verdicts:
        return None
    one = 1.0 + _MORE_ALIKE * (together(list(verdicts), values, clause.limit) - 1.0)
    if len(verdicts) / one < _LEAST:
        return None
    enough = math.log(1.0 / alpha)
    if log_evidence(hits / one, misses / one, wanted, above=True) >= enough:
        return True
    if log_evidence(hits / one, misses / one, wanted, above=False) >= enough:
        return False
    return None


def decided(slo: Slo, requests: Sequence[Digest], open_loop: bool) -> str:
    """Why the SLO is decided by these requests, which are in the order of time; empty while it is
    not. One clause refuted is enough, so all of them share the α of a refutation."""
    found = [_clause(clause, requests, open_loop, len(slo.clauses)) for clause in slo.clauses]
    for clause, verdict in zip(slo.clauses, found, strict=True):
        if verdict is False:
            return f"{clause} is not met"
    return f"{slo} is met" if found and all(found) else ""


def _clause(
    clause: Clause, requests: Sequence[Digest], open_loop: bool, clauses: int
) -> bool | None:
    rows = [(judged(each, clause, open_loop), each) for each in requests]
    known = [(verdict, each) for verdict, each in rows if verdict is not None]
    return clause_decided(
        clause,
        [verdict for verdict, _ in known],
        [clause_value(each, clause, open_loop) for _, each in known],
        alpha=_ALPHA / 2 / clauses,
    )


def precise(
    metric: str, requests: Sequence[Digest], window: tuple[float, float], precision: float
) -> str:
    """Why `metric` is known well enough: half of its 95 % interval is at most the share `precision`
    of it. Empty while it is not. A latency by its median, throughput by its mean; `requests` are
    those due in `window`, seconds, and all that came before them."""
    if metric == "throughput":
        name, found = metric, _rate(requests, window)
    else:
        name, found = f"{metric}.p50", _median(metric, requests, window)
    if found is None:
        return ""
    value, (low, high) = found
    half = max(high - value, value - low) / value
    if half > precision * _TENTH:
        return ""
    return f"{name} is known to ±{half:.1%}"


def _median(
    metric: str, requests: Sequence[Digest], window: tuple[float, float]
) -> tuple[float, tuple[float, float]] | None:
    assert metric in METRICS
    rows = sorted(
        (each.record.due, value)
        for each in requests
        if each.ok and each.record.due >= window[0] and (value := each.metrics[metric])
    )
    if len(rows) < _LEAST:
        return None
    times, values = np.asarray(rows, dtype=np.float64).T
    if effective_size(values) < _LEAST:
        return None
    (interval,) = quantile_intervals(values, times, [0.5], seed=_SEED)
    return None if interval is None else (float(np.median(values)), interval)


def _rate(
    requests: Sequence[Digest], window: tuple[float, float]
) -> tuple[float, tuple[float, float]] | None:
    if sum(each.ok and each.record.due >= window[0] for each in requests) < _LEAST:
        return None
    arrived, tokens = arrivals(requests)
    inside = (arrived >= window[0]) & (arrived < window[1])
    interval = rate_interval(arrived[inside], tokens[inside], *window)
    value = float(tokens[inside].sum(dtype=np.float64)) / (window[1] - window[0])
    return (value, interval) if interval is not None and value > 0.0 else None
