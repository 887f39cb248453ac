"""How a run went: latencies by when requests were sent, how many were in flight, tokens/s."""

from __future__ import annotations

import altair as alt
import numpy as np
from numpy.typing import NDArray

from latok.analysis.counters import Counters
from latok.analysis.course import OVER_TIME, Course
from latok.analysis.stats import Floats
from latok.report.charts.draw import COLOURS, CROSS, SAYS, Chart, Rows, marks, stacked
from latok.report.text import figure, spoken

_WIDTH = 1010
_AXIS = 64  # of every panel, so that they line up
_NAMES = {"ttft": "time to first token", "tpot": "time per token"}


def course_chart(course: Course, counters: Counters | None = None) -> Chart:
    """Panels over the same seconds: what the client saw, and what the server counted meanwhile. The
    part that counts is shaded; the window around it, where warming up or draining was cut off, is
    framed by dashes; failed requests are crosses."""
    end = float(course.edges[-1])
    panels: list[tuple[str, float, list[alt.Chart]]] = []
    for name in OVER_TIME:
        if name in course.dots:
            panels.append(_latency(course, name, end))
    if panels:
        panels[0][2].extend(_crosses(course, end))
    flying, rate = course.in_flight, course.tokens_per_s
    panels.append(("requests in flight", 60, _steps(course, flying, end, "in flight")))
    counted = _counted(course, counters, end) if counters is not None else []
    last = not counted
    panels.append(("output tokens/s", 70, _steps(course, rate, end, "tokens/s", last=last)))
    return stacked([*panels, *counted], width=_WIDTH)


def _x(end: float, last: bool = False) -> alt.X:
    return alt.X(
        "at:Q",
        title="seconds from the start of the run" if last else None,
        scale=alt.Scale(domain=[0.0, end], nice=False),
        axis=alt.Axis(grid=False, labels=last, ticks=last, tickCount=12),
    )


def _y(field: str, ticks: int, top: float) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        scale=alt.Scale(domain=[0.0, top or 1.0], nice=True),
        axis=alt.Axis(tickCount=ticks, minExtent=_AXIS, maxExtent=_AXIS),
    )


def _shades(course: Course, end: float, last: bool = False) -> list[alt.Chart]:
    x = _x(end, last)
    steady = [{"at": course.steady[0], "to": course.steady[1]}] if course.steady else []
    edges = [{"at": at} for at in course.window or () if at not in (course.steady or ())]
    return [
        marks(steady).mark_rect(color=COLOURS["rule"], opacity=0.5).encode(x=x, x2="to:Q"),
        marks(edges)
        .mark_rule(color=COLOURS["muted"], strokeDash=[3, 3], strokeWidth=1)
        .encode(x=x),
    ]


def _latency(course: Course, name: str, end: float) -> tuple[str, float, list[alt.Chart]]:
    """Single requests as dots (one path: a stroke without length has round ends), the median as a
    line, failures along the top."""
    dots = course.dots[name]
    # what happened while it warmed up or drained must not press the rest to the floor
    counts = dots.values[_inside(course, dots.at)]
    highest = float((counts if len(counts) else dots.values).max())
    unit, per = ("s", 1.0) if highest >= 5.0 else ("ms", 1e3)
    edge = 1.08 * highest
    x, y = _x(end), _y("value:Q", 4, edge * per)
    places: Rows = []
    for at, value in zip(dots.at.tolist(), dots.values.clip(max=edge).tolist(), strict=True):
        places += [{"at": at, "value": value * per}] * 2 + [{"at": at, "value": None}]
    middle = [
        {"at": at, "value": min(value, edge) * per}
        for start, stop, value in dots.middle
        for at in (start, stop)
    ]
    speaking = [
        {
            "at": (start + stop) / 2,
            "value": min(value, edge) * per,
            "says": f"{figure(start)} to {figure(stop)} s\nmedian of {name} {spoken(value)}",
        }
        for start, stop, value in dots.middle
    ]
    layers = [
        *_shades(course, end),
        marks(places)
        .mark_line(
            strokeWidth=3 if len(dots.at) > 60 else 5,
            strokeCap="round",
            opacity=0.55,
            color=COLOURS["accent"],
            invalid="break-paths-filter-domains",
            clip=True,
        )
        .encode(x=x, y=y, order=alt.value(0)),
        marks(middle)
        .mark_line(strokeWidth=1.5, color=COLOURS["ink"])
        .encode(x=x, y=y, order=alt.value(0)),
        marks(speaking)
        .mark_point(size=60, opacity=0, filled=True, aria=True)
        .encode(x=x, y=y, **SAYS),
    ]
    drawn = "" if len(dots.at) == dots.of else f"; {len(dots.at):,} of {dots.of:,} drawn"
    higher = int((dots.values > highest).sum())
    outside = f"; {higher} outside of what counts were higher, at the edge" if higher else ""
    return f"{_NAMES[name]}, {unit}{drawn}{outside}", 110, layers


def _crosses(course: Course, end: float) -> list[alt.Chart]:
    rows = [
        {
            "at": each.sent,
            "says": f"request {each.id} failed: {each.why}\nsent at {figure(each.sent)} s, over at "
            f"{figure(each.over)} s",
        }
        for each in course.failed
    ]
    return [
        marks(rows)
        .mark_point(
            shape=CROSS, size=40, strokeWidth=2, stroke=COLOURS["bad"], opacity=1, aria=True
        )
        .encode(x=_x(end), y=alt.value(6), **SAYS)
    ]


def _steps(
    course: Course, values: Floats, end: float, what: str, *, last: bool = False
) -> list[alt.Chart]:
    x = _x(end, last)
    y = _y("value:Q", 3, 1.08 * float(values.max(initial=0.0)))
    rows = [
        {"at": at, "value": value}
        for at, value in zip(course.edges.tolist(), [*values.tolist(), values[-1]], strict=True)
    ]
    says = f"{what}: mean {figure(_mean(course, values))} in the part that counts"
    return [
        *_shades(course, end, last),
        marks([row | {"says": says} for row in rows])
        .mark_area(
            interpolate="step-after",
            color=COLOURS["accent"],
            fillOpacity=0.18,
            line=False,
            aria=True,
        )
        .encode(x=x, y=y, **SAYS),
        marks(rows)
        .mark_line(interpolate="step-after", strokeWidth=1.3, color=COLOURS["accent"])
        .encode(x=x, y=y, order=alt.value(0)),
    ]


# What a server counts: names of a Moment drawn in one panel, and what each is.
_COUNTED: tuple[tuple[str, dict[str, str]], ...] = (
    ("requests in the server", {"running": "running", "waiting": "waiting"}),
    ("attention cache in use, %", {"kv": "in use"}),
    ("found in the prefix cache, %", {"prefix_hits": "found"}),
    ("preemptions so far", {"preemptions": "preemptions"}),
)
_PERCENT = ("kv", "prefix_hits")


def _counted(
    course: Course, counters: Counters, end: float
) -> list[tuple[str, float, list[alt.Chart]]]:
    """A panel for each quantity that the server counts and that was ever other than nothing."""
    found = []
    for heading, names in _COUNTED:
        rows: Rows = []
        for name, words in names.items():
            per = 100.0 if name in _PERCENT else 1.0
            seen = [(m.at, v) for m in counters.moments if (v := getattr(m, name)) is not None]
            rows += [
                {"at": at, "value": value * per, "what": words}
                for at, value in seen
                if 0.0 <= at <= end
            ]
        if any(row["value"] > 0.0 for row in rows):
            found.append((f"{heading} ({counters.server})", rows))
    return [
        (heading, 70, _levels(course, rows, end, last=n == len(found) - 1))
        for n, (heading, rows) in enumerate(found)
    ]


def _levels(course: Course, rows: Rows, end: float, *, last: bool) -> list[alt.Chart]:
    """Gauges as they were looked at, once a second. The first is a full line, the second dashed,
    and each is named at its last point."""
    names = list(dict.fromkeys(row["what"] for row in rows))
    x, y = _x(end, last), _y("value:Q", 3, 1.08 * max(row["value"] for row in rows))
    layers = _shades(course, end, last)
    for n, name in enumerate(names):
        mine = [row for row in rows if row["what"] == name]
        says = f"{name}: {figure(min(r['value'] for r in mine))} to " + figure(
            max(r["value"] for r in mine)
        )
        colour = COLOURS[("accent", "queue")[n]]
        line = marks([row | {"says": says} for row in mine])
        layers += [
            line.mark_line(
                interpolate="step-after",
                strokeWidth=1.5,
                strokeDash=[5, 2] if n else [1, 0],
                color=colour,
            ).encode(x=x, y=y, order=alt.value(0)),
            line.mark_point(size=18, filled=True, opacity=1, color=colour, aria=True).encode(
                x=x, y=y, **SAYS
            ),
        ]
        if len(names) > 1:
            layers.append(
                marks([max(mine, key=lambda row: row["value"])])
                .mark_text(align="left", baseline="bottom", dx=5, dy=-2, color=colour, text=name)
                .encode(x=x, y=y)
            )
    return layers


def _mean(course: Course, values: Floats) -> float | None:
    inside = _inside(course, (course.edges[:-1] + course.edges[1:]) / 2)
    return float(values[inside].mean()) if inside.any() else None


def _inside(course: Course, at: Floats) -> NDArray[np.bool_]:
    """Which times are in the part that counts."""
    start, end = course.steady or (0.0, 0.0)
    return (at >= start) & (at < end)
