"""How a metric spreads: the share of requests within each value, and the SLO's corners."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from latok.analysis.course import Ecdf
from latok.report.charts.draw import COLOURS, SAYS, Rows, marks, styled
from latok.report.text import share, spoken
from latok.workload.slo import Clause

_WIDTH, _HEIGHT = 350, 270
_FAR = 8.0  # a limit so many times beyond all values is said and not drawn
_LEAST = 1e-4  # seconds: what came in one read has no gap, and a logarithm no zero


class Curve(NamedTuple):
    """One distribution. `lead`: the one that the page is about."""

    name: str
    colour: str
    ecdf: Ecdf
    lead: bool = False


def spread_chart(curves: Sequence[Curve], clauses: Sequence[Clause]) -> alt.LayerChart:
    """The curves of one metric, in seconds. A clause is met where a curve passes over its green
    mark: by the limit enough requests are done."""
    curves = [c for c in curves if len(c.ecdf.values)]
    highest = max((float(c.ecdf.values[-1]) for c in curves), default=1.0)
    lowest = max(min((float(c.ecdf.values[0]) for c in curves), default=_LEAST), _LEAST)
    near = [c for c in clauses if c.limit <= _FAR * highest]
    far = [f"{c}: right of this chart" for c in clauses if c.limit > _FAR * highest]
    left = min([lowest, *(0.9 * c.limit for c in near)])
    right = 1.3 * max([highest, 1.2 * left, *(c.limit for c in near)])
    x = alt.X(
        "value:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[left, right], nice=False),
        axis=alt.Axis(
            grid=False,
            values=_ticks(left, right),
            # the unit that a person would say
            labelExpr="datum.value < 0.9995 ? format(datum.value * 1000, '~g') + ' ms'"
            " : format(datum.value, '~g') + ' s'",
        ),
    )
    y = alt.Y(
        "share:Q",
        title="share of the requests",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", tickCount=5),
    )
    named = {curve.name: curve.colour for curve in curves}
    colour = alt.Color(
        "curve:N",
        legend=None,
        scale=alt.Scale(domain=list(named), range=list(named.values())),
    )
    corners = [
        {"value": left, "to": c.limit, "share": c.quantile, "floor": 0, "top": 1, "says": str(c)}
        for c in near
    ]
    corner = marks(corners)
    layers = [
        corner.mark_rect(color=COLOURS["good"], opacity=0.1).encode(
            x=x, x2="to:Q", y=y, y2="top:Q"
        ),
        corner.mark_rule(color=COLOURS["good"], strokeWidth=1.5).encode(
            x=alt.X("to:Q"), y=y, y2="top:Q"
        ),
        corner.mark_rule(color=COLOURS["good"], strokeWidth=1, strokeDash=[2, 3]).encode(
            x=alt.X("to:Q"), y=alt.Y("floor:Q"), y2="share:Q"
        ),
    ]
    layers.append(
        corner.mark_point(
            shape="diamond", filled=True, size=90, opacity=1, color=COLOURS["good"]
        ).encode(x=alt.X("to:Q"), y=y)
    )
    for lead in (False, True):
        drawn = [curve for curve in curves if curve.lead is lead]
        layers.append(
            marks(
                row | {"n": n}
                for n, curve in enumerate(drawn)
                for row in _steps(curve, left, right)
            )
            .mark_line(interpolate="step-after", strokeWidth=2.6 if lead else 1.5, clip=True)
            .encode(x=x, y=y, color=colour, detail="n:N", order=alt.value(0))
        )
    layers += [
        marks(row for curve in curves for row in _told(curve, near, left))
        .mark_point(filled=True, size=34, opacity=1, aria=True)
        .encode(x=x, y=y, color=colour, **SAYS),
        *(
            marks([row])
            .mark_text(align="right", baseline="bottom", dx=3, color=COLOURS["good"])
            .encode(x=alt.X("to:Q"), y=alt.value(-4 - 13 * n), text="says:N")
            for n, row in enumerate(corners)
        ),
        marks([{"says": "; ".join(far)}] if far else [])
        .mark_text(align="left", baseline="bottom", color=COLOURS["good"])
        .encode(x=alt.value(0), y=alt.value(-4), text="says:N"),
    ]
    return styled(layers, width=_WIDTH, height=_HEIGHT)


def _ticks(left: float, right: float) -> list[float]:
    """Round values, so few that their labels stand apart."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        values = [
            step * 10.0**power
            for power in range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
            for step in steps
            if left <= step * 10.0**power <= right
        ]
        if len(values) <= 5:
            break
    return values


def _steps(curve: Curve, left: float, right: float) -> Rows:
    """From nothing on the left to the last share, which is kept to the right: where some requests
    failed it is not all."""
    values, shares = curve.ecdf.values, curve.ecdf.shares
    rows: Rows = [{"value": left, "share": 0.0}]
    rows += [
        {"value": max(float(v), left), "share": round(float(s), 4)}
        for v, s in zip(values, shares, strict=True)
    ]
    rows.append({"value": right, "share": rows[-1]["share"]})
    return [row | {"curve": curve.name} for row in rows]


def _told(curve: Curve, clauses: Sequence[Clause], left: float) -> Rows:
    """The marks that speak: the median, and the share at each limit."""
    rows: Rows = []
    middle = curve.ecdf.quantile(0.5)
    if middle is not None:
        rows.append(_mark(curve, max(middle, left), 0.5, f"half are within {spoken(middle)}"))
    for clause in clauses:
        part = curve.ecdf.at(clause.limit)
        said = f"{share(part)} within {spoken(clause.limit)}; {clause} asks {clause.quantile:.4g}"
        rows.append(_mark(curve, clause.limit, part, said.replace(" asks ", " asks for ")))
    return rows


def _mark(curve: Curve, value: float, part: float, said: str) -> dict[str, Any]:
    lost = f", {curve.ecdf.never} of them never" if curve.ecdf.never else ""
    return {
        "value": value,
        "share": part,
        "curve": curve.name,
        "says": f"{curve.name}\n{said}\n{curve.ecdf.n:,} requests{lost}",
    }
