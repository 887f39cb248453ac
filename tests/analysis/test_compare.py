"""Noise is not called a difference, a difference is found, and unlike runs are not compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from latok.analysis.comparable import differences
from latok.analysis.compare import Comparison, Stretch, compare, stretch
from latok.analysis.digest import Digest
from latok.analysis.metrics import digest
from latok.records import Closed, Failure, Manifest, Target, Usage
from tests.simulated import closed, manifest, record
from tests.wandering import Machine, served

BUSY = Machine(8, None)


def judged(
    a: Sequence[Stretch], b: Sequence[Stretch], *, interleaved: bool = False, **how: Any
) -> Comparison:
    words: dict[str, Any] = {"margin": 0.05, "seed": 0} | how
    return compare({"": (a, b)}, a="A", b="B", interleaved=interleaved, **words)


def different(found: Comparison) -> bool:
    return any(one.verdict in ("better", "worse") for one in found.metrics.values())


@pytest.mark.parametrize("machine", [BUSY, Machine(24, 6.0), Machine(8, 4.9)])
def test_two_of_the_same_are_rarely_called_different(machine: Machine) -> None:
    """On any of the metrics; benchmarks/compare_power.py does so 2,000 times."""
    rng = np.random.default_rng(7)
    pairs = [(served(machine, 400, rng), served(machine, 400, rng)) for _ in range(120)]
    # 5 % of 120 and three standard deviations
    assert sum(different(judged([a], [b])) for a, b in pairs) <= 13


def test_a_tenth_more_is_found_with_the_number_of_requests_advised() -> None:
    rng = np.random.default_rng(8)
    first = judged([served(BUSY, 400, rng)], [served(BUSY, 400, rng)])
    advised = first.advised
    assert advised is not None
    found = [
        judged([served(BUSY, advised, rng)], [served(BUSY, advised, rng, slower=1.1)])
        for _ in range(20)
    ]
    assert sum(each.metrics["ttft.p95"].verdict == "worse" for each in found) >= 14


def test_the_other_way_round_it_is_better() -> None:
    rng = np.random.default_rng(9)
    slow, quick = served(BUSY, 3000, rng, slower=1.3), served(BUSY, 3000, rng)
    assert judged([slow], [quick]).metrics["ttft.p95"].verdict == "better"
    assert judged([quick], [slow]).metrics["ttft.p95"].verdict == "worse"
    assert judged([quick], [slow]).verdict == "worse"


def test_a_run_is_the_same_as_itself() -> None:
    rng = np.random.default_rng(10)
    run = served(BUSY, 4000, rng)
    found = judged([run], [run])
    assert all(one.ratio in (None, 1.0) for one in found.metrics.values())
    assert found.metrics["tpot.p50"].verdict == "same"
    assert not different(found)


def test_what_is_undecided_says_how_many_more_would_decide() -> None:
    rng = np.random.default_rng(11)
    decided = []
    for _ in range(12):
        found = judged([served(BUSY, 500, rng)], [served(BUSY, 500, rng)])
        one = found.metrics["ttft.p50"]
        assert (one.needed is None) == (one.verdict != "undecided")
        if one.needed is not None:
            assert found.verdict == "undecided"
            more = 500 + min(one.needed, 20_000)
            again = judged([served(BUSY, more, rng)], [served(BUSY, more, rng)])
            decided.append(again.metrics["ttft.p50"].verdict == "same")
    assert sum(decided) >= 0.6 * len(decided) > 0


def test_failures_are_compared_although_one_side_has_none() -> None:
    plan, records = closed(8, 200.0)
    bad = [
        msgspec.structs.replace(r, error=Failure("http", "500"), chunks=()) if r.id % 5 == 0 else r
        for r in records
    ]
    a, b = (stretch(plan, [digest(r) for r in each], "ttft.p90<500ms") for each in (records, bad))
    found = judged([a], [b])
    assert found.metrics["failures"].verdict == "worse"
    assert found.metrics["failures"].a == 0.0
    assert found.metrics["failures"].ratio is None
    assert found.metrics["attainment"].verdict == "worse"
    assert found.verdict == "worse"


def test_none_failed_is_not_proof_that_none_ever_will() -> None:
    plan, records = closed(1, 40.0)
    a = stretch(plan, [digest(r) for r in records], "")
    found = judged([a], [a])
    one = found.metrics["failures"]
    assert one.ci95 is not None
    assert one.ci95[0] < 0.0 < one.ci95[1]
    assert "attainment" not in found.metrics  # there is no SLO


def turns(rng: np.random.Generator, drift: float, *, slower: float = 1.0, pairs: int = 8) -> Any:
    """A B, B A, and so on, on a machine that gets slower by `drift` from first to last."""
    sides: tuple[list[Stretch], list[Stretch]] = ([], [])
    for place in range(2 * pairs):
        which = (place % 2) ^ (place // 2 % 2)
        factor = 1.0 + drift * place / (2 * pairs - 1)
        one = served(BUSY, 150, rng, slower=slower if which else 1.0)
        latency = {name: values * factor for name, values in one.latency.items()}
        sides[which].append(one._replace(latency=latency))
    return sides


def test_what_drifts_on_both_sides_is_no_difference() -> None:
    rng = np.random.default_rng(12)
    found = [judged(*turns(rng, 0.5), interleaved=True) for _ in range(60)]
    assert sum(map(different, found)) <= 8  # 5 % of 60 and three standard deviations


def test_a_difference_is_found_through_the_drift() -> None:
    rng = np.random.default_rng(13)
    found = [judged(*turns(rng, 0.5, slower=1.3), interleaved=True) for _ in range(10)]
    assert sum(each.metrics["ttft.p50"].verdict == "worse" for each in found) >= 9


def test_stored_one_after_the_other_the_same_drift_would_be_a_difference() -> None:
    """Why targets are measured in turns."""
    rng = np.random.default_rng(14)
    a = served(BUSY, 2000, rng)
    b = served(BUSY, 2000, rng)
    b = b._replace(latency={name: values * 1.25 for name, values in b.latency.items()})
    assert judged([a], [b]).verdict == "worse"


def test_one_pair_decides_nothing() -> None:
    rng = np.random.default_rng(15)
    run = served(BUSY, 200, rng)
    assert judged([run], [run], interleaved=True).verdict == "undecided"


def test_the_loads_of_two_maps_share_one_chance_of_error() -> None:
    rng = np.random.default_rng(16)
    sides = {
        f"c{n}": ([served(Machine(n, None), 300, rng)], [served(Machine(n, None), 300, rng)])
        for n in (1, 4)
    }
    found = compare(sides, a="A", b="B", margin=0.05, interleaved=False, seed=0)
    assert {name.partition(".")[0] for name in found.metrics} == {"c1", "c4"}
    assert found.requests == (600, 600)


def test_a_comparison_survives_json() -> None:
    rng = np.random.default_rng(17)
    found = judged([served(BUSY, 100, rng)], [served(BUSY, 100, rng)])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


# --- what is not comparable ----------------------------------------------------------------------


def run(tokens: int = 20, prompt: int = 100, cached: int = 0, **changed: Any) -> Any:
    rows = [
        digest(record(n, n * 0.5, 0.1, 0.01, tokens, usage=Usage(prompt, tokens, cached)))
        for n in range(40)
    ]
    plan = manifest(Closed(4), (0.0, 20.0))
    return msgspec.structs.replace(plan, **changed), rows


def why(one: tuple[Manifest, list[Digest]], **how: Any) -> str:
    return "; ".join(differences(run(), one, **how))


OTHER = Target(name="o", url="http://other", model="another", dialect="openai-chat")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (run(load=Closed(8)), "the load differs: 4 at a time, and 8 at a time"),
        (run(workload={"cache": "warm"}), "cache of the workload differs: None, and warm"),
        (run(workload={"input_tokens": "99"}), "input tokens of the workload differs"),
        (run(target=OTHER), "the model differs: m, and another"),
        (run(tokens=30), "output tokens differ: 20 a request on average, and 30"),
        (run(prompt=130), "input tokens differ: 100 a request on average, and 130"),
        (run(cached=50), "0% of the input came from A's, and 50% from B's"),
    ],
)
def test_what_is_not_comparable_says_why(one: Any, said: str) -> None:
    assert said in why(one)


def test_what_may_differ_is_compared() -> None:
    assert why(run(seed=7, id="other")) == ""
    assert why(run(workload={"first_id": 7, "note": "x", "template_tokens": 3})) == ""
    assert why(run(target=OTHER), any_model=True) == ""
    assert why(run(target=OTHER, levers={"model": "another"})) == ""
    assert why(run(cached=50, levers={"prefix_cache": True})) == ""


def test_lengths_drawn_anew_are_the_same_workload() -> None:
    rng = np.random.default_rng(18)

    def lengths() -> Any:
        rows = [
            digest(record(n, n * 0.5, 0.1, 0.01, 2, usage=Usage(int(length), 2)))
            for n, length in enumerate(rng.lognormal(math.log(300), 0.8, 40))
        ]
        return manifest(Closed(4), (0.0, 20.0)), rows

    refused = sum(bool(differences(lengths(), lengths())) for _ in range(100))
    assert refused <= 5
