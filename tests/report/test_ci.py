"""Results as build servers read them: Markdown for people, JUnit's XML for programs."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.compare import Compared, Comparison
from latok.analysis.metrics import point
from latok.decide.thresholds import parse_thresholds
from latok.report.ci import junit, markdown, of_comparison, of_map, of_point
from tests.report.samples import map_of
from tests.simulated import closed

POINT = point(*closed(4, 60.0))
WORDS = {"better": "passed", "same": "passed", "worse": "failed", "undecided": "skipped"}


def comparison(*verdicts: str) -> Comparison:
    metrics = {
        f"r4.5.ttft.p{n}": Compared(
            a=0.1, b=0.12, ratio=1.2, ci95=(1.1, 1.3), verdict=verdict, needed=40  # type: ignore[arg-type]
        )
        for n, verdict in zip((50, 95), verdicts, strict=False)
    }  # fmt: skip
    return Comparison(
        a="runs/before", b="runs/after", metrics=metrics, verdict="worse", margin=0.05,
        requests=(400, 400), blocks=20, advised=800, design="stored", notes=("a note",),
    )  # fmt: skip


@pytest.mark.parametrize("verdict", WORDS)
def test_a_metric_that_is_worse_fails_and_one_that_is_open_is_skipped(verdict: str) -> None:
    (case,) = of_comparison(comparison(verdict)).cases
    assert case.outcome == WORDS[verdict]
    assert (case.load, case.name) == ("r4.5", "ttft.p50")
    assert "A 100 ms, B 120 ms, ratio 1.200 [1.100–1.300]" in case.why


def test_the_counts_of_a_suite_are_those_of_its_cases() -> None:
    thresholds = parse_thresholds("ttft.p50>1ms, ttft.p50<1ms")
    results = [of_point(POINT, thresholds), of_comparison(comparison("worse", "undecided"))]
    root = ElementTree.fromstring(junit(results))
    first, second = root.findall("testsuite")
    assert first.get("tests") == str(len(POINT.goodput.clauses) + 2)
    assert first.get("failures") == "1"  # it is above 1 ms, and not below
    assert (second.get("failures"), second.get("skipped")) == ("1", "1")
    for suite in (first, second):
        assert len(suite.findall("testcase")) == int(suite.get("tests") or 0)
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures") or 0)
        assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped") or 0)


def test_of_a_bent_point_no_clause_passes() -> None:
    instrument = msgspec.structs.replace(POINT.instrument, verdict="invalid", why=("too late",))
    bent = msgspec.structs.replace(POINT, instrument=instrument)
    cases = of_point(bent).cases
    assert cases
    assert {case.outcome for case in cases} == {"error"}
    assert all("too late" in case.why for case in cases)


def test_a_map_shows_its_advice_and_a_row_for_every_load() -> None:
    points = [point(*closed(n, 60.0)) for n in (1, 4, 8)]
    text = markdown([of_map(map_of(points))])
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    loads = [row[0].removeprefix("| ") for row in rows if len(row) == 7]
    assert loads == ["load", "---", "1 at a time", "4 at a time", "8 at a time"]
    assert text.startswith("## ")


@given(st.text(max_size=60))
def test_nothing_that_a_server_names_becomes_markup(name: str) -> None:
    def bare(named: str) -> tuple[int, ...]:
        """How much markup there is, and how many lines."""
        found = of_comparison(msgspec.structs.replace(comparison("worse"), a=named, notes=(named,)))
        ElementTree.fromstring(junit([found]))
        text = re.sub(r"\\.", "", markdown([found]))
        return tuple(text.count(letter) for letter in "|<>[]`*\n")

    assert bare(name) == bare("a name")
