"""A request's time cut into its parts: a waterfall of one, and the shares at each load."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from latok.analysis.explain import AtLoad, Component, Waterfall
from latok.analysis.told import PARTS, Whole
from latok.report.charts.draw import COLOURS, SAYS, Rows, marks, styled
from latok.report.text import share, spoken, spread

_WIDTH = 500
_ROW, _BESIDE = 25, 58  # height of a part, and of the axis beneath them
_HEIGHT = 290
_BEYOND = 1.3  # of the axis, so that numbers stand behind the longest bar
_LEAST = 0.002  # share of a whole below which a part is not drawn
_ROOM = 0.07  # share of a whole from which its number stands in a bar
_WHO = {
    "client": "our own clock",
    "server": "the server says so",
    "difference": "what the others leave",
    "fit": "inferred from outside",
}


def part_colour(name: str) -> str:
    """The role of a part's colour. (`load` is a load's.)"""
    return {"load": "cold"}.get(name, name)


def parts_of(waterfalls: Sequence[Waterfall]) -> list[str]:
    """The names of the parts that are worth drawing in any of them, in the order of time."""
    large = {c.name for w in waterfalls for c in w.components if c.share >= _LEAST}
    return [name for name in PARTS if name in large]


def waterfall_chart(waterfall: Waterfall, names: Sequence[str], longest: float) -> alt.LayerChart:
    """Each part as a bar that begins where the one before ended; beside it how long it took.

    `names`: of the parts, a row each; `longest`: seconds, of the waterfalls that may be compared.
    """
    unit, per = ("s", 1.0) if longest >= 5.0 else ("ms", 1e3)
    rows: Rows = []
    begun = 0.0
    known = {part.name: part for part in waterfall.components}
    for name in PARTS:
        part = known.get(name)
        if part is None or part.seconds <= 0.0:
            continue
        if name in names:
            # a part of no visible length is a hairline all the same
            length = max(part.seconds, 0.002 * longest)
            rows.append(
                {
                    "part": PARTS[name],
                    "from": begun * per,
                    "to": (begun + length) * per,
                    "colour": COLOURS[part_colour(name)],
                    "label": f"{spoken(part.seconds)} · {share(part.share)}",
                    "says": said_of(part),
                }
            )
        begun += part.seconds
    x = alt.X(
        "from:Q",
        title=f"{unit} from when it was wanted",
        scale=alt.Scale(domain=[0.0, _BEYOND * longest * per], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    y = alt.Y(
        "part:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=[PARTS[name] for name in names]),
        axis=alt.Axis(domain=False, ticks=False, labelLimit=170, labelFontSize=12, labelPadding=6),
    )
    layers = [
        marks(rows)
        .mark_bar(height=15, aria=True)
        .encode(x=x, x2="to:Q", y=y, color=alt.Color("colour:N", scale=None), **SAYS),
        marks(rows)
        .mark_text(align="left", dx=6, color=COLOURS["muted"])
        .encode(x=alt.X("to:Q"), y=y, text="label:N"),
    ]
    return styled(layers, width=_WIDTH, height=_ROW * len(names) + _BESIDE)


def shares_chart(loads: Sequence[AtLoad], of: Whole, *, slow: bool) -> alt.LayerChart | None:
    """The share of each part at each load, one on the other; above each the whole. None where
    fewer than two loads tell it."""
    # of a load that was held more than once the last counts
    told = list(
        {load_label(a): (a, w) for a in loads if (w := a.waterfall(of, slow=slow))}.values()
    )
    if len(told) < 2:
        return None
    rows: Rows = []
    wholes: Rows = []
    place = {name: n for n, name in enumerate(PARTS)}
    for at, waterfall in told:
        # what is below nothing cannot be stacked
        drawn = [part for part in waterfall.components if part.seconds > 0.0]
        together = sum(part.seconds for part in drawn)
        begun = 1.0
        for part in sorted(drawn, key=lambda each: place[each.name]):
            size = part.seconds / together
            rows.append(
                {
                    "load": load_label(at),
                    "from": begun,
                    "to": begun - size,
                    "middle": begun - size / 2,
                    "colour": COLOURS[part_colour(part.name)],
                    "label": f"{100 * part.share:.0f} %" if size >= _ROOM else "",
                    "says": f"{at.load}, {waterfall.quantile}\n{said_of(part)}",
                }
            )
            begun -= size
        wholes.append({"load": load_label(at), "label": spoken(waterfall.seconds)})
    x = alt.X(
        "load:O",
        title="requests at a time, or a second (/s)",
        sort=[load_label(at) for at, _ in told],
        axis=alt.Axis(labelAngle=0, domain=False, ticks=False),
        scale=alt.Scale(paddingInner=0.18, paddingOuter=0.1),
    )
    y = alt.Y(
        "from:Q",
        title=None,
        scale=alt.Scale(domain=[0.0, 1.0], nice=False),
        axis=alt.Axis(format="%", tickCount=5),
    )
    layers = [
        marks(rows)
        .mark_bar(aria=True, stroke=COLOURS["paper"], strokeWidth=1)
        .encode(x=x, y=y, y2="to:Q", color=alt.Color("colour:N", scale=None), **SAYS),
        marks([row for row in rows if row["label"]])
        .mark_text(color=COLOURS["paper"], fontSize=12, fontWeight="bold")
        .encode(x=x, y=alt.Y("middle:Q"), text="label:N"),
        marks(wholes)
        .mark_text(baseline="bottom", dy=-3, color=COLOURS["ink"])
        .encode(x=x, y=alt.value(0), text="label:N"),
    ]
    return styled(layers, width=_WIDTH, height=_HEIGHT)


def load_label(at: AtLoad) -> str:
    """A load in few characters."""
    return str(at.load).removesuffix(" at a time").replace(" requests a second", "/s")


def said_of(part: Component) -> str:
    """A part in a few lines: what its mark says on hover."""
    lines = [PARTS[part.name], f"{spoken(part.seconds)}, {share(part.share)} of the whole"]
    if part.ci95 is not None:
        lines.append(f"95 %: {spread(part.ci95, 1e3)} ms")
    lines.append(_WHO[part.source])
    return "\n".join(lines)
