"""Two sides: their differences with intervals, as a forest plot."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt

from latok.analysis.compare import SHARES, Compared
from latok.report.charts.draw import COLOURS, SAYS, Rows, marks, styled
from latok.report.text import figure

_WIDTH, _ROW = 720, 26
_FARTHEST = 4.0  # a ratio; wider intervals leave the chart
_VERDICTS = {
    "better": ("good", "✓ better"),
    "same": ("muted", "= same"),
    "undecided": ("wait", "? undecided"),
    "worse": ("bad", "✗ worse"),
}


def forest_charts(metrics: Mapping[str, Compared], margin: float) -> dict[str, alt.LayerChart]:
    """`ratios`: B ÷ A of latencies and rates. `shares`: B − A of shares, in percentage points. A
    chart is left out where it would be empty."""
    ratios: Rows = []
    shares: Rows = []
    for name, one in metrics.items():
        if one.ci95 is None:
            continue
        low, high = one.ci95
        if name.rpartition(".")[2] in SHARES:
            middle = 100.0 * ((one.b or 0.0) - (one.a or 0.0))
            shares.append(_row(name, one, middle, (100 * low, 100 * high), " points"))
        elif one.ratio is not None:
            ratios.append(_row(name, one, one.ratio, (low, high), ""))
    found = {}
    if ratios:
        edge = min(
            max(*(max(r["high"], 1 / max(r["low"], 1e-9)) for r in ratios), 1 + 2 * margin),
            _FARTHEST,
        )
        scale = alt.Scale(type="log", domain=[1 / edge, edge], nice=False)
        labels = "(datum.value < 1 ? '−' : datum.value > 1 ? '+' : '') + "
        labels += "format(abs(datum.value - 1), '.0%')"
        axis = alt.Axis(labelExpr=labels, tickCount=7, labelOverlap="greedy")
        x = alt.X("middle:Q", title="B against A", scale=scale, axis=axis)
        found["ratios"] = _forest(ratios, x, (1 / (1 + margin), 1 + margin), 1.0)
    if shares:
        edge = max(*(abs(r[name]) for r in shares for name in ("low", "high")), 200 * margin)
        x = alt.X(
            "middle:Q",
            title="B − A, percentage points",
            scale=alt.Scale(domain=[-edge, edge], nice=False),
            axis=alt.Axis(format="+", tickCount=7),
        )
        found["shares"] = _forest(shares, x, (-100 * margin, 100 * margin), 0.0)
    return found


def _row(
    name: str, one: Compared, middle: float, interval: tuple[float, float], unit: str
) -> dict[str, object]:
    low, high = interval
    said = f"{low:+.1f} to {high:+.1f}{unit}" if unit else f"{low - 1:+.1%} to {high - 1:+.1%}"
    colour, verdict = _VERDICTS[one.verdict]
    more = f"; about {figure(one.needed)} more requests would decide" if one.needed else ""
    return {
        "name": name,
        "middle": middle,
        "low": low,
        "high": high,
        "verdict": verdict,
        "colour": colour,
        "says": f"{name}\n{verdict.partition(' ')[2]}{more}\n95 %: {said}",
    }


def _forest(rows: Rows, x: alt.X, margin: tuple[float, float], nothing: float) -> alt.LayerChart:
    """An interval a row; within the shaded margin both sides are the same."""
    names = [row["name"] for row in rows]
    y = alt.Y(
        "name:N",
        title=None,
        sort=names,
        axis=alt.Axis(ticks=False, domain=False, labelLimit=240, labelFontSize=12, grid=False),
    )
    colour = alt.Color(
        "colour:N",
        legend=None,
        scale=alt.Scale(
            domain=[role for role, _ in _VERDICTS.values()],
            range=[COLOURS[role] for role, _ in _VERDICTS.values()],
        ),
    )
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
            x=x, y=y, color=colour, **SAYS
        ),
        base.mark_text(align="left", dx=10, fontSize=12).encode(
            x=alt.value("width"), y=y, text="verdict:N", color=colour
        ),
    ]
    return styled(layers, width=_WIDTH, height=60 + _ROW * len(rows))
