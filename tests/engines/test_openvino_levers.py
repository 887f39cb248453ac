"""Each lever of the embedded engine acts: what it changes is seen, on the real model.

Two answers are the same or not, a pool has more blocks or fewer; nothing here is a time.
"""

from __future__ import annotations

import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from latok.engines.launch import launched
from latok.engines.model import model_path
from tests.engines.client import Client, busiest_share, thread_ticks

pytestmark = pytest.mark.engine

SHORT = "The capital of France is"
WORDS = ("river", "stone", "window", "garden", "letter", "winter", "engine", "yellow", "market")
# 185 sentences, some 4,200 tokens; what comes last asks for what stood far before
ROOMS = random.Random(1)
LONG = (
    " ".join(
        f"Room {n} of the old house is called {ROOMS.choice(WORDS)} {ROOMS.choice(WORDS)}, "
        f"and {ROOMS.choice(WORDS)} is what they keep in it."
        for n in range(185)
    )
    + " What is room 40 of the old house called? Room 40 of the old house is called"
)


class Seen(NamedTuple):
    """`pool`: tokens it holds; `kept`: of them, at the end of the long answer."""

    short: str
    long: str
    pool: float
    kept: float


def complete(client: Client, prompt: str) -> str:
    asked = {"prompt": prompt, "max_tokens": 32, "temperature": 0, "ignore_eos": True}
    status, _, data = client.call("POST", "/v1/completions", asked)
    assert status == 200, data
    said: dict[str, Any] = json.loads(data)
    return str(said["choices"][0]["text"])


def answers(client: Client) -> Seen:
    short = complete(client, SHORT)
    kept = 0.0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(complete, client, LONG)
        while not asked.done():
            kept = client.metrics()["latok:kv_cache_usage"] or kept
            time.sleep(0.05)
    room = client.metrics()["latok:kv_cache_tokens"]
    return Seen(short, asked.result(), room, kept * room)


def turned(**levers: Any) -> Seen:
    with launched("openvino", levers, say=print) as running:
        return answers(Client(running.url))


@pytest.fixture(scope="module")
def plain() -> Seen:
    return turned()


def test_a_plain_engine_keeps_all_of_a_long_prompt(plain: Seen) -> None:
    assert 4000 < plain.kept < 5000


@pytest.mark.parametrize("how", ["trishape", "xattention"])
def test_sparse_attention_changes_long_prompts_and_no_short_ones(plain: Seen, how: str) -> None:
    sparse = turned(sparse_attention=how)
    assert sparse.short == plain.short
    assert sparse.long != plain.long


def test_cache_eviction_keeps_so_many_tokens_and_kv_cache_sets_the_room(plain: Seen) -> None:
    evicting = turned(cache_eviction=512, kv_cache="u4")
    assert 0 < evicting.kept < 700
    assert evicting.long != plain.long
    assert evicting.pool < 0.9 * plain.pool  # fewer than at u8, oddly; f16 is tested elsewhere


def test_precision_changes_answers_one_thread_does_all_the_work_and_the_file_is_the_one_named(
    plain: Seen, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.symlink_to(model_path(print))
    levers = {"model": str(other), "precision": "f32", "threads": 1}
    with launched("openvino", levers, say=print) as running:
        assert running.model == "other"
        before = thread_ticks(running.pid)
        exact = complete(Client(running.url), SHORT)
        assert busiest_share(before, thread_ticks(running.pid)) > 0.8
    # auto is bf16 where the processor has it, and f32 where not
    if "bf16" in Path("/proc/cpuinfo").read_text("ascii"):
        assert exact != plain.short


def test_weights_in_fewer_bits_answer_otherwise(plain: Seen) -> None:
    with launched("openvino", {"weights": "q4_0"}, say=print) as running:
        before = thread_ticks(running.pid)
        assert complete(Client(running.url), SHORT) not in ("", plain.short)
        if (os.cpu_count() or 1) > 1:  # threads are not turned here
            assert busiest_share(before, thread_ticks(running.pid)) < 0.8
