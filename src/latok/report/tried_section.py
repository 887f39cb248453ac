"""What the HTML page holds of levers that were tried, as its template wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from latok.analysis.compare import Compared
from latok.analysis.compare import Verdict as Judged
from latok.analysis.point import Point
from latok.quality.pairs import Flips
from latok.quality.tried import Delta, Interaction, Setting, Tried
from latok.quality.verdict import Verdict
from latok.report import tried as words
from latok.report.charts.compare import forest_charts
from latok.report.charts.draw import Chart
from latok.report.charts.tried import depth_charts, task_chart
from latok.report.drawing import Drawing, Figure
from latok.report.sections import Run, run_views
from latok.report.text import share

_OF = ("without", "with")
_WIDTHS = (("broad", False), ("narrow", True))


class Trial(NamedTuple):
    """What was tried, and of each setting that ran, "without" first, the runs that are there."""

    found: Tried
    points: Sequence[tuple[str, Sequence[Point]]]


class Tile(NamedTuple):
    """A figure that leads the page."""

    what: str
    value: str
    unit: str


class SettingView(NamedTuple):
    """Levers against none. `forests`: by the width of the screen."""

    name: str
    headline: str
    forests: list[tuple[str, list[Figure]]]
    rows: list[words.Row]
    quality: Verdict | None
    sentence: str
    flips: Flips | None
    tasks: list[tuple[str, Markup]]
    evidence: list[tuple[str, str]]
    notes: tuple[str, ...]


class TriedSection:
    """One trial."""

    def __init__(self, place: int, trial: Trial, runs: Mapping[str, Run]) -> None:
        self.place, self.found = place, trial.found
        draw = Drawing(f"t{place}")
        whole, *alone = words.settings(trial.found)
        self.title = words.title(trial.found)
        self.counted = words.counted(trial.found)
        self.headline = words.headline(whole)
        self.tiles = _tiles(whole)
        margin = trial.found.margin
        self.whole = _view(whole, margin, draw)
        self.alone = [_view(each, margin, draw) for each in alone]
        self.together = [
            (name, words.together(each)) for name, each in trial.found.interactions.items()
        ]
        self.interactions = [
            (width, draw.all(_interactions(trial.found.interactions, margin, narrow)))
            for width, narrow in _WIDTHS
        ]
        maps = trial.found.depths
        self.depths = [
            (width, draw.all(depth_charts(maps, narrow=narrow)))
            for width, narrow in _WIDTHS
            if maps is not None
        ]
        self.depth_lines = words.depth_lines(trial.found)
        named = [
            (f"{name}, round {n}", point)
            for name, points in trial.points
            for n, point in enumerate(points, 1)
        ]
        self.runs = run_views(named, runs, draw, lead=None)


def _view(setting: Setting, margin: float, draw: Drawing) -> SettingView:
    quality = setting.quality
    labels = {name: words.row(name, delta).name for name, delta in setting.deltas.items()}
    metrics = {name: _compared(delta) for name, delta in setting.deltas.items()}
    sentence = ""
    if quality is not None:
        sentence = f"{quality.verdict.capitalize()}: {quality.why}."
    return SettingView(
        name=setting.name,
        headline=words.headline(setting),
        forests=[
            (width, draw.all(forest_charts(metrics, margin, of=_OF, labels=labels, narrow=narrow)))
            for width, narrow in _WIDTHS
        ],
        rows=words.setting_rows(setting),
        quality=quality,
        sentence=sentence,
        flips=quality.flips if quality else None,
        tasks=[(width, draw(task_chart(quality, narrow=narrow))) for width, narrow in _WIDTHS]
        if quality
        else [],
        evidence=words.evidence(setting),
        notes=(
            *(said.removesuffix(".") for said in words.hit_sentences(setting)),
            *(quality.notes if quality else ()),
        ),
    )


def _compared(delta: Delta) -> Compared:
    return Compared(
        a=delta.without,
        b=delta.with_,
        ratio=delta.ratio,
        ci95=delta.ci95,
        verdict=delta.verdict,
        needed=delta.needed,
    )


def _interactions(
    found: Mapping[str, Interaction], margin: float, narrow: bool
) -> Mapping[str, Chart]:
    """What both do together, against the product of what each does alone."""

    def compared(name: str, each: Interaction) -> Compared:
        low, high = each.ci95
        more_is_better = name == "throughput"
        verdict: Judged = "undecided"
        if low > 1.0:
            verdict = "better" if more_is_better else "worse"
        elif high < 1.0:
            verdict = "worse" if more_is_better else "better"
        return Compared(
            a=1.0, b=each.ratio, ratio=each.ratio, ci95=each.ci95, verdict=verdict, needed=None
        )

    metrics = {name: compared(name, each) for name, each in found.items()}
    return forest_charts(metrics, margin, of=("the product of each alone", "Both"), narrow=narrow)


def _tiles(setting: Setting) -> list[Tile]:
    tiles = []
    for name in words.LEADING:
        if name in setting.deltas and setting.deltas[name].ratio is not None:
            row = words.row(name, setting.deltas[name])
            tiles.append(
                Tile(row.name, row.change, f"{row.without} → {row.with_} {row.unit}".strip())
            )
    if setting.quality is not None:
        base, with_ = setting.quality.base, setting.quality.with_
        tiles.append(
            Tile(
                "right answers",
                share(with_.accuracy),
                f"{share(base.accuracy)} without; {setting.quality.verdict}",
            )
        )
    return tiles
