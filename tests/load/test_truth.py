"""A number of ours is right within its printed error, or is not called valid: over random runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from latok.load.golden import golden
from tests.golden.busy import busy_neighbour
from tests.golden.truth import CERTIFICATE, broken, case, drive, told, true_quantiles

RUNS = 100


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[bool, str]]:
    script = "tests.golden.truth:varied"
    with golden(script) as plain, golden(script, CERTIFICATE) as sealed:
        yield {False: plain, True: sealed}


def test_no_metric_that_is_wrong_by_more_than_its_printed_error_is_called_valid(
    urls: dict[bool, str],
) -> None:
    runs, wrong = [], []
    with busy_neighbour() as neighbour:
        for seed in range(RUNS):
            what = case(seed)
            with neighbour(what.busy):
                runs.append((what, *drive(urls[what.tls], what)))
    truth = {tls: told(url) for tls, url in urls.items()}
    for what, seen, records, driven in runs:
        true = true_quantiles(truth[what.tls], records, driven, what.load)
        wrong += [f"{what}: {said}" for said in broken(seen, true)]
    assert not wrong
    assert sum(seen.counts.ok for _, seen, _, _ in runs) > 5 * RUNS
    assert sum(seen.valid for _, seen, _, _ in runs) > RUNS / 2  # the law is not kept by silence
