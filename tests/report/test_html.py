"""What the page holds; `test_browser` opens it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from latok.analysis import metrics
from latok.analysis.capacity import Capacity, Slots
from latok.analysis.cost import charged
from latok.analysis.frontier import Map, Saturation
from latok.records import Owned
from latok.report import html
from latok.report.charts.draw import COLOURS, DARK
from latok.report.sections import Chapter, Versus
from tests.report.samples import (
    SLO,
    Measured,
    drive,
    manifest_of,
    map_of,
    run_of,
    versus_of,
)
from tests.report.test_text import graded


class Page(HTMLParser):
    """Tags, ids, text, and whatever would be loaded from somewhere."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.helps: list[str] = []
        self.text = ""
        self.feed(source)
        self.loads += [u for u in re.findall(r"url\(([^)]*)\)", source) if not u.startswith("#")]
        self.loads += re.findall(r"@import\b.*", source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "xlink:href", "data", "poster", "action"):
                self.loads += [value or ""] if not (value or "").startswith("#") else []
            if name == "id":
                self.ids.append(value or "")
            if name == "popovertarget":
                self.helps.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(map: Map) -> Page:
    return Page(html.report_html([Chapter(map)], runs={}))


@pytest.fixture(scope="module")
def source(chat: Measured) -> str:
    return html.report_html([Chapter(chat.map)], runs=chat.runs)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_page_loads_nothing_and_may_not(page: Page, source: str) -> None:
    assert page.loads == []
    assert "default-src 'none'" in source
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)


def test_the_page_is_small_enough_for_mail(source: str) -> None:
    assert len(source.encode()) < 1_500_000  # seven points; eight may have 2 MB


def test_the_verdict_comes_first(page: Page, chat: Measured) -> None:
    text = " ".join(page.text.split())
    assert text.index(chat.map.advice.text) < text.index("The frontier") < text.index("All points")


def test_what_to_make_of_each_lever_stands_under_the_verdict(chat: Measured) -> None:
    levers = ("Turn kv_cache=u4: speed ×1.20", "Leave weights=q4_0, it harms the answers")
    advice = msgspec.structs.replace(chat.map.advice, levers=levers)
    text = page_of(msgspec.structs.replace(chat.map, advice=advice)).text
    assert text.index("at a time") < text.index(levers[0]) < text.index(levers[1])
    assert text.index(levers[1]) < text.index("The frontier")


def test_everything_that_makes_it_repeatable_is_there(page: Page, chat: Measured) -> None:
    for word in (
        chat.map.command,
        chat.map.stopped,
        chat.map.notes[0],
        "http://127.0.0.1:8100",
        "SmolLM2-135M-Instruct",
        "openai-chat",
        "lever kv_cache",
        "lognormal(40,0.4)",
        "openvino-genai 2026.4.1",
        "2025-11-24 16:00 UTC",
        "Little’s law",
    ):
        assert word in page.text


def test_every_chart_is_drawn_in_the_page(page: Page, chat: Measured) -> None:
    frontiers = 2  # one for telephones
    against_load = len(["ttft", "tpot", "gap", "e2e", "speed", "throughput", "attainment"])
    spreads, streams = 4, 1
    drawn = frontiers + against_load + spreads + streams + len(chat.map.points)
    assert page.tags.count("svg") == drawn


def test_every_question_mark_has_its_answer_and_no_id_is_twice(page: Page) -> None:
    assert len(page.helps) > 10
    assert set(page.helps) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_dark_screens_have_every_colour() -> None:
    assert DARK.keys() == COLOURS.keys()
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_no_chart_keeps_a_colour_of_light_screens(source: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", source, re.DOTALL))
    for colour in COLOURS.values():
        assert colour not in drawn


def test_names_and_commands_from_outside_are_only_text() -> None:
    evil = "</script></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    points, runs = [], {}
    for target in (evil, evil + "2"):
        manifest = manifest_of(2, target=target, model=evil)
        records = drive(2, seconds=6.0)
        runs[manifest.id] = run_of(manifest, records)
        points.append(metrics.point(manifest, records))
    hostile = map_of(points, command=evil, stopped=evil, report=evil, app=evil)
    versus = Versus(evil, evil, "", None, f"not comparable: {evil}", {}, [(points[0], points[1])])
    found = Page(html.report_html([Chapter(hostile)], runs=runs, versus=[versus]))
    plain = page_of(map_of([]))
    assert found.tags.count("script") == plain.tags.count("script") == 1
    assert "img" not in found.tags
    assert evil in found.text


def test_a_map_of_one_point_has_a_report(chat: Measured) -> None:
    one = map_of(chat.map.points[:1])
    found = page_of(one)
    assert "svg" in found.tags
    assert "1 at a time" in found.text


def test_a_map_without_a_valid_point_says_that_the_client_bent_them(chat: Measured) -> None:
    bent = [
        msgspec.structs.replace(
            point,
            instrument=msgspec.structs.replace(
                point.instrument,
                verdict="invalid",
                why=("the client may have moved ttft by 9 ms",),
                bent=("ttft",),
            ),
        )
        for point in chat.map.points
    ]
    found = page_of(map_of(bent))
    assert "7 of 7 points are invalid" in found.text
    assert "moved ttft by 9 ms" in found.text


def test_a_point_of_which_nothing_is_known_has_a_row_of_dashes() -> None:
    manifest = msgspec.structs.replace(manifest_of(1), window=None)
    found = page_of(map_of([metrics.point(manifest, [])]))
    assert "–" in found.text
    assert "None" not in found.text
    assert "nan" not in found.text


def test_a_map_without_points_still_says_why_it_stopped() -> None:
    found = page_of(map_of([], stopped="the target never answered"))
    assert "the target never answered" in found.text


def test_several_apps_get_a_section_each_and_a_way_to_it(chat: Measured) -> None:
    voice = msgspec.structs.replace(chat.map, app="voice")
    found = Page(html.report_html([Chapter(chat.map), Chapter(voice)], runs=chat.runs))
    assert {"map-0", "map-1"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert "voice" in found.text


def test_several_targets_are_named_at_every_point(two_targets: Measured) -> None:
    found = page_of(two_targets.map)
    assert found.text.count("llamacpp") > 7


def test_every_run_says_why_it_is_valid_and_shows_how_it_went(page: Page, chat: Measured) -> None:
    assert page.text.count("Valid: the client did not bend it") == len(chat.map.points)
    assert page.text.count("the client may have moved it by") >= len(chat.map.points)
    assert page.text.count("seconds from the start of the run") == len(chat.map.points) + 1
    assert "12.00 in flight" in page.text  # Little's law, with its figures


def test_a_run_whose_records_are_gone_says_so(chat: Measured) -> None:
    found = page_of(chat.map)
    assert found.text.count("Its records are not here") == len(chat.map.points)
    assert "How requests spread" not in found.text


def test_the_knee_and_the_saturation_stand_with_their_intervals(chat: Measured) -> None:
    found = page_of(
        msgspec.structs.replace(
            chat.map, knee_ci=(8.0, 16.0), saturation=Saturation(497.0, (470.0, 510.0), "x")
        )
    )
    assert "saturation: 497 tokens/s (470–510)" in found.text
    assert "the stretch on which the knee lies" in found.text
    without = page_of(chat.map)
    assert "saturation" not in without.text.partition("What the words mean")[0]


def test_the_cost_of_a_good_request_is_drawn_where_a_price_is_known(chat: Measured) -> None:
    priced = tuple(charged(point, Owned(usd_per_hour=0.4)) for point in chat.map.points)
    found = page_of(msgspec.structs.replace(chat.map, points=priced))
    assert "1,000 good requests, $" in found.text
    assert "1,000 good requests, $" not in page_of(chat.map).text


def test_a_capacity_leads_its_page_and_shows_where_the_slo_ends(chat: Measured) -> None:
    limit = Slots(concurrency=13, ci95=(12, 14), tightest="tpot.p95<36ms", stopped="narrow enough")
    capacity = Capacity(
        app="chat",
        target="openvino",
        slo=SLO,
        closed=limit,
        open=None,
        tightest=limit.tightest,
        headroom=None,
        points=chat.map.points,
    )
    found = Page(html.report_html([Chapter(chat.map, capacity)], runs={}))
    text = " ".join(found.text.split())
    assert "Capacity for chat" in text
    assert text.index("Then tpot.p95<36ms is missed") < text.index("Where the SLO ceases to be met")
    assert "tpot.p95<36ms asks for this share" in text


def test_a_comparison_shows_its_verdict_the_differences_and_both_distributions(
    chat: Measured,
) -> None:
    found = Page(html.report_html(runs=chat.runs, versus=[versus_of(1.3)]))
    text = " ".join(found.text.split())
    assert text.index("B is worse") < text.index("The differences") < text.index("How requests")
    assert text.count("✗ worse") > 4
    # ratios and shares, each also for telephones; four distributions; two runs
    assert found.tags.count("svg") == 2 * 2 + 4 + 2


def test_what_is_not_comparable_says_every_reason_and_shows_no_difference(chat: Measured) -> None:
    refused = "not comparable: the load differs: 8 at a time, and 16 at a time; the model differs"
    versus = Versus("a", "b", SLO, None, refused, {}, [(chat.map.points[3], chat.map.points[5])])
    found = Page(html.report_html(runs=chat.runs, versus=[versus]))
    for words in ("They are not comparable", "the load differs: 8 at a time", "the model differs"):
        assert words in found.text
    assert "The differences" not in found.text
    assert found.text.count("Valid: ") == 2


def test_answers_stand_load_by_load_and_task_by_task(chat: Measured) -> None:
    page = page_of(map_of([*chat.map.points[:3], graded(chat.map.points[3])]))
    for words in (
        "71 %",
        "needle",
        "82 %",
        "59 %–94 %",
        "2.10",
        "How good the answers were, load by load",
    ):
        assert words in page.text
    assert "load by load" not in page_of(chat.map).text
