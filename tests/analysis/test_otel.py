"""A run as OpenTelemetry metrics: the names, units and sums that a collector gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from latok.analysis.metrics import in_window, ttft
from latok.analysis.otel import otel
from latok.records import Failure
from tests.simulated import closed, record

MANIFEST, RECORDS = closed(4, 60.0)
BROKEN = record(9999, 20.0, 0.1, 0.01, 5, error=Failure("reset", "gone"))
GOOD = [each for each in RECORDS if in_window(each, MANIFEST)]


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    said = json.loads(otel(MANIFEST, [*RECORDS, BROKEN]))
    (resource,) = said["resourceMetrics"]
    (scope,) = resource["scopeMetrics"]
    return {each["name"]: each for each in scope["metrics"]}


def words(point: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in point["attributes"]}


def test_the_names_and_units_are_those_of_the_conventions(metrics: dict[str, Any]) -> None:
    assert {name: each["unit"] for name, each in metrics.items()} == {
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "gen_ai.client.operation.time_per_output_chunk": "s",
        "gen_ai.client.token.usage": "{token}",
    }


def test_a_histogram_holds_every_request_of_the_window(metrics: dict[str, Any]) -> None:
    (point,) = metrics["gen_ai.client.operation.time_to_first_chunk"]["histogram"]["dataPoints"]
    assert int(point["count"]) == len(GOOD) == sum(int(n) for n in point["bucketCounts"])
    assert point["sum"] == pytest.approx(sum(ttft(each) or 0.0 for each in GOOD))
    assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
    assert words(point)["gen_ai.request.model"] == "m"


def test_failures_have_the_kind_of_their_error(metrics: dict[str, Any]) -> None:
    points = metrics["gen_ai.client.operation.duration"]["histogram"]["dataPoints"]
    kinds = {words(point).get("error.type"): int(point["count"]) for point in points}
    assert kinds == {None: len(GOOD), "reset": 1}


def test_tokens_are_told_apart_by_their_way(metrics: dict[str, Any]) -> None:
    points = metrics["gen_ai.client.token.usage"]["histogram"]["dataPoints"]
    sums = {words(point)["gen_ai.token.type"]: point["sum"] for point in points}
    assert sums == {
        "input": sum(each.usage.prompt_tokens or 0 for each in GOOD if each.usage),
        "output": sum(each.usage.completion_tokens or 0 for each in GOOD if each.usage),
    }
