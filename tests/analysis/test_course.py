"""Laws of what a report draws of a run."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.course import course, ecdf
from latok.analysis.metrics import digest, point
from latok.records import Closed, Failure, Open
from tests.report.samples import drive, manifest_of

VALUES = st.lists(
    st.one_of(st.floats(1e-4, 1e3), st.just(float("inf"))), min_size=1, max_size=1500
).map(np.asarray)


@given(VALUES, st.lists(st.floats(1e-4, 1e3), max_size=3))
def test_a_distribution_rises_to_the_share_that_has_a_value(
    values: np.ndarray, limits: list[float]
) -> None:
    found = ecdf(values, limits=limits)
    answered = int(np.isfinite(values).sum())
    if found is None:
        assert not answered
        return
    assert np.all(np.diff(found.values) > 0)
    assert np.all(np.diff(found.shares) >= 0)
    assert (found.n, found.never) == (len(values), len(values) - answered)
    assert found.shares[-1] == answered / len(values)


@given(VALUES, st.floats(1e-4, 1e3))
def test_at_a_limit_a_distribution_is_the_share_below_it(values: np.ndarray, limit: float) -> None:
    found = ecdf(values, limits=[limit])
    if found is None:
        return
    below, upto = float(np.mean(values < limit)), float(np.mean(values <= limit))
    # where the limit is a value itself and the first or last, the curve has reached it
    assert found.at(limit) in (below, upto)
    if values.min() < limit < values[np.isfinite(values)].max():
        assert found.at(limit) == below


@given(VALUES, st.floats(1e-4, 1e3))
def test_elsewhere_it_is_off_by_less_than_a_hundredth(values: np.ndarray, value: float) -> None:
    found = ecdf(values)
    if found is not None and len(found.values) == len(np.unique(values[np.isfinite(values)])):
        assert found.at(value) == float(np.mean(values <= value))
    elif found is not None:
        assert abs(found.at(value) - float(np.mean(values <= value))) < 0.01


def test_the_share_at_a_limit_is_the_points_in_both_loops() -> None:
    records = drive(8)
    for load in (Closed(8), Open(10.0)):
        manifest = msgspec.structs.replace(
            manifest_of(8), load=load, slo="ttft.p95<50ms, tpot.p50<20ms, e2e.p99<900ms"
        )
        found, summary = course(manifest, [digest(r) for r in records]), point(manifest, records)
        limits = {"ttft": 0.05, "tpot": 0.02, "e2e": 0.9}
        for clause in summary.goodput.clauses:
            name = clause.clause.partition(".")[0]
            assert found.spread[name].at(limits[name]) == clause.share


def test_failed_requests_count_but_are_never_answered() -> None:
    records = drive(4)
    failed = Failure("reset", "gone")
    half = [msgspec.structs.replace(r, error=failed) if n % 2 else r for n, r in enumerate(records)]
    found = course(manifest_of(4), [digest(record) for record in half])
    curve = found.spread["ttft"]
    assert abs(curve.shares[-1] - 0.5) < 0.02
    assert curve.never == curve.n - round(curve.shares[-1] * curve.n)
    assert found.failures == sum(not record.ok for record in half)
    assert len(found.failed) <= found.failures


def test_what_is_in_flight_is_what_was_held() -> None:
    found = course(manifest_of(8), [digest(record) for record in drive(8)])
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    inside = (middles > 2.0) & (middles < 22.0)
    # a closed loop of 8 whose slots are filled at once
    assert np.allclose(found.in_flight[inside], 8.0)


def test_every_request_second_and_every_token_is_in_some_bin() -> None:
    records = drive(4)
    found = course(manifest_of(4), [digest(record) for record in records])
    widths = np.diff(found.edges)
    spent = sum((r.closed_at or 0.0) - (r.sent_first or 0.0) for r in records)
    assert np.isclose(found.in_flight @ widths, spent)
    tokens = sum(len(record.chunks) for record in records)
    assert np.isclose(found.tokens_per_s @ widths, tokens)


def test_a_long_run_is_thinned_out_but_keeps_its_slowest_requests() -> None:
    records = drive(32, seconds=120.0)
    found = course(manifest_of(32), [digest(record) for record in records]).dots["ttft"]
    values = sorted(digest(r).metrics["ttft"] or 0.0 for r in records if r.ok)
    assert found.of == len(values) > len(found.at)
    assert len(found.at) <= 420
    assert sorted(found.values)[-20:] == values[-20:]
    covered = [(start, end) for start, end, _ in found.middle]
    assert covered == sorted(covered)


def test_a_run_without_an_answer_has_a_course() -> None:
    lost = Failure("refused", "nobody is there")
    records = [
        msgspec.structs.replace(r, error=lost, chunks=(), usage=None, headers_at=None)
        for r in drive(2, seconds=4.0)
    ]
    found = course(manifest_of(2), [digest(record) for record in records])
    assert found.spread == found.dots == {}
    assert found.failures == len(records)
    empty = course(msgspec.structs.replace(manifest_of(2), window=None), [])
    assert (empty.window, empty.failures) == (None, 0)
