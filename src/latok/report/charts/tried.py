"""What levers did to the answers: task by task, and by depth and length of a document."""

from __future__ import annotations

import altair as alt

from latok.quality.depth import BANDS, Cell, DepthMap
from latok.quality.verdict import Verdict
from latok.report.charts.compare import WORDS, points_forest
from latok.report.charts.draw import COLOURS, SAYS, Rows, marks, styled
from latok.report.text import figure, share

_CHANCE = 0.05  # of no difference in a task, adjusted for all tasks, below which it is shown
_CELL, _NARROW_CELL, _BAND = 76, 50, 46  # pixels of a cell: its width, its height
_BESIDE, _BENEATH = 70, 56  # of the axes
_DARK = 0.74  # a share from which letters on its cell are light


def task_chart(found: Verdict, *, narrow: bool = False) -> alt.LayerChart:
    """The difference of all answers and of each task, with their intervals. Within the shaded
    margin they are as good."""
    rows: Rows = [_row("all answers", found.delta, found.ci95, found.verdict, found.pairs)]
    for name, task in sorted(found.tasks.items()) if len(found.tasks) > 1 else ():
        shown = task.p < _CHANCE
        verdict = ("worse" if task.delta < 0.0 else "better") if shown else "undecided"
        rows.append(_row(name, task.delta, task.ci95, verdict, task.pairs))
    return points_forest(
        rows, found.margin, [row["name"] for row in rows], of=("without", "with"), narrow=narrow
    )


def _row(
    name: str, delta: float, ci95: tuple[float, float], verdict: str, pairs: int
) -> dict[str, object]:
    low, high = (100.0 * edge for edge in ci95)
    return {
        "name": name,
        "middle": 100.0 * delta,
        "low": low,
        "high": high,
        "verdict": WORDS[verdict],
        "says": f"{name}\n{WORDS[verdict].partition(' ')[2]}, {pairs} pairs\n"
        f"{100.0 * delta:+.1f} points, 95 %: {low:+.1f} to {high:+.1f}",
    }


def depth_charts(
    maps: tuple[DepthMap, DepthMap], *, narrow: bool = False
) -> dict[str, alt.LayerChart]:
    """Two heat maps: without, with. Depth downwards as one reads, length to the right."""
    lengths = sorted({cell.length for each in maps for cell in each.cells})
    return {
        name: _heat(each.cells, lengths, narrow)
        for name, each in zip(("without", "with"), maps, strict=True)
    }


def _heat(cells: tuple[Cell, ...], lengths: list[float], narrow: bool) -> alt.LayerChart:
    rows: Rows = [
        {
            "length": figure(cell.length),
            "depth": _band(cell.depth),
            # the faintest cell is still seen to be one; squared, as most stand near the top
            "strength": 0.06 + 0.94 * cell.score**2,
            "right": f"{100.0 * cell.score:.0f} %",
            "of": f"of {cell.n}",
            "light": cell.score >= _DARK,
            "says": f"{share(cell.score)} of {cell.n} right\n{figure(cell.length)} tokens, "
            f"the fact {_band(cell.depth)} into them",
        }
        for cell in cells
    ]
    x = alt.X(
        "length:O",
        title="tokens of the document",
        sort=[figure(length) for length in lengths],
        axis=alt.Axis(labelAngle=0, domain=False, ticks=False),
        scale=alt.Scale(
            domain=[figure(length) for length in lengths], paddingInner=0.04, paddingOuter=0
        ),
    )
    bands = [_band((n + 0.5) / BANDS) for n in range(BANDS)]
    y = alt.Y(
        "depth:O",
        title="depth of the fact",
        sort=bands,
        axis=alt.Axis(domain=False, ticks=False),
        scale=alt.Scale(domain=bands, paddingInner=0.06, paddingOuter=0),
    )
    layers = [
        marks(rows)
        .mark_rect(color=COLOURS["accent"], aria=True)
        .encode(x=x, y=y, opacity=alt.Opacity("strength:Q", scale=None), **SAYS)
    ]
    for light, colour in ((False, "ink"), (True, "paper")):
        mine = [row for row in rows if row["light"] is light]
        layers += [
            marks(mine)
            .mark_text(color=COLOURS[colour], fontSize=size, dy=dy, opacity=opacity)
            .encode(x=x, y=y, text=f"{text}:N")
            for text, size, dy, opacity in (("right", 12, -6, 1.0), ("of", 10, 9, 0.8))
        ]
    width = _BESIDE + (_NARROW_CELL if narrow else _CELL) * len(lengths)
    return styled(layers, width=max(width, 220), height=_BENEATH + _BAND * BANDS)


def _band(middle: float) -> str:
    low = round(100 * (middle - 0.5 / BANDS))
    return f"{low}–{low + 100 // BANDS} %"
