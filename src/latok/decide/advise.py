"""Where to run an app on a target, said in words with reasons. Pure: points in, Advice out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from latok.analysis.cost import dollars
from latok.analysis.explain import Finding
from latok.analysis.frontier import Advice, Setting, frontier, knee
from latok.analysis.point import Point, value_of
from latok.decide.settings import kept_out, lever_sentences
from latok.records import Closed
from latok.workload.slo import Clause, parse_slo

# Within this share of the best throughput a lower load serves as much and waits less.
_AS_MUCH = 0.95
# How much slower than alone is still called unharmed where no SLO can be met: a first token of
# twice, a token of half as long again at the median (Splitwise, ISCA 2024, its SLO at P50).
_TTFT_SLOWDOWN, _TPOT_SLOWDOWN = 2.0, 1.5

# What a clause is about, in a reader's words, and what would help where it cannot be met.
_FIRST = ("the first token", "shorter prompts, prefix caching, a smaller or quantised model")
_WHOLE = ("a whole answer", "shorter answers, a smaller or quantised model, speculation")
_TOKEN = ("each token", "a smaller or quantised model, speculation, more memory bandwidth")
_MEANS = {
    "ttft": _FIRST,
    "ttft_user": _FIRST,
    "ttfv": _FIRST,
    "ttfb": _FIRST,
    "tpot": _TOKEN,
    "gap": ("a stream's longest gap", "smaller prefill steps, so that they hold up no stream"),
    "e2e": _WHOLE,
    "e2e_close": _WHOLE,
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


def advise(
    app: str,
    points: Sequence[Point],
    found: Mapping[str, Sequence[Finding]] | None = None,
    settings: Sequence[Setting] = (),
) -> Advice:
    """The operating point for `app`: of those within the SLO, the one that serves most. `found`: by
    a point's id, where its latency goes and what would help, as far as that is known. `settings`:
    levers that were turned; of each it is said what that did, and it is advised only if that is
    sure and its answers hold."""
    out = kept_out(settings)
    valid = sorted((p for p in points if p.valid and p.counts.ok and p.id not in out), key=_load)
    if not valid:
        why = "no valid point was measured"
        return Advice(app=app, point=None, why=(why,), headroom=None, text=f"No advice: {why}.")
    within = [p for p in valid if stands(p) is not False]
    known = found or {}
    told = _within(app, valid, within, known) if within else _without(app, valid, known)
    return msgspec.structs.replace(told, levers=tuple(lever_sentences(settings)))


def _largest(findings: Sequence[Finding], whole: str) -> tuple[str, ...]:
    """What costs a typical request most of a whole, and what addresses that."""
    found = [each for each in findings if each.of == whole and each.quantile == "p50"]
    if not found:
        return ()
    best = max(found, key=lambda each: each.most_s)
    return (f"{best.what} (what would help: {', '.join(best.levers)})",)


def _load(point: Point) -> float:
    load = point.load
    return load.concurrency if isinstance(load, Closed) else load.rate


def _throughput(point: Point) -> float:
    return point.throughput.output_tokens_per_s or 0.0


def _within(
    app: str,
    valid: Sequence[Point],
    within: Sequence[Point],
    known: Mapping[str, Sequence[Finding]],
) -> Advice:
    best = max(_throughput(p) for p in within)
    chosen = next(p for p in within if _throughput(p) >= _AS_MUCH * best)
    headroom, beyond = _headroom(chosen, valid)
    first = chosen.metrics["ttft"]
    late = "" if first.p95 is None else f", for one in twenty {_spoken(first.p95)} or more"
    why = (
        f"it serves {_throughput(chosen):.0f} tokens/s to all, {_speed(chosen)} to each",
        _attained(chosen),
        f"the first token takes {_spoken(first.p50)}{late}",
        beyond,
        *_largest(known.get(chosen.id, ()), "ttft"),
        *_price(chosen),
    )
    sentences = [f"There {why[0]}; {why[1]}; {why[2]}", *map(_sentence, why[3:])]
    if chosen.goodput.clauses and chosen.goodput.met is None:
        asked = ", ".join(c.clause for c in chosen.goodput.clauses if c.met is None)
        sentences.append(
            f"That is what {chosen.counts.offered} requests show; they are too few to prove {asked}"
        )
    bend = knee(frontier(valid))
    if bend is not None and bend.id != chosen.id:
        sentences.append(f"The knee of the frontier is at {bend.load}")
    return Advice(
        app=app,
        point=chosen.id,
        why=why,
        headroom=headroom,
        text=f"For {app} on {chosen.target.name}: {chosen.load}. {'. '.join(sentences)}.",
    )


def _price(point: Point) -> tuple[str, ...]:
    each = point.cost.usd_per_good_request if point.cost else None
    return () if each is None else (f"1,000 good requests cost {dollars(1000 * each)}",)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _attained(point: Point) -> str:
    goodput = point.goodput
    if not goodput.clauses or goodput.attainment is None:
        return "no SLO was asked for"
    return f"{_share(goodput.attainment)} of the requests are within the SLO ({goodput.slo})"


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
    """By how much the load may grow within what was measured, and what comes then."""
    higher = [p for p in valid if p.target == chosen.target and _load(p) > _load(chosen)]
    if not higher:
        return None, f"nothing beyond {chosen.load} was measured"
    failing = next((p for p in higher if stands(p) is False), None)
    holding = [p for p in higher if failing is None or _load(p) < _load(failing)]
    edge = holding[-1] if holding else chosen
    growth = _load(edge) / _load(chosen) - 1.0
    if failing is None:
        more = _throughput(edge) / _throughput(chosen) - 1.0
        return growth, (
            f"up to {edge.load} the SLO holds too, for {more:+.0%} throughput and a first token "
            f"of {_spoken(edge.metrics['ttft'].p50)}"
        )
    clause = _clause(failing, _tightest(failing))
    return growth, (
        f"beyond {_load(edge):g}, at {_load(failing):g}, {_MEANS[clause.metric][0]} takes "
        f"{_seen(failing, clause)} and only {_share(failing.goodput.attainment or 0.0)} are within "
        "the SLO"
    )


def _seen(point: Point, clause: Clause) -> str:
    """What a clause's metric is at a point, at the highest quantile that is known."""
    summary = point.metrics[clause.metric]
    for name in ("p95", "p90", "p50"):
        value = getattr(summary, name)
        if value is not None:
            return f"{_spoken(value)} ({name})"
    return "an unknown time"


def _met(point: Point, clause: Clause) -> float:
    found = next(c for c in point.goodput.clauses if c.clause == str(clause))
    return found.share or 0.0


def _clause(point: Point, text: str) -> Clause:
    return next(clause for clause in parse_slo(point.goodput.slo).clauses if str(clause) == text)


def _without(app: str, valid: Sequence[Point], known: Mapping[str, Sequence[Finding]]) -> Advice:
    """No load meets the SLO: say so, name the clause and what would help, and the least harm."""
    alone = valid[0]
    clause = _clause(alone, _tightest(alone))
    what, helps = _MEANS[clause.metric]
    whole = {_FIRST[0]: "ttft", _TOKEN[0]: "e2e", _WHOLE[0]: "e2e"}.get(what, "")
    seen = _largest(known.get(alone.id, ()), whole)
    chosen = [p for p in valid if p.target == alone.target and _unharmed(p, alone)][-1]
    why = (
        f"no measured load meets the SLO ({alone.goodput.slo})",
        f"the tightest clause is {clause}: even at {alone.load}, where {what} takes "
        f"{_seen(alone, clause)}, {_share(_met(alone, clause))} of the requests meet it",
        *(seen or (f"what would help: {helps}",)),
        f"measured against one request alone, {chosen.load} is the most that costs users little: "
        f"{_throughput(chosen):.0f} tokens/s to all, {_speed(chosen)} to each, the first token in "
        f"{_spoken(chosen.metrics['ttft'].p50)}",
    )
    text = f"For {app} on {alone.target.name}: {'. '.join([why[0], *map(_sentence, why[1:])])}."
    return Advice(app=app, point=chosen.id, why=why, headroom=None, text=text)


def _unharmed(point: Point, alone: Point) -> bool:
    for name, slowdown in (("ttft", _TTFT_SLOWDOWN), ("tpot", _TPOT_SLOWDOWN)):
        here, there = point.metrics[name].p50, alone.metrics[name].p50
        if here is not None and there is not None and here > slowdown * there:
            return False
    return True


def _speed(point: Point) -> str:
    speed = value_of(point, "speed.p50")
    return "at an unknown speed" if speed is None else f"{speed:.0f} tokens/s"


def _share(part: float) -> str:
    """Percent, rounded down: 99.6 % is not everything."""
    return f"{math.floor(part * 100 + 1e-9)} %"


def _spoken(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.2g} s"
