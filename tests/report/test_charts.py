"""What the charts draw, read from their specifications."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from latok.analysis.compare import Compared
from latok.analysis.cost import charged
from latok.analysis.course import course, ecdf
from latok.analysis.frontier import Map, Saturation, Setting
from latok.analysis.metrics import digest
from latok.analysis.probit import fitted
from latok.decide.advise import stands
from latok.quality.depth import BANDS
from latok.records import Failure, Owned
from latok.report import charts
from latok.report.charts import capacity, compare, draw, frontier, load, spread, streams
from latok.report.charts.course import course_chart
from latok.report.charts.tried import depth_charts, task_chart
from latok.workload.slo import parse_slo
from tests.report.samples import SLO, Measured, drive, manifest_of, map_of
from tests.report.trials import LENGTHS, one_lever


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """The rows of all layers."""
    found = chart.to_dict()
    return [row for rows in found["datasets"].values() for row in rows]


def lane_of(records: Any, window: Any = None) -> Any:
    return streams.swim_lane(streams.slice_of([digest(record) for record in records], window))


def test_the_frontier_labels_points_with_their_load_and_marks_two(chat: Measured) -> None:
    labels = {row["label"] for row in rows_of(frontier.frontier_chart(chat.map)) if "label" in row}
    assert {"1", "2", "4", "8", "32"} <= {label.partition(" ")[0] for label in labels}
    assert {f"{chat.map.advice.point} · advised", f"{chat.map.knee} · knee"} <= {
        f"openvino-{label}" for label in labels
    }


def with_worse_answers(two_targets: Measured) -> Map:
    """The second target as a setting of the first that harms answers."""
    first, second = charts.by_target(two_targets.map).values()
    harmful = Setting(
        name="weights=w2_sim",
        levers={"weights": "w2_sim"},
        target=second[0].target.name,
        base=first[0].target.name,
        lossless=False,
        points=tuple(point.id for point in second),
        load="",
        gains={},
        margin=0.02,
        verdict="inferior",
    )
    return msgspec.structs.replace(
        map_of(first), points=two_targets.map.points, settings=(harmful,)
    )


def test_worse_answers_are_drawn_hollow_and_on_no_frontier(two_targets: Measured) -> None:
    found = with_worse_answers(two_targets)
    spec = frontier.frontier_chart(found).to_dict()
    hollow = [each for each in spec["layer"] if each["mark"].get("shape") == "square"]
    (layer,) = hollow
    assert layer["mark"]["filled"] is False
    rows = layer["data"]["values"] if "values" in layer["data"] else rows_of_layer(spec, layer)
    assert len(rows) == len(found.inferior)
    assert all(row["inferior"] and not row["frontier"] for row in rows)
    assert all("worse answers" in row["says"] for row in rows)


def rows_of_layer(spec: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["datasets"][layer["data"]["name"]]
    return found


def test_a_point_says_its_load_metrics_interval_and_requests(chat: Measured) -> None:
    says = draw.said_of(chat.map.points[3])
    for word in ("8 at a time", "first token p50", "tokens/s [", "requests", "within the SLO"):
        assert word in says


def test_the_points_within_the_slo_are_those_in_the_shaded_region(chat: Measured) -> None:
    regions = [row for row in rows_of(frontier.frontier_chart(chat.map)) if "from" in row]
    assert regions
    for point in chat.map.points:
        speed = point.metrics["speed"].p50 or 0.0
        inside = any(region["from"] <= speed <= region["to"] for region in regions)
        assert inside == stands(point)


def test_a_limit_far_above_what_was_measured_is_said_and_not_drawn(chat: Measured) -> None:
    far = msgspec.structs.replace(chat.map, slo="ttft.p95<4s")
    said = {row["says"] for row in rows_of(load.latency_chart(far, "ttft")) if "says" in row}
    assert "ttft.p95<4s: above this chart" in said
    drawn = [row for row in rows_of(load.latency_chart(chat.map, "tpot")) if "limit" in row]
    assert drawn[0]["limit"] == 36.0


def test_the_latencies_shown_are_those_that_the_slo_names(chat: Measured) -> None:
    asked = msgspec.structs.replace(chat.map, slo="ttfv.p99<1s, e2e.p50<2s")
    assert load.latency_metrics(asked) == ["ttfv", "tpot", "gap", "e2e"]
    assert load.latency_metrics(chat.map) == ["ttft", "tpot", "gap", "e2e"]


def test_requests_in_one_lane_of_a_closed_loop_never_overlap(chat: Measured) -> None:
    requests = [digest(record) for record in chat.records["openvino-8"]]
    found = streams.slice_of(requests, (2.0, 22.0))
    assert set(found.lanes) == set(range(8))
    free = dict.fromkeys(found.lanes, 0.0)
    for each, lane in zip(found.requests, found.lanes, strict=True):
        assert each.record.due >= free[lane]
        free[lane] = each.record.closed_at or 0.0


def test_a_swim_lane_holds_no_more_than_can_be_read() -> None:
    requests = [digest(record) for record in drive(32, seconds=120.0)]
    found = streams.slice_of(requests, (2.0, 118.0))
    assert 32 <= len(found.requests) <= 150
    assert sum(len(each.at) for each in found.requests) <= 10_000


def test_a_failed_request_is_drawn_as_failed(chat: Measured) -> None:
    record = chat.records["openvino-1"][0]
    broken = msgspec.structs.replace(record, error=Failure("reset", "peer went away"), usage=None)
    rows = rows_of(lane_of([broken]))
    assert any(row.get("part") == "failed" for row in rows)
    assert any("peer went away" in row.get("says", "") for row in rows)


def test_a_request_that_was_never_answered_is_drawn_until_it_closed(chat: Measured) -> None:
    record = chat.records["openvino-1"][0]
    silent = msgspec.structs.replace(
        record, error=Failure("timeout", "no answer"), chunks=(), closed_at=9.0
    )
    waits = [row for row in rows_of(lane_of([silent])) if row.get("part")]
    assert [(row["part"], row["to"]) for row in waits] == [("waits for its first token", 9.0)]


def test_every_chart_becomes_a_file_without_a_network(chat: Measured) -> None:
    one = msgspec.structs.replace(chat.map, points=chat.map.points[4:5])
    lanes = {id: run.streams for id, run in chat.runs.items() if run.streams is not None}
    courses = {id: run.course for id, run in chat.runs.items()}
    found = charts.charts(one, courses, lanes)
    against_load = ["ttft", "tpot", "gap", "e2e", "speed", "throughput", "attainment"]
    spreads = ["spread-ttft", "spread-tpot", "spread-gap", "spread-e2e"]
    runs = ["run-openvino-12", "streams-openvino-12"]
    assert list(found) == ["frontier", *against_load, *spreads, *runs]
    for chart in found.values():
        chart.to_dict()  # by the schema
        assert draw.to_svg(chart).startswith("<svg")
    assert draw.to_png(found["ttft"]).startswith(b"\x89PNG")


def test_a_map_without_points_has_charts_without_marks() -> None:
    for chart in charts.charts(map_of([]), {}, {}).values():
        assert draw.to_svg(chart).startswith("<svg")
    assert draw.to_svg(lane_of([])).startswith("<svg")


# --- how sure ------------------------------------------------------------------------------------


def test_a_knees_interval_is_the_stretch_of_the_line_between_its_loads(chat: Measured) -> None:
    sure = msgspec.structs.replace(
        chat.map, knee_ci=(4.0, 12.0), saturation=Saturation(497.0, (470.0, 510.0), "openvino-32")
    )
    rows = rows_of(frontier.frontier_chart(sure))
    drawn = [row for row in rows if row.get("says", "").startswith("knee: between 4 and 12")]
    speeds = {point.load.concurrency: point.metrics["speed"].p50 for point in chat.map.points}
    assert [(row["load"], row["speed"]) for row in drawn] == [
        (level, speeds[level]) for level in (4, 8, 12)
    ]
    band = next(row for row in rows if row.get("says", "").startswith("saturation"))
    assert (band["y"], band["low"], band["high"]) == (497.0, 470.0, 510.0)


def test_a_stretch_between_two_loads_lies_on_the_line_and_outside_there_is_none() -> None:
    rows = [
        {"target": "t", "loop": "Closed", "load": n, "speed": 64.0 / n, "throughput": 10.0 * n}
        for n in (1, 4, 16)
    ]
    inside = frontier.stretch(rows, 2.0, 8.0)
    assert [row["load"] for row in inside] == [2.0, 4, 8.0]
    assert inside[0]["speed"] == (64.0 + 16.0) / 2  # half-way in the logarithm of the load
    assert frontier.stretch(rows, 17.0, 99.0) == frontier.stretch(rows, 0.1, 0.5) == []
    assert [row["load"] for row in frontier.stretch(rows, 8.0, float("inf"))] == [8.0, 16]


def test_a_load_that_was_held_twice_is_one_place_of_its_line() -> None:
    same = {"target": "t", "loop": "Closed", "load": 4}
    rows = [
        same | {"rate": 10.0, "rate_low": 9.0, "rate_high": 12.0},
        same | {"rate": 14.0, "rate_low": 11.0, "rate_high": 15.0},
    ]
    assert draw.by_load(rows, "rate") == [same | {"rate": 12.0, "rate_low": 9.0, "rate_high": 15.0}]


# --- distributions -------------------------------------------------------------------------------


def test_a_curve_passes_each_limit_at_the_clauses_share(chat: Measured) -> None:
    for point in chat.map.points:
        curves = chat.runs[point.id].course.spread
        for clause, found in zip(parse_slo(SLO).clauses, point.goodput.clauses, strict=True):
            mine = spread.Curve(f"{point.load}", "#000", curves[clause.metric])
            rows = rows_of(spread.spread_chart([mine], [clause]))
            marks = [row for row in rows if f"{clause} asks for" in row.get("says", "")]
            assert [row["share"] for row in marks] == [found.share]


def test_the_curves_of_loads_are_told_apart_and_one_leads(chat: Measured) -> None:
    courses = {id: run.course for id, run in chat.runs.items()}
    found = charts.spread_charts(chat.map.points, courses, "openvino-12")
    assert list(found) == ["ttft", "tpot", "gap", "e2e"]
    named = {row["curve"] for row in rows_of(found["ttft"]) if "curve" in row}
    assert named == {f"{point.load}" for point in chat.map.points}
    assert len(set(charts.load_colours(chat.map.points).values())) == len(chat.map.points)


def test_a_limit_far_beyond_all_values_is_said_beside_the_curves() -> None:
    curve = ecdf(np.linspace(0.01, 0.02, 50))
    assert curve is not None
    rows = rows_of(
        spread.spread_chart([spread.Curve("8", "#000", curve)], parse_slo("ttft.p95<9s").clauses)
    )
    assert any(row.get("says") == "ttft.p95<9s: right of this chart" for row in rows)


# --- a run over its time -------------------------------------------------------------------------


def test_failures_and_the_part_that_counts_are_marked_in_a_run(chat: Measured) -> None:
    manifest = manifest_of(8)
    records = chat.records["openvino-8"]
    broken = sum(not record.ok for record in records)
    rows = rows_of(course_chart(course(manifest, [digest(record) for record in records])))
    assert broken
    assert sum("failed: reset" in row.get("says", "") for row in rows) == broken
    assert {"at": 2.0, "to": 22.0} in rows


# --- a capacity ----------------------------------------------------------------------------------


@given(
    crossing=st.floats(2.0, 50.0), slope=st.floats(1.0, 20.0), quantile=st.sampled_from([0.5, 0.9])
)
def test_a_curve_is_found_again_through_its_own_values(
    crossing: float, slope: float, quantile: float
) -> None:
    loads = np.geomspace(crossing / 3, crossing * 3, 9)
    shares = ndtr(ndtri(quantile) - slope * np.log(loads / crossing))
    held = [(float(a), float(s), 4000) for a, s in zip(loads, shares, strict=True)]
    found = fitted(quantile, held)
    assert found is not None
    assert abs(math.log(found.crossing / crossing)) < 0.05
    assert max(abs(found.share(a) - s) for a, s, _ in held) < 0.05


def test_a_load_that_always_meets_a_clause_has_no_curve() -> None:
    assert fitted(0.95, [(1.0, 1.0, 100), (2.0, 1.0, 100)]) is None


def test_the_tightest_clause_comes_first_with_the_capacitys_interval(chat: Measured) -> None:
    found = capacity.hits_charts(chat.map.points, 13, (12, 14), "tpot.p95<36ms")
    assert list(found) == ["tpot.p95<36ms", "ttft.p95<400ms"]
    rows = rows_of(found["tpot.p95<36ms"])
    assert any(row.get("to") == 14 and row["load"] == 12 for row in rows)
    held = [row for row in rows if "requests" in row.get("says", "")]
    assert [row["share"] for row in held] == [p.goodput.clauses[1].share for p in chat.map.points]


# --- cost and comparison -------------------------------------------------------------------------


def test_cost_is_drawn_where_good_requests_are_and_said_where_there_are_none(
    chat: Measured,
) -> None:
    assert load.cost_chart(chat.map) is None
    priced = tuple(charged(point, Owned(usd_per_hour=0.4)) for point in chat.map.points)
    chart = load.cost_chart(msgspec.structs.replace(chat.map, points=priced))
    rows = rows_of(chart)
    drawn = {row["load"]: row["rate"] for row in rows if "rate" in row}
    good = {p.load.concurrency: p.goodput.requests_per_s for p in chat.map.points}
    for level, usd in drawn.items():
        assert usd == pytest.approx(1000 * 0.4 / 3600 / good[level])
    assert drawn.keys() == {level for level, rate in good.items() if rate}
    assert any(row.get("says") == "no good request at 32" for row in rows)


def test_a_forest_has_a_row_for_each_metric_that_has_an_interval() -> None:
    def one(ratio: float, low: float, high: float, verdict: Any) -> Compared:
        return Compared(a=1.0, b=ratio, ratio=ratio, ci95=(low, high), verdict=verdict, needed=None)

    metrics = {
        "ttft.p50": one(1.2, 1.1, 1.3, "worse"),
        "throughput": one(1.0, 0.98, 1.02, "same"),
        "tpot.p50": Compared(a=1.0, b=1.0, ratio=1.0, ci95=None, verdict="undecided", needed=None),
        "failures": Compared(
            a=0.01, b=0.04, ratio=4.0, ci95=(0.0, 0.06), verdict="undecided", needed=9
        ),
    }
    found = compare.forest_charts(metrics, 0.05)
    ratios = [row for row in rows_of(found["ratios"]) if "name" in row]
    assert [(row["name"], row["middle"], row["verdict"]) for row in ratios] == [
        ("ttft.p50", 1.2, "✗ worse"),
        ("throughput", 1.0, "= same"),
    ]
    shares = [row for row in rows_of(found["shares"]) if "name" in row]
    assert [(row["name"], round(row["middle"], 9), row["high"]) for row in shares] == [
        ("failures", 3.0, 6.0)
    ]
    assert compare.forest_charts({}, 0.05) == {}


def test_a_forest_of_tasks_says_of_each_whether_it_is_shown() -> None:
    found = one_lever().quality
    assert found is not None
    rows = [row for row in rows_of(task_chart(found)) if "name" in row]
    by_name = {row["name"]: row for row in rows}
    assert [row["name"] for row in rows] == ["all answers", *sorted(found.tasks)]
    assert by_name["all answers"]["verdict"] == "✗ inferior"
    for name, task in found.tasks.items():
        assert by_name[name]["low"] <= by_name[name]["middle"] <= by_name[name]["high"]
        shown = by_name[name]["verdict"] in ("✗ worse", "✓ better")
        assert shown == (task.p < 0.05)


def test_both_heat_maps_have_the_same_axes_and_every_cell_its_count() -> None:
    maps = one_lever().depths
    assert maps is not None
    without, with_ = depth_charts(maps).values()
    assert len({chart.to_dict()["width"] for chart in (without, with_)}) == 1
    for chart, each in ((without, maps[0]), (with_, maps[1])):
        cells = {(r["length"], r["depth"]): r for r in rows_of(chart) if "strength" in r}
        assert len(cells) == len(each.cells) == len(LENGTHS) * BANDS
        assert {length for length, _ in cells} == {str(length) for length in LENGTHS}
        assert all(row["of"].startswith("of ") for row in cells.values())
        for cell in each.cells:
            row = next(r for r in cells.values() if f"{cell.length:.0f} tokens" in r["says"])
            assert 0.0 < row["strength"] <= 1.0
