"""Reports and charts of what is stored: maps, runs, capacities, comparisons, trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from latok.analysis.capacity import Capacity
from latok.analysis.course import course
from latok.analysis.evidence import Account
from latok.analysis.frontier import AXES, Map, frontier, knee, knee_interval, saturation
from latok.analysis.metrics import digest
from latok.analysis.point import Point
from latok.decide.advise import advise
from latok.errors import UsageError
from latok.jobs.account import account, made_of_probes, runs_within
from latok.jobs.capacity import read_capacities
from latok.jobs.map import REPORT, read_maps
from latok.jobs.runs import home, kind, opened_run, read_point, tells, write_beside
from latok.jobs.tried import stored_trial
from latok.jobs.versus import stored_versus, versus
from latok.records import Closed
from latok.report.text import target_line

if TYPE_CHECKING:
    from latok.report.sections import Chapter, Run


def write_report(folders: Sequence[Path], out: Path | None) -> Path:
    """One HTML file of maps, runs, capacities, comparisons, trials and explanations; by default
    beside the first. Returns its path."""
    from latok.report.html import report_html

    chapters = _chapters(folders)
    compared = [stored_versus(folder) for folder in folders if kind(folder) == "compare"]
    trials = [stored_trial(folder) for folder in folders if kind(folder) == "try"]
    runs = _runs([p for each in chapters for p in each.map.points], folders, _advised(chapters))
    runs |= _runs([p for each in compared for pair in each.points for p in pair], folders, ())
    runs |= _runs([p for each in trials for _, side in each.points for p in side], folders, ())
    accounts = _accounts(folders, chapters)
    html = report_html(chapters, runs=runs, versus=compared, trials=trials, accounts=accounts)
    path = out or folders[0] / REPORT
    write_beside(path, html.encode())
    return path


def write_account(found: Account) -> None:
    """The HTML report of an explanation, where it says."""
    from latok.report.html import report_html

    write_beside(Path(found.explanation.report), report_html(runs={}, accounts=[found]).encode())


def write_comparison(
    folders: Sequence[Path], out: Path | None, *, margin: float, any_model: bool
) -> Path:
    """One HTML file that judges each run or map against the first, or says why it cannot."""
    from latok.report.html import report_html

    if len(folders) < 2:
        raise UsageError("--compare: name two runs or maps, or more; the first is what they meet")
    base, *others = folders
    compared = [versus(base, each, margin=margin, any_model=any_model) for each in others]
    points = [point for each in compared for pair in each.points for point in pair]
    path = out or base / "comparison.html"
    html = report_html(runs=_runs(points, folders, ()), versus=compared)
    write_beside(path, html.encode())
    return path


def write_charts(folders: Sequence[Path], into: Path) -> list[Path]:
    """Each chart as PNG and SVG. Returns the paths. Raises UsageError if `into` cannot be made."""
    from latok.report.charts import charts
    from latok.report.charts.draw import to_png, to_svg

    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise UsageError(f"cannot make the folder {into}: {why.strerror}") from None
    paths = []
    chapters = _chapters(folders)
    runs = _runs([p for each in chapters for p in each.map.points], folders, _advised(chapters))
    courses = {id: run.course for id, run in runs.items()}
    streams = {id: run.streams for id, run in runs.items() if run.streams is not None}
    for each in chapters:
        for name, chart in charts(each.map, courses, streams).items():
            stem = f"{each.map.app}-{name}" if len(chapters) > 1 else name
            for suffix, data in ((".svg", to_svg(chart).encode()), (".png", to_png(chart))):
                write_beside(into / (stem + suffix), data)
                paths.append(into / (stem + suffix))
    return paths


def _chapters(folders: Sequence[Path]) -> list[Chapter]:
    """The maps in the folders; runs among them make maps of their own, one for each app, and a
    capacity makes one for each loop."""
    from latok.report.sections import Chapter

    found = [
        each for folder in folders if kind(folder) == "capacity" for each in read_capacities(folder)
    ]
    maps = [each for folder in folders if kind(folder) == "map" for each in read_maps(folder)]
    points = [
        read_point(folder)
        for folder in folders
        if kind(folder) == "run" and not made_of_probes(folder)
    ]
    for app in dict.fromkeys(point.app for point in points):
        maps.append(_of([p for p in points if p.app == app], "these are the runs that were named"))
    return [
        *(Chapter(each, _capacity_of(each, found)) for each in maps),
        *(Chapter(each, capacity) for capacity in found for each in _of_capacity(capacity)),
    ]


def _accounts(folders: Sequence[Path], chapters: Sequence[Chapter]) -> list[Account]:
    """Explanations that were asked for, and of each map's target those of its runs that tell."""
    found = [account(runs_within(each)) for each in folders if kind(each) == "explanation"]
    found += [account([each]) for each in folders if made_of_probes(each)]
    for each in chapters:
        targets: dict[str, list[Path]] = {}
        for point in each.map.points:
            place = home(point, folders)
            if place is not None and not point.bent and tells(point, place):
                targets.setdefault(target_line(point), []).append(place)
        advised = each.map.advice.point or ""
        found += [account(runs, advised, beside_floor=False) for runs in targets.values()]
    return found


def _capacity_of(map: Map, found: Sequence[Capacity]) -> Capacity | None:
    """The capacity of the map's one target, if it was searched for the same app and SLO."""
    targets = {point.target.name for point in map.points}
    asked = (map.app, map.slo)
    return next((c for c in found if {c.target} == targets and (c.app, c.slo) == asked), None)


def _of_capacity(capacity: Capacity) -> list[Map]:
    """Its points as maps: loads at a time and loads a second have no common axis."""
    loops = (
        ([p for p in capacity.points if isinstance(p.load, Closed)], capacity.closed),
        ([p for p in capacity.points if not isinstance(p.load, Closed)], capacity.open),
    )
    return [
        _of(points, limit.stopped if limit else "", capacity.notes, capacity.command)
        for points, limit in loops
        if points
    ]


def _of(points: list[Point], stopped: str, notes: tuple[str, ...] = (), command: str = "") -> Map:
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
        stopped=stopped,
        notes=notes,
        command=command,
    )


def _advised(chapters: Sequence[Chapter]) -> list[str]:
    """The points whose streams are worth a look."""
    return [each.map.advice.point for each in chapters if each.map.advice.point]


def _runs(
    points: Sequence[Point], folders: Sequence[Path], streams: Sequence[str]
) -> dict[str, Run]:
    """By id what a report draws of each run that is still there: not another tool's, which has no
    records, nor one that was deleted."""
    places = {point.id: home(point, folders) for point in points}
    return {id: _run(place, id in streams) for id, place in places.items() if place is not None}


def _run(place: Path, streams: bool) -> Run:
    """One run, which may be larger than memory."""
    from latok.report.charts.streams import slice_of
    from latok.report.sections import Run

    manifest, records = opened_run(place)
    requests = [digest(record) for record in records]
    shown = slice_of(requests, manifest.window) if streams else None
    return Run(manifest, course(manifest, requests), shown)
