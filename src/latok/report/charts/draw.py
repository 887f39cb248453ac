"""What every chart is drawn with: colours, axes, what a mark says, and a chart as SVG or PNG.

Vega-Lite through altair: values in, a chart out. Colours are Okabe and Ito's, which colour-blind
readers tell apart; shape, fill or a label always says the same again. What a mark says on hover is
also its description, for a screen reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import altair as alt

from latok.analysis.point import Point
from latok.records import Closed, Open
from latok.report.text import (
    figure,
    good_thousand,
    load_value,
    met_word,
    printable,
    right,
    share,
    spoken,
    spread,
    target_line,
    target_names,
)

Rows = list[dict[str, Any]]
Chart = alt.LayerChart | alt.VConcatChart

# Every role has a value of its own, so that a page can put its own colours in their place.
COLOURS = {
    "ink": "#1b1f24",
    "muted": "#6a737d",
    "rule": "#e3e6ea",
    "paper": "#fffffe",
    "held": "#dfe3e8",
    "wait": "#98a2ad",
    "stream": "#cfe3f1",
    "accent": "#0072b2",
    "good": "#009e73",
    "bad": "#d55e00",
    "target2": "#e69f00",
    "target3": "#cc79a7",
    "target4": "#8c6d31",
    "target5": "#56b4e9",
    # from a light load to a heavy one: a part of viridis, which stays in order without colour
    "load1": "#35a874",
    "load2": "#22977f",
    "load3": "#238488",
    "load4": "#2b708d",
    "load5": "#345b8c",
    "load6": "#3e4787",
    "load7": "#45317b",
    "load8": "#461a66",
    # parts of a request's time: greys and browns are the client's, blues and greens a model at work
    "lateness": "#8a6f5c",
    "connect": "#9c8069",
    "upload": "#b3977e",
    "network": "#4b9fc4",
    "cold": "#7a5195",
    "front_end": "#9467b8",
    "queue": "#cc8400",
    "server": "#62717f",
    "prefill": "#0b6bb0",
    "compute": "#16808a",
    "decode": "#0a9b70",
    "delivery": "#b8608f",
    "read": "#a08a70",
    "unexplained": "#8d969f",
}
# For dark screens, by the same names.
DARK = {
    "ink": "#e8eaed",
    "muted": "#9aa4af",
    "rule": "#2d333b",
    "paper": "#14171b",
    "held": "#2d333b",
    "wait": "#6b7682",
    "stream": "#16384c",
    "accent": "#56b4e9",
    "good": "#3fc79a",
    "bad": "#ff8c4b",
    "target2": "#f0b73a",
    "target3": "#e39bc4",
    "target4": "#c9a76a",
    "target5": "#8fd0f5",
    "load1": "#4b7d9e",
    "load2": "#3f8f9e",
    "load3": "#2fa197",
    "load4": "#36b189",
    "load5": "#5cc168",
    "load6": "#8ed04c",
    "load7": "#c2da3a",
    "load8": "#fbe424",
    "lateness": "#b0937d",
    "connect": "#8a7464",
    "upload": "#9a8676",
    "network": "#4b9cc9",
    "cold": "#9a6fba",
    "front_end": "#c9a7e3",
    "queue": "#f2b32f",
    "server": "#8b99a6",
    "prefill": "#3f9be0",
    "compute": "#35a9b3",
    "decode": "#34c191",
    "delivery": "#e89cc6",
    "read": "#ab967f",
    "unexplained": "#7d8791",
}
TARGETS = [COLOURS[name] for name in ("accent", "target2", "target3", "target4", "target5")]
_LOADS = [COLOURS[f"load{n}"] for n in range(1, 9)]
# Fonts of the same widths: legends are laid out here and shown elsewhere.
_FONT = "Helvetica, Arial, Liberation Sans, sans-serif"

# What a mark says on hover and to a screen reader; marks without it are silent.
SAYS = {"tooltip": "says:N", "description": "says:N"}
# As paths, so that one filled mark draws them all, in the legend too: a ring, a ring half full.
RING = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0ZM.7,0A.7,.7,0,1,0,-.7,0A.7,.7,0,1,0,.7,0Z"
HALF = RING + "M0,-1A1,1,0,0,1,0,1Z"
CROSS = "M-1,-1L1,1M-1,1L1,-1"


def marks(rows: Iterable[Mapping[str, Any]]) -> alt.Chart:
    """A chart of these rows, to be given its marks."""
    # altair copies lists with every step of a chart, but no tuples
    return alt.Chart(alt.InlineData(values=tuple(rows)))


def by_load(rows: Rows, *names: str) -> Rows:
    """One row for each load of a target: where it was held more than once, the mean of each value,
    and the whole breadth of its intervals (`NAME_low` to `NAME_high`)."""
    held: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        held.setdefault((row["target"], row["loop"], row["load"]), []).append(row)
    found = []
    for same in held.values():
        line = {key: same[0][key] for key in ("target", "loop", "load")}
        for name in names:
            for key, taken in ((name, fmean), (f"{name}_low", min), (f"{name}_high", max)):
                known = [row[key] for row in same if row.get(key) is not None]
                line[key] = taken(known) if known else None
        found.append(line)
    return found


def ramp(count: int) -> list[str]:
    """Colours for so many loads, from the lightest to the heaviest."""
    last = len(_LOADS) - 1
    return [_LOADS[round(n * last / max(count - 1, 1))] for n in range(count)]


def target_colours(points: Sequence[Point]) -> dict[str, str]:
    """A colour for each target, by its name."""
    names = target_names(points).values()
    return {name: TARGETS[n % len(TARGETS)] for n, name in enumerate(names)}


def target_colour(points: Sequence[Point]) -> alt.Color:
    """A colour for each target, and a legend where there are several."""
    colours = target_colours(points)
    legend = alt.Legend(orient="top", columns=1, symbolType="circle", symbolOpacity=1)
    return alt.Color(
        "target:N",
        title=None,
        scale=alt.Scale(domain=list(colours), range=list(colours.values())),
        legend=legend if len(colours) > 1 else None,
    )


def without_legend(chart: Chart) -> Chart:
    """The same with nothing said of its colours: one legend serves several charts."""
    bare = chart.copy(deep=True)
    for layer in bare.layer:
        if isinstance(layer.encoding.color, alt.Color):
            layer.encoding.color = layer.encoding.color.legend(None)
    return bare


def load_axis(points: Sequence[Point]) -> alt.X:
    """Closed loops double from level to level, so their axis does too."""
    loads = sorted({load_value(point) for point in points})
    if all(isinstance(point.load, Closed) for point in points):
        title, scale = "requests at a time", alt.Scale(type="log", base=2, nice=False)
    elif all(isinstance(point.load, Open) for point in points):
        title, scale = "requests a second", alt.Scale(zero=False)
    else:
        title, scale = "load: at a time, or a second", alt.Scale(zero=False)
    if len(loads) > 1:  # also those of which a chart knows no value
        scale.domain = [loads[0], loads[-1]]
    axis = alt.Axis(values=loads, grid=False, labelOverlap="greedy", labelSeparation=5, format="~g")
    return alt.X("load:Q", title=title, scale=scale, axis=axis)


def said_of(point: Point) -> str:
    """A point in a few lines: what its mark says on hover."""
    metrics, rate = point.metrics, point.throughput
    lines = [
        str(point.load),
        f"first token p50 {spoken(metrics['ttft'].p50)}, p95 {spoken(metrics['ttft'].p95)}",
        f"per token p50 {spoken(metrics['tpot'].p50)}, p95 {spoken(metrics['tpot'].p95)}",
        f"one user {figure(metrics['speed'].p50)} tokens/s"
        + _between(spread(metrics["speed"].ci95.get("p50"))),
        f"together {figure(rate.output_tokens_per_s)} tokens/s" + _between(spread(rate.ci95)),
        f"{point.counts.offered} requests, {point.counts.failed} failed",
    ]
    if point.goodput.clauses:
        lines.append(
            f"{share(point.goodput.attainment)} within the SLO: {met_word(point.goodput.met)}"
        )
    if point.quality:
        lines.append(f"{right(point)} of the answers right, {point.quality.items} graded")
    if point.cost:
        lines.append(f"${good_thousand(point)} for 1,000 good requests")
    if point.bent:
        lines.append("invalid: " + "; ".join(point.instrument.why))
    return "\n".join(printable(line) for line in (target_line(point), *lines))


def _between(interval: str) -> str:
    return f" [{interval}]" if interval else ""


def styled(layers: Sequence[alt.Chart], *, width: float, height: float) -> alt.LayerChart:
    """Sizes are of the whole chart, so that charts side by side line up."""
    return alt.LayerChart(
        layer=list(layers),
        width=width,
        height=height,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        config=_config(),
    )


def stacked(panels: Sequence[tuple[str, float, Sequence[alt.Chart]]], *, width: float) -> Chart:
    """Panels over one axis, each with a heading and a height. Their vertical axes must have the
    same extent to line up; `width` is without it."""
    return alt.VConcatChart(
        vconcat=[
            alt.LayerChart(
                layer=list(layers),
                width=width,
                height=height,
                title=alt.Title(
                    heading, fontSize=12, fontWeight="normal", color=COLOURS["muted"], offset=6
                ),
            )
            for heading, height, layers in panels
        ],
        spacing=36,
        bounds="flush",
        config=_config(),
    )


def _config() -> alt.Config:
    muted, rule = COLOURS["muted"], COLOURS["rule"]
    return alt.Config(
        font=_FONT,
        background=COLOURS["paper"],
        padding=6,
        view=alt.ViewConfig(stroke=None),
        mark=alt.MarkConfig(aria=False),
        axis=alt.AxisConfig(
            labelColor=muted,
            titleColor=muted,
            gridColor=rule,
            domainColor=rule,
            tickColor=rule,
            titleFontWeight="normal",
            titleFontSize=12,
            labelFontSize=11,
            titlePadding=10,
            labelFlush=False,
        ),
        legend=alt.LegendConfig(labelColor=muted, labelFontSize=12, labelLimit=400),
        text=alt.MarkConfig(fontSize=11),
        title=alt.TitleConfig(color=COLOURS["ink"], fontSize=15, anchor="start", offset=14),
    )


def to_svg(chart: Chart) -> str:
    """Rendered here, without a browser or a network."""
    import vl_convert

    # checking a chart against the schema takes longer than drawing it; the tests do that
    return str(vl_convert.vegalite_to_svg(chart.to_dict(validate=False)))


def to_png(chart: Chart, *, scale: float = 2.0) -> bytes:
    """For slides and mail; `scale` 2 is sharp on a dense screen."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_dict(validate=False), scale=scale))
