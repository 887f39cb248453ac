"""Where the SLO ceases to be met: the share of requests within each clause, against the load."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from latok.analysis.point import Point
from latok.analysis.probit import fitted
from latok.records import Closed
from latok.report.charts.draw import COLOURS, SAYS, Rows, load_axis, marks, styled
from latok.report.text import load_value, share
from latok.workload.slo import Clause, parse_slo

_WIDTH, _HEIGHT = 350, 270


def hits_charts(
    points: Sequence[Point], value: float, interval: tuple[float, float | None], tightest: str
) -> dict[str, alt.LayerChart]:
    """A chart for each clause of one loop's points, by the clause; the tightest first."""
    valid = [point for point in points if not point.bent]
    clauses = parse_slo(points[0].goodput.slo).clauses if points else ()
    order = sorted(range(len(clauses)), key=lambda n: str(clauses[n]) != tightest)
    return {
        str(clauses[n]): _hits(valid, n, clauses[n], value, interval, str(clauses[n]) == tightest)
        for n in order
    }


def _hits(
    points: Sequence[Point],
    number: int,
    clause: Clause,
    value: float,
    interval: tuple[float, float | None],
    tightest: bool,
) -> alt.LayerChart:
    """Shares with their intervals, the likeliest curve, and the interval of the capacity."""
    rows: Rows = []
    for point in points:
        found = point.goodput.clauses[number]
        if found.share is None:
            continue
        low, high = found.ci95 or (found.share, found.share)
        rows.append(
            {
                "load": load_value(point),
                "share": found.share,
                "low": low,
                "high": high,
                "offered": point.counts.offered,
                "says": f"{point.load}\n{share(found.share)} within {clause.limit:g} s, 95 %: "
                f"{share(low)} to {share(high)}\n{point.counts.offered} requests",
            }
        )
    if not rows:
        return styled([marks([]).mark_point()], width=_WIDTH, height=_HEIGHT)
    loads = [row["load"] for row in rows]
    floor = max(min(row["share"] for row in rows) - 0.1, 0.0)
    x = load_axis(points)
    y = alt.Y(
        "share:Q",
        title="share of the requests",
        scale=alt.Scale(domain=[floor, 1.0], clamp=True),
        axis=alt.Axis(format="%", tickCount=5),
    )
    edge = [
        {
            "load": interval[0] or min(loads),
            "to": interval[1] or max(loads),
            "says": _said(value, interval),
        }
    ]
    layers = [
        marks(edge if tightest else [])
        .mark_rect(color=COLOURS["good"], opacity=0.14, clip=True, aria=True)
        .encode(x=x, x2="to:Q", **SAYS),
        marks([{"share": clause.quantile}])
        .mark_rule(color=COLOURS["good"], strokeWidth=1.5)
        .encode(y=y),
        marks([{"share": clause.quantile, "says": f"{clause} asks for this share"}])
        .mark_text(align="left", baseline="top", dx=3, dy=4, color=COLOURS["good"])
        .encode(x=alt.value(0), y=y, text="says:N"),
        marks(_curve(points, clause, rows, value, tightest))
        .mark_line(color=COLOURS["accent"], strokeWidth=1.5, opacity=0.6, clip=True)
        .encode(x=x, y=y, order=alt.value(0)),
        marks(rows)
        .mark_rule(color=COLOURS["accent"], strokeWidth=1, opacity=0.6)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        marks(rows)
        .mark_point(filled=True, size=50, opacity=1, color=COLOURS["accent"], aria=True)
        .encode(x=x, y=y, **SAYS),
    ]
    return styled(layers, width=_WIDTH, height=_HEIGHT)


def _said(value: float, interval: tuple[float, float | None]) -> str:
    low, high = interval
    upto = "no load was seen to fail" if high is None else f"95 %: {low:.4g} to {high:.4g}"
    return f"capacity {value:.4g}\n{upto}"


def _curve(points: Sequence[Point], clause: Clause, rows: Rows, value: float, own: bool) -> Rows:
    """The likeliest curve, where there is one. Slots are whole: it crosses between two numbers."""
    whole = all(isinstance(point.load, Closed) for point in points)
    between = (max(value, 0.5), value + (1.0 if whole else 0.0)) if own else None
    held = [(row["load"], row["share"], row["offered"]) for row in rows]
    found = fitted(clause.quantile, held, between)
    if found is None:
        return []
    loads = np.geomspace(min(load for load, _, _ in held), max(load for load, _, _ in held), 81)
    return [{"load": float(load), "share": found.share(float(load))} for load in loads]
