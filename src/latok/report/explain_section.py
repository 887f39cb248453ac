"""What the HTML page holds of an explanation, as its template wants it."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from latok.analysis.evidence import Account
from latok.analysis.explain import WHOLES, Waterfall
from latok.analysis.told import PARTS
from latok.report import explain as words
from latok.report.charts.course import course_chart
from latok.report.charts.draw import COLOURS, Chart
from latok.report.charts.fits import fit_chart
from latok.report.charts.parts import part_colour, parts_of, shares_chart, waterfall_chart
from latok.report.drawing import Drawing, Figure, variable
from latok.report.inferred import laws_in_words
from latok.report.text import figure, share, spoken

_WHOLE = {"ttft": "the first token", "e2e": "the whole answer"}


class Drawn(NamedTuple):
    """A chart with what stands above it."""

    title: str
    svg: Markup


class Win(NamedTuple):
    """A finding as a row: `breadth` of its bar, percent of the largest's."""

    what: str
    most: str
    speedup: str
    levers: str
    chance: str
    breadth: float


class Above(NamedTuple):
    """How far an engine stands above the floor of its machine: seconds per token, both."""

    name: str
    seen: str
    floor: str
    times: str
    breadth: float


class Tile(NamedTuple):
    """A number that leads the page."""

    what: str
    value: str
    unit: str


class ExplainSection:
    """One explanation."""

    def __init__(self, place: int, account: Account) -> None:
        found = account.explanation
        self.place, self.found = place, found
        self.of_what, self.known_how = words.of_what(found), words.known_how(found)
        self.at = words.operating_point(found) if found.loads else None
        draw = Drawing(f"e{place}")
        waterfalls = [w for of in WHOLES for slow in (False, True) if (w := self._of(of, slow))]
        stacks = [w for at in found.loads for w in at.waterfalls]
        self.legend = [
            (PARTS[name], variable(COLOURS[part_colour(name)])) for name in parts_of(stacks)
        ]
        self.waterfalls = [self._waterfall(draw, each, waterfalls) for each in waterfalls]
        self.shares = self._shares(draw)
        counters = self.at.counters if self.at else None
        self.course = (
            draw(course_chart(account.course, counters)) if account.course is not None else None
        )
        self.counts_shown = counters is not None and bool(counters.moments)
        self.fits = [Figure(each.name, draw(fit_chart(each))) for each in account.fits]
        self.thinned = any(len(each.x) < each.of for each in account.fits)

    def _of(self, of: str, slow: bool) -> Waterfall | None:
        return self.at.waterfall(of, slow=slow) if self.at else None  # type: ignore[arg-type]

    def _waterfall(self, draw: Drawing, each: Waterfall, beside: list[Waterfall]) -> Drawn:
        """Of one whole a typical and a slow request have the same rows and the same axis."""
        assert self.at is not None
        alike = [w for w in beside if w.of == each.of]
        longest = max(w.seconds for w in alike)
        chart = waterfall_chart(each, parts_of(alike), longest)
        return Drawn(words.headed(each, self.at), draw(chart))

    def _shares(self, draw: Drawing) -> list[Drawn]:
        found = []
        for of in WHOLES:
            for slow, who in ((False, "typical requests"), (True, "slow requests")):
                chart: Chart | None = shares_chart(self.found.loads, of, slow=slow)
                if chart is not None:
                    found.append(Drawn(f"{_WHOLE[of].capitalize()}, {who}", draw(chart)))
        return found

    @property
    def has_slow(self) -> bool:
        return any(self._of(of, True) for of in WHOLES)

    # --- what is said --------------------------------------------------------------------------

    @property
    def headline(self) -> str:
        if first := words.leading(self.found):
            return f"{first.what}."
        return "No part of the time is large enough to be worth a word."

    @property
    def tiles(self) -> list[Tile]:
        if self.at is None:
            return []
        found = []
        for of in WHOLES:
            for slow, who in ((False, "a typical request"), (True, "a slow request")):
                if whole := self._of(of, slow):
                    kind = f"{_WHOLE[of].removeprefix('the ')}, {whole.quantile}"
                    found.append(Tile(f"{who}", spoken(whole.seconds), f"{kind}, {self.at.load}"))
        unexplained = self.found.unexplained
        if unexplained is not None:
            found.append(Tile("unexplained", share(unexplained), "of it, in the median"))
        return found

    @property
    def wins(self) -> list[Win]:
        largest = max((each.most_s for each in self.found.findings), default=0.0)
        return [
            Win(
                each.what,
                spoken(each.most_s),
                words.times_in_words(each.speedup),
                "; ".join(each.levers),
                "" if each.p is None else f"p = {max(each.p, 1e-4):.1g}",
                100.0 * each.most_s / largest,
            )
            for each in self.found.findings
        ]

    @property
    def above(self) -> list[Above]:
        floor = self.found.floor
        if floor is None:
            return []
        rows = (
            ("decode, a token alone", floor.decode_floor_s, floor.decode_times),
            ("prefill, a token of a prompt", floor.prefill_floor_s, floor.prefill_times),
        )
        return [
            Above(name, spoken(least * times), spoken(least), figure(times), min(100 / times, 100))
            for name, least, times in rows
            if times
        ]

    @property
    def floor(self) -> list[str]:
        return list(words.floor_in_words(self.found.floor))

    @property
    def counters(self) -> list[tuple[str, list[str]]]:
        """Rows of what the server counted at each load."""
        counted = [at.counters for at in self.found.loads if at.counters]
        return [
            (said, [words.counted_in_words(name, each.values.get(name)) for each in counted])
            for name, said in words.COUNTED.items()
            if any(name in each.values for each in counted)
        ]

    @property
    def counted_loads(self) -> list[str]:
        return [str(at.load) for at in self.found.loads if at.counters]

    @property
    def laws(self) -> list[str]:
        return list(laws_in_words(self.found.inferred)) if self.found.inferred else []

    @property
    def checks(self) -> list[str]:
        return [words.check_in_words(check) for check in self.found.checks]
