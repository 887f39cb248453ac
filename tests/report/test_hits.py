"""What a cache of answers did, in a terminal and on a page."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from latok.quality.hits import Use, hits_of
from latok.quality.tried import Tried
from latok.report import html
from latok.report.tried import print_tried, setting_rows, settings
from latok.report.tried_section import Trial
from tests.report.trials import one_lever


def shown(found: Tried) -> str:
    out = io.StringIO()
    print_tried(found, Console(file=out, width=200, color_system=None))
    return out.getvalue()


def test_a_cache_says_how_often_it_answered_and_how_often_wrongly() -> None:
    uses = [*[Use()] * 70, *[Use(0.0002)] * 24, *[Use(0.0002, True, True)] * 6]
    exact = msgspec.structs.replace(one_lever(), hits=hits_of(uses, None))
    (cached,) = setting_rows(settings(exact)[0])[-2:-1]
    assert (cached.name, cached.without, cached.with_) == ("from the cache", "0 %", "30 %")
    assert "near misses" not in shown(exact)
    alike = msgspec.structs.replace(one_lever(), hits=hits_of(uses, 0.7))
    said = shown(alike)
    assert "30 of 100 requests were answered from the cache" in said
    assert "0.20 ms (median)" in said
    assert "6 of them were the answer to another question, 6 a wrong one" in said
    false, near = setting_rows(settings(alike)[0])[-3:-1]
    assert (false.name, false.with_) == ("false, of these", "20 %")
    assert near.name == "near misses hit"
    assert "from the cache" in html.report_html(trials=[Trial(alike, [])], runs={})
    none = msgspec.structs.replace(one_lever(), hits=hits_of([Use()] * 9, 0.7))
    assert "The cache answered nothing" in shown(none)
