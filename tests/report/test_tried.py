"""What latok try found, in a terminal and on a page."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from latok.quality.tried import Delta, Tried
from latok.report import html
from latok.report.tried import changed, depth_lines, headline, print_tried, row, settings
from latok.report.tried_section import Trial
from tests.report.trials import one_lever, trial_of


@pytest.fixture(scope="module")
def two() -> Trial:
    return trial_of({"kv_cache=u4": (1.04, 0.03), "prefix_cache=on": (0.6, 0.0)})


def shown(found: Tried, width: int = 110) -> str:
    out = io.StringIO()
    print_tried(found, Console(file=out, width=width, color_system=None))
    return out.getvalue()


def test_a_ratio_is_said_as_a_change() -> None:
    assert [changed(ratio) for ratio in (0.378, 0.995, 1.0, 1.083, 1.4, 2.0, 11.6)] == [
        "−62 %",
        "−0.5 %",
        "+0.0 %",
        "+8.3 %",
        "+40 %",
        "×2.00",
        "×11.6",
    ]


@pytest.mark.parametrize(
    ("name", "without", "with_", "said"),
    [
        ("ttft.p50", 0.2, 0.1, ("ttft.p50", "ms", "200", "100", "−50 %")),
        ("throughput", 100.0, 300.0, ("throughput", "tok/s", "100", "300", "×3.00")),
        ("input_tokens", 800.0, 200.0, ("tokens in", "", "800", "200", "−75 %")),
        ("usd_per_request", 0.002, 0.001, ("1,000 requests", "$", "2.00", "1.00", "−50 %")),
        ("attainment", 0.9, 0.95, ("within the SLO", "", "90 %", "95 %", "+5.0 pt")),
        ("failures", 0.02, 0.02, ("failed", "", "2 %", "2 %", "+0.0 pt")),
    ],
)
def test_each_figure_has_its_own_unit(
    name: str, without: float, with_: float, said: tuple[str, ...]
) -> None:
    delta = Delta(
        without=without, with_=with_, ratio=with_ / without, ci95=None, verdict="undecided"
    )
    assert row(name, delta)[:5] == said
    assert row(name, delta).interval == ""


def test_a_figure_that_nobody_knows_is_a_dash() -> None:
    delta = Delta(without=None, with_=2.0, ratio=None, ci95=None, verdict="undecided")
    for name in ("ttft.p50", "capacity", "attainment"):
        assert row(name, delta).without == row(name, delta).change == "–"


def test_the_terminal_says_what_changed_and_what_of_the_answers() -> None:
    said = shown(one_lever())
    for words in (
        "context=bm25:256 for document on openvino, 8 at a time",
        "95 % interval",
        "✓ better",
        "✗ inferior",
        "right answers",
        "from right to wrong",
        "without any lever",
        "Effective context length",
    ):
        assert words in said
    assert "more requests" not in said  # all is decided


def test_no_cell_is_cut_on_a_terminal_of_eighty_columns(two: Trial) -> None:
    for width in (80, 110):
        said = shown(two.found, width)
        assert "…" not in said.replace(" … ", "")
        assert "? inconclusive" in said
        assert ("more requests" in said) == (width == 110)


def test_what_is_not_worse_stands_beside_what_would_have_been_found(two: Trial) -> None:
    """No difference, and from which on one would have been seen."""
    said = shown(two.found).split("\nprefix_cache=on\n")[1]
    assert "✓ non-inferior" in said
    assert "The smallest difference that so many pairs find four times in five" in said


def test_of_two_levers_each_stands_alone_and_what_they_do_to_each_other(two: Trial) -> None:
    said = shown(two.found)
    lines = said.splitlines()
    for name in ("kv_cache=u4 prefix_cache=on", "kv_cache=u4", "prefix_cache=on"):
        assert name in lines
    assert "nothing beyond what each does alone is shown" in said


def test_the_headline_names_medians_alone() -> None:
    said = headline(settings(one_lever())[0])
    assert "ttft.p50" in said
    assert "ttft.p95" not in said
    assert said.endswith("The answers are worse.")


def test_without_lengths_nothing_is_said_of_them() -> None:
    assert depth_lines(msgspec.structs.replace(one_lever(), depths=None)) == []


def test_what_was_tried_is_read_back_as_it_was_written(two: Trial) -> None:
    for found in (one_lever(), two.found):
        assert msgspec.json.decode(msgspec.json.encode(found), type=Tried) == found


def test_a_page_holds_every_setting_and_no_empty_part(two: Trial) -> None:
    page = html.report_html(trials=[two], runs={})
    for words in (
        "kv_cache=u4 alone",
        "prefix_cache=on alone",
        "What they do to each other",
        "Are the answers as good?",
        "Where in a document answers are found",
        "right without",
        "detectable, four times in five",
        "latok try",
        "prefix_cache=on, round 4",
    ):
        assert words in page
    bare = msgspec.structs.replace(one_lever(), quality=None, identity=None, depths=None, notes=())
    page = html.report_html(trials=[Trial(bare, [])], runs={})
    for words in ("Are the answers", "Where in a document", "to each other", "Run by run", "Notes"):
        assert words not in page
