"""What the page holds; `test_browser` opens it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from latok.analysis import metrics
from latok.analysis.frontier import Map
from latok.report import charts, html
from tests.report.samples import Measured, drive, manifest_of, map_of


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


def page_of(map: Map, **made: object) -> Page:
    return Page(html.report_html([map], records={}, manifests={}, **made))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source(chat: Measured) -> str:
    records = {"openvino-12": chat.records["openvino-12"]}
    return html.report_html([chat.map], records=records, manifests=chat.manifests)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_page_loads_nothing_and_may_not(page: Page, source: str) -> None:
    assert page.loads == []
    assert "default-src 'none'" in source
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)


def test_the_page_is_small_enough_for_mail(source: str) -> None:
    assert len(source.encode()) < 1_000_000


def test_the_verdict_comes_first(page: Page, chat: Measured) -> None:
    text = " ".join(page.text.split())
    assert text.index(chat.map.advice.text) < text.index("The frontier") < text.index("All points")


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


def test_every_chart_is_drawn_in_the_page(page: Page) -> None:
    # frontier, two latencies, throughput, the streams of one run
    assert page.tags.count("svg") == 5


def test_every_question_mark_has_its_answer_and_no_id_is_twice(page: Page) -> None:
    assert len(page.helps) > 10
    assert set(page.helps) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_dark_screens_have_every_colour() -> None:
    assert html.DARK.keys() == charts.COLOURS.keys()
    assert len(set(charts.COLOURS.values())) == len(charts.COLOURS)


def test_no_chart_keeps_a_colour_of_light_screens(source: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", source, re.DOTALL))
    for colour in charts.COLOURS.values():
        assert colour not in drawn


def test_names_and_commands_from_outside_are_only_text() -> None:
    evil = "</script></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    points, records = [], {}
    for target in (evil, evil + "2"):
        manifest = manifest_of(2, target=target, model=evil)
        records[manifest.id] = drive(2, seconds=6.0)
        points.append(metrics.point(manifest, records[manifest.id]))
    hostile = map_of(points, command=evil, stopped=evil, report=evil, app=evil)
    found = Page(html.report_html([hostile], records=records, manifests={}))
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
    found = Page(html.report_html([chat.map, voice], records=chat.records, manifests={}))
    assert {"map-0", "map-1"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert "voice" in found.text


def test_several_targets_are_named_at_every_point(two_targets: Measured) -> None:
    found = page_of(two_targets.map)
    assert found.text.count("llamacpp") > 7
