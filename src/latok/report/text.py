"""A map and a point in the terminal; and how numbers are written, here and in the HTML report.

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
from latok.analysis.point import Interval, Point, Users
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
            _Column("throughput\ntok/s", [_throughput(p) for p in points], 9),
            _Column("SLO", [_slo(p) for p in points], 9),
            _Column("$ per 1,000\ngood", [good_thousand(p) for p in points], 8),
            _Column("client\n± ms", [milliseconds(client_error(p)) for p in points], 2),
        ]
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


def _throughput(point: Point) -> str:
    rate, interval = point.throughput.output_tokens_per_s, point.throughput.ci95
    return f"{figure(rate)} ({spread(interval)})" if interval else figure(rate)


def good_thousand(point: Point) -> str:
    """What 1,000 good requests cost, without the sign, which stands over the column."""
    each = point.cost.usd_per_good_request if point.cost else None
    return UNKNOWN if each is None else dollars(1000 * each).removeprefix("$")


def _slo(point: Point) -> str:
    if not point.goodput.clauses:
        return UNKNOWN
    return f"{share(point.goodput.attainment)} {_MET[point.goodput.met]}"


# --- a map ---------------------------------------------------------------------------------------


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
        console.print(_bullet(sentence))
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


def _bullet(text: str) -> Padding:
    line = Table.grid(padding=(0, 1))
    line.add_row(Text("·"), Text(printable(text)))
    return Padding(line, (0, 0, 0, 2))


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


# --- one point -----------------------------------------------------------------------------------

# `speed` has its bad tail at the low end, so it gets a line of its own.
_LATENCIES = ("ttft", "ttft_user", "ttfv", "ttfb", "tpot", "gap", "e2e", "e2e_close")


def point_line(point: Point) -> str:
    """A finished point in one line, for a log."""
    metrics, counts = point.metrics, point.counts
    parts = [
        f"ttft {spoken(metrics['ttft'].p50)} (p95 {spoken(metrics['ttft'].p95)})",
        f"tpot {spoken(metrics['tpot'].p50)} (p95 {spoken(metrics['tpot'].p95)})",
        f"speed {figure(metrics['speed'].p50)} tok/s",
        f"throughput {_throughput(point)} tok/s",
        f"{counts.ok} requests" + (f", {counts.failed} failed" if counts.failed else ""),
    ]
    if point.goodput.clauses:
        met = met_word(point.goodput.met)
        parts.append(f"{share(point.goodput.attainment)} within SLO ({met})")
    if point.bent:
        parts.append(f"INVALID: {'; '.join(point.instrument.why)}")
    return printable(f"{point.load}: {', '.join(parts)}")


def print_point(point: Point, console: Console) -> None:
    """Everything that one run says."""
    console.print(Text(f"{point.load} on {target_line(point)}", style="bold"))
    console.print(Text(_counted(point)))
    console.print()
    console.print(_latencies(point))
    console.print()
    lines = [_speed_line(point), _throughput_line(point), _tokens_line(point)]
    for line in (*lines, *_cost_lines(point), *_energy_lines(point)):
        console.print(Text(line))
    if point.goodput.clauses:
        console.print()
        console.print(_clauses(point))
    if point.users is not None:
        console.print()
        for line in _users(point, point.users):
            console.print(Text(line))
    console.print()
    console.print(_checks(point))
    console.print()
    console.print(Text(_verdict(point), style="bold" if point.bent else ""))
    for why in point.instrument.why:
        console.print(_bullet(why))
    if point.instrument.verdict != "unknown":
        console.print(Text(_client(point), style="dim"))
    if point.run:
        console.print(Text(f"Run: {printable(point.run)}"), soft_wrap=True)


def _counted(point: Point) -> str:
    counts = point.counts
    said = f"{counts.offered} requests in a window of {spoken(point.throughput.window_s)}"
    said += f": {counts.ok} ok, {counts.failed} failed, {counts.unfinished} unfinished"
    if counts.cancelled:
        said += f", {counts.cancelled} cancelled by their clients"
    kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(point.errors.items()))
    ended = f"; ended because {point.ended_by}" if point.ended_by else ""
    return printable((f"{said} ({kinds})" if kinds else said) + ended)


def _latencies(point: Point) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("ms")
    for heading in ("p50", "95 % interval", "p95", "p99", "n", "effective", "client ±"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in _LATENCIES:
        found = point.metrics[name]
        bent = " ✗" if name in point.instrument.bent else ""
        table.add_row(
            name,
            milliseconds(found.p50),
            spread(found.ci95.get("p50"), 1e3) or UNKNOWN,
            milliseconds(found.p95),
            milliseconds(found.p99),
            f"{found.n:,}",
            UNKNOWN if found.ess is None else f"{found.ess:,.0f}",
            milliseconds(client_error(point, name)) + bent,
        )
    if any(point.metrics[name].p99 is None for name in _LATENCIES):
        table.caption = f"{UNKNOWN} too few to tell: a p95 asks for 20, a p99 for 100"
        table.caption_justify = "left"
    return table


def _speed_line(point: Point) -> str:
    found = point.metrics["speed"]
    slow = f", the slowest 5 % below {figure(found.p5)}" if found.p5 is not None else ""
    return f"speed       {figure(found.p50)} tok/s for one user{slow}"


def _throughput_line(point: Point) -> str:
    found = point.throughput
    return (
        f"throughput  {_throughput(point)} tok/s out, {figure(found.input_tokens_per_s)} in, "
        f"{figure(found.requests_per_s)} requests/s"
    )


def _tokens_line(point: Point) -> str:
    got = {name: figure(value) for name, value in point.tokens.items()}
    return (
        f"tokens      mean {got['input']} in (asked {got['input_asked']}), {got['output']} out "
        f"(asked {got['output_asked']}), counted by {printable(point.token_source)}"
    )


def _cost_lines(point: Point) -> list[str]:
    found = point.cost
    if found is None:
        return []
    per_million = (
        f"per million tokens {dollars(found.usd_per_million_tokens)} "
        f"({dollars(found.usd_per_million_input_tokens)} in, "
        f"{dollars(found.usd_per_million_output_tokens)} out)"
    )
    if isinstance(found.prices, Owned):
        per_million = (
            f"per million tokens {dollars(found.usd_per_million_tokens)}, "
            f"of output alone {dollars(found.usd_per_million_output_tokens)}"
        )
    return [
        f"cost        {dollars(_thousand(found.usd_per_good_request))} for 1,000 good requests, "
        f"{dollars(_thousand(found.usd_per_request))} for any 1,000; {per_million}",
        f"price       {printable(price_line(found.prices))}",
    ]


def _thousand(usd: float | None) -> float | None:
    return None if usd is None else 1000 * usd


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


def _energy_lines(point: Point) -> list[str]:
    found = point.energy
    if found is None:
        return []
    return [
        f"energy      {figure(found.joules_per_token)} J a token "
        f"({figure(found.joules_per_output_token)} of output alone), "
        f"{figure(found.joules_per_good_request)} J a good request, {figure(found.mean_w)} W, "
        f"by {printable(found.source)}"
    ]


def _clauses(point: Point) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("SLO", "share", "95 % interval", ""):
        table.add_column(heading, justify="left" if heading in ("SLO", "") else "right")
    for found in point.goodput.clauses:
        table.add_row(
            found.clause,
            share(found.share),
            _between(found.ci95),
            f"{_MET[found.met]} {met_word(found.met)}",
        )
    goodput = point.goodput
    table.add_row(
        "all at once",
        share(goodput.attainment),
        _between(goodput.ci95),
        f"{_MET[goodput.met]} {met_word(goodput.met)}; "
        f"goodput {figure(goodput.requests_per_s)} requests/s",
    )
    return table


def _users(point: Point, users: Users) -> Iterator[str]:
    """What people saw, beside what the server did."""
    if users.waits is not None:
        stalled = point.metrics["stall"].mean
        yield (
            f"readers     {share(users.waits)} ever wait ({_between(users.waits_ci95)}) at "
            f"{users.reading:g} tok/s, {share(stalled)} of the time"
        )
    if users.on_time is not None:
        yield (
            f"deadlines   {share(users.on_time)} had each token by its time "
            f"({_between(users.on_time_ci95)})"
        )
    firsts = [
        f"first {what} {spoken(found.p50)} (p95 {spoken(found.p95)})"
        for what in ("sentence", "line")
        if (found := point.metrics[f"first_{what}"]).n
    ]
    if firsts:
        yield f"shown       {', '.join(firsts)}"


def _between(interval: Interval | None) -> str:
    return "–".join(map(share, interval)) if interval else UNKNOWN


def _checks(point: Point) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for check in point.checks:
        sign = {True: "✓", False: "✗", None: UNKNOWN}[check.ok]
        table.add_row(sign, check.name, Text(printable(check.detail)))
    return table


def _verdict(point: Point) -> str:
    if point.instrument.verdict == "unknown":
        return "Another tool measured this; its client's error is not known."
    if point.valid:
        return "Valid: the client did not bend the numbers."
    return "INVALID: the client itself may have bent the numbers."


def _client(point: Point) -> str:
    """What the instrument was doing."""
    found = point.instrument
    lag = f"{spoken(found.lag_s.get('p50'))} (p99 {spoken(found.lag_s.get('p99'))})"
    stamps = "kernel time stamps" if found.kernel_stamps else "no kernel time stamps"
    return (
        f"{stamps}; read {lag} after arrival; {found.coalesced} of {found.chunks} events shared "
        f"a read; {figure(found.client_cpu_s)} s of CPU"
    )
