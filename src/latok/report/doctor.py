"""What `latok doctor` prints: the loads that it tried, what it found, and one plain sentence."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latok.analysis.machine import TOKEN_RATE, Calibration, Diagnosis, Step, Trouble
from latok.decide.doctor import REASONS
from latok.records import Closed
from latok.report.text import figure, milliseconds, printable, spoken

_SIGN = {"ok": "✓ ok", "note": "! note", "bad": "✗ bad"}
_STYLE = {"ok": "", "note": "yellow", "bad": "bold red"}
_TROUBLE: dict[Trouble | None, str] = {
    None: "✓",
    "failed": "✗ failed",
    "clock": "✗ clock step",
    "server": "✗ server late",
    "error": "✗ client error",
    "sends": "✗ sent late",
}


def step_line(step: Step) -> str:
    """A finished step in one line, for who waits."""
    said = f"{load_words(step)}: error {spoken(step.error)} (p99)"
    return said if step.trouble is None else f"{said} {_TROUBLE[step.trouble]}"


def load_words(step: Step) -> str:
    """The load of a step: streams at their pace, or requests a second."""
    if isinstance(step.load, Closed):
        return f"{step.load.concurrency:,} streams × {TOKEN_RATE:g} tok/s"
    return f"{step.load.rate:,g} requests/s"


def print_diagnosis(found: Diagnosis, console: Console) -> None:
    """All of it, the answer last."""
    machine = found.limits
    cores = f"{machine.cores} core{'s' if machine.cores > 1 else ''}"
    console.print(Text(printable(f"{machine.system}, {cores}"), style="bold"))
    console.print()
    if found.calibration is not None and found.calibration.steps:
        console.print(_steps(found.calibration))
        console.print()
    console.print(_findings(found))
    console.print()
    console.print(Text(verdict(found), style="bold"))


def _steps(found: Calibration) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("ms, p99", no_wrap=True)
    for heading in ("ttft ±", "gap ±", "sent +", "server +", "µs/chunk"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for each in sorted(found.steps, key=lambda step: not isinstance(step.load, Closed)):
        # a closed loop promises no due times
        sent = {} if isinstance(each.load, Closed) else each.lateness_s
        shown = (each.ttft_error_s, each.gap_error_s, sent, each.server_late_s)
        table.add_row(
            load_words(each),
            *(milliseconds(quantiles.get("p99")) for quantiles in shown),
            figure(each.cpu_per_chunk_s * 1e6),
            _TROUBLE[each.trouble],
        )
    table.caption = "±: the client's error; +: how late"
    table.caption_justify = "left"
    return table


def _findings(found: Diagnosis) -> Table:
    """A command gets a line of its own, so that it can be copied."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("what", "verdict"):
        table.add_column(heading, no_wrap=True)
    table.add_column("here, and what to do", overflow="fold")
    for each in found.findings:
        style = _STYLE[each.severity]
        sign = Text(_SIGN[each.severity], style=style)
        table.add_row(each.name, sign, Text(printable(each.detail)))
        if each.do:
            table.add_row("", "", Text(f"→ {printable(each.do)}", style=style))
    return table


def verdict(found: Diagnosis) -> str:
    """One plain sentence (a second where it is needed)."""
    known = found.calibration
    if known is None:
        return "latok sends load from Linux alone; this machine can read runs and reports."
    under = f"with an error under {known.tolerance_s * 1e3:g} ms (p99)"
    most, missing = [], ""
    if known.streams is not None:
        most.append(f"{known.streams:,} streams × {TOKEN_RATE:g} tok/s")
    else:
        missing = f", but no streams: {REASONS[known.streams_limit]}"
    if known.requests_per_s is not None:
        most.append(f"{known.requests_per_s:,g} requests/s")
    else:
        missing = f", but no open loop: {REASONS[known.requests_limit]}"
    if most:
        said = f"This machine measures up to {' and '.join(most)} {under}"
        return f"{said}{missing}." if found.complete else f"{said}. Interrupted: it may be more."
    if found.complete:
        return f"Not even the smallest load was measured {under}."
    return "Interrupted before anything was measured."
