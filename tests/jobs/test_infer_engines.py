"""What is inferred of a real engine agrees with what the engine itself measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latok.analysis.fits import fit
from latok.jobs.experiment import Experiment
from latok.jobs.infer import Inferred, inferred, seen_in
from latok.jobs.runs import read_run
from latok.records import Record

# What is inferred of an engine on a machine that others share is not always within the bars.
pytestmark = [pytest.mark.engine, pytest.mark.long]


def probed(engine: str, runs: Path, *levers: str) -> tuple[Inferred, dict[str, list[Record]]]:
    """What was inferred, and the answered records of each aim (and of each load)."""
    asked = Experiment(targets=(engine,), levers=levers, runs=str(runs), budget=60.0)
    found = inferred(asked)
    by_aim: dict[str, list[Record]] = {}
    for probe, records in seen_in(*read_run(found.run)):
        name = f"load {probe.concurrency}" if probe.aim == "load" else probe.aim
        by_aim.setdefault(name, []).extend(r for r in records if r.ok)
    return found, by_aim


def told(records: list[Record], name: str) -> float:
    return float(np.median([(r.server_timings or {})[name] for r in records]))


def pace(records: list[Record]) -> float:
    """The engine's own seconds per token of answers that are long enough to have a pace."""
    rows = [
        (r.server_timings["decode"], r.usage.completion_tokens)
        for r in records
        if r.server_timings and r.usage and (r.usage.completion_tokens or 0) >= 16
    ]
    return float(np.median([seconds / (tokens - 1) for seconds, tokens in rows if tokens]))


def test_the_parts_are_those_that_the_embedded_engine_measures(tmp_path: Path) -> None:
    found, records = probed("openvino", tmp_path, "batch_limit=8")
    laws = found.laws
    assert laws.prefill_s_per_token is not None
    assert laws.decode_s_per_token is not None
    x = np.array([float(r.usage.prompt_tokens or 0) for r in records["prefill"] if r.usage])
    y = np.array([r.server_timings["prefill"] for r in records["prefill"] if r.server_timings])
    columns = (np.ones_like(x), x, x**2)[: 2 if laws.prefill_s_per_token2 is None else 3]
    own = fit(columns, y, floor=5e-4, seed=0).values[1]
    assert laws.prefill_s_per_token.value == pytest.approx(own, rel=0.1)
    assert laws.decode_s_per_token.value == pytest.approx(pace(records["decode"]), rel=0.1)
    for level in laws.levels:
        here = records[f"load {level.concurrency}"]
        assert level.tpot is not None
        assert level.tpot.value == pytest.approx(pace(here), rel=0.1)
        queue = told(here, "queue")
        assert level.queue.value == pytest.approx(queue, rel=0.15, abs=0.005), level.concurrency
        assert level.running <= 8
    cache = laws.prefix_cache
    assert cache is not None
    assert cache.present is True
    assert cache.block_tokens in (None, 32)  # None: too busy a machine to tell


def test_an_embedded_engine_without_a_prefix_cache_is_not_said_to_have_one(tmp_path: Path) -> None:
    found, _ = probed("openvino", tmp_path, "prefix_cache=false")
    assert found.laws.prefix_cache is not None
    assert found.laws.prefix_cache.present is not True  # None: too busy a machine to tell


def test_of_llamacpp_its_pace_and_its_cache_are_found(tmp_path: Path) -> None:
    found, records = probed("llamacpp", tmp_path, "batch_limit=8")
    laws = found.laws
    said = [r.server_timings for r in records["prefill"] if r.server_timings]
    x = np.array([float(each["prompt_n"]) for each in said])
    y = np.array([each["prompt_ms"] / 1000 for each in said])
    columns = (np.ones_like(x), x, x**2)[: 2 if laws.prefill_s_per_token2 is None else 3]
    assert laws.prefill_s_per_token is not None
    own = fit(columns, y, floor=5e-4, seed=0).values[1]
    # Of short prompts it finds the template in its cache, of long ones not, which bends our line.
    assert laws.prefill_s_per_token.value == pytest.approx(own, rel=0.15)
    if laws.prefix_cache is not None:  # a slow machine gets no further
        assert laws.prefix_cache.present in (None, True)
        assert laws.prefix_cache.block_tokens in (None, 1)
