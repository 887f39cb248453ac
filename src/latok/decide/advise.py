"""Where to run an app on a target, said in words with reasons. Pure: points in, Advice out."""

from __future__ import annotations

from collections.abc import Sequence

from latok.analysis.frontier import Advice, frontier, knee
from latok.analysis.point import Point, value_of
from latok.records import Closed
from latok.workload.slo import Clause, parse_slo

# Within this share of the best throughput a lower load serves as much and waits less.
_AS_MUCH = 0.95
# How much slower than alone is still called unharmed where no SLO can be met: a first token of
# twice, a token of half as long again at the median (Splitwise, ISCA 2024, its SLO at P50).
_TTFT_SLOWDOWN, _TPOT_SLOWDOWN = 2.0, 1.5

_WHAT_HELPS = {
    "ttft": "shorter prompts, prefix caching, a smaller or quantised model",
    "tpot": "a smaller or quantised model, speculation, more memory bandwidth",
    "gap": "smaller prefill steps (chunked prefill), so that running streams are not held up",
    "e2e": "shorter answers, a smaller or quantised model, speculation",
}


def stands(point: Point) -> bool | None:
    """Whether a point is within its SLO as far as is known: proven, or by its shares alone where
    too few requests prove either. None without an SLO."""
    if not point.goodput.clauses:
        return None
    return all(_share_holds(point, n) for n in range(len(point.goodput.clauses)))


def _share_holds(point: Point, n: int) -> bool:
    result = point.goodput.clauses[n]
    if result.met is not None:
        return result.met
    wanted = parse_slo(point.goodput.slo).clauses[n].quantile
    return result.share is None or result.share >= wanted


def advise(app: str, points: Sequence[Point]) -> Advice:
    """The operating point for `app`: of those within the SLO, the one that serves most."""
    valid = sorted((p for p in points if p.valid and p.counts.ok), key=_load)
    if not valid:
        why = "no valid point was measured"
        return Advice(app=app, point=None, why=(why,), headroom=None, text=f"No advice: {why}.")
    within = [p for p in valid if stands(p) is not False]
    return _within(app, valid, within) if within else _without(app, valid)


def _load(point: Point) -> float:
    load = point.load
    return load.concurrency if isinstance(load, Closed) else load.rate


def _throughput(point: Point) -> float:
    return point.throughput.output_tokens_per_s or 0.0


def _within(app: str, valid: Sequence[Point], within: Sequence[Point]) -> Advice:
    best = max(_throughput(p) for p in within)
    chosen = next(p for p in within if _throughput(p) >= _AS_MUCH * best)
    goodput = chosen.goodput
    why = [
        f"it serves {_throughput(chosen):.0f} tokens/s to all, {_speed(chosen)} to each",
        _attained(chosen),
    ]
    first = chosen.metrics["ttft"]
    if first.p50 is not None:
        late = f", {_ms(first.p95)} for one in twenty" if first.p95 is not None else ""
        why.append(f"the first token takes {_ms(first.p50)}{late}")
    headroom, limit = _headroom(chosen, valid)
    why.append(limit)
    sure = (
        ""
        if goodput.met
        else (
            f" That is what {chosen.counts.offered} requests show; they are too few to prove "
            f"{_tightest(chosen)}."
            if goodput.clauses
            else ""
        )
    )
    text = (
        f"For {app} on {chosen.target.name}: {chosen.load}. There {why[0]}; {why[1]}; {why[2]}. "
        if len(why) > 3
        else f"For {app} on {chosen.target.name}: {chosen.load}. There {why[0]}; {why[1]}. "
    )
    return Advice(
        app=app,
        point=chosen.id,
        why=tuple(why),
        headroom=headroom,
        text=f"{text}{limit[:1].upper()}{limit[1:]}.{sure}{_knee_note(valid, chosen)}",
    )


def _attained(point: Point) -> str:
    goodput = point.goodput
    if not goodput.clauses or goodput.attainment is None:
        return "no SLO was asked for"
    return f"{goodput.attainment:.0%} of the requests are within the SLO ({goodput.slo})"


def _tightest(point: Point) -> str:
    """The clause that the fewest requests meet; among equals the one that is nearest its limit."""
    clauses = parse_slo(point.goodput.slo).clauses

    def slack(pair: tuple[int, Clause]) -> tuple[float, float]:
        n, clause = pair
        share = point.goodput.clauses[n].share
        return (1.0 if share is None else share / clause.quantile, -_used(point, clause))

    return str(min(enumerate(clauses), key=slack)[1]) if clauses else "the SLO"


def _used(point: Point, clause: Clause) -> float:
    """How much of a clause's limit its metric takes, at the largest quantile that is known."""
    summary = point.metrics[clause.metric]
    known = [v for v in (summary.p99, summary.p95, summary.p90, summary.p50) if v is not None]
    return known[0] / clause.limit if known else 0.0


def _headroom(chosen: Point, valid: Sequence[Point]) -> tuple[float | None, str]:
    """By how much the load may grow, and what comes then."""
    higher = [p for p in valid if _load(p) > _load(chosen)]
    if not higher:
        return None, f"nothing beyond {_at(chosen)} was measured"
    failing = next((p for p in higher if stands(p) is False), None)
    if failing is None:
        top = higher[-1]
        growth = _throughput(top) / _throughput(chosen) - 1.0
        return (
            _load(top) / _load(chosen) - 1.0,
            f"up to {_at(top)} the SLO holds too, for {growth:+.0%} throughput and a first token "
            f"of {_ms(top.metrics['ttft'].p50)}",
        )
    clause = next(c for c in parse_slo(failing.goodput.slo).clauses if str(c) == _tightest(failing))
    holding = [p for p in higher if _load(p) < _load(failing)]
    edge = _load(holding[-1] if holding else chosen)
    seen = failing.metrics[clause.metric]
    took = seen.p95 if seen.p95 is not None else seen.p50
    name = {"ttft": "the first token", "ttfv": "the first token", "tpot": "each token"}.get(
        clause.metric, f"{clause.metric}"
    )
    share = failing.goodput.attainment or 0.0
    return (
        edge / _load(chosen) - 1.0,
        f"beyond {edge:g}, at {_load(failing):g}, {name} takes {_ms(took)} (p95) and only "
        f"{share:.0%} are within the SLO"
        + ("" if edge > _load(chosen) else ", so there is no headroom that was measured"),
    )


def _without(app: str, valid: Sequence[Point]) -> Advice:
    """No load meets the SLO: say so, name the clause and what would help, and the least harm."""
    alone = valid[0]
    clause = next(c for c in parse_slo(alone.goodput.slo).clauses if str(c) == _tightest(alone))
    seen = alone.metrics[clause.metric]
    took = seen.p95 if seen.p95 is not None else seen.p50
    helps = (
        _WHAT_HELPS["ttft" if clause.metric.startswith("ttf") else clause.metric[:4]]
        if (clause.metric.startswith("ttf") or clause.metric[:4] in _WHAT_HELPS)
        else _WHAT_HELPS["e2e" if clause.metric.startswith("e2e") else "gap"]
    )
    chosen = [p for p in valid if _unharmed(p, alone)][-1]
    why = (
        f"no measured load meets the SLO ({alone.goodput.slo})",
        f"the tightest clause is {clause}: even at {_at(alone)} it takes {_ms(took)}",
        f"what would help: {helps}",
        f"against one request alone, {_at(chosen)} is the most that costs users little: "
        f"{_throughput(chosen):.0f} tokens/s to all, {_speed(chosen)} to each, the first token in "
        f"{_ms(chosen.metrics['ttft'].p50)}",
    )
    text = f"For {app} on {alone.target.name}: " + ". ".join(w[:1].upper() + w[1:] for w in why)
    return Advice(app=app, point=chosen.id, why=why, headroom=None, text=f"{text}.")


def _unharmed(point: Point, alone: Point) -> bool:
    for name, slowdown in (("ttft", _TTFT_SLOWDOWN), ("tpot", _TPOT_SLOWDOWN)):
        here, there = point.metrics[name].p50, alone.metrics[name].p50
        if here is not None and there is not None and here > slowdown * there:
            return False
    return True


def _knee_note(valid: Sequence[Point], chosen: Point) -> str:
    bend = knee(frontier(valid))
    if bend is None or bend.id == chosen.id:
        return ""
    return f" The knee of the frontier is at {_at(bend)}."


def _at(point: Point) -> str:
    return str(point.load)


def _speed(point: Point) -> str:
    speed = value_of(point, "speed.p50")
    return f"{speed:.0f} tokens/s" if speed is not None else "an unknown speed"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.2g} s"
