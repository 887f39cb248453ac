"""A map and a capacity in the terminal; and how numbers are written, here and in the HTML report.

Percentiles come first, then how many requests they are from. Nothing is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from rich.console import Console, ConsoleOptions
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from latok.analysis.capacity import Capacity, Rate, Slots
from latok.analysis.cost import dollars
from latok.analysis.frontier import Advice, Map
from latok.analysis.point import Interval, Point
from latok.records import Closed, Owned, Prices

# --- numbers -------------------------------------------------------------------------------------

UNKNOWN = "–"


def figure(value: float | None) -> str:
    """Three digits that count, two below 1: 0.021, 5.61, 41.2, 212, 1,430."""
    if value is None:
        return UNKNOWN
    if abs(value) < 1e-3:
        return "<0.001" if value else "0"
    size = math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, 2 - size) if size >= 0 else 1 - size}f}"


def milliseconds(seconds: float | None) -> str:
    """Without the unit, which stands over the column."""
    return UNKNOWN if seconds is None else figure(seconds * 1e3)


def spoken(seconds: float | None) -> str:
    """Seconds as a person would write them."""
    if seconds is None:
        return UNKNOWN
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            return f"{figure(seconds / size)} {unit}"
    return "0"


def share(part: float | None) -> str:
    """Percent, rounded down: 99.96 % is not everything."""
    return UNKNOWN if part is None else f"{math.floor(part * 1000 + 1e-9) / 10:g} %"


def spread(interval: Interval | None, scale: float = 1.0) -> str:
    """A 95 % interval, times `scale`; empty where there is none."""
    return (
        "" if interval is None else f"{figure(interval[0] * scale)}–{figure(interval[1] * scale)}"
    )


def between(interval: Interval | None) -> str:
    """A 95 % interval of a share."""
    return "–".join(map(share, interval)) if interval else UNKNOWN


def price_line(prices: Prices) -> str:
    """A price in words."""
    if isinstance(prices, Owned):
        return f"{dollars(prices.usd_per_hour)} an hour for own hardware"
    said = [
        f"{dollars(rate.usd_per_million_input)} in, {dollars(rate.usd_per_million_cached)} cached, "
        f"{dollars(rate.usd_per_million_output)} out"
        + (f" above {rate.above_input_tokens:,} tokens" if rate.above_input_tokens else "")
        for rate in prices.rates
    ]
    fee = f", {dollars(prices.usd_per_request)} a request" if prices.usd_per_request else ""
    return f"{'; '.join(said)} per million tokens{fee} ({prices.source})"


def printable(text: str) -> str:
    """Names come from servers: nothing in them may steer the terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def target_line(point: Point) -> str:
    """The target in full. Where an engine listens is left out: it may have been started anew."""
    target = point.target
    return printable(f"{target.model} ({target.name})" if target.name else target.model)


def target_names(points: Sequence[Point]) -> dict[str, str]:
    """By `target_line`, what to call each target: the shortest that tells them apart."""
    targets = {target_line(point): point.target for point in points}
    every = targets.values()
    # of one engine with levers turned, these: `openvino`, `kv_cache=u4`
    turned = [t.name.partition(" ")[2] if "=" in t.name else t.name for t in every]
    for spelled in (turned, [t.name for t in every], [t.model for t in every]):
        if all(spelled) and len(set(spelled)) == len(targets):
            return dict(zip(targets, map(printable, spelled), strict=True))
    return {line: line for line in targets}


def load_value(point: Point) -> float:
    """The load as a number: at a time, or a second."""
    return point.load.concurrency if isinstance(point.load, Closed) else point.load.rate


def in_order(points: Sequence[Point]) -> list[Point]:
    """Target by target as they were given, and each from the lightest load up."""
    targets = list(target_names(points))
    return sorted(
        points,
        key=lambda p: (targets.index(target_line(p)), type(p.load).__name__, load_value(p)),
    )


def client_error(point: Point, metric: str = "ttft") -> float | None:
    """The largest bound on what the client did to the metric's quantiles, seconds."""
    return max(point.instrument.error_s.get(metric, {}).values(), default=None)


_MET = {True: "✓", False: "✗", None: "?"}
_MET_WORDS = {True: "met", False: "missed", None: "undecided"}


def met_sign(met: bool | None) -> str:
    """For a table's narrow column."""
    return _MET[met]


def met_word(met: bool | None) -> str:
    """`undecided`: the interval of the share holds what the clause asks."""
    return _MET_WORDS[met]


# --- the table of points -------------------------------------------------------------------------


class _Column(NamedTuple):
    """`keep`: the higher, the later it is dropped where the terminal is narrow."""

    heading: str
    cells: list[str]
    keep: int
    left: bool = False

    @property
    def width(self) -> int:
        return max(len(line) for cell in (self.heading, *self.cells) for line in cell.split("\n"))


class PointTable:
    """The table, with as many of its columns as the terminal has room for."""

    def __init__(
        self,
        points: Sequence[Point],
        *,
        on_frontier: Sequence[str],
        knee: str | None = None,
        advised: str | None = None,
        inferior: Set[str] = frozenset(),
    ) -> None:
        self.points = in_order(points)
        self.on_frontier, self.knee, self.advised = frozenset(on_frontier), knee, advised
        self.inferior = inferior

    def marks(self, point: Point) -> str:
        return "".join(
            (
                "★" if point.id == self.advised else " ",
                "◆" if point.id == self.knee else " ",
                self._place(point),
            )
        )

    def _place(self, point: Point) -> str:
        if point.bent:
            return "✗"
        if point.id in self.inferior:
            return "○"
        return "●" if point.id in self.on_frontier else " "

    def legend(self) -> str:
        """What the signs in the table mean; only those that are there."""
        told = {
            "★": "advised",
            "◆": "knee",
            "●": "frontier",
            "○": "worse answers",
            "✗": "invalid: bent by the client",
        }
        seen = set("".join(map(self.marks, self.points)))
        words = [f"{mark} {word}" for mark, word in told.items() if mark in seen]
        verdicts = {point.goodput.met for point in self.points if point.goodput.clauses}
        words += [f"{_MET[met]} SLO {met_word(met)}" for met in _MET_WORDS if met in verdicts]
        if any(p.metrics[m].p95 is None for p in self.points for m in ("ttft", "tpot")):
            words.append(f"{UNKNOWN} too few requests to tell")
        return "   ".join(words)

    def _columns(self) -> list[_Column]:
        points = self.points
        metrics = [point.metrics for point in points]
        names = target_names(points)
        closed = all(isinstance(point.load, Closed) for point in points)
        load = (
            _Column("load\nat a time", [f"{load_value(p):g}" for p in points], 9)
            if closed
            else _Column("load", [str(p.load) for p in points], 9, left=True)
        )
        columns = [
            _Column("", [self.marks(p) for p in points], 9, left=True),
            load,
            _Column("requests\n(failed)", [_requests(p) for p in points], 3),
            _Column("ttft\np50 ms", [milliseconds(m["ttft"].p50) for m in metrics], 9),
            _Column("ttft\np95 ms", [milliseconds(m["ttft"].p95) for m in metrics], 6),
            _Column("tpot\np50 ms", [milliseconds(m["tpot"].p50) for m in metrics], 7),
            _Column("tpot\np95 ms", [milliseconds(m["tpot"].p95) for m in metrics], 4),
            _Column("speed\ntok/s", [figure(m["speed"].p50) for m in metrics], 8),
            _Column("throughput\ntok/s", [throughput(p) for p in points], 9),
            _Column("SLO", [_slo(p) for p in points], 9),
            _Column("right", [right(p) for p in points], 8),
            _Column("$ per 1,000\ngood", [good_thousand(p) for p in points], 8),
            _Column("client\n± ms", [milliseconds(client_error(p)) for p in points], 2),
        ]
        if all(point.quality is None for point in points):
            columns = [column for column in columns if column.heading != "right"]
        if all(point.cost is None for point in points):
            columns = [column for column in columns if not column.heading.startswith("$")]
        if len(names) > 1:
            cells = [names[target_line(point)] for point in points]
            columns.insert(1, _Column("target", cells, 9, left=True))
        return columns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        columns = self._columns()
        while sum(column.width + 2 for column in columns) > options.max_width:
            least = min(columns, key=lambda column: column.keep)
            if least.keep == 9:
                break
            columns.remove(least)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in columns:
            table.add_column(
                Text(column.heading), justify="left" if column.left else "right", no_wrap=True
            )
        for row, point in enumerate(self.points):
            style = "bold" if point.id == self.advised else "dim" if point.bent else ""
            table.add_row(*(Text(column.cells[row]) for column in columns), style=style)
        yield table


def _requests(point: Point) -> str:
    counts = point.counts
    return f"{counts.ok} ({counts.failed})" if counts.failed else f"{counts.ok}"


def throughput(point: Point) -> str:
    """Tokens per second, with their interval."""
    rate, interval = point.throughput.output_tokens_per_s, point.throughput.ci95
    return f"{figure(rate)} ({spread(interval)})" if interval else figure(rate)


def right(point: Point) -> str:
    """How good the answers were."""
    return UNKNOWN if point.quality is None else share(point.quality.accuracy)


def good_thousand(point: Point) -> str:
    """What 1,000 good requests cost, without the sign, which stands over the column."""
    each = point.cost.usd_per_good_request if point.cost else None
    return UNKNOWN if each is None else dollars(1000 * each).removeprefix("$")


def _slo(point: Point) -> str:
    if not point.goodput.clauses:
        return UNKNOWN
    return f"{share(point.goodput.attainment)} {_MET[point.goodput.met]}"


# --- a map ---------------------------------------------------------------------------------------


def bullet(text: str) -> Padding:
    """One of several sentences."""
    line = Table.grid(padding=(0, 1))
    line.add_row(Text("·"), Text(printable(text)))
    return Padding(line, (0, 0, 0, 2))


def print_map(map: Map, console: Console) -> None:
    """The points, then what they say: the advice, why measuring stopped, where the report is."""
    console.print(Text(title(map), style="bold"))
    if map.slo:
        console.print(Text(f"SLO {map.slo}"))
    console.print()
    table = PointTable(
        map.points,
        on_frontier=map.frontier,
        knee=map.knee,
        advised=map.advice.point,
        inferior=map.inferior,
    )
    console.print(table)
    console.print(Text(table.legend(), style="dim"))
    console.print()
    advised, reasons = headline(map.advice)
    console.print(Text(printable(advised), style="bold"))
    console.print(Text(printable(reasons)))
    for sentence in map.advice.levers:
        console.print(bullet(sentence))
    console.print()
    for line in map_lines(map):
        console.print(Text(line))
    if map.stopped:
        console.print(Text(f"Measured no further: {printable(map.stopped)}."))
    for note in map.notes:
        console.print(Text(f"Note: {printable(note)}."))
    if map.report:
        console.print(Text(f"Report: {printable(map.report)}"), soft_wrap=True)


def map_lines(map: Map) -> list[str]:
    """The knee and the saturation, with their intervals."""
    lines = []
    bend = next((point for point in map.points if point.id == map.knee), None)
    if bend is not None and map.knee_ci is not None:
        low, high = map.knee_ci
        lines.append(f"Knee: {bend.load} (95 %: {low:g} to {high:g}).")
    if map.saturation is not None:
        found = map.saturation
        lines.append(
            f"Saturation: {figure(found.output_tokens_per_s)} tokens/s (95 %: "
            f"{figure(found.ci95[0])} to {figure(found.ci95[1])})."
        )
    return lines


def headline(advice: Advice) -> tuple[str, str]:
    """The advice's first sentence, and the rest."""
    first, stop, rest = advice.text.partition(". ")
    return first + stop.strip(), rest


def title(map: Map) -> str:
    """Which app on which targets."""
    return f"{map.app} on {whereon(map)}" if map.points else map.app


def whereon(map: Map) -> str:
    """The targets as they are, and with how many settings."""
    turned = {id for each in map.settings for id in each.points}
    said = " and ".join(target_names([p for p in map.points if p.id not in turned]))
    many = len(map.settings)
    return f"{said}, and {many} setting{'s' * (many > 1)} of levers" if many else said


# --- a capacity --------------------------------------------------------------------------------


def print_capacity(found: Capacity, console: Console) -> None:
    """The two answers, what to keep free, and the points that they come from."""
    console.print(Text(printable(f"Capacity for {found.app} on {found.target}"), style="bold"))
    console.print(Text(f"SLO {found.slo}"))
    console.print()
    for line in capacity_lines(found):
        console.print(Text(printable(line)))
    console.print()
    table = PointTable(found.points, on_frontier=())
    console.print(table)
    console.print(Text(table.legend(), style="dim"))
    for note in found.notes:
        console.print(Text(f"Note: {printable(note)}."))


def capacity_lines(found: Capacity) -> list[str]:
    """A sentence for each loop, and one for the headroom."""
    lines = []
    if found.closed is not None:
        said = _limit(found.closed.concurrency, found.closed.ci95, "at a time")
        lines.append(f"Closed loop: {said}; {_why(found.closed)}.")
    if found.open is not None:
        said = _limit(found.open.rate, found.open.ci95, f"a second ({found.open.arrivals})")
        lines.append(f"Open loop: {said}; {_why(found.open)}.")
    if found.headroom and found.headroom > 0.005 and found.open is not None:
        kept = found.open.rate * (1.0 - found.headroom)
        lines.append(
            f"Headroom: {share(found.headroom)}. Its arrivals are burstier than those that were "
            f"sent; {figure(kept)} a second keeps the wait as it was found."
        )
    return lines or ["Nothing valid was measured."]


def _limit(value: float, interval: tuple[float, float | None], unit: str) -> str:
    low, high = interval
    slots = unit == "at a time"
    if high is None:
        said = (str(value), str(low)) if slots else (figure(value), figure(low))
        return f"about {said[0]} {unit} (95 %: {said[1]} or more)"
    if not high:
        return "none"
    if slots:
        return f"{value} {unit} (95 %: {low} to {high})"
    return f"{figure(value)} {unit} (95 %: {figure(low)} to {figure(high)})"


def _why(found: Slots | Rate) -> str:
    if found.ci95[1] is None:
        return found.stopped
    return f"then {found.tightest} is missed ({found.stopped})"
