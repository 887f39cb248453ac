"""What each part of the HTML page holds, as its template wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from markupsafe import Markup

from latok.analysis.capacity import Capacity, Rate, Slots
from latok.analysis.compare import Comparison
from latok.analysis.course import Course, Ecdf
from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.records import Closed, Manifest
from latok.report import charts, compare, text, trust
from latok.report.charts.capacity import hits_charts
from latok.report.charts.compare import forest_charts
from latok.report.charts.course import course_chart
from latok.report.charts.draw import COLOURS, Chart, target_colours, without_legend
from latok.report.charts.frontier import frontier_chart
from latok.report.charts.spread import Curve, spread_chart
from latok.report.charts.streams import Slice, swim_lane
from latok.report.drawing import Drawing, Figure, variable
from latok.report.words import CHECKS
from latok.workload.slo import parse_slo

# More runs than these are not drawn one by one; the tables have them all.
_MOST_RUNS = 24
_MOST_LOADS = 4  # of a comparison, whose distributions are drawn


class Run(NamedTuple):
    """A run as far as it can be read again: `course` is how it went, `streams` a stretch of it."""

    manifest: Manifest
    course: Course
    streams: Slice | None = None


class Chapter(NamedTuple):
    """A map to be shown, and the capacity of its target where that was searched."""

    map: Map
    capacity: Capacity | None = None


class Versus(NamedTuple):
    """Two sides to be shown: what was found, or why they are not comparable. `spread`: by load, the
    distributions of both. `points`: of both sides, A's first."""

    a: str
    b: str
    slo: str
    found: Comparison | None
    refused: str
    spread: Mapping[str, tuple[Mapping[str, Ecdf], Mapping[str, Ecdf]]]
    points: Sequence[tuple[Point, Point]]


class RunView(NamedTuple):
    """One run: why it is valid or not, and how it went."""

    title: str
    point: Point
    verdict: str
    reasons: list[trust.Reason]
    figure: Markup | None
    drawn: str
    open: bool


class MapSection:
    """One map."""

    def __init__(self, place: int, chapter: Chapter, runs: Mapping[str, Run]) -> None:
        map = chapter.map
        self.place, self.map, self.capacity = place, map, chapter.capacity
        self.points = text.in_order(map.points)
        self.targets = text.target_names(self.points)
        self.whereon = text.whereon(map)
        self._runs = {p.id: runs[p.id] for p in map.points if p.id in runs}
        draw = Drawing(f"c{place}")
        self.frontier: list[Markup] = []
        self.loads: list[Figure] = []
        self.several: list[tuple[str, str]] = []
        self.spreads: list[tuple[str, list[tuple[str, str]], list[Figure]]] = []
        if map.points:
            between = self._between
            self.frontier = [
                draw(frontier_chart(map, capacity=between, narrow=narrow))
                for narrow in (False, True)
            ]
            self.loads, self.several = self._loads(draw)
            self.spreads = self._spreads(draw)
        self.hits = draw.all(self._hits())
        self.streams = [
            (point, draw(swim_lane(found)))
            for point in self.points
            if point.id in self._runs and (found := self._runs[point.id].streams) is not None
        ]
        self.runs = run_views(
            [(self._name(point), point) for point in self.points],
            self._runs,
            draw,
            lead=self.chosen[1].id if self.chosen else None,
        )

    def _name(self, point: Point) -> str:
        target = self.targets[text.target_line(point)]
        return f"{target}, {point.load}" if len(self.targets) > 1 else f"{point.load}"

    def _loads(self, draw: Drawing) -> tuple[list[Figure], list[tuple[str, str]]]:
        """A chart for each metric, and of several targets their colours, once for all charts."""
        found = charts.load_charts(self.map)
        if len(self.targets) < 2:
            return draw.all(found), []
        bare = {name: without_legend(chart) for name, chart in found.items()}
        colours = target_colours(self.map.points)
        return draw.all(bare), [(name, variable(colour)) for name, colour in colours.items()]

    def _spreads(self, draw: Drawing) -> list[tuple[str, list[tuple[str, str]], list[Figure]]]:
        """For each target: its name, its loads with their colours, and a chart for each metric."""
        courses = {id: run.course for id, run in self._runs.items()}
        found = []
        for line, points in charts.by_target(self.map).items():
            drawn = draw.all(charts.spread_charts(points, courses, self.map.advice.point))
            colours = charts.load_colours([p for p in points if p.id in courses])
            legend = {f"{p.load}": colours[p.id] for p in points if p.id in colours}
            if drawn:
                named = [(load, variable(colour)) for load, colour in legend.items()]
                found.append((self.targets[line], named, drawn))
        return found

    # --- the capacity --------------------------------------------------------------------------

    @property
    def limit(self) -> Slots | Rate | None:
        """The capacity in the loop that this map is of."""
        if self.capacity is None or not self.points:
            return None
        closed = isinstance(self.points[0].load, Closed)
        return self.capacity.closed if closed else self.capacity.open

    @property
    def _between(self) -> tuple[float, float] | None:
        if self.limit is None or len(self.targets) > 1:
            return None
        low, high = self.limit.ci95
        return float(low), float("inf") if high is None else float(high)

    def _hits(self) -> Mapping[str, Chart]:
        """Only of the points by which it was searched: a map's windows are others."""
        found, capacity = self.limit, self.capacity
        if found is None or capacity is None or self.points[0].id not in _ids(capacity):
            return {}
        value = found.concurrency if isinstance(found, Slots) else found.rate
        return hits_charts(self.points, value, found.ci95, found.tightest)

    def _capacity_headline(self) -> tuple[str, str]:
        """What this loop bears, and why no more; of an open loop also what to keep free."""
        closed = isinstance(self.limit, Slots)
        lines = text.capacity_lines(self.capacity) if self.capacity is not None else []
        mine = [line for line in lines if line.startswith("Closed" if closed else "Open")]
        first, _, why = " ".join(mine).partition(": ")[2].partition("; ")
        rest = [f"{why[:1].upper()}{why[1:]}"]
        rest += [line for line in lines if line.startswith("Headroom") and not closed]
        return f"{first[:1].upper()}{first[1:]}.", " ".join(rest)

    # --- what is said --------------------------------------------------------------------------

    @property
    def headline(self) -> tuple[str, str]:
        if self.hits:
            return self._capacity_headline()
        return text.headline(self.map.advice)

    @property
    def chosen(self) -> tuple[str, Point] | None:
        """The point whose numbers lead the page, and why it."""
        wanted = [("advised", self.map.advice.point), ("at the knee", self.map.knee)]
        wanted += [("the fastest for one user", id) for id in self.map.frontier[:1]]
        by_id = {point.id: point for point in self.points}
        return next(((why, by_id[id]) for why, id in wanted if id in by_id), None)

    @property
    def clauses(self) -> list[str]:
        return [found.clause for found in self.points[0].goodput.clauses] if self.points else []

    @property
    def priced(self) -> bool:
        """Whether any point's cost is known."""
        return any(point.cost for point in self.points)

    @property
    def graded(self) -> list[Point]:
        """The points whose answers were graded."""
        return [point for point in self.points if point.quality]

    @property
    def tasks(self) -> list[str]:
        """What was graded, by the name of the task."""
        return sorted({task for p in self.graded if p.quality for task in p.quality.tasks})

    @property
    def worst_error(self) -> float | None:
        """Over the latencies that decide, what the client may have done at most."""
        found = [text.client_error(p, m) for p in self.points for m in ("ttft", "tpot", "e2e")]
        return max((error for error in found if error is not None), default=None)

    @property
    def invalid(self) -> list[Point]:
        return [point for point in self.points if point.bent]

    @property
    def laws(self) -> list[tuple[str, int, int]]:
        """Each law, in how many runs it holds, and in how many it does not."""
        found: dict[str, list[bool | None]] = {}
        for point in self.points:
            for check in point.checks:
                found.setdefault(CHECKS.get(check.name, check.name), []).append(check.ok)
        return [(law, said.count(True), said.count(False)) for law, said in found.items()]

    @property
    def broken(self) -> int:
        """How many times a run did not obey a law."""
        return sum(broken for _, _, broken in self.laws)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked, of what, how: each thing once, however many runs say it."""
        said: dict[str, dict[str, None]] = {}

        def say(label: str, value: Any) -> None:
            if value not in ("", None):
                said.setdefault(label, {})[str(value)] = None

        for point in self.points:
            target = point.target
            say("target", target.name)
            say("model", target.model)
            say("at", target.url)
            say("speaks", target.dialect)
            say("server", target.server)
            say("price", point.cost and text.price_line(point.cost.prices))
            for name, value in point.levers.items():
                say(f"lever {name}", value)
        say("app", self.map.app)
        say("SLO", self.map.slo)
        manifests = [run.manifest for run in self._runs.values()]
        for each in manifests:
            for name, value in each.workload.items():
                say(name.replace("_", " "), value)
            say("seed", each.seed)
            say("sent by", f"{each.processes} process" + ("es" if each.processes > 1 else ""))
        if manifests:
            started = datetime.fromtimestamp(min(each.started_at for each in manifests), UTC)
            say("started", f"{started:%Y-%m-%d %H:%M} UTC")
        for point in self.map.points:
            say("tokens counted by", point.token_source)
        return [(label, ", ".join(values)) for label, values in said.items()]

    @property
    def commands(self) -> list[str]:
        """What to type to measure it again: the map's command, or those of the runs together."""
        if self.map.command:
            return [self.map.command]
        commands = (run.manifest.command for run in self._runs.values())
        return list(dict.fromkeys(command for command in commands if command))


class VersusSection:
    """One comparison."""

    def __init__(self, place: int, versus: Versus, runs: Mapping[str, Run]) -> None:
        self.place, self.versus, self.found = place, versus, versus.found
        draw = Drawing(f"v{place}")
        self.forests: list[tuple[str, list[Figure]]] = []
        self.rows: list[tuple[str, ...]] = []
        self.headline, self.counted = "They are not comparable.", ""
        if self.found is not None:
            metrics, margin = self.found.metrics, self.found.margin
            self.forests = [
                ("broad", draw.all(forest_charts(metrics, margin))),
                ("narrow", draw.all(forest_charts(metrics, margin, narrow=True))),
            ]
            self.headline = compare.headline(self.found)
            self.counted = f"{compare.counted(self.found)}; the margin is {text.share(margin)}"
            self.rows = [compare.row(name, one) for name, one in self.found.metrics.items()]
        self.spreads = self._spreads(draw)
        named = [
            (f"{side}: {p.load}", p)
            for pair in versus.points
            for side, p in zip("AB", pair, strict=True)
        ]
        self.runs = run_views(named, runs, draw, lead=None)

    def _spreads(self, draw: Drawing) -> list[tuple[str, list[Figure]]]:
        """The distributions of both at each load; not of what is no comparison."""
        if self.found is None:
            return []
        clauses = parse_slo(self.versus.slo).clauses
        found = []
        for load, (ours, theirs) in list(self.versus.spread.items())[:_MOST_LOADS]:
            drawn: dict[str, Chart] = {
                name: spread_chart(
                    [
                        Curve("A", COLOURS["muted"], ours[name]),
                        Curve("B", COLOURS["accent"], theirs[name], lead=True),
                    ],
                    [clause for clause in clauses if clause.metric == name],
                )
                for name in ours
                if name in theirs
            }
            found.append((load, draw.all(drawn)))
        return found

    @property
    def refused(self) -> list[str]:
        """Why they are not comparable, reason by reason."""
        return self.versus.refused.removeprefix("not comparable: ").split("; ")

    @property
    def left_out(self) -> list[str]:
        """Loads whose distributions are not drawn."""
        return list(self.versus.spread)[_MOST_LOADS:]


def run_views(
    named: Sequence[tuple[str, Point]],
    runs: Mapping[str, Run],
    draw: Drawing,
    *,
    lead: str | None,
) -> list[RunView]:
    """The runs, each with its course where its records are still there. Open stand `lead` and those
    that something speaks against."""
    views: list[RunView] = []
    for title, point in named:
        reasons = trust.reasons(point)
        run = runs.get(point.id) if len(views) < _MOST_RUNS else None
        views.append(
            RunView(
                title,
                point,
                trust.verdict(point),
                reasons,
                draw(course_chart(run.course)) if run is not None else None,
                _drawn(run.course) if run is not None else "",
                point.id == lead or any(reason.ok is False for reason in reasons),
            )
        )
    return views


def _drawn(course: Course) -> str:
    """What of a run its chart leaves out."""
    parts = []
    thinned = [dots for dots in course.dots.values() if len(dots.at) < dots.of]
    if thinned:
        most = max(thinned, key=lambda dots: dots.of)
        parts.append(
            f"of {most.of:,} requests {len(most.at):,} are drawn, evenly thinned out but for the "
            "slowest, which are all there; the median is of all"
        )
    if course.failures > len(course.failed):
        parts.append(f"the first {len(course.failed)} of {course.failures:,} failures are marked")
    return "; ".join(parts)


def _ids(capacity: Capacity) -> set[str]:
    return {point.id for point in capacity.points}
