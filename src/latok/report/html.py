"""The HTML report: one file that needs nothing from elsewhere.

The charts are drawn here and are part of the page as SVG, so it shows everything without a script,
prints sharply, and may forbid itself every connection (its Content-Security-Policy). The script
only says on hover what a mark says to a screen reader anyway, and copies the command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined

from latok.analysis.evidence import Account
from latok.quality.judge import judging_line
from latok.records import Manifest
from latok.report import text
from latok.report.charts.draw import COLOURS, DARK
from latok.report.explain import of_what
from latok.report.explain_section import ExplainSection
from latok.report.sections import Chapter, MapSection, Run, Versus, VersusSection
from latok.report.tried import title
from latok.report.tried_section import Trial, TriedSection
from latok.report.words import FITS, NAMES, WORDS


def report_html(
    chapters: Sequence[Chapter] = (),
    *,
    runs: Mapping[str, Run],
    versus: Sequence[Versus] = (),
    trials: Sequence[Trial] = (),
    accounts: Sequence[Account] = (),
) -> str:
    """The whole page: comparisons, then what was tried, then each map, then each explanation.
    `runs`: by the point's id, those that can be read again."""
    page = Environment(
        loader=PackageLoader("latok.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {
        "ms": text.milliseconds,
        "figure": text.figure,
        "spoken": text.spoken,
        "share": text.share,
        "spread": text.spread,
        "met": text.met_word,
        "right": text.right,
        "between": text.between,
        "good_thousand": text.good_thousand,
        "judging": judging_line,
        "capital": lambda said: said[:1].upper() + said[1:],
    }
    titles = [f"{each.a} and {each.b}" for each in versus]
    titles += [title(each.found) for each in trials]
    titles += dict.fromkeys(text.title(chapter.map) for chapter in chapters)
    if not titles:
        titles = [f"where the latency goes, {of_what(each.explanation)}" for each in accounts]
    with debug_mode(False):  # altair's checks cost more than all the drawing; the tests have them
        sections = [MapSection(n, chapter, runs) for n, chapter in enumerate(chapters)]
        comparisons = [VersusSection(n, each, runs) for n, each in enumerate(versus)]
        tried = [TriedSection(n, each, runs) for n, each in enumerate(trials)]
        explanations = [ExplainSection(n, each) for n, each in enumerate(accounts)]
    return page.get_template("report.html").render(
        sections=sections,
        comparisons=comparisons,
        trials=tried,
        explanations=explanations,
        fits=FITS,
        words=WORDS,
        names=NAMES,
        light=COLOURS,
        dark=DARK,
        title=" · ".join(titles) or "nothing was measured",
        versions=_versions(run.manifest for run in runs.values()),
        client_error=text.client_error,
        load_value=text.load_value,
        target_line=text.target_line,
    )


def _versions(manifests: Iterable[Manifest]) -> dict[str, str]:
    found: dict[str, dict[str, None]] = {}
    for manifest in manifests:
        for name, version in manifest.versions.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}
