"""A point ends when enough is known, and looking often makes nothing known that is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from latok.analysis.metrics import digest
from latok.decide.stop import clause_decided, decided, log_evidence, precise
from latok.records import Failure
from latok.workload.slo import Clause, parse_slo
from tests.analysis.test_stats import autoregressive
from tests.simulated import record

NINE_OF_TEN = Clause("ttft", 0.9, 0.5)


def looked(values: Any, every: int) -> bool | None:
    """The first answer, if one looks after every so many requests."""
    met = [bool(value < NINE_OF_TEN.limit) for value in values]
    for n in range(every, len(met) + 1, every):
        found = clause_decided(NINE_OF_TEN, met[:n], list(values[:n]), alpha=0.025)
        if found is not None:
            return found
    return None


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_at_the_edge_of_a_clause_looking_often_rarely_decides(memory: float) -> None:
    """A share of exactly 90 %: neither answer is right. Wilson's interval, looked at as often,
    would give one in half of the runs."""
    rng = np.random.default_rng(0)
    beyond = 1.2815515594600038  # of a normal variable in one of ten cases
    answers = [
        looked(0.5 + 0.1 * (autoregressive(600, memory, rng) - beyond), 20) for _ in range(300)
    ]
    # one in twenty altogether; of 300, 25 is that and three standard deviations
    assert sum(answer is not None for answer in answers) <= 25


@pytest.mark.parametrize(("share", "truth"), [(0.97, True), (0.7, False)])
def test_what_is_clear_is_decided_rightly_and_early(share: float, truth: bool) -> None:
    rng = np.random.default_rng(1)
    answers = [looked(np.where(rng.random(400) < share, 0.1, 0.9), 20) for _ in range(50)]
    assert answers.count(truth) >= 48


def test_the_evidence_is_the_mixtures_likelihood() -> None:
    """Against the integral itself."""
    shares = np.linspace(0.8, 1.0, 20_001)
    likelihood = shares**40 * (1 - shares) ** 5
    mixture = np.trapezoid(likelihood, shares) / 0.2
    wanted = math.log(mixture) - 40 * math.log(0.8) - 5 * math.log(0.2)
    assert log_evidence(40, 5, 0.8, above=True) == pytest.approx(wanted, rel=1e-6)


def test_one_clause_that_is_not_met_decides_and_is_named() -> None:
    slo = parse_slo("ttft.p90<500ms, tpot.p90<5ms")
    requests = [digest(record(n, n * 0.1, 0.1, 0.01, 20)) for n in range(100)]
    assert decided(slo, requests, False) == "tpot.p90<5ms is not met"
    met = parse_slo("ttft.p90<500ms, tpot.p90<50ms")
    assert decided(met, requests, False) == f"{met} is met"
    assert decided(met, requests[:10], False) == ""
    assert decided(parse_slo(""), requests, False) == ""


def test_a_share_of_everything_can_only_be_refuted() -> None:
    slo = parse_slo("ttft.p100<500ms")
    good = [digest(record(n, n * 0.1, 0.1, 0.01, 20)) for n in range(500)]
    assert decided(slo, good, False) == ""
    lost = digest(record(500, 50.0, 0.1, 0.01, 20, error=Failure("reset", ""), chunks=()))
    assert decided(slo, [*good, lost], False) == "ttft.p100<500ms is not met"


def test_an_interval_is_believed_only_once_it_is_narrow_and_made_of_enough() -> None:
    rng = np.random.default_rng(2)
    ttfts = rng.lognormal(math.log(0.1), 0.3, 1000)
    requests = [digest(record(n, n * 0.1, ttft, 0.01, 20)) for n, ttft in enumerate(ttfts)]
    assert precise("ttft", requests[:20], (0.0, 2.0), 0.5) == ""
    assert precise("ttft", requests[:60], (0.0, 6.0), 0.02) == ""
    assert precise("ttft", requests, (0.0, 100.0), 0.05).startswith("ttft.p50 is known to ±")
    assert precise("throughput", requests, (0.0, 100.0), 0.05).startswith("throughput is known")


def test_a_rule_of_width_keeps_its_promise_about_coverage() -> None:
    """Stopped at the first look at which ±5 % are reached, the interval of the median holds it."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(60):
        values = np.exp(0.2 * autoregressive(1500, 0.5, rng))
        requests = [digest(record(n, n * 0.1, v, 0.01, 2)) for n, v in enumerate(values)]
        for n in range(100, 1501, 100):
            if precise("ttft", requests[:n], (0.0, n * 0.1), 0.05):
                held.append(abs(float(np.median(values[:n])) - 1.0) <= 0.05)
                break
    assert len(held) >= 50
    assert np.mean(held) >= 0.88
