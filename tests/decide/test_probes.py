"""Probes are few, cheap, within what may be spent, and ask on only where something shows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from latok.analysis.probed import Probe, Seen
from latok.decide.probes import Limits, next_probe, outlook
from tests.planted import Laws, Simulated


def sent(laws: Laws, limits: Limits, seed: int = 0) -> list[Probe]:
    server, seen = Simulated(laws, seed=seed), list[Seen]()
    while probe := next_probe(seen, limits, seconds=server.now, seed=seed):
        seen.append(Seen(probe, server.ask(probe)))
    return [each.probe for each in seen]


@given(
    requests=st.integers(1, 250),
    tokens=st.integers(100, 120_000),
    context=st.sampled_from([None, 256, 512, 2048, 32_768]),
    overhead=st.integers(0, 40),
    prefill=st.sampled_from([1e-5, 3e-4, 5e-3]),
)
@settings(max_examples=15, deadline=None)
@example(requests=48, tokens=4115, context=256, overhead=0, prefill=5e-3)
def test_no_more_is_sent_than_may_be(
    requests: int, tokens: int, context: int | None, overhead: int, prefill: float
) -> None:
    limits = Limits(requests=requests, tokens=tokens, context=context, overhead=overhead)
    probes = sent(Laws(block=16, prefill=prefill), limits)
    asks = [ask for probe in probes for ask in probe.asks]
    assert len(asks) <= requests
    assert sum(ask.tokens + overhead for ask in asks) <= tokens
    if context is not None:
        assert all(ask.tokens + overhead <= context for ask in asks)
    assert all(ask.shared < ask.prompt_tokens and ask.max_tokens > 0 for ask in asks)


def test_by_default_two_hundred_requests_and_a_hundred_thousand_tokens_are_enough_for_all() -> None:
    probes = sent(Laws(block=16, batch_limit=8), Limits(context=8192))
    assert {probe.aim for probe in probes} == {
        *("warm", "prefill", "decode", "context", "cache", "block", "arrival", "load", "mixed")
    }
    assert sum(len(probe.asks) for probe in probes) <= 200
    assert sum(probe.tokens for probe in probes) <= 100_000


def test_a_slow_target_is_asked_for_less_so_that_the_time_holds() -> None:
    limits = Limits(context=8192, seconds=60.0)
    slow = Laws(prefill=3e-3, decode=0.05)
    server, seen = Simulated(slow, seed=0), list[Seen]()
    while probe := next_probe(seen, limits, seconds=server.now, seed=0):
        seen.append(Seen(probe, server.ask(probe)))
    quick = sent(Laws(), limits)
    assert sum(each.probe.tokens for each in seen) < sum(probe.tokens for probe in quick)
    assert server.now < 90.0  # the probe that is under way is not cut


def test_where_there_is_no_cache_nobody_asks_for_its_blocks() -> None:
    assert "block" not in {probe.aim for probe in sent(Laws(), Limits())}


def test_the_same_seed_asks_the_same() -> None:
    assert sent(Laws(), Limits(), seed=3) == sent(Laws(), Limits(), seed=3)
    assert sent(Laws(), Limits(), seed=3) != sent(Laws(), Limits(), seed=4)


def test_known_beginnings_are_asked_longest_first() -> None:
    laws = replace(Laws(), block=1)
    for probe in sent(laws, Limits()):
        if probe.aim in ("cache", "block"):
            known = [ask.shared for ask in probe.asks]
            assert known == sorted(known, reverse=True)


def test_it_is_said_beforehand_what_will_be_sent() -> None:
    said = outlook(Limits(requests=180, tokens=90_000, seconds=60.0))
    assert "at most 180 requests" in said
    assert "90,000 tokens" in said
