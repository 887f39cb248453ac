"""Why slow, and what would help: planted causes are found, and where there is none, none is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from latok.analysis.explain import Finding
from latok.analysis.told import PARTS, Whole
from latok.decide.findings import LEVERS, QUALITIES, findings, why_slow
from latok.records import Chunk, Connection, Record, Usage
from tests.analysis.test_explain import at_load, request

Drawn = dict[str, Any]


def record(n: int, first: float, **more: Any) -> Record:
    """A request each half second, with 30 tokens of answer; its first token after `first`."""
    due = 0.5 * n
    words: dict[str, Any] = {
        "usage": Usage(more.pop("prompt", 300), more.pop("answer", 30), more.pop("cached", 100)),
        "connection": Connection(reused=True),
    }
    return Record(
        id=n,
        app="chat",
        prompt_tokens=300,
        max_tokens=30,
        due=due,
        sent_first=due,
        sent_last=due,
        closed_at=due + first + 0.2,
        chunks=(
            Chunk(due + first, 1, "content", lag=more.pop("lag", 0.0)),
            Chunk(due + first + 0.2, 29, "content"),
        ),
        **{**words, **more},
    )


def why(records: list[Record], **more: Any) -> list[Finding]:
    wholes: dict[Whole, Any] = {
        "ttft": np.asarray([r.chunks[0].at - r.due for r in records]),
        "e2e": np.asarray([r.chunks[-1].at - r.due for r in records]),
    }
    return why_slow(wholes, records, records, **more)


def noise(seed: int, n: int = 200) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).gamma(20.0, 0.005, n)


def test_long_prompts_are_found_with_what_they_cost() -> None:
    prompts = np.random.default_rng(1).integers(100, 2000, 200)
    slow = [
        record(n, 0.05 + 1e-3 * p + e, prompt=int(p))
        for n, (p, e) in enumerate(zip(prompts, noise(2), strict=True))
    ]
    (found,) = [f for f in why(slow) if f.of == "ttft"]
    assert found.name == "long_prompt"
    assert found.p is not None
    assert found.p < 0.001
    slowest = sorted(prompts)[-20:]
    wanted = 1e-3 * (np.mean(slowest) - np.mean(sorted(prompts)[:-20]))
    assert found.most_s == pytest.approx(wanted, rel=0.1)
    assert "tokens against" in found.what


def test_cache_misses_are_found_where_the_cache_hits_others() -> None:
    hit = np.random.default_rng(3).random(200) < 0.8
    found = why(
        [
            record(n, (0.1 if h else 0.4) + e, cached=250 if h else 0)
            for n, (h, e) in enumerate(zip(hit, noise(4), strict=True))
        ]
    )
    assert "cache_miss" in {f.name for f in found}


def test_a_new_connection_and_a_stall_of_ours_are_found() -> None:
    chosen = np.random.default_rng(5).random(200) < 0.08
    drawn = list(enumerate(zip(chosen, noise(6), strict=True)))
    fresh = Connection(reused=False, connect=0.3)
    opened = why(
        [record(n, e + 0.3 * c, **({"connection": fresh} if c else {})) for n, (c, e) in drawn]
    )
    assert [f.name for f in opened] == ["new_connection"]
    stalled = why([record(n, e + 0.3 * c, lag=0.3 * c) for n, (c, e) in drawn])
    assert [f.name for f in stalled] == ["our_stall"]


def test_preemptions_are_found_by_when_they_were() -> None:
    slow = [record(n, e + (1.0 if n % 12 == 5 else 0.0)) for n, e in enumerate(noise(7))]
    times = [(0.5 * n, 0.5 * n + 0.5, 2.0) for n in range(200) if n % 12 == 5]
    assert [f.name for f in why(slow, preempted=times)] == ["preempted"]


def test_where_nothing_distinguishes_the_slow_hardly_anything_is_found() -> None:
    """Of 200 draws, neighbours alike in latency and in prompt, at most one in twenty, and room."""
    false = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        latency, prompt = np.empty(120), np.empty(120)
        a = b = 0.0
        for n in range(120):
            a, b = 0.7 * a + rng.normal(), 0.7 * b + rng.normal()
            latency[n], prompt[n] = 0.1 * np.exp(0.3 * a), 500 * np.exp(0.3 * b)
        found = why([record(n, latency[n], prompt=int(prompt[n])) for n in range(120)])
        false += bool(found)
    assert false <= 20


def test_few_requests_tell_nothing() -> None:
    assert why([record(n, 0.1 + 0.01 * n, prompt=100 * n) for n in range(30)]) == []


def test_each_part_that_can_be_large_has_a_lever() -> None:
    assert LEVERS.keys() == PARTS.keys() - {"unexplained"}
    assert all(quality.levers for quality in QUALITIES)


def test_the_parts_are_said_by_size_with_what_amdahl_leaves() -> None:
    found = findings(at_load([request(n, 0.3, 0.1, 0.6) for n in range(30)])[0])
    assert [f.name for f in found] == ["decode", "queue", "prefill"]
    queue = found[1]
    assert queue.most_s == pytest.approx(0.3)
    assert queue.share == pytest.approx(0.3 / 0.401)
    assert queue.speedup == pytest.approx(0.401 / 0.101)
    assert found[2].what.endswith("prefill of 80 tokens")


def test_what_is_larger_in_a_slow_request_is_said_of_it() -> None:
    slow = [request(n, 3.0 if n % 20 == 7 else 0.0, 0.2) for n in range(200)]
    queue = [f for f in findings(at_load(slow)[0]) if f.name == "queue"]
    assert [f.quantile for f in queue] == ["p99"]
