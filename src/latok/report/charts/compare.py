"""Two sides: their differences with intervals, as a forest plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import altair as alt

from latok.analysis.compare import SHARES, Compared
from latok.report.charts.draw import COLOURS, RING, SAYS, Rows, marks, styled
from latok.report.text import figure

_WIDTH, _NARROW, _ROW = 720, 350, 26
_FARTHEST = 4.0  # a ratio; wider intervals leave the chart
_AROUND = 1.03  # so that the longest interval does not touch the names beside it
_VERDICTS = {
    "better": ("good", "✓ better"),
    "same": ("muted", "= same"),
    "undecided": ("muted", "? undecided"),
    "worse": ("bad", "✗ worse"),
    # of the answers
    "non-inferior": ("good", "✓ non-inferior"),
    "inconclusive": ("muted", "? inconclusive"),
    "inferior": ("bad", "✗ inferior"),
}


WORDS = {verdict: word for verdict, (_, word) in _VERDICTS.items()}


def forest_charts(
    metrics: Mapping[str, Compared],
    margin: float,
    *,
    of: tuple[str, str] = ("A", "B"),
    labels: Mapping[str, str] = MappingProxyType({}),
    narrow: bool = False,
) -> dict[str, alt.LayerChart]:
    """`ratios`: B ÷ A of latencies and rates. `shares`: B − A of shares, in percentage points. A
    chart is left out where it would be empty. `of`: what A and B are called; `labels`: what a
    metric is called, if not by its name; `narrow`: for a telephone."""
    called = [labels.get(name, name) for name in metrics]
    ratios: Rows = []
    shares: Rows = []
    for name, one in metrics.items():
        if one.ci95 is None:
            continue
        low, high = one.ci95
        if name.rpartition(".")[2] in SHARES:
            middle = 100.0 * ((one.b or 0.0) - (one.a or 0.0))
            shares.append(
                _row(labels.get(name, name), one, middle, (100 * low, 100 * high), " points")
            )
        elif one.ratio is not None:
            ratios.append(_row(labels.get(name, name), one, one.ratio, (low, high), ""))
    found = {}
    if ratios:
        farthest = max(max(r["high"], 1 / max(r["low"], 1e-9)) for r in ratios)
        edge = min(max(_AROUND * farthest, 1 + 2 * margin), _FARTHEST)
        scale = alt.Scale(type="log", domain=[1 / edge, edge], nice=False)
        values = _ticks(edge, 2 if narrow else 4)
        percent = "(datum.value < 1 ? '−' : datum.value > 1 ? '+' : '') + "
        percent += "format(abs(datum.value - 1), '.0%')"
        axis = alt.Axis(labelExpr=percent, values=values, labelOverlap="greedy", labelSeparation=4)
        x = alt.X("middle:Q", title=f"{of[1]} against {of[0]}", scale=scale, axis=axis)
        found["ratios"] = _forest(ratios, x, (1 / (1 + margin), 1 + margin), 1.0, called, narrow)
    if shares:
        found["shares"] = points_forest(shares, margin, called, of=of, narrow=narrow)
    return found


def points_forest(
    rows: Rows, margin: float, everything: Iterable[str], *, of: tuple[str, str], narrow: bool
) -> alt.LayerChart:
    """Differences of shares, in percentage points. `everything`: all names, to align by."""
    farthest = max(abs(row[name]) for row in rows for name in ("low", "high"))
    edge = max(_AROUND * farthest, 200 * margin)
    x = alt.X(
        "middle:Q",
        title=f"{of[1]} − {of[0]}, percentage points",
        scale=alt.Scale(domain=[-edge, edge], nice=False),
        axis=alt.Axis(
            labelExpr="datum.value ? format(datum.value, '+.3~g') : '0'",
            tickCount=3 if narrow else 7,
        ),
    )
    return _forest(rows, x, (-100 * margin, 100 * margin), 0.0, everything, narrow)


def _ticks(edge: float, most: int) -> list[float]:
    """Ratios in round steps on both sides of 1, up to so many on each."""
    step = next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if edge - 1.0 <= s * (most + 1)), None)
    if step is None:  # wide: -75 %, -50 %, +100 %, +300 %
        ratios = [0.25, 0.5, 1.0, 2.0, 4.0]
    else:
        ratios = [1.0 + n * step for n in range(-most - 1, most + 2)]
    return [ratio for ratio in ratios if 1.0 / edge <= ratio <= edge]


def _row(
    name: str, one: Compared, middle: float, interval: tuple[float, float], unit: str
) -> dict[str, object]:
    low, high = interval
    said = f"{low:+.1f} to {high:+.1f}{unit}" if unit else f"{low - 1:+.1%} to {high - 1:+.1%}"
    _, verdict = _VERDICTS[one.verdict]
    more = f"; about {figure(one.needed)} more requests would decide" if one.needed else ""
    return {
        "name": name,
        "middle": middle,
        "low": low,
        "high": high,
        "verdict": verdict,
        "says": f"{name}\n{verdict.partition(' ')[2]}{more}\n95 %: {said}",
    }


def _forest(
    rows: Rows,
    x: alt.X,
    margin: tuple[float, float],
    nothing: float,
    everything: Iterable[str],
    narrow: bool,
) -> alt.LayerChart:
    """An interval a row; within the shaded margin both sides are the same."""
    names = [row["name"] for row in rows]
    y = alt.Y(
        "name:N",
        title=None,
        sort=names,
        axis=alt.Axis(
            ticks=False,
            domain=False,
            labelLimit=240,
            labelFontSize=12,
            grid=False,
            # both charts alike, and room for the wider letters of another font
            minExtent=8.0 * max(map(len, everything)),
        ),
    )
    words = [word for _, word in _VERDICTS.values()]
    colours = alt.Scale(domain=words, range=[COLOURS[role] for role, _ in _VERDICTS.values()])
    colour = alt.Color("verdict:N", legend=None, scale=colours)
    shapes = [RING if word.startswith("?") else "circle" for word in words]
    shape = alt.Shape("verdict:N", legend=None, scale=alt.Scale(domain=words, range=shapes))
    base = marks(rows)
    layers = [
        marks([{"middle": margin[0], "to": margin[1]}])
        .mark_rect(color=COLOURS["rule"], opacity=0.6)
        .encode(x=x, x2="to:Q"),
        marks([{"middle": nothing}]).mark_rule(color=COLOURS["muted"]).encode(x=x),
        base.mark_rule(strokeWidth=3, clip=True).encode(
            x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
        ),
        base.mark_point(filled=True, size=90, opacity=1, clip=True, aria=True).encode(
            x=x, y=y, color=colour, shape=shape, **SAYS
        ),
        base.mark_text(align="left", dx=10, fontSize=12).encode(
            x=alt.value("width"), y=y, text="verdict:N", color=colour
        ),
    ]
    return styled(layers, width=_NARROW if narrow else _WIDTH, height=60 + _ROW * len(rows))
