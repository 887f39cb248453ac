"""The charts of a report: one module for each thing that a reader asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from latok.analysis.course import Course
from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.report.charts.course import course_chart
from latok.report.charts.draw import COLOURS, Chart, ramp
from latok.report.charts.frontier import frontier_chart
from latok.report.charts.load import (
    attainment_chart,
    cost_chart,
    latency_chart,
    latency_metrics,
    speed_chart,
    throughput_chart,
)
from latok.report.charts.spread import Curve, spread_chart
from latok.report.charts.streams import Slice, swim_lane
from latok.report.text import in_order, load_value, target_line
from latok.workload.slo import parse_slo


def load_charts(map: Map) -> dict[str, Chart]:
    """What the load does, metric by metric."""
    found: dict[str, Chart] = {name: latency_chart(map, name) for name in latency_metrics(map)}
    found |= {"speed": speed_chart(map), "throughput": throughput_chart(map)}
    for name, chart in (("attainment", attainment_chart(map)), ("cost", cost_chart(map))):
        if chart is not None:
            found[name] = chart
    return found


def spread_charts(
    points: Sequence[Point], courses: Mapping[str, Course], lead: str | None
) -> dict[str, Chart]:
    """The distributions of one target's metrics, a curve for each load. `lead`: the point whose
    curve is the bold one."""
    colours = load_colours(points)
    drawn = [
        (p, courses[p.id], colours[p.id]) for p in points if p.id in colours and p.id in courses
    ]
    clauses = parse_slo(points[0].goodput.slo).clauses if points else ()
    found: dict[str, Chart] = {}
    for name in dict.fromkeys(name for _, course, _ in drawn for name in course.spread):
        curves = [
            Curve(f"{point.load}", colour, course.spread[name], point.id == lead)
            for point, course, colour in drawn
            if name in course.spread
        ]
        found[name] = spread_chart(curves, [c for c in clauses if c.metric == name])
    return found


def load_colours(points: Sequence[Point]) -> dict[str, str]:
    """By id the colour of each valid point of a target, from its lightest load to its heaviest."""
    loads = sorted({load_value(point) for point in points if not point.bent})
    colours = dict(zip(loads, ramp(len(loads)), strict=True))
    return {point.id: colours[load_value(point)] for point in points if not point.bent}


def charts(
    map: Map,
    courses: Mapping[str, Course],
    streams: Mapping[str, Slice],
) -> dict[str, Chart]:
    """Every chart of a map by a name that can be a file's, each with a title of its own."""
    app = map.app or "latok"
    found: dict[str, Chart] = {
        "frontier": frontier_chart(map).properties(title=f"{app}: the frontier")
    }
    for name, chart in load_charts(map).items():
        found[name] = chart.properties(title=f"{app}: {name} against load")
    for line, points in by_target(map).items():
        for name, chart in spread_charts(points, courses, map.advice.point).items():
            suffix = f"-{line}" if len(by_target(map)) > 1 else ""
            found[f"spread-{name}{suffix}"] = chart.properties(
                title=f"{app}: the share of requests within {name}"
            )
    for point in map.points:
        if point.id in courses:
            chart = course_chart(courses[point.id])
            found[f"run-{point.id}"] = chart.properties(title=f"{app}: the run, {point.load}")
        if point.id in streams:
            chart = swim_lane(streams[point.id])
            found[f"streams-{point.id}"] = chart.properties(title=f"{app}: streams, {point.load}")
    return found


def by_target(map: Map) -> dict[str, list[Point]]:
    """The points of each target, from the lightest load up."""
    found: dict[str, list[Point]] = {}
    for point in in_order(map.points):
        found.setdefault(target_line(point), []).append(point)
    return found


__all__ = ["COLOURS", "charts", "load_charts", "spread_charts"]
