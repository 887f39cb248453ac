"""Each lever of llama.cpp acts: what it changes is seen, on the real model, in counts.

One thread is enough, and is quick on a busy machine where two wait for each other.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from latok.engines.launch import Running, launched
from latok.engines.model import model_path
from latok.engines.variants import variant
from tests.engines.client import Client, anonymous_bytes, busiest_share, thread_ticks

pytestmark = pytest.mark.engine

SHORT = "The capital of France is"
# a passage that is repeated goes on being repeated, and can be guessed
LONG = (
    "The mill by the river has been closed for years, but every spring the old miller opens its "
    "doors, sweeps the floor, oils the great wheel and waits for the water to rise; when it does, "
    "the whole village comes to listen to the stones. "
) * 4
ROOM = {"batch_limit": 2, "context_limit": 8192}


class Seen(NamedTuple):
    """`calls` of the model for the prompt of LONG; `drafted` tokens for its answer."""

    short: str
    long: str
    calls: float
    drafted: int
    busiest: float
    memory: int


def complete(client: Client, prompt: str, tokens: int) -> dict[str, Any]:
    asked = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True}
    status, _, data = client.call("POST", "/completion", {**asked, "cache_prompt": False})
    assert status == 200, data
    said: dict[str, Any] = json.loads(data)
    return said


def stored(running: Running) -> str:
    [model] = json.loads(Client(running.url).call("GET", "/v1/models")[2])["data"]
    return str(model["meta"]["ftype"])


def turned(**levers: Any) -> Seen:
    with launched("llamacpp", {**ROOM, "threads": 1, **levers}, say=print) as running:
        client = Client(running.url)
        memory, before = anonymous_bytes(running.pid), thread_ticks(running.pid)
        complete(client, LONG, 1)
        calls = client.metrics()["llamacpp:n_decode_total"]
        short, long = complete(client, SHORT, 16), complete(client, LONG, 128)
        share = busiest_share(before, thread_ticks(running.pid))
        drafted = long["timings"].get("draft_n", 0)
        return Seen(short["content"], long["content"], calls, drafted, share, memory)


@pytest.fixture(scope="module")
def plain() -> Seen:
    return turned()


def test_one_thread_does_all_the_work_and_nothing_is_guessed(plain: Seen) -> None:
    assert plain.busiest > 0.8
    assert plain.drafted == 0


def test_small_steps_take_more_calls_and_guesses_change_no_answer(plain: Seen) -> None:
    guessing = turned(step_tokens=64, speculation="ngram_mod")
    assert guessing.calls >= plain.calls + 2  # some 210 tokens by 64, or by 512
    assert guessing.drafted > 20
    assert guessing.short == plain.short


def test_the_cache_in_four_bits_takes_a_third_of_the_memory(plain: Seen) -> None:
    with launched("llamacpp", {**ROOM, "threads": 1, "kv_cache": "q4_0"}, say=print) as running:
        assert json.loads(Client(running.url).call("GET", "/props")[2])["total_slots"] == 2
        saved = plain.memory - anonymous_bytes(running.pid)
        # 16,384 tokens of 30 layers, keys and values of 3 × 64, at 2 bytes or 18 for 32
        expected = 16_384 * 30 * 2 * 3 * 64 * (2 - 18 / 32)
        assert saved == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(("name", "kind"), [("q4_0", "Q4_0"), ("q5_0", "Q5_0"), ("w3_sim", "Q8_0")])
def test_weights_in_fewer_bits_are_loaded_and_answer(plain: Seen, name: str, kind: str) -> None:
    with launched("llamacpp", {"batch_limit": 1, "threads": 1, "weights": name}, say=print) as made:
        text = complete(Client(made.url), SHORT, 16)["content"]
        assert text.strip()
        assert stored(made) == kind
        if name == "w3_sim":
            assert text != plain.short


def test_another_model_is_the_file_that_was_named_and_two_threads_share_its_work() -> None:
    other = variant(model_path(print), "q8_0", print)
    with launched("llamacpp", {"model": str(other), "threads": 2}, say=print) as running:
        before = thread_ticks(running.pid)
        complete(Client(running.url), SHORT, 4)
        assert busiest_share(before, thread_ticks(running.pid)) < 0.8
        assert running.model == "smollm2-135m-instruct.q8_0"
        assert stored(running) == "Q8_0"
