"""The charts, as Vega-Lite through altair: values in, a chart out; and a chart as SVG or PNG.

Colours are Okabe and Ito's, which colour-blind readers tell apart; shape, fill or a label always
says the same again. What a mark says on hover is also its description, for a screen reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

import altair as alt

from latok.analysis.frontier import Map
from latok.analysis.metrics import gaps, ttft
from latok.analysis.point import Interval, Point
from latok.decide.advise import stands
from latok.records import Closed, Manifest, Open, Record
from latok.report.text import (
    figure,
    good_thousand,
    in_order,
    load_value,
    met_word,
    printable,
    share,
    spoken,
    spread,
    target_line,
    target_names,
)
from latok.workload.slo import parse_slo

Rows = list[dict[str, Any]]

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
}
_TARGETS = [COLOURS[name] for name in ("accent", "target2", "target3", "target4", "target5")]
# Fonts of the same widths: legends are laid out here and shown elsewhere.
_FONT = "Helvetica, Arial, Liberation Sans, sans-serif"

# What a mark says on hover and to a screen reader; marks without it are silent.
_SAYS = {"tooltip": "says:N", "description": "says:N"}

# A swim-lane of more requests or tokens than these cannot be read, nor sent by mail.
_MOST_REQUESTS, _MOST_TOKENS = 150, 10_000
_TOKENS_ACROSS = 300

SLO_WORDS = {True: "meets the SLO", None: "too few requests to decide", False: "misses the SLO"}


def frontier_chart(map: Map) -> alt.LayerChart:
    """One user's speed against everybody's throughput; up and to the right is better."""
    points = [p for p in in_order(map.points) if _speed(p) and p.throughput.output_tokens_per_s]
    names = target_names(points)
    rows = [_frontier_row(point, map) | {"target": names[target_line(point)]} for point in points]
    valid = [row for row in rows if row["valid"]]
    x = alt.X(
        "speed:Q", title="one user's speed, tokens/s (p50)", axis=alt.Axis(grid=False, tickCount=8)
    )
    y = alt.Y("throughput:Q", title="throughput, tokens/s", axis=alt.Axis(tickCount=6))
    several = len(names) > 1
    colour = _colour(points)
    layers: list[alt.Chart] = []
    if not several:
        layers += _region(valid)
    layers += [
        _chart(valid)
        .mark_line(strokeWidth=1.5, opacity=0.5 if several else 0.25)
        .encode(x=x, y=y, color=colour, order="load:Q"),
        _chart([row for row in valid if row["frontier"]])
        .mark_line(color=COLOURS["muted"] if several else COLOURS["accent"], strokeWidth=2.5)
        .encode(x=x, y=y, order="speed:Q"),
        _chart(valid)
        .mark_rule(strokeWidth=1, opacity=0.6)
        .encode(x="speed_low:Q", x2="speed_high:Q", y=y, color=colour),
        _chart(valid)
        .mark_rule(strokeWidth=1, opacity=0.6)
        .encode(x=x, y="throughput_low:Q", y2="throughput_high:Q", color=colour),
        _chart(valid)
        .mark_point(filled=True, opacity=1, color=COLOURS["paper"])
        .encode(x=x, y=y, size=_SIZE),
        _chart([row for row in rows if row["advised"]])
        .mark_point(size=520, strokeWidth=2, color=COLOURS["accent"], opacity=1)
        .encode(x=x, y=y),
        _chart([row for row in rows if row["knee"]])
        .mark_point(shape="diamond", size=420, strokeWidth=1.5, color=COLOURS["ink"], opacity=1)
        .encode(x=x, y=y),
        _chart([row for row in rows if not row["valid"]])
        .mark_point(
            shape=_CROSS, size=70, strokeWidth=2, stroke=COLOURS["muted"], opacity=1, aria=True
        )
        .encode(x=x, y=y, **_SAYS),
        _chart(valid)
        .mark_point(filled=True, opacity=1, aria=True)
        .encode(
            x=x,
            y=y,
            size=_SIZE,
            color=colour,
            shape=alt.Shape(
                "slo:N",
                scale=alt.Scale(domain=list(SLO_WORDS.values()), range=["circle", _HALF, _RING]),
                legend=alt.Legend(
                    title=None,
                    orient="bottom",
                    symbolFillColor=COLOURS["muted"],
                    symbolStrokeWidth=0,
                )
                if map.slo
                else None,
            ),
            **_SAYS,
        ),
        *(
            _chart([row for row in rows if row["ringed"] is ringed])
            .mark_text(align="left", dx=dx, dy=-10, fontSize=12, color=COLOURS["ink"])
            .encode(x=x, y=y, text="label:N")
            for ringed, dx in ((True, 14), (False, 9))
        ),
    ]
    return _styled(layers, width=720, height=450)


# As paths, so that one filled mark draws them all, in the legend too: a ring, a ring half full.
_RING = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0ZM.7,0A.7,.7,0,1,0,-.7,0A.7,.7,0,1,0,.7,0Z"
_HALF = _RING + "M0,-1A1,1,0,0,1,0,1Z"
_CROSS = "M-1,-1L1,1M-1,1L1,-1"
_SIZE = alt.Size("frontier:N", scale=alt.Scale(domain=[True, False], range=[130, 50]), legend=None)


def _speed(point: Point) -> float | None:
    return point.metrics["speed"].p50


def _frontier_row(point: Point, map: Map) -> dict[str, Any]:
    speed, rate = _speed(point), point.throughput.output_tokens_per_s
    speed_low, speed_high = point.metrics["speed"].ci95.get("p50", (speed, speed))
    low, high = point.throughput.ci95 or (rate, rate)
    advised, knee = point.id == map.advice.point, point.id == map.knee
    names = [
        f"{load_value(point):g}",
        *(["advised"] if advised else []),
        *(["knee"] if knee else []),
    ]
    return {
        "speed": speed,
        "speed_low": speed_low,
        "speed_high": speed_high,
        "throughput": rate,
        "throughput_low": low,
        "throughput_high": high,
        "load": load_value(point),
        "stands": stands(point),
        "slo": SLO_WORDS[point.goodput.met],
        "valid": not point.bent,
        "frontier": point.id in map.frontier,
        "advised": advised,
        "knee": knee,
        "ringed": advised or knee,
        "label": " · ".join(names),
        "says": said_of(point),
    }


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
    if point.cost:
        lines.append(f"${good_thousand(point)} for 1,000 good requests")
    if point.bent:
        lines.append("invalid: " + "; ".join(point.instrument.why))
    return "\n".join(printable(line) for line in (target_line(point), *lines))


def _between(interval: str) -> str:
    return f" [{interval}]" if interval else ""


def _region(rows: Rows) -> list[alt.Chart]:
    """Shades the speeds of the points that stand within the SLO, run by run of such points."""
    ordered = sorted(rows, key=lambda row: row["speed"])
    if not ordered:
        return []
    margin = 0.02 * ordered[-1]["speed"]
    runs = [
        (points[0]["speed"] - margin, points[-1]["speed"] + margin)
        for within, found in groupby(ordered, key=lambda row: row["stands"])
        if within and (points := list(found))
    ]
    base = _chart({"from": low, "to": high} for low, high in runs)
    return [
        base.mark_rect(color=COLOURS["good"], opacity=0.09).encode(x="from:Q", x2="to:Q"),
        base.mark_text(
            text="within the SLO", align="right", baseline="top", dx=-8, color=COLOURS["good"]
        ).encode(x="to:Q", y=alt.value(8)),
    ]


def latency_metrics(map: Map) -> list[str]:
    """The latencies worth a chart: those of every app, and those that the SLO names."""
    named = [clause.metric for clause in parse_slo(map.slo).clauses]
    # what a user sees first is the first token, unless the target thinks before it speaks
    first = "ttfv" if "ttfv" in named else "ttft"
    return list(dict.fromkeys([first, "tpot", *named]))


def latency_chart(map: Map, metric: str) -> alt.LayerChart:
    """A latency against load: p50 with its interval, p95, and the SLO's limit where it is near."""
    points = _measured_at_loads(map)
    known = [point for point in points if point.metrics[metric].p50 is not None]
    top = max((p.metrics[metric].p95 or p.metrics[metric].p50 or 0.0 for p in known), default=1.0)
    unit, per = ("s", 1.0) if top >= 5.0 else ("ms", 1e3)
    names = target_names(points)
    rows = [
        _latency_row(point, metric, per) | {"target": names[target_line(point)]} for point in known
    ]
    x = _load_axis(points)
    y = alt.Y("p50:Q", title=f"{metric}, {unit}", scale=alt.Scale(zero=True))
    several = len(names) > 1
    colour = _colour(points)
    last = [max(rows, key=lambda row: row["load"])] if rows and not several else []
    layers = [
        _chart(rows)
        .mark_area(opacity=0.22)
        .encode(x=x, y="p50_low:Q", y2="p50_high:Q", color=colour),
        _chart(rows)
        .mark_area(opacity=0.13)
        .encode(x=x, y="p95_low:Q", y2="p95_high:Q", color=colour),
        _chart(rows).mark_line(strokeDash=[4, 3]).encode(x=x, y="p95:Q", color=colour),
        _chart(rows).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        *(
            _chart(rows)
            .mark_point(filled=True, size=size, opacity=1, aria=True)
            .encode(x=x, y=f"{name}:Q", color=colour, **_SAYS)
            for name, size in (("p50", 45), ("p95", 20))
        ),
        *(
            _chart(last)
            .mark_text(align="left", dx=8, text=name, color=COLOURS["muted"])
            .encode(x=x, y=f"{name}:Q")
            for name in ("p50", "p95")
        ),
        *_limits(map, metric, top, per),
    ]
    return _styled(layers, width=350, height=250)


def _latency_row(point: Point, metric: str, per: float) -> dict[str, Any]:
    found = point.metrics[metric]
    row: dict[str, Any] = {"load": load_value(point)}
    for name, value in (("p50", found.p50), ("p95", found.p95)):
        low, high = found.ci95.get(name, (value, value))
        row[name] = value and value * per
        row[f"{name}_low"], row[f"{name}_high"] = low and low * per, high and high * per
    row["says"] = said_of(point)
    return row


def _limits(map: Map, metric: str, top: float, per: float) -> list[alt.Chart]:
    """The SLO's clauses about a metric. A limit far above what was measured is said, not drawn: it
    would press everything else to the floor."""
    clauses = [clause for clause in parse_slo(map.slo).clauses if clause.metric == metric]
    near = [{"limit": c.limit * per, "says": str(c)} for c in clauses if c.limit <= 2.0 * top]
    far = [f"{clause}: above this chart" for clause in clauses if clause.limit > 2.0 * top]
    rules = _chart(near)
    return [
        rules.mark_rule(color=COLOURS["good"], strokeWidth=1.5, aria=True).encode(
            y="limit:Q", **_SAYS
        ),
        rules.mark_text(align="left", baseline="bottom", dx=2, dy=-3, color=COLOURS["good"]).encode(
            x=alt.value(0), y="limit:Q", text="says:N"
        ),
        _chart([{"says": "; ".join(far)}] if far else [])
        .mark_text(align="left", baseline="bottom", dx=2, color=COLOURS["good"])
        .encode(x=alt.value(0), y=alt.value(-3), text="says:N"),
    ]


def throughput_chart(map: Map) -> alt.LayerChart:
    """Everybody's tokens against load, with its interval."""
    return _against_load(
        _measured_at_loads(map),
        "throughput, tokens/s",
        lambda point: (point.throughput.output_tokens_per_s, point.throughput.ci95),
    )


def cost_chart(map: Map) -> alt.LayerChart | None:
    """What 1,000 good requests cost against load; None where no price is known."""
    points = [p for p in _measured_at_loads(map) if p.cost and p.cost.usd_per_good_request]
    if not points:
        return None
    return _against_load(
        points,
        "1,000 good requests, $",
        lambda point: (1000 * ((point.cost and point.cost.usd_per_good_request) or 0.0), None),
    )


def _against_load(
    points: Sequence[Point],
    title: str,
    value: Callable[[Point], tuple[float | None, Interval | None]],
) -> alt.LayerChart:
    """A value with its interval against load."""
    names = target_names(points)
    rows = [
        {
            "load": load_value(point),
            "target": names[target_line(point)],
            "rate": rate,
            "low": (interval or (None, None))[0],
            "high": (interval or (None, None))[1],
            "says": said_of(point),
        }
        for point in points
        for rate, interval in [value(point)]
        if rate is not None
    ]
    x, colour = _load_axis(points), _colour(points)
    layers = [
        _chart(rows)
        .mark_area(opacity=0.22)
        .encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=colour),
        _chart(rows)
        .mark_line(strokeWidth=2)
        .encode(x=x, y=alt.Y("rate:Q", title=title), color=colour),
        _chart(rows)
        .mark_point(filled=True, size=45, opacity=1, aria=True)
        .encode(x=x, y="rate:Q", color=colour, **_SAYS),
    ]
    return _styled(layers, width=350, height=250)


def _measured_at_loads(map: Map) -> list[Point]:
    return [point for point in in_order(map.points) if not point.bent]


def _load_axis(points: Sequence[Point]) -> alt.X:
    """Closed loops double from level to level, so their axis does too."""
    loads = sorted({load_value(point) for point in points})
    if all(isinstance(point.load, Closed) for point in points):
        title, scale = "requests at a time", alt.Scale(type="log", base=2, nice=False)
    elif all(isinstance(point.load, Open) for point in points):
        title, scale = "requests a second", alt.Scale(zero=False)
    else:
        title, scale = "load: at a time, or a second", alt.Scale(zero=False)
    axis = alt.Axis(values=loads, grid=False, labelOverlap="greedy", format="~g")
    return alt.X("load:Q", title=title, scale=scale, axis=axis)


# --- the streams of one run ----------------------------------------------------------------------


class Slice(NamedTuple):
    """A stretch of a run that a swim-lane has room for."""

    start: float
    end: float
    records: list[Record]
    lanes: list[int]


def slice_of(records: Sequence[Record], window: tuple[float, float] | None) -> Slice:
    """From a little before the window's start (or from the run's), as long as single tokens can be
    told apart, but at least two typical requests; and no more than a page can hold."""
    sent = sorted(
        (r for r in records if r.sent_first is not None), key=lambda r: (r.sent_first or 0.0, r.id)
    )
    if not sent:
        return Slice(0.0, 1.0, [], [])
    lengths = [_over(record) - record.due for record in sent]
    between = [gap for record in sent for gap in gaps(record)]
    span = max(2.0 * median(lengths), _TOKENS_ACROSS * median(between or [0.0])) or 1.0
    start = max(window[0] - 0.04 * span, 0.0) if window else min(record.due for record in sent)
    end = min(start + span, max(map(_over, sent)))
    shown: list[tuple[Record, int]] = []
    tokens = 0
    for record, lane in zip(sent, _lanes(sent), strict=True):
        if _over(record) <= start or record.due >= end:
            continue
        tokens += len(record.chunks)
        if len(shown) == _MOST_REQUESTS or (shown and tokens > _MOST_TOKENS):
            end = record.due
            break
        shown.append((record, lane))
    return Slice(start, end, [record for record, _ in shown], [lane for _, lane in shown])


def swim_lane(records: Sequence[Record], window: tuple[float, float] | None) -> alt.LayerChart:
    """When each request of a run was due and sent, its first token, its tokens. A lane is a place
    in the batch: the next request takes the first that is free."""
    shown = slice_of(records, window)
    count = max(shown.lanes, default=0) + 1
    step = min(max(360 / count, 7.0), 24.0)
    bars, ticks, failures = _swimmers(shown)
    x = alt.X(
        "from:Q",
        title="seconds from the start of the run; "
        f"{len(shown.records)} of its {len(records)} requests",
        scale=alt.Scale(domain=[shown.start, shown.end], nice=False),
        axis=alt.Axis(grid=False),
    )
    y = alt.Y("lane:Q", scale=alt.Scale(domain=[0, count], nice=False, reverse=True), axis=None)
    shade = [{"from": window[0], "to": window[1]}] if window else []
    layers = [
        _chart(shade)
        .mark_rect(color=COLOURS["rule"], opacity=0.5, clip=True)
        .encode(x=x, x2="to:Q"),
        _chart(bars)
        .mark_rect(clip=True, aria=True)
        .encode(
            x=x,
            x2="to:Q",
            y=y,
            y2="bottom:Q",
            color=alt.Color(
                "part:N",
                title=None,
                scale=alt.Scale(
                    domain=["not sent yet", "waits for its first token", "streams", "failed"],
                    range=[COLOURS[name] for name in ("held", "wait", "stream", "bad")],
                ),
                legend=alt.Legend(orient="top", symbolType="square"),
            ),
            **_SAYS,
        ),
        # one path for each request, with a stroke for each token: thousands of marks would make
        # the file many times as large
        _chart(ticks)
        .transform_flatten(["at"])
        .transform_flatten(["tick"])
        .mark_line(
            strokeWidth=0.8,
            color=COLOURS["accent"],
            invalid="break-paths-filter-domains",
            aria=False,
            clip=True,
        )
        .encode(x="at:Q", y="tick:Q", detail="id:N", order=alt.value(0)),
        _chart(failures)
        .mark_point(
            shape=_CROSS,
            size=50,
            strokeWidth=2,
            stroke=COLOURS["bad"],
            opacity=1,
            clip=True,
            aria=True,
        )
        .encode(x="at:Q", y="tick:Q", **_SAYS),
    ]
    return _styled(layers, width=1100, height=90 + step * count)


def _lanes(records: Sequence[Record]) -> list[int]:
    """The first lane that is free for each of the records, which are as they were sent."""
    free_at: list[float] = []
    lanes = []
    for record in records:
        start, end = min(record.due, record.sent_first or record.due), _over(record)
        lane = next((n for n, free in enumerate(free_at) if free <= start), len(free_at))
        if lane == len(free_at):
            free_at.append(end)
        free_at[lane] = end
        lanes.append(lane)
    return lanes


def _over(record: Record) -> float:
    seen = [chunk.at for chunk in record.chunks]
    return max(record.closed_at or 0.0, *seen, record.sent_first or record.due)


def _swimmers(shown: Slice) -> tuple[Rows, Rows, Rows]:
    """The bars, the strokes for tokens, and the crosses of failures."""
    bars: Rows = []
    ticks: Rows = []
    failures: Rows = []
    for record, lane in zip(shown.records, shown.lanes, strict=True):
        tokens = [chunk for chunk in record.chunks if chunk.is_token]
        sent, end = record.sent_first or record.due, _over(record)
        first = tokens[0].at if tokens else end
        last = tokens[-1].at if tokens else end
        parts = [
            ("not sent yet", record.due, sent),
            ("waits for its first token", sent, first),
            ("failed" if record.error else "streams", first, max(last, end)),
        ]
        says = _said_of_stream(record)
        bars += [
            {
                "from": a,
                "to": b,
                "lane": lane + 0.12,
                "bottom": lane + 0.88,
                "part": p,
                "says": says,
            }
            for p, a, b in parts
            if b > a
        ]
        stroke = [lane + 0.2, lane + 0.8, None]
        ticks.append({"id": record.id, "at": [chunk.at for chunk in tokens], "tick": stroke})
        if record.error is not None:
            failures.append({"at": end, "tick": lane + 0.5, "says": says})
    return bars, ticks, failures


def _said_of_stream(record: Record) -> str:
    tokens = [chunk for chunk in record.chunks if chunk.is_token]
    lines = [
        f"request {record.id}, sent at {figure(record.sent_first)} s",
        f"first token after {spoken(ttft(record))}",
        f"{len(tokens)} token events, over at {figure(_over(record))} s",
    ]
    if record.error is not None:
        lines.append(f"failed: {record.error.kind}: {record.error.text}")
    return "\n".join(map(printable, lines))


# --- all of them, and as files -------------------------------------------------------------------


def charts(
    map: Map,
    records: Mapping[str, Sequence[Record]],
    manifests: Mapping[str, Manifest] | None = None,
) -> dict[str, alt.LayerChart]:
    """Every chart of a map by a name that can be a file's, each with a title of its own."""
    app = map.app or "latok"
    found = {"frontier": frontier_chart(map).properties(title=f"{app}: the frontier")}
    for metric in latency_metrics(map):
        found[metric] = latency_chart(map, metric).properties(title=f"{app}: {metric} against load")
    found["throughput"] = throughput_chart(map).properties(title=f"{app}: throughput against load")
    if (cost := cost_chart(map)) is not None:
        found["cost"] = cost.properties(title=f"{app}: 1,000 good requests against load")
    for point in map.points:
        if point.id in records:
            manifest = (manifests or {}).get(point.id)
            chart = swim_lane(records[point.id], manifest.window if manifest else None)
            found[f"streams-{point.id}"] = chart.properties(title=f"{app}: streams, {point.load}")
    return found


def to_svg(chart: alt.LayerChart) -> str:
    """Rendered here, without a browser or a network."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_dict()))


def to_png(chart: alt.LayerChart, *, scale: float = 2.0) -> bytes:
    """For slides and mail; `scale` 2 is sharp on a dense screen."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_dict(), scale=scale))


def _chart(rows: Iterable[Mapping[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def _colour(points: Sequence[Point]) -> alt.Color:
    """A colour for each target, and a legend where there are several."""
    names = list(target_names(points).values())
    palette = [_TARGETS[n % len(_TARGETS)] for n in range(len(names))]
    legend = alt.Legend(orient="top", columns=1, symbolType="circle", symbolOpacity=1)
    return alt.Color(
        "target:N",
        title=None,
        scale=alt.Scale(domain=names, range=palette),
        legend=legend if len(names) > 1 else None,
    )


def _styled(layers: Sequence[alt.Chart], *, width: float, height: float) -> alt.LayerChart:
    """Sizes are of the whole chart, so that charts side by side line up."""
    muted, rule = COLOURS["muted"], COLOURS["rule"]
    return alt.LayerChart(
        layer=list(layers),
        width=width,
        height=height,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        config=alt.Config(
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
        ),
    )
