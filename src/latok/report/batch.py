"""The plan of work that can wait, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from latok.analysis.cost import dollars
from latok.decide.batch import Batch
from latok.report.text import printable, spoken


def print_batches(found: Sequence[Batch], console: Console) -> None:
    """A line for each target and app, the best first."""
    for each in found:
        name = printable(f"{each.app} on {each.target}")
        console.print(Text(f"{name}: {batch_line(each)}"))


def batch_line(found: Batch) -> str:
    """How many at a time, how long, and whether that is soon enough."""
    word = "in time" if found.fits else "too late"
    cost = "" if found.usd is None else f", {dollars(found.usd)}"
    return (
        f"{found.concurrency} at a time, done in {spoken(found.seconds)}{cost}: {word} for "
        f"{spoken(found.deadline_s)} less a tenth ({found.why})"
    )
