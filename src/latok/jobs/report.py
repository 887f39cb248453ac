"""Reports and charts of what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latok.analysis.frontier import AXES, Map, frontier, knee, knee_interval, saturation
from latok.analysis.point import Point
from latok.decide.advise import advise
from latok.errors import UsageError
from latok.jobs.map import REPORT, read_maps
from latok.jobs.runs import home, kind, read_point, read_run, write_beside
from latok.records import Manifest, Record, read_manifest


def write_report(folders: Sequence[Path], out: Path | None) -> Path:
    """One HTML file of maps and runs; by default beside the first. Returns its path."""
    from latok.report.html import report_html

    maps = _maps(folders)
    path = out or folders[0] / REPORT
    records, manifests = _shown(maps, folders)
    html = report_html(maps, records=records, manifests=manifests)
    write_beside(path, html.encode())
    return path


def write_charts(folders: Sequence[Path], into: Path) -> list[Path]:
    """Each chart as PNG and SVG. Returns the paths. Raises UsageError if `into` cannot be made."""
    from latok.report.charts import charts, to_png, to_svg

    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise UsageError(f"cannot make the folder {into}: {why.strerror}") from None
    paths = []
    maps = _maps(folders)
    records, manifests = _shown(maps, folders)
    for each in maps:
        mine = {p.id: records[p.id] for p in each.points if p.id in records}
        for name, chart in charts(each, mine, manifests).items():
            stem = f"{each.app}-{name}" if len(maps) > 1 else name
            for suffix, data in ((".svg", to_svg(chart).encode()), (".png", to_png(chart))):
                write_beside(into / (stem + suffix), data)
                paths.append(into / (stem + suffix))
    return paths


def _maps(folders: Sequence[Path]) -> list[Map]:
    """The maps in the folders; runs among them make maps of their own, one for each app."""
    maps: list[Map] = []
    points: list[Point] = []
    for folder in folders:
        if kind(folder) == "map":
            maps += read_maps(folder)
        else:
            points.append(read_point(folder))
    for app in dict.fromkeys(point.app for point in points):
        maps.append(_of([point for point in points if point.app == app]))
    return maps


def _of(points: list[Point]) -> Map:
    best = frontier(points)
    bend = knee(best)
    return Map(
        app=points[0].app,
        slo=points[0].goodput.slo,
        axes=AXES,
        points=tuple(points),
        frontier=tuple(p.id for p in best),
        knee=bend.id if bend else None,
        knee_ci=knee_interval(points),
        saturation=saturation(points),
        advice=advise(points[0].app, points),
        stopped="these are the runs that were named",
    )


def _shown(
    maps: Sequence[Map], folders: Sequence[Path]
) -> tuple[dict[str, list[Record]], dict[str, Manifest]]:
    """All manifests, and the streams worth a look: those of each map's advised point."""
    records, manifests = {}, {}
    for each in maps:
        for point in each.points:
            run = home(point, folders)
            if run is None:  # another tool's, which has no records, or a run that was deleted
                continue
            manifests[point.id] = read_manifest(run)
            if point.id == each.advice.point:
                manifests[point.id], records[point.id] = read_run(run)
    return records, manifests
