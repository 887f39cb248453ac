"""The HTML report: one file that needs nothing from elsewhere.

The charts are drawn here and are part of the page as SVG, so it shows everything without a script,
prints sharply, and may forbid itself every connection (its Content-Security-Policy). The script
only says on hover what a mark says to a screen reader anyway, and copies the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import altair as alt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.records import Manifest, Record
from latok.report import charts, text

WORDS = {
    "load": "How many requests are held in flight at a time (closed loop: the next is sent when "
    "one is done), or how many are sent a second however long they take (open loop).",
    "requests": "Requests that were sent in the window and succeeded; those that failed in "
    "brackets. Failed requests count against the SLO, not into the percentiles.",
    "window": "The steady part of the run, after the ramp and before the drain. Requests belong to "
    "it by when they were sent, tokens by when they arrived.",
    "ttft": "Time to first token: from sending the request, on a connection that is open and warm, "
    "to the first event with a generated token. Connect and TLS are not in it.",
    "ttft_user": "Time to first token from when the request was due, so that waiting for a slot "
    "counts.",
    "ttfv": "Time to the first token that a user sees; what comes before it, beyond ttft, is "
    "thinking.",
    "ttfb": "Time to the response's headers, from sending.",
    "tpot": "Time per output token after the first event, for each request: (last − first) ÷ (N − "
    "tokens in the first event), with N as the server counts it.",
    "gap": "Time between two neighbouring token events, over all requests: what the user sees as "
    "smoothness. An SLO judges a request by its longest gap.",
    "e2e": "From sending to the last token.",
    "e2e_close": "From sending to the end of the stream.",
    "speed": "1 ÷ tpot: how many tokens a second one user gets once the answer has begun. More is "
    "better, so its bad tail is the 5th percentile.",
    "throughput": "Output tokens that arrived in the window, from all users together, per second.",
    "SLO": "What the app asks. A clause such as ttft.p95<400ms is met when at least 95 % of the "
    "requests offered stay below 400 ms; met and missed are said only where the interval of that "
    "share leaves no doubt. The percentage is of requests that keep all limits at once.",
    "interval": "95 % interval, by bootstrap over blocks of time, because neighbouring requests "
    "are alike.",
    "client": "The most by which latok itself may have moved the number: every event is moved to "
    "the ends of its doubt and the quantile is taken again.",
    "lag": "From a packet's arrival in the kernel to our reading it. With kernel time stamps it "
    "does not enter the numbers; a client without them would have been wrong by it.",
    "lateness": "How long after its due time a request was sent.",
    "shared": "Events that arrived in one read together with others; the earlier of them carry a "
    "doubt.",
    "frontier": "The points that no other point beats on both axes.",
    "knee": "The point of the frontier after which a little more throughput costs much more "
    "latency: the farthest from the line between its ends.",
    "headroom": "How much the load may still grow before the SLO, or the end of what was measured.",
    "goodput": "Requests per second that keep every limit of the SLO.",
    "cost": "What 1,000 good requests cost in US dollars: all that was paid in the window (hosted "
    "models by the token, own hardware by the hour) over the requests that keep every limit of "
    "the SLO.",
}

NAMES = {
    "ttft": "Time to first token",
    "ttft_user": "First token from when due",
    "ttfv": "Time to first visible token",
    "tpot": "Time per token",
    "gap": "Gap between tokens",
    "e2e": "Whole answer",
    "e2e_close": "Whole stream",
    "ttfb": "Response headers",
    "throughput": "Throughput",
    "cost": "1,000 good requests",
}

CHECKS = {
    "littles_law": "Little’s law: mean in flight = rate × mean time",
    "offered_load": "the load asked for is the load sent",
    "token_counts": "tokens asked are tokens got, within 2 %",
    "cache_regime": "a prefix cache knew of the prompts what the regime says",
    "steady": "latencies and throughput kept their level in the window",
}

# For dark screens; the names are those of `charts.COLOURS`, which are for light ones.
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
}


def report_html(
    maps: Sequence[Map],
    *,
    records: Mapping[str, Sequence[Record]],
    manifests: Mapping[str, Manifest],
) -> str:
    """The whole page, a section for each map. `records`: of the runs whose streams are to be drawn,
    by the point's id, may be empty; `manifests` likewise, of all runs."""
    page = Environment(
        loader=PackageLoader("latok.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {
        "ms": text.milliseconds,
        "figure": text.figure,
        "spoken": text.spoken,
        "share": text.share,
        "spread": text.spread,
        "met": text.met_word,
        "good_thousand": text.good_thousand,
    }
    sections = [
        _Section(
            n,
            map,
            _figures(n, map, records, manifests),
            _asked(map, manifests),
            _commands(map, manifests),
        )
        for n, map in enumerate(maps)
    ]
    return page.get_template("report.html").render(
        sections=sections,
        words=WORDS,
        names=NAMES,
        checks=CHECKS,
        light=charts.COLOURS,
        dark=DARK,
        title=" · ".join(dict.fromkeys(text.title(map) for map in maps)) or "nothing was measured",
        versions=_versions(manifests),
        client_error=text.client_error,
        load_value=text.load_value,
        target_line=text.target_line,
    )


class _Figure(NamedTuple):
    """`about`: which point's streams it shows, None for a chart of the whole map."""

    name: str
    svg: Markup
    about: Point | None = None


class _Section(NamedTuple):
    """One map, as the template wants it."""

    place: int
    map: Map
    figures: dict[str, _Figure]
    asked: list[tuple[str, str]]
    commands: list[str]

    @property
    def points(self) -> list[Point]:
        return text.in_order(self.map.points)

    @property
    def targets(self) -> dict[str, str]:
        return text.target_names(self.points)

    @property
    def headline(self) -> tuple[str, str]:
        return text.headline(self.map.advice)

    @property
    def chosen(self) -> tuple[str, Point] | None:
        """The point whose numbers lead the page, and why it."""
        wanted = [("advised", self.map.advice.point), ("at the knee", self.map.knee)]
        wanted += [("the fastest for one user", id) for id in self.map.frontier[:1]]
        by_id = {point.id: point for point in self.points}
        return next(((why, by_id[id]) for why, id in wanted if id in by_id), None)

    @property
    def streams(self) -> list[_Figure]:
        return [figure for figure in self.figures.values() if figure.about is not None]

    @property
    def latencies(self) -> list[_Figure]:
        """The small charts against load."""
        return [f for f in self.figures.values() if f.about is None and f.name != "frontier"]

    @property
    def clauses(self) -> list[str]:
        return [found.clause for found in self.points[0].goodput.clauses] if self.points else []

    @property
    def priced(self) -> bool:
        """Whether any point's cost is known."""
        return any(point.cost for point in self.points)

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


def _figures(
    place: int,
    map: Map,
    records: Mapping[str, Sequence[Record]],
    manifests: Mapping[str, Manifest],
) -> dict[str, _Figure]:
    drawn: dict[str, tuple[alt.LayerChart, Point | None]] = {}
    if map.points:
        drawn["frontier"] = charts.frontier_chart(map), None
        for metric in charts.latency_metrics(map):
            drawn[metric] = charts.latency_chart(map, metric), None
        drawn["throughput"] = charts.throughput_chart(map), None
        if (cost := charts.cost_chart(map)) is not None:
            drawn["cost"] = cost, None
    for point in map.points:
        if records.get(point.id):
            manifest = manifests.get(point.id)
            window = manifest.window if manifest else None
            drawn[f"streams-{point.id}"] = charts.swim_lane(records[point.id], window), point
    return {
        name: _Figure(name, _part_of_page(charts.to_svg(chart), f"c{place}-{n}-"), about)
        for n, (name, (chart, about)) in enumerate(drawn.items())
    }


def _part_of_page(svg: str, prefix: str) -> Markup:
    """The chart in the page's colours, which change with the screen, and with ids of its own."""
    for name, colour in charts.COLOURS.items():
        svg = svg.replace(f'"{colour}"', f'"var(--{name})"')
    svg = re.sub(r'\bid="(\w+)"', rf'id="{prefix}\1"', svg)
    return Markup(re.sub(r"url\(#(\w+)\)", rf"url(#{prefix}\1)", svg))  # vl-convert has escaped it


def _asked(map: Map, manifests: Mapping[str, Manifest]) -> list[tuple[str, str]]:
    """What was asked, of what, how: each thing once, however many runs say it."""
    said: dict[str, dict[str, None]] = {}

    def say(label: str, value: Any) -> None:
        if value not in ("", None):
            said.setdefault(label, {})[str(value)] = None

    for point in text.in_order(map.points):
        target = point.target
        say("target", target.name)
        say("model", target.model)
        say("at", target.url)
        say("speaks", target.dialect)
        say("server", target.server)
        say("price", point.cost and text.price_line(point.cost.prices))
        for name, value in point.levers.items():
            say(f"lever {name}", value)
    say("app", map.app)
    say("SLO", map.slo)
    runs = [manifests[point.id] for point in map.points if point.id in manifests]
    for run in runs:
        for name, value in run.workload.items():
            say(name.replace("_", " "), value)
        say("seed", run.seed)
        say("sent by", f"{run.processes} process" + ("es" if run.processes > 1 else ""))
    if runs:
        started = datetime.fromtimestamp(min(run.started_at for run in runs), UTC)
        say("started", f"{started:%Y-%m-%d %H:%M} UTC")
    for point in map.points:
        say("tokens counted by", point.token_source)
    return [(label, ", ".join(values)) for label, values in said.items()]


def _commands(map: Map, manifests: Mapping[str, Manifest]) -> list[str]:
    """What to type to measure it again: the map's command, or those of the runs put together."""
    if map.command:
        return [map.command]
    runs = [manifests[point.id] for point in map.points if point.id in manifests]
    return list(dict.fromkeys(run.command for run in runs if run.command))


def _versions(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    found: dict[str, dict[str, None]] = {}
    for manifest in manifests.values():
        for name, version in manifest.versions.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}
