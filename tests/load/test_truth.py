"""A number of ours is right within its printed error, or is not called valid: over random runs."""

from __future__ import annotations

from tests.golden.truth import case, played

RUNS = 50  # benchmarks/starved.py plays more


def test_no_metric_that_is_wrong_by_more_than_its_printed_error_is_called_valid() -> None:
    runs = played(case(seed) for seed in range(RUNS))
    assert not [f"{run.case}: {said}" for run in runs for said in run.broken]
    assert sum(run.point.counts.ok for run in runs) > 5 * RUNS
    # the law is not kept by silence
    called_valid = [
        name
        for run in runs
        for name, error in run.point.instrument.error_s.items()
        if error and name not in run.point.instrument.bent
    ]
    assert len(called_valid) > RUNS
