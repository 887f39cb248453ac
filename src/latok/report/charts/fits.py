"""A law beside what it was fitted to, and below what it leaves."""

from __future__ import annotations

import altair as alt

from latok.analysis.evidence import Fitted
from latok.report.charts.draw import COLOURS, SAYS, Chart, marks, stacked
from latok.report.text import figure, spoken

_WIDTH = 400
_HEIGHT, _LEFT = 190, 60
_AXIS = 56  # of both panels, so that they line up
# What is measured, and across what, by the name of a fit.
AXES = {
    "first_token": ("first token", "tokens of the prompt"),
    "prefill": ("prefill", "tokens of the prompt that no cache knew"),
    "decode": ("decode", "tokens after the first"),
    "context": ("time per token", "tokens before it"),
    "streams": ("time per token", "streams beside it"),
    "blocks": ("first token", "tokens that an earlier prompt began with, too"),
}


def fit_chart(fitted: Fitted) -> Chart:
    """Measurements as dots, the law as a line in its interval; in a second panel what is left."""
    measured, across = AXES[fitted.name]
    highest = float(max(fitted.y.max(), fitted.line.value.max()))
    unit, per = ("s", 1.0) if highest >= 5.0 else ("ms", 1e3)
    low, high = (float(edge(fitted.x)) for edge in (min, max))
    ends = [0.0, high] if low < 0.5 * high else [low, high]
    dots = [
        {
            "x": x,
            "y": y * per,
            "left": left * per,
            "says": f"{figure(x)} {across}\n{measured} {spoken(y)}\n"
            f"{spoken(abs(left))} {'more' if left > 0 else 'less'} than the law says",
        }
        for x, y, left in zip(
            fitted.x.tolist(), fitted.y.tolist(), fitted.left.tolist(), strict=True
        )
    ]
    line = [
        {"x": x, "y": value * per, "low": low * per, "high": high * per}
        for x, value, low, high in zip(*(each.tolist() for each in fitted.line), strict=True)
    ]
    # what is left of an exact law is the rounding of numbers, not worth a panel's height
    most = max(1.05 * max(abs(each) for each in fitted.left.tolist()), 1e-3 * highest) * per or 1.0
    law = [
        marks(line)
        .mark_area(color=COLOURS["accent"], opacity=0.18, clip=True)
        .encode(x=_x("", ends), y=_y("low:Q", [0.0, 1.05 * highest * per]), y2="high:Q"),
        marks(line)
        .mark_line(color=COLOURS["accent"], strokeWidth=1.6, clip=True)
        .encode(x=_x("", ends), y=_y("y:Q", [0.0, 1.05 * highest * per])),
        _dots(dots).encode(x=_x("", ends), y=_y("y:Q", [0.0, 1.05 * highest * per]), **SAYS),
    ]
    left = [
        marks([{"left": 0.0}])
        .mark_rule(color=COLOURS["accent"], strokeWidth=1.6)
        .encode(y=_y("left:Q", [-most, most], ticks=2)),
        _dots(dots).encode(x=_x(across, ends), y=_y("left:Q", [-most, most], ticks=2), **SAYS),
    ]
    panels = [(f"{measured}, {unit}", _HEIGHT, law), (f"what the law leaves, {unit}", _LEFT, left)]
    return stacked(panels, width=_WIDTH)


def _dots(rows: list[dict[str, float | str]]) -> alt.Chart:
    dots: alt.Chart = marks(rows).mark_point(
        filled=True, size=26, opacity=0.55, color=COLOURS["ink"], aria=len(rows) <= 60
    )
    return dots


def _x(title: str, ends: list[float]) -> alt.X:
    axis = alt.Axis(grid=False, tickCount=5, labels=bool(title), ticks=bool(title))
    return alt.X("x:Q", title=title or None, scale=alt.Scale(domain=ends, nice=True), axis=axis)


def _y(field: str, ends: list[float], ticks: int = 5) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        scale=alt.Scale(domain=ends, nice=True),
        axis=alt.Axis(tickCount=ticks, minExtent=_AXIS, maxExtent=_AXIS),
    )
