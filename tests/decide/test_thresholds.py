"""Thresholds of the user's own are read or refused, and a point is beyond them or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.metrics import point
from latok.decide.thresholds import broken, parse_thresholds
from latok.errors import UsageError
from tests.simulated import closed, record

POINT = point(*closed(4, 60.0))


@given(st.floats(0.1, 10_000), st.sampled_from("<>"))
def test_a_metric_is_beyond_a_limit_on_one_side_of_it_only(limit: float, sign: str) -> None:
    (found,) = parse_thresholds(f"ttft.p95{sign}{limit:.3f}ms")
    value = POINT.metrics["ttft"].p95
    assert value is not None
    assert found.limit == pytest.approx(limit / 1e3, abs=1e-6)
    beyond = value > found.limit if sign == ">" else value < found.limit
    assert broken(found, POINT) is beyond


def test_several_are_read_with_units_and_without() -> None:
    found = parse_thresholds(
        "ttft.p95>500ms, e2e.p50 > 2s, goodput.attainment<99%, counts.failed>0"
    )
    assert [each.limit for each in found] == [0.5, 2.0, pytest.approx(0.99), 0.0]
    assert [broken(each, POINT) for each in found[:1]] == [False]
    assert broken(found[3], POINT) is False


def test_what_too_few_requests_tell_is_neither_broken_nor_held() -> None:
    manifest, _ = closed(4, 60.0)
    few = point(manifest, [record(n, 3.0 + n, 0.1, 0.01, 5) for n in range(5)])
    (found,) = parse_thresholds("ttft.p99>500ms")
    assert broken(found, few) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft>500ms", "one reads like"),
        ("speedy.p95>1", "no 'speedy'"),
        ("ttft.p96>1s", "no 'p96' of ttft"),
        ("ttft.p95>5%", "not in %"),
        ("counts.ok<5ms", "not in ms"),
        ("ttft.p95=500ms", "cannot read"),
    ],
)
def test_what_cannot_be_a_threshold_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_thresholds(text)
