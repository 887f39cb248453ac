"""What the charts of an explanation draw, read from their specifications."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.counters import Counters, Moment
from latok.analysis.course import course
from latok.analysis.evidence import Fitted, Line
from latok.analysis.explain import AtLoad, Component, Explanation, Finding, Waterfall
from latok.analysis.metrics import digest
from latok.analysis.told import PARTS, Whole
from latok.records import Closed, Load, Open
from latok.report.charts.course import course_chart
from latok.report.charts.fits import AXES, fit_chart
from latok.report.charts.parts import parts_of, shares_chart, waterfall_chart
from latok.report.explain import leading, times_in_words
from tests.report.samples import drive, manifest_of
from tests.simulated import TARGET

seconds = st.floats(0.001, 5.0)
cuts = st.dictionaries(st.sampled_from(list(PARTS)), seconds, min_size=1)


def rows_of(chart: Any) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def waterfall(parts: dict[str, float], of: Whole = "ttft", quantile: str = "p50") -> Waterfall:
    whole = sum(parts.values())
    return Waterfall(
        of=of,
        quantile=quantile,
        requests=10,
        seconds=whole,
        components=tuple(
            Component(name=name, of=of, seconds=parts[name], share=parts[name] / whole)
            for name in PARTS
            if name in parts
        ),
    )


def at_load(load: Load, *waterfalls: Waterfall, run: str = "") -> AtLoad:
    return AtLoad(
        load=load,
        run=run,
        grade="told",
        server="vLLM",
        offered=10,
        explained=10,
        waterfalls=waterfalls,
        unexplained={},
        error_s={},
        round_trip_s=None,
    )


# --- a waterfall ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(cuts)
def test_each_bar_begins_where_the_one_before_ended_and_the_last_ends_with_the_whole(
    parts: dict[str, float],
) -> None:
    each = waterfall(parts)
    every = list(PARTS)
    bars = [row for row in rows_of(waterfall_chart(each, every, each.seconds)) if "part" in row]
    bars = list({row["part"]: row for row in bars}.values())
    per = 1.0 if each.seconds >= 5.0 else 1e3
    assert [row["part"] for row in bars] == [PARTS[name] for name in PARTS if name in parts]
    assert bars[0]["from"] == 0.0
    for one, after in pairwise(bars):
        # a part of no visible length is drawn a hairline long
        assert one["to"] - after["from"] <= 0.002 * each.seconds * per + 1e-9
        assert one["to"] >= after["from"] - 1e-9
    assert bars[-1]["to"] == pytest.approx(each.seconds * per, rel=0.003)


def test_a_part_that_is_too_small_keeps_its_place_and_is_not_drawn() -> None:
    each = waterfall({"queue": 0.1, "network": 1e-5, "prefill": 0.1})
    names = parts_of([each])
    assert names == ["queue", "prefill"]
    bars = {row["part"]: row for row in rows_of(waterfall_chart(each, names, 0.2)) if "part" in row}
    assert bars.keys() == {"queue", "prefill"}
    assert bars["prefill"]["to"] == pytest.approx(200.01)


def test_an_overhang_of_the_servers_own_account_is_no_bar() -> None:
    each = waterfall({"prefill": 0.1, "unexplained": -0.001})
    bars = [row for row in rows_of(waterfall_chart(each, parts_of([each]), 0.1)) if "part" in row]
    assert {row["part"] for row in bars} == {"prefill"}


# --- shares against load -------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.lists(cuts, min_size=2, max_size=5))
def test_the_parts_of_each_column_fill_it_without_a_gap(drawn: list[dict[str, float]]) -> None:
    loads = [at_load(Closed(n + 1), waterfall(parts)) for n, parts in enumerate(drawn)]
    chart = shares_chart(loads, "ttft", slow=False)
    assert chart is not None
    rows = [row for row in rows_of(chart) if "from" in row]
    for n, parts in enumerate(drawn):
        column = {r["from"]: r for r in rows if r["load"] == str(n + 1)}
        edges = sorted(column, reverse=True)
        assert len(edges) == len(parts)
        assert edges[0] == 1.0
        for upper, lower in pairwise(edges):
            assert column[upper]["to"] == pytest.approx(lower)
        assert column[edges[-1]]["to"] == pytest.approx(0.0, abs=1e-9)


def test_one_load_or_none_has_no_chart_of_shares() -> None:
    one = waterfall({"queue": 0.1})
    assert shares_chart([], "ttft", slow=False) is None
    assert shares_chart([at_load(Closed(1), one)], "ttft", slow=False) is None
    both = [at_load(Closed(1), one), at_load(Open(2.0), one)]
    assert shares_chart(both, "ttft", slow=True) is None
    assert shares_chart(both, "e2e", slow=False) is None
    assert shares_chart(both, "ttft", slow=False) is not None


def test_of_a_load_that_was_held_twice_the_last_counts() -> None:
    loads = [
        at_load(Closed(1), waterfall({"queue": 9.0})),
        at_load(Closed(1), waterfall({"prefill": 1.0})),
        at_load(Closed(2), waterfall({"prefill": 1.0})),
    ]
    chart = shares_chart(loads, "ttft", slow=False)
    assert chart is not None
    assert not any(PARTS["queue"] in row.get("says", "") for row in rows_of(chart))


# --- fits ----------------------------------------------------------------------------------------


def fitted(name: str = "prefill", *, off: float = 0.0) -> Fitted:
    x = np.arange(1.0, 11.0)
    law = 0.02 * x
    left = off * (-1.0) ** np.arange(10)
    ends = np.array([0.0, 10.0])
    line = Line(ends, 0.02 * ends, 0.019 * ends, 0.021 * ends)
    return Fitted(name, x, law + left, left, line, 10)


@pytest.mark.parametrize("name", AXES)
def test_a_fit_is_drawn_with_its_data_its_band_and_what_it_leaves(name: str) -> None:
    rows = rows_of(fit_chart(fitted(name, off=0.003)))
    dots = [row for row in rows if "says" in row]
    assert dots
    assert all(row["y"] - row["left"] == pytest.approx(20.0 * row["x"]) for row in dots)  # ms
    line = [row for row in rows if "low" in row]
    assert line
    assert all(row["low"] <= row["y"] <= row["high"] for row in line)


def test_the_rounding_of_an_exact_law_is_not_blown_up_to_a_panels_height() -> None:
    exact = fit_chart(fitted(off=1e-17)).to_dict()
    [domain] = {
        tuple(layer["encoding"]["y"]["scale"]["domain"])
        for layer in exact["vconcat"][1]["layer"]
        if layer["encoding"]["y"].get("field") == "left"
    }
    assert domain[1] >= 0.1  # ms, of 200


# --- beside the server's counters ----------------------------------------------------------------


def counters(**seen: list[float]) -> Counters:
    moments = [
        Moment(at=float(n), **dict(zip(seen, values, strict=True)))
        for n, values in enumerate(zip(*seen.values(), strict=True))
    ]
    return Counters(
        server="vLLM", window=(0.0, 20.0), pages=len(moments), values={}, moments=tuple(moments)
    )


def panels(counted: Counters | None) -> list[str]:
    """The headings of the panels of a run."""
    chart = course_chart(
        course(manifest_of(4), [digest(record) for record in drive(4, seconds=12.0)]), counted
    )
    return [str(panel["title"]["text"]) for panel in chart.to_dict()["vconcat"]]


def test_what_the_server_counted_stands_below_on_the_same_seconds() -> None:
    without = panels(None)
    counted = counters(running=[1.0, 3.0, 2.0], waiting=[0.0, 1.0, 0.0], kv=[0.1, 0.2, 0.3])
    assert panels(counted) == [
        *without,
        "requests in the server (vLLM)",
        "attention cache in use, % (vLLM)",
    ]


def test_what_the_server_never_counted_has_no_panel() -> None:
    assert panels(counters(running=[0.0, 0.0], preemptions=[0.0, 0.0])) == panels(None)
    nothing = Counters(server="vLLM", window=(0.0, 1.0), pages=2, values={}, moments=())
    assert panels(nothing) == panels(None)


def test_a_share_is_drawn_in_percent_and_a_count_as_it_is() -> None:
    counted = counters(kv=[0.25, 0.5], preemptions=[2.0, 3.0])
    chart = course_chart(course(manifest_of(4), list(map(digest, drive(4, seconds=12.0)))), counted)
    values = {
        row["what"]: [r["value"] for r in rows_of(chart) if r.get("what") == row["what"]]
        for row in rows_of(chart)
        if "what" in row
    }
    assert set(values["in use"]) == {25.0, 50.0}
    assert set(values["preemptions"]) == {2.0, 3.0}


# --- the headline --------------------------------------------------------------------------------


def finding(quantile: str, most_s: float) -> Finding:
    return Finding(
        name="queue",
        what=f"{quantile} waits",
        of="ttft",
        quantile=quantile,
        most_s=most_s,
        share=0.5,
        speedup=2.0,
        levers=(),
    )


def explanation(*found: Finding) -> Explanation:
    return Explanation(
        grade="told",
        target=TARGET,
        app="chat",
        at="",
        components=(),
        laws={},
        unexplained=None,
        findings=found,
    )


@given(seconds, seconds)
def test_typical_requests_lead_unless_slow_ones_could_win_far_more(
    typical: float, slow: float
) -> None:
    both = sorted([finding("p50", typical), finding("p99", slow)], key=lambda f: -f.most_s)
    first = leading(explanation(*both))
    assert first is not None
    assert (first.quantile == "p99") == (slow > 3.0 * typical)


def test_without_findings_nothing_leads_and_without_typical_ones_the_largest() -> None:
    assert leading(explanation()) is None
    first = leading(explanation(finding("p99", 2.0), finding("p90", 1.0)))
    assert first is not None
    assert first.quantile == "p99"


def test_what_would_be_thousands_of_times_as_fast_is_not_counted() -> None:
    assert times_in_words(1000.0) == "over 100"
    assert times_in_words(3.45) == "3.45"
