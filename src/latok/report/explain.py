"""An explanation in the terminal: shares against load, two waterfalls, what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from latok.analysis.counters import Counters
from latok.analysis.explain import AtLoad, Explanation, Finding, Waterfall
from latok.analysis.floor import Floor
from latok.analysis.point import Check
from latok.analysis.told import PARTS, Whole
from latok.report.inferred import laws_in_words
from latok.report.text import UNKNOWN, figure, milliseconds, printable, spoken

_BAR = 36  # characters of a whole
_NAME, _COLUMN = 26, 17  # characters of a table's first and of each other column
_FAR_MORE = 3.0  # times what a typical request could win: a slow one is then the news
_LEAST = 0.0005  # share of a whole below which a part is left out of a waterfall
WHOLE = {
    "ttft": "First token, from when it was wanted",
    "e2e": "Whole answer, from when it was wanted",
}
_GRADE = {
    "told": "as the server tells, request by request",
    "counters": "as the server's counters tell, means over all that it served",
    "inferred": "as inferred from outside",
}
_WHOLES: tuple[Whole, ...] = ("ttft", "e2e")


def print_explanation(found: Explanation, console: Console) -> None:
    """Shares at each load, a typical and a slow request at the operating point, then findings."""
    console.print(Text(printable(f"{of_what(found)}: where the latency goes"), style="bold"))
    console.print(Text(printable(known_how(found))))
    if found.loads:
        _print_loads(found, console)
    if found.inferred is not None:
        _say(console, "What it follows, and what that cannot tell", laws_in_words(found.inferred))
        _say(console, "What it does besides", (claim.text for claim in found.claims))
    _say(console, "What would help, by the most that it could win", _findings(found.findings))
    _say(console, "Beside what this machine could do", floor_in_words(found.floor))
    _say(console, "What the target does with what it is asked", map(check_in_words, found.checks))
    for note in found.notes:
        console.print(Text(printable(f"Note: {note}.")))
    if found.report:
        console.print()
        console.print(Text(printable(f"Report: {found.report}")), soft_wrap=True)


def leading(found: Explanation) -> Finding | None:
    """The finding that comes first: the largest of typical requests, unless one of slow requests
    could win far more. None where there are none."""
    typical = next((each for each in found.findings if each.quantile in ("p50", "mean")), None)
    largest = next(iter(found.findings), None)
    if typical is None or (largest and largest.most_s > _FAR_MORE * typical.most_s):
        return largest
    return typical


def times_in_words(speedup: float) -> str:
    """How many times as fast; beyond a hundred the rest is noise."""
    return figure(speedup) if speedup <= 100.0 else "over 100"


def of_what(found: Explanation) -> str:
    """The app and the target."""
    name = found.target.name or found.target.model
    return f"{found.app} on {name}" if found.app else name


def known_how(found: Explanation) -> str:
    """The grade of knowledge, in words, and who told."""
    server = found.loads[-1].server if found.loads else ""
    return _GRADE[found.grade] + (f" ({server})" if server else "")


def _print_loads(found: Explanation, console: Console) -> None:
    at = operating_point(found)
    for of in _WHOLES:
        console.print()
        console.print(Text(WHOLE[of], style="bold"))
        console.print(_shares(found.loads, at, of, console.width))
    for slow in (False, True):
        for of in _WHOLES:
            waterfall = at.waterfall(of, slow=slow)
            if waterfall is not None:
                console.print()
                console.print(Text(headed(waterfall, at), style="bold"))
                console.print(_bars(waterfall))
    counters = [(each, each.counters) for each in found.loads if each.counters]
    if counters:
        console.print()
        console.print(Text("Meanwhile the server counted", style="bold"))
        console.print(_counters(counters))


def operating_point(found: Explanation) -> AtLoad:
    """The load that an explanation is about. It must have one."""
    return next((each for each in found.loads if each.run.endswith(found.at)), found.loads[-1])


def _shares(loads: Sequence[AtLoad], at: AtLoad, of: Whole, width: int) -> Table:
    """The share of each part, typical and slow, at each load; the wholes beneath.

    Where there is no room for all, the operating point and the lightest load stay longest.
    """
    every = [
        (each, waterfall)
        for each in loads
        for slow in (False, True)
        if (waterfall := each.waterfall(of, slow=slow)) is not None
    ]
    kept = sorted(
        every, key=lambda pair: (pair[0] is not at, pair[0] is not loads[0], every.index(pair))
    )
    kept = kept[: max((width - _NAME) // _COLUMN, 2)]
    columns = [pair for pair in every if pair in kept]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    for each, waterfall in columns:
        heading = f"{each.load}\n{waterfall.quantile}"
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for name, words in PARTS.items():
        cells = [_cell(waterfall, name) for _, waterfall in columns]
        if any(cells):
            table.add_row(words, *cells)
    wholes = (Text(spoken(waterfall.seconds), style="bold") for _, waterfall in columns)
    table.add_row(Text("together", style="bold"), *wholes)
    return table


def _cell(waterfall: Waterfall, name: str) -> str:
    part = next((c for c in waterfall.components if c.name == name), None)
    if part is None or abs(part.share) < _LEAST:
        return ""
    low, high = part.share_ci95 or (None, None)
    said = f"{100 * part.share:.{1 if abs(part.share) < 0.1 else 0}f} %"
    if low is None or high is None or high - low < 0.01:
        return said
    return f"{said} ({100 * low:.0f}–{100 * high:.0f})"


def headed(waterfall: Waterfall, at: AtLoad) -> str:
    """Whose time a waterfall is of, in a sentence."""
    who = "A typical request" if waterfall.quantile in ("p50", "mean") else "A slow request"
    what = {"ttft": "to its first token", "e2e": "to its last token"}[waterfall.of]
    tokens = [
        f"{count:,.0f} {words}"
        for count, words in (
            (waterfall.prompt_tokens, "tokens in"),
            (waterfall.cached_tokens or None, "of them cached"),
            (waterfall.output_tokens, "out"),
        )
        if count is not None
    ]
    said = f"{who} ({waterfall.quantile}) {what} at {at.load}: {spoken(waterfall.seconds)}"
    return f"{said}; {', '.join(tokens)}" if tokens else said


def _bars(waterfall: Waterfall) -> Padding:
    """Each part as a bar that begins where the one before ended."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    begun = 0.0
    for part in waterfall.components:
        if part.share >= _LEAST:
            start = round(begun * _BAR)
            length = max(round((begun + part.share) * _BAR) - start, 1)
            bar = " " * min(start, _BAR - 1) + "█" * length
            table.add_row(PARTS[part.name], f"{milliseconds(part.seconds)} ms", bar)
        begun += part.share
    return Padding(table, (0, 0, 0, 2))


COUNTED = {
    "running": "running, mean",
    "waiting": "waiting, mean",
    "batch": "requests in a step, mean",
    "kv": "attention cache in use",
    "prefix_hits": "found in the prefix cache",
    "preemptions": "preemptions",
    "acceptance": "drafted tokens accepted",
    "acceptance_length": "tokens of a draft",
}
_AS_SHARE = ("kv", "prefix_hits", "acceptance")


def _counters(loads: Sequence[tuple[AtLoad, Counters]]) -> Padding:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for each, _ in loads:
        table.add_column(str(each.load), justify="right")
    for name, words in COUNTED.items():
        values = [counters.values.get(name) for _, counters in loads]
        if any(value is not None for value in values):
            shown = (counted_in_words(name, value) for value in values)
            table.add_row(words, *shown)
    return Padding(table, (0, 0, 0, 2))


def counted_in_words(name: str, value: float | None) -> str:
    """A quantity that a server counted, with the sign of its unit."""
    if value is None:
        return UNKNOWN
    return f"{100 * value:.1f} %" if name in _AS_SHARE else figure(value)


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    for each in found:
        chance = "" if each.p is None else f", p={max(each.p, 1e-4):.1g}"
        yield (
            f"{each.what}: at most {spoken(each.most_s)} to win, "
            f"{times_in_words(each.speedup)} times as fast{chance}. {'; '.join(each.levers)}"
        )


def floor_in_words(found: Floor | None) -> Iterator[str]:
    """What the machine could do, and how far above it the engine stands, a line each."""
    if found is None:
        return
    yield (
        f"{figure(found.bytes_per_s / 1e9)} GB/s and {figure(found.flops_per_s / 1e9)} GFLOP/s "
        f"were measured here; a token needs {spoken(found.decode_floor_s)} to be decoded alone "
        f"and {spoken(found.prefill_floor_s)} to be read in a prompt, at the least"
    )
    if found.decode_times is not None:
        yield f"decode takes {figure(found.decode_times)} times its floor"
    if found.prefill_times is not None:
        yield f"prefill takes {figure(found.prefill_times)} times its floor"
    if found.note:
        yield found.note


def check_in_words(check: Check) -> str:
    """A check with its sign."""
    sign = {True: "✓", False: "✗", None: "?"}[check.ok]
    return f"{sign} {check.name.replace('_', ' ')}: {check.detail}"


def _say(console: Console, heading: str, lines: Iterator[str]) -> None:
    said = list(lines)
    if not said:
        return
    console.print()
    console.print(Text(heading, style="bold"))
    for line in said:
        row = Table.grid(padding=(0, 1))
        row.add_row(Text("·"), Text(printable(line)))
        console.print(Padding(row, (0, 0, 0, 2)))
