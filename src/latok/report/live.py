"""What is seen while it measures."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from latok.analysis.frontier import frontier
from latok.analysis.point import Point
from latok.report.text import PointTable, load_value, printable


class LiveMap:
    """What a map looks like while it is made. Fed by the map's loop, drawn by `rich.live.Live`."""

    def __init__(self, heading: str) -> None:
        self.heading = heading
        self.points: list[Point] = []
        self._load = self._why = self._phase = self._seen = ""
        self._seconds = self._at = self._left = 0.0

    def begin(self, load: str, *, why: str, seconds: float, left: float) -> None:
        """A level starts. `seconds`: about how long it takes; `left`: of the budget, before it."""
        self._load, self._why, self._phase, self._seen = load, why, "connecting", ""
        self._seconds, self._at, self._left = seconds, 0.0, left

    def progress(
        self,
        at: float,
        phase: str,
        *,
        in_flight: int,
        sent: int,
        ended: int,
        failed: int,
        reads: int,
    ) -> None:
        """Where the level stands, `at` seconds after its start."""
        self._at, self._phase = at, phase
        self._seen = (
            f"{in_flight} in flight · {sent} sent · {ended} ended · {failed} failed · "
            f"{reads:,} reads"
        )

    def finished(self, point: Point) -> None:
        """The level is over, and this is what it was."""
        self.points.append(point)
        self._load = ""

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [Text(printable(self.heading), style="bold"), Text()]
        if self.points:
            best = [point.id for point in frontier(self.points)]
            parts += [PointTable(self.points, on_frontier=best), Text()]
        side = Table.grid(padding=(0, 3, 0, 0))
        side.add_row(_scatter(self.points), self._level())
        parts.append(side)
        return Group(*parts)

    def _level(self) -> RenderableType:
        if not self._load:
            return Text("choosing the next load", style="dim")
        left = max(self._left - self._at, 0.0)
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=max(self._seconds, 1e-9), completed=self._at, width=40))
        return Group(
            Text.assemble((self._load, "bold"), f"  {self._why}"),
            bar,
            Text(f"{self._phase} · {self._at:.0f} of about {self._seconds:.0f} s"),
            Text(self._seen, style="dim"),
            Text(f"{left:.0f} s of the budget left", style="dim"),
        )


def _scatter(points: Sequence[Point], *, width: int = 30, height: int = 6) -> Text:
    """One user's speed (across) against throughput (up); each point is written as its load."""
    places = [
        (x, y, f"{load_value(point):g}")
        for point in points
        if (x := point.metrics["speed"].p50) and (y := point.throughput.output_tokens_per_s)
    ]
    grid = [[" "] * width for _ in range(height)]
    right = max((x for x, _, _ in places), default=1.0)
    top = max((y for _, y, _ in places), default=1.0)
    for x, y, label in places:
        row = height - 1 - round(y / top * (height - 1))
        column = min(round(x / right * (width - 1)), width - len(label))
        grid[row][column : column + len(label)] = label
    lines = ["│" + "".join(row) for row in grid]
    lines.append("└" + "─" * width)
    return Text("\n".join(["throughput ↑", *lines, "one user's speed →".rjust(width + 1)]))
