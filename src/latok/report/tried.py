"""What levers did, in the terminal: one table, each figure with its interval and a verdict."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latok.analysis.compare import Compared
from latok.quality.tried import Delta, Setting, Tried
from latok.quality.verdict import Verdict
from latok.report.compare import row
from latok.report.text import UNKNOWN, figure, printable

_PLAIN = ("input_tokens", "output_tokens", "cached_tokens", "capacity")
_WORDS = {
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "cached_tokens": "of them cached",
    "usd_per_request": "$ per request",
    "capacity": "capacity (at a time)",
}
_MARKS = {"non-inferior": "✓", "inferior": "✗", "inconclusive": "?"}


def print_tried(found: Tried, console: Console) -> None:
    """All levers together against none; then each of two alone, and what they do to each other."""
    console.print(
        Text(f"{found.app} on {printable(found.target.name)}, {found.load}", style="bold")
    )
    console.print(Text(f"{found.requests:,} requests of each setting, in {found.rounds} rounds"))
    for setting in settings_of(found):
        console.print()
        _setting(setting, console)
    for name, each in found.interactions.items():
        low, high = each.ci95
        shown = "more than their product" if low > 1 else "less" if high < 1 else "no more than"
        said = f"{each.ratio:.3f} ({low:.3f}–{high:.3f})"
        what = "nothing beyond what each does alone" if shown == "no more than" else shown
        console.print(Text(f"Together, {name}: {said}: {what}."))
    for note in found.notes:
        console.print(Text(f"Note: {printable(note)}."))


def settings_of(found: Tried) -> tuple[Setting, ...]:
    """Each lever alone, if that was measured, then all together."""
    whole = Setting(
        name=" ".join(f"{name}={value}" for name, value in found.levers.items()),
        levers=found.levers,
        deltas=found.deltas,
        quality=found.quality,
        identity=found.identity,
    )
    return (*found.alone, whole)


def _setting(setting: Setting, console: Console) -> None:
    console.print(Text(printable(setting.name), style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "without", "with", "ratio", "interval", "it is", "requests"):
        left = heading in ("", "it is")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for name, delta in setting.deltas.items():
        table.add_row(*row_of(name, delta))
    if setting.quality is not None:
        table.add_row(*_quality_row(setting.quality))
    console.print(table)
    for sentence in quality_sentences(setting):
        console.print(Text(sentence))


def row_of(name: str, delta: Delta) -> tuple[str, ...]:
    """A figure: its name, without, with, ratio, interval, verdict, how many more requests."""
    one = Compared(
        a=delta.without,
        b=delta.with_,
        ratio=delta.ratio,
        ci95=delta.ci95,
        verdict=delta.verdict,
        needed=delta.needed,
    )
    cells = row(name, one)
    if name in _PLAIN or name == "usd_per_request":
        numbers = [UNKNOWN if v is None else figure(v) for v in (delta.without, delta.with_)]
        return (_WORDS[name], *numbers, *cells[3:])
    return cells


def _quality_row(found: Verdict) -> tuple[str, ...]:
    low, high = found.ci95
    return (
        "accuracy",
        f"{100 * found.base.accuracy:.1f} %",
        f"{100 * found.with_.accuracy:.1f} %",
        f"{100 * found.delta:+.1f} pt",
        f"{100 * low:+.1f}…{100 * high:+.1f} pt",
        f"{_MARKS[found.verdict]} {found.verdict}",
        f"+{found.needed:,}" if found.needed else "",
    )


def quality_sentences(setting: Setting) -> list[str]:
    """What stands behind the verdict on the answers."""
    found = setting.quality
    said: list[str] = []
    if found is None:
        return said
    said.append(f"Answers: {found.verdict} ({found.pairs} pairs): {found.why}.")
    said.append(
        f"So many pairs find a difference from {100 * found.detectable:.1f} points on; "
        f"{100 * found.flips.share:.1f} % of the answers flipped"
        + (f", {100 * found.floor.flips:.1f} % without any lever" if found.floor else "")
        + "."
    )
    if found.worst is not None:
        worst = found.tasks[found.worst]
        said.append(f"It costs most in {found.worst}: {100 * worst.delta:+.1f} points.")
    if setting.identity is not None:
        said.append(f"Texts: {setting.identity.verdict}: {setting.identity.why}.")
    return said + [f"Note: {note}." for note in found.notes]
