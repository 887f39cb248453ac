"""A comparison in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latok.analysis.compare import SHARES, Compared, Comparison
from latok.report.text import UNKNOWN, figure, milliseconds, printable, share

_SIGNS = {"better": "✓ better", "worse": "✗ worse", "same": "= same", "undecided": "? unknown"}


def print_comparison(found: Comparison, console: Console) -> None:
    """Each metric on both sides with its verdict, then what all of them say."""
    console.print(Text(f"A  {printable(found.a)}", style="bold"))
    console.print(Text(f"B  {printable(found.b)}", style="bold"))
    console.print(Text(f"{counted(found)}; margin {found.margin:.3g} of A"))
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "A", "B", "ratio", "interval", "B is", "requests"):
        left = heading in ("", "B is")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for name, one in found.metrics.items():
        table.add_row(*row(name, one))
    console.print(table)
    console.print()
    console.print(Text(headline(found), style="bold"))
    for note in dict.fromkeys(found.notes):
        console.print(Text(f"Note: {printable(note)}."))


def headline(found: Comparison) -> str:
    """The verdict, as a sentence."""
    named = {
        verdict: [name for name, one in found.metrics.items() if one.verdict == verdict]
        for verdict in _SIGNS
    }
    if found.verdict in ("better", "worse"):
        return f"B is {found.verdict}: {', '.join(named[found.verdict])}."
    if found.verdict == "same":
        return "B is the same as A, within the margin."
    needs = [one.needed for one in found.metrics.values() if one.needed]
    more = f": about {max(needs):,} more requests on each side would decide" if needs else ""
    return f"Undecided, of {', '.join(named['undecided'])}{more}."


def counted(found: Comparison) -> str:
    a, b = found.requests
    how = "in turns" if found.design == "interleaved" else "as stored"
    advised = ""
    if found.advised is not None:
        twice = f"{2 * found.margin:.0%}"
        advised = f"; a difference of {twice} would want {found.advised:,} a side"
    return f"{a:,} and {b:,} requests, {how}, in {found.blocks} blocks{advised}"


def row(name: str, one: Compared) -> tuple[str, ...]:
    """A metric: its name, A, B, ratio, interval, verdict, and how many more requests."""
    last = name.rpartition(".")[2]
    interval = UNKNOWN
    if last in SHARES:
        numbers = [share(one.a), share(one.b), UNKNOWN]
        if one.ci95 is not None:
            interval = "…".join(f"{100 * edge:+.3g}" for edge in one.ci95) + " pt"
    else:
        in_ms = last != "throughput"
        shown = [milliseconds(v) if in_ms else figure(v) for v in (one.a, one.b)]
        unit = " ms" if in_ms else "/s"
        numbers = [*(v if v == UNKNOWN else v + unit for v in shown), _times(one.ratio)]
        if one.ci95 is not None:
            interval = "–".join(f"{edge:.3f}" for edge in one.ci95)
    needs = f"+{one.needed:,}" if one.needed else ""
    return (name, *numbers, interval, _SIGNS[one.verdict], needs)


def _times(ratio: float | None) -> str:
    return UNKNOWN if ratio is None else f"{ratio:.3f}"
