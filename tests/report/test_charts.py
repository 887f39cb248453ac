"""What the charts draw, read from their specifications."""

from __future__ import annotations

from typing import Any

import msgspec

from latok.decide.advise import stands
from latok.records import Failure
from latok.report import charts
from tests.report.samples import Measured, drive, map_of


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """The rows of all layers."""
    found = chart.to_dict()
    return [row for rows in found["datasets"].values() for row in rows]


def test_the_frontier_labels_points_with_their_load_and_marks_two(chat: Measured) -> None:
    labels = {row["label"] for row in rows_of(charts.frontier_chart(chat.map)) if "label" in row}
    assert {"1", "2", "4", "8", "32"} <= {label.partition(" ")[0] for label in labels}
    assert {f"{chat.map.advice.point} · advised", f"{chat.map.knee} · knee"} <= {
        f"openvino-{label}" for label in labels
    }


def test_a_point_says_its_load_metrics_interval_and_requests(chat: Measured) -> None:
    says = charts.said_of(chat.map.points[3])
    for word in ("8 at a time", "first token p50", "tokens/s [", "requests", "within the SLO"):
        assert word in says


def test_the_points_within_the_slo_are_those_in_the_shaded_region(chat: Measured) -> None:
    regions = [row for row in rows_of(charts.frontier_chart(chat.map)) if "from" in row]
    assert regions
    for point in chat.map.points:
        speed = point.metrics["speed"].p50 or 0.0
        inside = any(region["from"] <= speed <= region["to"] for region in regions)
        assert inside == stands(point)


def test_a_limit_far_above_what_was_measured_is_said_and_not_drawn(chat: Measured) -> None:
    said = {row["says"] for row in rows_of(charts.latency_chart(chat.map, "ttft")) if "says" in row}
    assert "ttft.p95<400ms: above this chart" in said
    drawn = [row for row in rows_of(charts.latency_chart(chat.map, "tpot")) if "limit" in row]
    assert drawn[0]["limit"] == 36.0


def test_the_latencies_shown_are_those_that_the_slo_names(chat: Measured) -> None:
    asked = msgspec.structs.replace(chat.map, slo="ttfv.p99<1s, e2e.p50<2s")
    assert charts.latency_metrics(asked) == ["ttfv", "tpot", "e2e"]
    assert charts.latency_metrics(chat.map) == ["ttft", "tpot"]


def test_requests_in_one_lane_of_a_closed_loop_never_overlap(chat: Measured) -> None:
    found = charts.slice_of(chat.records["openvino-8"], (2.0, 22.0))
    assert set(found.lanes) == set(range(8))
    free = dict.fromkeys(found.lanes, 0.0)
    for record, lane in zip(found.records, found.lanes, strict=True):
        assert record.due >= free[lane]
        free[lane] = record.closed_at or 0.0


def test_a_swim_lane_holds_no_more_than_can_be_read() -> None:
    records = drive(32, seconds=120.0)
    found = charts.slice_of(records, (2.0, 118.0))
    assert 32 <= len(found.records) <= 150
    assert sum(len(record.chunks) for record in found.records) <= 10_000


def test_a_failed_request_is_drawn_as_failed(chat: Measured) -> None:
    record = chat.records["openvino-1"][0]
    broken = msgspec.structs.replace(record, error=Failure("reset", "peer went away"), usage=None)
    rows = rows_of(charts.swim_lane([broken], None))
    assert any(row.get("part") == "failed" for row in rows)
    assert any("peer went away" in row.get("says", "") for row in rows)


def test_a_request_that_was_never_answered_is_drawn_until_it_closed(chat: Measured) -> None:
    record = chat.records["openvino-1"][0]
    silent = msgspec.structs.replace(
        record, error=Failure("timeout", "no answer"), chunks=(), closed_at=9.0
    )
    waits = [row for row in rows_of(charts.swim_lane([silent], None)) if row.get("part")]
    assert [(row["part"], row["to"]) for row in waits] == [("waits for its first token", 9.0)]


def test_every_chart_becomes_a_file_without_a_network(chat: Measured) -> None:
    found = charts.charts(chat.map, {"openvino-8": chat.records["openvino-8"]}, chat.manifests)
    assert list(found) == ["frontier", "ttft", "tpot", "throughput", "streams-openvino-8"]
    for chart in found.values():
        assert charts.to_svg(chart).startswith("<svg")
    assert charts.to_png(found["ttft"]).startswith(b"\x89PNG")


def test_a_map_without_points_has_charts_without_marks() -> None:
    nothing = map_of([])
    for chart in charts.charts(nothing, {}).values():
        assert charts.to_svg(chart).startswith("<svg")
    assert charts.to_svg(charts.swim_lane([], None)).startswith("<svg")
