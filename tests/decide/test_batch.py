"""Plans of work that can wait, from measured points."""

from __future__ import annotations

import pytest

from latok.decide.batch import batches
from latok.errors import UsageError
from latok.records import Closed
from tests.report.samples import measured


def test_each_target_has_a_plan_and_those_in_time_come_first() -> None:
    points = measured("one", "other").map.points
    found = batches(points, requests=100, deadline=1e6)
    assert {each.target for each in found} == {"one", "other"}
    assert all(each.fits for each in found)
    assert [each.seconds for each in found] == sorted(each.seconds for each in found)
    for each in found:
        point = next(p for p in points if p.run == each.run)
        assert point.load == Closed(each.concurrency)
        # all of them at the rate that was measured, and the last one to its end
        assert each.seconds >= 100 / point.throughput.requests_per_s


def test_the_fewest_at_a_time_are_no_more_than_the_soonest() -> None:
    points = measured("one").map.points
    (soon,) = batches(points, requests=100, deadline=1e6)
    (few,) = batches(points, requests=100, deadline=1e6, fewest=True)
    assert few.concurrency <= soon.concurrency
    (late,) = batches(points, requests=10**9, deadline=1.0)
    assert not late.fits
    assert "are allowed" in late.why


def test_without_a_point_of_a_closed_loop_there_is_no_plan() -> None:
    with pytest.raises(UsageError, match="latok map measures some"):
        batches([], requests=1, deadline=1.0)
