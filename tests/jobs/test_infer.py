"""A live target that tells nothing of its time is probed within its limits; what came is kept."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from latok.errors import TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.infer import Inferred, inferred, inferred_from, seen_in
from latok.jobs.runs import read_run
from latok.load.golden import golden
from tests.golden.planted import laws_of

QUICK = "planted:fixed=0.003,decode=0.002,prefill=0.00002,batch_limit=4"
DIALECT = "openai-chat"


def asked(url: str, runs: Path, **more: object) -> Experiment:
    words: dict[str, object] = {"model": QUICK, "dialect": DIALECT, "budget": 20.0}
    return Experiment(targets=(url,), runs=str(runs), **(words | more))  # type: ignore[arg-type]


def test_a_live_server_is_probed_within_its_limits_and_read_again_from_its_run(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    with golden("tests.golden.planted:planted") as url:
        found = inferred(asked(url, tmp_path, max_requests=110, concurrency=8), say=said.append)
    assert found.complete
    assert found.requests <= 110
    assert "will send at most 109 requests" in next(line for line in said if "will" in line)
    assert sum("probe" in line for line in said) >= 5
    planted, _ = laws_of(QUICK)
    law = found.laws.decode_s_per_token
    assert law is not None
    assert law.value == pytest.approx(planted.decode, rel=0.25)  # a busy machine, a short stream
    assert [level.concurrency for level in found.laws.levels] == [1, 2, 8]
    assert found.laws.levels[-1].running == 4
    again = inferred_from(found.run)
    assert again.laws == found.laws
    manifest, records = read_run(found.run)
    assert len(records) == found.requests
    assert all(record.chunks and record.ok for record in records)
    assert sum(len(each.records) for each in seen_in(manifest, records)) == len(records)
    assert not list(Path(found.run).glob("*.log*"))


def test_the_cost_that_is_allowed_holds(tmp_path: Path) -> None:
    with golden("tests.golden.planted:planted") as url:
        # a million tokens for 10 dollars: half a cent is 500 of them
        found = inferred(asked(url, tmp_path, price="input=10,output=10", max_cost=0.005))
    assert 0 < found.tokens < 600


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    def later() -> None:
        while not list(tmp_path.glob("*/captures.log.1")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    with golden("tests.golden.planted:planted") as url:
        threading.Thread(target=later, daemon=True).start()
        found = inferred(asked(url, tmp_path))
    assert not found.complete
    assert found.requests >= 3
    assert read_run(found.run)[0].ended == "interrupted"


def test_who_refuses_every_probe_is_unreachable(tmp_path: Path) -> None:
    with (
        golden("tests.golden.scripts:by_model") as url,
        pytest.raises(TargetError),
    ):
        inferred(asked(url, tmp_path, model="refused"))


def test_an_ordinary_run_was_not_made_of_probes(tmp_path: Path) -> None:
    with golden("tests.golden.planted:planted") as url:
        found = inferred(asked(url, tmp_path, max_requests=5))
    path = Path(found.run) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["workload"]["probes"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="not made of probes"):
        inferred_from(found.run)


# --- planted laws, live; of many such servers see tests/analysis/test_infer.py -------------------

SEEDS = [1, 2, 3]


def live(model: str, seed: int, runs: Path) -> Inferred:
    with golden("tests.golden.planted:planted") as url:
        return inferred(
            replace(asked(url, runs), model=f"planted:seed={seed},{model}", budget=120.0, seed=seed)
        )


def near(value: float) -> object:
    return pytest.approx(value, rel=0.1)


@pytest.mark.long
@pytest.mark.engine
@pytest.mark.parametrize("seed", SEEDS)
def test_planted_laws_are_found_live(seed: int, tmp_path: Path) -> None:
    found = live("block=16,batch_limit=8,step_tokens=None", seed, tmp_path)
    laws, claims = found.laws, {claim.name: claim.value for claim in found.claims}
    assert claims == {"prefix_cache": 16, "batch_limit": 8, "whole_prefill": near(0.41)}
    assert laws.prefill_s_per_token is not None
    assert laws.prefill_s_per_token.value == near(2e-4)
    assert laws.decode_s_per_token is not None
    assert laws.decode_s_per_token.value == near(0.008)
    assert laws.fixed_s is not None
    assert laws.fixed_s.value == near(0.015)


@pytest.mark.engine  # no engine, but as slow as one
@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.long) for n in (2, 3))])
def test_planted_stalls_and_chunks_are_found_live(seed: int, tmp_path: Path) -> None:
    found = live("chunk=4,stall=0.12", seed, tmp_path)
    claims = {claim.name: claim.value for claim in found.claims}
    assert claims == {"tokens_per_chunk": near(4), "periodic_stalls": near(0.12)}
    assert found.laws.stalls is not None
    assert found.laws.stalls.period.value == near(2.0)


@pytest.mark.long
@pytest.mark.engine
@pytest.mark.parametrize("seed", SEEDS)
def test_streaming_for_show_is_found_live(seed: int, tmp_path: Path) -> None:
    found = live("fake=1", seed, tmp_path)
    assert {claim.name for claim in found.claims} == {"fake_streaming"}
    assert found.laws.decode_s_per_token is not None
    assert found.laws.decode_s_per_token.value == near(0.008)
