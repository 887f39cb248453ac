"""The frontier: one user's speed against everybody's throughput; and what is sure of it."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import altair as alt

from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.decide.advise import stands
from latok.report.charts.draw import (
    COLOURS,
    CROSS,
    HALF,
    RING,
    SAYS,
    Rows,
    by_load,
    marks,
    said_of,
    styled,
    target_colour,
)
from latok.report.text import figure, in_order, load_value, target_line, target_names

SLO_WORDS = {True: "meets the SLO", None: "too few requests to decide", False: "misses the SLO"}


def frontier_chart(
    map: Map, *, capacity: tuple[float, float] | None = None, narrow: bool = False
) -> alt.LayerChart:
    """One user's speed against everybody's throughput; up and to the right is better.

    `capacity`: between which loads of a lone target the SLO ceases to be met. `narrow`: for a
    telephone.
    """
    points = [p for p in in_order(map.points) if _speed(p) and p.throughput.output_tokens_per_s]
    names = target_names(points)
    rows = [_frontier_row(point, map) | {"target": names[target_line(point)]} for point in points]
    # a load that was held more than once is named once
    named = {(row["target"], row["loop"], row["label"]): row for row in rows}.values()
    valid = [row for row in rows if row["valid"]]
    sound = [row for row in valid if not row["inferior"]]
    inferior = [row for row in valid if row["inferior"]]
    x = alt.X(
        "speed:Q",
        title="one user's speed, tokens/s (p50)",
        axis=alt.Axis(grid=False, tickCount=4 if narrow else 8),
    )
    y = alt.Y("throughput:Q", title="throughput, tokens/s", axis=alt.Axis(tickCount=6))
    several = len(names) > 1
    colour = target_colour(points)
    layers: list[alt.Chart] = []
    if not several:
        layers += _region(valid)
    layers += [*_saturation(map), *_knee_interval(map, valid, x, y)]
    if capacity is not None:
        layers += _between_loads(valid, capacity, "capacity", x, y)
    layers += [
        *(
            marks(by_load(group, "speed", "throughput"))
            .mark_line(strokeWidth=1.5, opacity=0.5 if several else 0.25, strokeDash=dash)
            .encode(x=x, y=y, color=colour, detail="loop:N", order="load:Q")
            for group, dash in ((sound, [1, 0]), (inferior, [3, 4]))
        ),
        marks([row for row in valid if row["frontier"]])
        .mark_line(color=COLOURS["muted"] if several else COLOURS["accent"], strokeWidth=2.5)
        .encode(x=x, y=y, order="speed:Q"),
        marks(valid)
        .mark_rule(strokeWidth=1, opacity=0.6)
        .encode(x="speed_low:Q", x2="speed_high:Q", y=y, color=colour),
        marks(valid)
        .mark_rule(strokeWidth=1, opacity=0.6)
        .encode(x=x, y="throughput_low:Q", y2="throughput_high:Q", color=colour),
        marks(valid)
        .mark_point(filled=True, opacity=1, color=COLOURS["paper"])
        .encode(x=x, y=y, size=_SIZE),
        marks([row for row in rows if row["advised"]])
        .mark_point(size=520, strokeWidth=2, color=COLOURS["accent"], opacity=1)
        .encode(x=x, y=y),
        marks([row for row in rows if row["knee"]])
        .mark_point(shape="diamond", size=420, strokeWidth=1.5, color=COLOURS["ink"], opacity=1)
        .encode(x=x, y=y),
        marks([row for row in rows if not row["valid"]])
        .mark_point(
            shape=CROSS, size=70, strokeWidth=2, stroke=COLOURS["muted"], opacity=1, aria=True
        )
        .encode(x=x, y=y, **SAYS),
        # hollow: what they win in speed is paid in answers
        marks(inferior)
        .mark_point(shape="square", filled=False, size=90, strokeWidth=2, opacity=1, aria=True)
        .encode(x=x, y=y, color=colour, **SAYS),
        marks(sound)
        .mark_point(filled=True, opacity=1, aria=True)
        .encode(
            x=x,
            y=y,
            size=_SIZE,
            color=colour,
            shape=alt.Shape(
                "slo:N",
                scale=alt.Scale(domain=list(SLO_WORDS.values()), range=["circle", HALF, RING]),
                legend=alt.Legend(
                    title=None,
                    orient="bottom",
                    columns=1 if narrow else 3,
                    columnPadding=30,
                    symbolFillColor=COLOURS["muted"],
                    symbolStrokeWidth=0,
                )
                if map.slo
                else None,
            ),
            **SAYS,
        ),
        *(
            marks([row for row in named if row["ringed"] is ringed])
            .mark_text(align="left", dx=dx, dy=-10, fontSize=12, color=COLOURS["ink"])
            .encode(x=x, y=y, text="label:N")
            for ringed, dx in ((True, 14), (False, 9))
        ),
    ]
    width, height = (350, 420) if narrow else (720, 450)
    return styled(layers, width=width, height=height)


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
        "loop": type(point.load).__name__,
        "stands": stands(point),
        "slo": SLO_WORDS[point.goodput.met],
        "valid": not point.bent,
        "inferior": point.id in map.inferior,
        "frontier": point.id in map.frontier,
        "advised": advised,
        "knee": knee,
        "ringed": advised or knee,
        "label": " · ".join(names),
        "says": said_of(point) + ("\nworse answers" if point.id in map.inferior else ""),
    }


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
    base = marks({"from": low, "to": high} for low, high in runs)
    return [
        base.mark_rect(color=COLOURS["good"], opacity=0.09).encode(x="from:Q", x2="to:Q"),
        base.mark_text(
            text="within the SLO", align="right", baseline="top", dx=-8, color=COLOURS["good"]
        ).encode(x="to:Q", y=alt.value(8)),
    ]


# --- how sure ------------------------------------------------------------------------------------


def _saturation(map: Map) -> list[alt.Chart]:
    """The most that any load brought, as a line within its interval."""
    if map.saturation is None:
        return []
    value, (low, high) = map.saturation.output_tokens_per_s, map.saturation.ci95
    says = f"saturation {figure(value)} tokens/s\n95 %: {figure(low)} to {figure(high)}"
    base = marks([{"y": value, "low": low, "high": high, "says": says}])
    return [
        base.mark_rect(color=COLOURS["rule"], opacity=0.55).encode(y="low:Q", y2="high:Q"),
        base.mark_rule(color=COLOURS["muted"], strokeDash=[2, 3], aria=True).encode(
            y="y:Q", **SAYS
        ),
        base.mark_text(
            text="saturation", align="right", baseline="top", dx=-6, dy=3, color=COLOURS["muted"]
        ).encode(x=alt.value("width"), y="low:Q"),
    ]


def _knee_interval(map: Map, rows: Rows, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The stretch of the knee's own target on which it lies."""
    bend = next((row for row in rows if row["knee"]), None)
    if bend is None or map.knee_ci is None or map.knee_ci[0] == map.knee_ci[1]:
        return []
    own = [row for row in rows if row["target"] == bend["target"]]
    return _between_loads(own, map.knee_ci, "knee", x, y)


def _between_loads(
    rows: Rows, loads: tuple[float, float], what: str, x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    """A stretch of the line through a target's points, from one load to another."""
    places = stretch(rows, *loads)
    low, high = loads
    upto = f"between {low:g} and {high:g}" if math.isfinite(high) else f"{low:g} or more"
    says = f"{what}: {upto}, 95 %"
    colour, width = (COLOURS["ink"], 9) if what == "knee" else (COLOURS["good"], 13)
    line = marks([place | {"says": says} for place in places])
    return [
        line.mark_line(
            color=colour, strokeWidth=width, opacity=0.28, strokeCap="round", aria=True
        ).encode(x=x, y=y, order="load:Q", **SAYS)
    ]


def stretch(rows: Rows, low: float, high: float) -> Rows:
    """The line through the points, cut at two loads (between them in the logarithm of the load);
    nothing where it does not reach."""
    ordered = sorted(by_load(rows, "speed", "throughput"), key=lambda row: row["load"])
    if not ordered or high < ordered[0]["load"] or low > ordered[-1]["load"]:
        return []
    low, high = max(low, ordered[0]["load"]), min(high, ordered[-1]["load"])
    inside = [row for row in ordered if low < row["load"] < high]
    ends = [_at(ordered, load) for load in (low, high)]
    return [ends[0], *({n: row[n] for n in ends[0]} for row in inside), ends[1]]


def _at(ordered: Rows, load: float) -> dict[str, Any]:
    before = max((row for row in ordered if row["load"] <= load), key=lambda row: row["load"])
    after = next((row for row in ordered if row["load"] > load), before)
    part = 0.0
    if after is not before:
        part = math.log(load / before["load"]) / math.log(after["load"] / before["load"])
    place = {
        name: before[name] + part * (after[name] - before[name]) for name in ("speed", "throughput")
    }
    return {"load": load, **place}
