"""What a load does to each metric: quantiles, rates, shares and cost against it, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from latok.analysis.frontier import Map
from latok.analysis.point import Interval, Point
from latok.report.charts.draw import (
    COLOURS,
    SAYS,
    Rows,
    by_load,
    load_axis,
    marks,
    said_of,
    styled,
    target_colour,
)
from latok.report.text import in_order, load_value, target_line, target_names
from latok.workload.slo import parse_slo

_WIDTH, _HEIGHT = 350, 250
# Line and point of each quantile.
_QUANTILES = {"p50": ([1, 0], 2.0, 45), "p95": ([4, 3], 1.5, 20), "p99": ([1, 3], 1.5, 14)}


def latency_metrics(map: Map) -> list[str]:
    """The latencies worth a chart: those of every app, and those that the SLO names."""
    named = [clause.metric for clause in parse_slo(map.slo).clauses]
    # what a user sees first is the first token, unless the target thinks before it speaks
    first = "ttfv" if "ttfv" in named else "ttft"
    return list(dict.fromkeys([first, "tpot", "gap", "e2e", *named]))


def latency_chart(map: Map, metric: str) -> alt.LayerChart:
    """A latency against load: p50, p95 and p99 as far as the requests tell them, with intervals,
    and the SLO's limit where it is near."""
    points = _measured_at_loads(map)
    known = [point for point in points if point.metrics[metric].p50 is not None]
    worst = (p.metrics[metric].p99 or p.metrics[metric].p95 or p.metrics[metric].p50 for p in known)
    top = max((value or 0.0 for value in worst), default=1.0)
    unit, per = ("s", 1.0) if top >= 5.0 else ("ms", 1e3)
    names = target_names(points)
    rows = [
        _latency_row(point, metric, per) | {"target": names[target_line(point)]} for point in known
    ]
    x = load_axis(points)
    title = f"{metric}, {unit}"
    colour = target_colour(points)
    last = [max(rows, key=lambda row: row["load"])] if rows and len(names) == 1 else []
    labels = _labels(last, top * per)
    layers = [*_knee_band(map, points)]
    for name, (dash, width, size) in _QUANTILES.items():
        told = [row for row in rows if row[name] is not None]
        base = marks(told)
        line = marks(by_load(told, name))
        layers += [
            line.mark_area(opacity=0.2 if name == "p50" else 0.12).encode(
                x=x, y=f"{name}_low:Q", y2=f"{name}_high:Q", color=colour, detail="loop:N"
            ),
            line.mark_line(strokeDash=dash, strokeWidth=width).encode(
                x=x, y=alt.Y(f"{name}:Q", title=title), color=colour, detail="loop:N"
            ),
            base.mark_point(filled=True, size=size, opacity=1, aria=name == "p50").encode(
                x=x, y=f"{name}:Q", color=colour, **SAYS
            ),
            marks(labels[name])
            .mark_text(align="left", dx=8, text=name, color=COLOURS["muted"])
            .encode(x=x, y="place:Q"),
        ]
    return styled([*layers, *_limits(map, metric, top, per)], width=_WIDTH, height=_HEIGHT)


def _labels(last: Rows, top: float) -> dict[str, Rows]:
    """Where each quantile's name stands beside its last point: above the one below it."""
    found: dict[str, Rows] = {}
    least = -math.inf
    for name in _QUANTILES:
        found[name] = []
        for row in last:
            if row[name] is not None:
                least = max(row[name], least + 0.07 * top)
                found[name].append({"load": row["load"], "place": least})
    return found


def _latency_row(point: Point, metric: str, per: float) -> dict[str, Any]:
    found = point.metrics[metric]
    row: dict[str, Any] = {"load": load_value(point), "loop": type(point.load).__name__}
    for name in _QUANTILES:
        value = getattr(found, name)
        low, high = found.ci95.get(name, (value, value))
        row[name] = value and value * per
        row[f"{name}_low"], row[f"{name}_high"] = low and low * per, high and high * per
    row["says"] = said_of(point)
    return row


def _limits(map: Map, metric: str, top: float, per: float) -> list[alt.Chart]:
    """The SLO's clauses about a metric. A limit far above what was measured is said, not drawn: it
    would press everything else to the floor. That of a gap is about each request's longest, which
    is not what is drawn here."""
    clauses = [clause for clause in parse_slo(map.slo).clauses if clause.metric == metric]
    near = [{"limit": c.limit * per, "says": str(c)} for c in clauses if c.limit <= 2.0 * top]
    far = [f"{clause}: above this chart" for clause in clauses if clause.limit > 2.0 * top]
    if metric == "gap" and clauses:
        near, far = [], ["all gaps; the SLO is about each answer’s longest"]
    rules = marks(near)
    return [
        rules.mark_rule(color=COLOURS["good"], strokeWidth=1.5, aria=True).encode(
            y="limit:Q", **SAYS
        ),
        rules.mark_text(align="left", baseline="bottom", dx=2, dy=-3, color=COLOURS["good"]).encode(
            x=alt.value(0), y="limit:Q", text="says:N"
        ),
        *_remark("; ".join(far), COLOURS["good"]),
    ]


def _remark(text: str, colour: str) -> list[alt.Chart]:
    """What is said above a chart because it cannot be drawn in it."""
    return [
        marks([{"says": text}] if text else [])
        .mark_text(align="left", baseline="bottom", dx=2, color=colour)
        .encode(x=alt.value(0), y=alt.value(-3), text="says:N")
    ]


def _knee_band(map: Map, points: Sequence[Point]) -> list[alt.Chart]:
    """Between which loads the knee lies, of a lone target."""
    if map.knee_ci is None or map.knee_ci[0] == map.knee_ci[1] or len(target_names(points)) > 1:
        return []
    low, high = map.knee_ci
    says = f"knee: between {low:g} and {high:g}, 95 %"
    return [
        marks([{"load": low, "to": high, "says": says}])
        .mark_rect(color=COLOURS["rule"], opacity=0.45)
        .encode(x=load_axis(points), x2="to:Q")
    ]


def throughput_chart(map: Map) -> alt.LayerChart:
    """Everybody's tokens against load, with its interval."""
    return _against_load(
        map,
        "throughput, tokens/s",
        lambda point: (point.throughput.output_tokens_per_s, point.throughput.ci95),
    )


def speed_chart(map: Map) -> alt.LayerChart:
    """One user's tokens per second against load."""
    return _against_load(
        map,
        "speed, tokens/s (p50)",
        lambda point: (point.metrics["speed"].p50, point.metrics["speed"].ci95.get("p50")),
    )


def attainment_chart(map: Map) -> alt.LayerChart | None:
    """The share of requests that keep all limits at once; None without an SLO."""
    if not map.slo:
        return None

    def percent(point: Point) -> tuple[float | None, Interval | None]:
        found, interval = point.goodput.attainment, point.goodput.ci95
        return (
            None if found is None else 100.0 * found,
            None if interval is None else (100.0 * interval[0], 100.0 * interval[1]),
        )

    return _against_load(map, "within the SLO, %", percent, most=100.0)


def cost_chart(map: Map) -> alt.LayerChart | None:
    """What 1,000 good requests cost against load; None where no price is known.

    Its interval is that of the share of good requests: the bill itself is known.
    """
    known = [p for p in _measured_at_loads(map) if p.cost]
    points = [p for p in known if p.cost and p.cost.usd_per_good_request]
    if not points:
        return None
    none_good = [f"{load_value(p):g}" for p in known if p not in points]
    remark = f"no good request at {', '.join(none_good)}" if none_good else ""
    return _against_load(map, "1,000 good requests, $", _cost, remark)


def _cost(point: Point) -> tuple[float | None, Interval | None]:
    each = point.cost.usd_per_good_request if point.cost else None
    if each is None:
        return None, None
    whole, interval = point.goodput.attainment, point.goodput.ci95
    if not whole or interval is None or not interval[0]:
        return 1000 * each, None
    return 1000 * each, (1000 * each * whole / interval[1], 1000 * each * whole / interval[0])


def _against_load(
    map: Map,
    title: str,
    value: Callable[[Point], tuple[float | None, Interval | None]],
    remark: str = "",
    most: float | None = None,
) -> alt.LayerChart:
    """A value with its interval against load. `most`: the end of the axis, where it is known."""
    points = _measured_at_loads(map)
    names = target_names(points)
    rows: Rows = [
        {
            "load": load_value(point),
            "loop": type(point.load).__name__,
            "target": names[target_line(point)],
            "rate": rate,
            "rate_low": (interval or (None, None))[0],
            "rate_high": (interval or (None, None))[1],
            "says": said_of(point),
        }
        for point in points
        for rate, interval in [value(point)]
        if rate is not None
    ]
    # a wide interval may leave the chart, but not press the values to its floor
    highest = max((row["rate_high"] or row["rate"] for row in rows), default=1.0)
    top = most or min(highest, 2.0 * max((row["rate"] for row in rows), default=1.0)) or 1.0
    x, colour = load_axis(points), target_colour(points)
    scale = alt.Scale(domain=[0.0, top], nice=True)
    axis = alt.Axis(tickCount=5)
    line = marks(by_load(rows, "rate"))
    layers = [
        *_knee_band(map, points),
        line.mark_area(opacity=0.22, clip=True).encode(
            x=x,
            y=alt.Y("rate_low:Q", title=title, scale=scale, axis=axis),
            y2="rate_high:Q",
            color=colour,
            detail="loop:N",
        ),
        line.mark_line(strokeWidth=2).encode(
            x=x, y=alt.Y("rate:Q", title=title, scale=scale), color=colour, detail="loop:N"
        ),
        marks(rows)
        .mark_point(filled=True, size=45, opacity=1, aria=True)
        .encode(x=x, y="rate:Q", color=colour, **SAYS),
        *_remark(remark, COLOURS["muted"]),
    ]
    return styled(layers, width=_WIDTH, height=_HEIGHT)


def _measured_at_loads(map: Map) -> list[Point]:
    return [point for point in in_order(map.points) if not point.bent]
