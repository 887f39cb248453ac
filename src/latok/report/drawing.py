"""Charts as parts of one page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup

from latok.report.charts.draw import COLOURS, Chart, to_svg


class Figure(NamedTuple):
    """`name`: what it shows, by the names of `latok.report.words`."""

    name: str
    svg: Markup


class Drawing:
    """Charts as parts of one page, each with ids of its own."""

    def __init__(self, place: str) -> None:
        self._place, self._count = place, 0

    def __call__(self, chart: Chart) -> Markup:
        """In the page's colours, which change with the screen."""
        svg, prefix = to_svg(chart), f"{self._place}-{self._count}-"
        self._count += 1
        for name, colour in COLOURS.items():
            svg = svg.replace(f'"{colour}"', f'"var(--{name})"')
        svg = re.sub(r'\bid="(\w+)"', rf'id="{prefix}\1"', svg)
        # vl-convert has escaped it
        return Markup(re.sub(r"url\(#(\w+)\)", rf"url(#{prefix}\1)", svg))

    def all(self, found: Mapping[str, Chart]) -> list[Figure]:
        return [Figure(name, self(chart)) for name, chart in found.items()]


def variable(colour: str) -> str:
    """The page's name for a colour."""
    return next(f"var(--{name})" for name, value in COLOURS.items() if value == colour)
