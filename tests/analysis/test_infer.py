"""Laws planted in a server in virtual time are found, and nothing that is not there."""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.claims import claims
from latok.analysis.fits import fit, median
from latok.analysis.infer import infer
from latok.analysis.laws import Laws
from latok.analysis.probed import Seen
from latok.decide.probes import Limits, next_probe
from tests.planted import Laws as Planted
from tests.planted import Simulated

SEEDS = (1, 2, 3)
PLAIN = Planted()


def probed(planted: Planted, seed: int, limits: Limits | None = None) -> list[Seen]:
    """What the designed probes see of a server with these laws."""
    server, seen = Simulated(planted, seed=seed), list[Seen]()
    limits = limits or Limits(context=8192)
    while probe := next_probe(seen, limits, seconds=server.now, seed=seed):
        seen.append(Seen(probe, server.ask(probe)))
    return seen


def learnt(planted: Planted, seed: int) -> Laws:
    return infer(probed(planted, seed), seed=seed)


def claimed(laws: Laws) -> dict[str, float]:
    return {claim.name: claim.value for claim in claims(laws)}


def near(value: float) -> object:
    return pytest.approx(value, rel=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_plain_server_the_laws_are_found_and_nothing_is_claimed(seed: int) -> None:
    laws = learnt(PLAIN, seed)
    for law, planted in (
        (laws.fixed_s, PLAIN.fixed + PLAIN.rtt),
        (laws.prefill_s_per_token, PLAIN.prefill),
        (laws.decode_s_per_token, PLAIN.decode),
        (laws.decode_s_per_stream, PLAIN.per_stream),
        (laws.connect_s, PLAIN.rtt),
    ):
        assert law is not None
        assert law.value == near(planted)
        assert law.ci95 is not None
        assert law.ci95[0] <= law.value <= law.ci95[1]
    assert laws.prefix_cache is not None
    assert laws.prefix_cache.present is False
    assert laws.mixed is not None
    assert laws.mixed.chunk_tokens is not None
    assert laws.mixed.chunk_tokens.value == near(256)
    assert not claimed(laws)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("block", [16, 32, 128])
def test_the_blocks_of_a_prefix_cache_are_found(block: int, seed: int) -> None:
    found = learnt(replace(PLAIN, block=block), seed)
    assert found.prefix_cache is not None
    assert found.prefix_cache.present is True
    assert found.prefix_cache.block_tokens == block
    assert list(claimed(found)) == ["prefix_cache"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cache_that_knows_every_token_is_not_said_to_have_large_blocks(seed: int) -> None:
    cache = learnt(replace(PLAIN, block=1), seed).prefix_cache
    assert cache is not None
    assert cache.present is True
    assert cache.block_tokens in (None, 1)
    assert cache.block_at_most is not None
    assert cache.block_at_most <= 64


@pytest.mark.parametrize("seed", SEEDS)
def test_from_how_many_tokens_a_cache_helps_is_found(seed: int) -> None:
    cache = learnt(replace(PLAIN, block=128, from_tokens=1024), seed).prefix_cache
    assert cache is not None
    assert cache.from_tokens == near(1024)
    assert cache.not_from is not None
    assert cache.not_from < 1024


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("planted", "name", "size"),
    [
        ({"batch_limit": 8}, "batch_limit", 8),
        ({"chunk": 4}, "tokens_per_chunk", 4),
        ({"fake": True}, "fake_streaming", 1),
        ({"step_tokens": None}, "whole_prefill", 0.41),
        ({"stall": 0.12}, "periodic_stalls", 0.12),
        ({"curvature": 4e-8}, "prefill_curvature", 4e-8),
        ({"per_context": 1e-6}, "decode_growth", 1e-6),
    ],
)
def test_what_is_planted_is_found_with_its_size_and_nothing_else(
    planted: dict[str, float], name: str, size: float, seed: int
) -> None:
    laws = learnt(replace(PLAIN, **planted), seed)  # type: ignore[arg-type]
    assert claimed(laws) == {name: near(size)}
    if name == "periodic_stalls":
        assert laws.stalls is not None
        assert laws.stalls.period.value == near(2.0)


FEATURES: dict[str, dict[str, object]] = {
    "prefix_cache": {"block": 16},
    "batch_limit": {"batch_limit": 8},
    "tokens_per_chunk": {"chunk": 4},
    "fake_streaming": {"fake": True, "chunk": 1},
    "whole_prefill": {"step_tokens": None},
    "periodic_stalls": {"stall": 0.12},
    "prefill_curvature": {"curvature": 4e-8},
    "decode_growth": {"per_context": 1e-6},
}


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 70), marks=pytest.mark.long)])
def test_of_many_servers_at_most_one_claim_is_of_what_is_not_there(seeds: range) -> None:
    wrong = []
    for seed in seeds:
        rng = random.Random(seed)
        base = replace(
            PLAIN,
            fixed=rng.uniform(0.005, 0.05),
            prefill=10 ** rng.uniform(-4, -3.3),
            decode=rng.uniform(0.004, 0.03),
            rtt=rng.choice((0.0002, 0.003, 0.03)),
        )
        there = [name for name in FEATURES if rng.random() < 0.25]
        for name in there:
            base = replace(base, **FEATURES[name])  # type: ignore[arg-type]
        laws = learnt(base, seed)
        wrong += [(seed, name) for name in claimed(laws) if name not in there]
        cache = laws.prefix_cache
        if cache and cache.block_tokens not in (None, base.block):
            wrong.append((seed, f"blocks of {cache.block_tokens}"))
        if laws.batch_limit and laws.batch_limit.value != base.batch_limit:
            wrong.append((seed, f"limit of {laws.batch_limit.value}"))
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_queueing_is_told_from_reading_and_from_batching(seed: int) -> None:
    seen = probed(replace(PLAIN, batch_limit=8), seed)
    laws = infer(seen, seed=seed)
    true = {
        each.probe.concurrency: float(
            np.median([r.server_timings["queue"] for r in each.records if r.server_timings])
        )
        for each in seen
        if each.probe.aim == "load"
    }
    assert [level.concurrency for level in laws.levels] == sorted(true)
    for level in laws.levels:
        queue = true[level.concurrency]
        assert level.queue.value == pytest.approx(queue, rel=0.15, abs=0.005)
    assert laws.levels[-1].running == 8


def test_the_parts_of_a_typical_request_sum_to_the_whole() -> None:
    for level in learnt(replace(PLAIN, batch_limit=8, chunk=4), 1).levels:
        for of in ("ttft", "e2e"):
            parts = [part for part in level.parts if part.of == of]
            assert sum(part.share for part in parts) == pytest.approx(1.0)
            assert all(part.seconds >= 0 for part in parts)


def test_of_nothing_nothing_is_learnt() -> None:
    assert infer([]) == Laws()
    assert claims(Laws()) == []


def test_failed_requests_teach_nothing_and_break_nothing() -> None:
    seen = probed(PLAIN, 1)
    broken = [
        Seen(each.probe, [msgspec.structs.replace(r, chunks=()) for r in each.records])
        for each in seen
    ]
    assert infer(broken).prefill_s_per_token is None


# --- fits ----------------------------------------------------------------------------------------


@given(
    fixed=st.floats(0.001, 1.0),
    slope=st.floats(1e-6, 1e-2),
    late=st.lists(st.integers(0, 23), max_size=4, unique=True),
)
def test_a_line_is_found_through_a_few_hiccups(fixed: float, slope: float, late: list[int]) -> None:
    x = np.repeat([24.0, 96.0, 384.0, 1536.0], 6)
    rng = np.random.default_rng(0)
    y = (fixed + slope * x) * (1 + 0.01 * rng.standard_normal(len(x)))
    y[late] += 0.5
    found = fit((np.ones_like(x), x), y, floor=1e-4, seed=0)
    assert found.values[0] == pytest.approx(fixed, rel=0.1, abs=0.02 * slope * 1536)
    assert found.values[1] == pytest.approx(slope, rel=0.1, abs=0.02 * fixed / 1536)


@given(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=40))
@settings(max_examples=50)
def test_a_median_lies_in_its_interval_which_are_values_that_were_seen(values: list[float]) -> None:
    law = median(values)
    assert law.ci95 is not None
    low, high = law.ci95
    assert low <= law.value <= high
    assert {low, high} <= set(values)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        ci = median(rng.exponential(size=15)).ci95
        assert ci is not None
        hits += ci[0] <= np.log(2) <= ci[1]
    assert hits >= 0.93 * 400
