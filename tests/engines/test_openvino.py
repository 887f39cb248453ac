"""The embedded engine with its real model, started as `latok map` starts it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from latok.engines.launch import Running, launched
from tests.engines.client import COLOURS, Client, text_in, text_of

pytestmark = pytest.mark.engine

PARTS = ("tokenise", "queue", "prefill", "decode", "send")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    # A batch of two, so that a queue is easy to make; a queue of eight, so that it is easy to fill.
    with launched("openvino", {"batch_limit": 2, "queue_limit": 8}, say=print) as engine:
        yield engine


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running.url)


def test_it_lists_its_model_with_the_context_and_is_healthy(
    client: Client, running: Running
) -> None:
    status, headers, data = client.call("GET", "/v1/models")
    [model] = json.loads(data)["data"]
    assert (status, model["id"], model["max_model_len"]) == (200, running.model, 8192)
    assert headers["server"].startswith("latok/")
    assert client.call("GET", "/health")[0] == 200
    assert running.alive()


def test_a_stream_and_a_body_say_the_same_and_count_the_same(client: Client) -> None:
    body = client.chat()
    events = client.stream()
    assert text_in(events) == text_of(body)
    assert len(text_of(body)) > 20
    usage = {k: body["usage"][k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert events[-1]["choices"] == []
    assert {k: events[-1]["usage"][k] for k in usage} == usage
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-2]["choices"][0]["finish_reason"] == body["choices"][0]["finish_reason"]


def test_each_token_is_an_event_that_says_how_many_there_are_so_far(client: Client) -> None:
    events = client.stream(ignore_eos=True, max_tokens=12)
    assert [event["usage"]["completion_tokens"] for event in events] == [*range(1, 13), 12]


def test_completions_stream_too_and_take_token_ids(client: Client) -> None:
    asked = {"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}
    _, _, data = client.call("POST", "/v1/completions", asked)
    text = json.loads(data)["choices"][0]["text"]
    _, _, data = client.call("POST", "/tokenize", {"prompt": asked["prompt"]})
    ids = json.loads(data)["tokens"]
    events = client.stream("/v1/completions", messages=None, **{**asked, "prompt": ids})
    assert "".join(c["text"] for e in events for c in e["choices"]) == text


def test_ignore_eos_gives_exactly_the_tokens_that_were_asked_for(client: Client) -> None:
    short = [{"role": "user", "content": "Say only: yes"}]
    body = client.chat(messages=short, ignore_eos=True, max_tokens=40)
    assert body["usage"]["completion_tokens"] == 40
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_stop_string_ends_the_answer_before_it_though_it_is_several_tokens(
    client: Client,
) -> None:
    whole = text_of(client.chat(ignore_eos=True))
    stop = whole[10:22]  # begins and ends inside words
    expected = whole[: whole.index(stop)]
    body = client.chat(stop=stop, ignore_eos=True)
    assert text_of(body) == expected
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] < 24
    events = client.stream(stop=["never said", stop], ignore_eos=True)
    assert text_in(events) == expected
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


def test_the_same_seed_gives_the_same_text_and_another_seed_another(client: Client) -> None:
    one, same, other = (text_of(client.chat(temperature=1.0, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_characters_of_several_tokens_come_out_whole(client: Client) -> None:
    asked = "Repeat exactly: 😀😀😀 日本語 naïve"
    events = client.stream(messages=[{"role": "user", "content": asked}], max_tokens=48)
    assert "\ufffd" not in text_in(events[:-3])
    _, _, data = client.call("POST", "/tokenize", {"prompt": asked})
    assert json.loads(data)["count"] > len(asked.split())


def test_tokenize_counts_what_the_prompt_will_be_however_long(client: Client) -> None:
    _, _, data = client.call("POST", "/tokenize", {"messages": COLOURS["messages"]})
    assert json.loads(data)["count"] == client.chat(max_tokens=1)["usage"]["prompt_tokens"]
    counts = [
        json.loads(client.call("POST", "/tokenize", {"prompt": "the old house " * n})[2])["count"]
        for n in (1000, 2000, 10_000)
    ]
    assert counts[0] * 2 - 1 == counts[1]  # the space at the end is a token of its own
    assert counts[0] * 10 - 9 == counts[2]


def test_the_timings_add_up_and_are_no_longer_than_what_the_client_saw(client: Client) -> None:
    before = time.time()
    timings = client.chat(ignore_eos=True)["timings"]
    after = time.time()
    assert sum(timings[part] for part in PARTS) == pytest.approx(timings["total"], abs=1e-9)
    assert before <= timings["received"]
    assert timings["received"] + timings["total"] <= after
    assert timings["total"] > 0.7 * (after - before)
    assert timings["steps"] == 24
    assert timings["mean_batch"] == 1.0


def test_with_two_in_a_batch_six_requests_queue_and_say_so(client: Client) -> None:
    """The engine does not tell when it begins with a request: we work it out, and it fits."""
    with ThreadPoolExecutor(6) as pool:
        asked = {"ignore_eos": True, "max_tokens": 16}
        answers = list(pool.map(lambda _: client.chat(**asked), range(6)))
    timings = sorted((a["timings"] for a in answers), key=lambda t: t["received"] + t["queue"])
    waited = [t for t in timings if t["queue"] > 0.5 * (t["prefill"] + t["decode"])]
    assert len(waited) == 4
    assert all(1.0 <= t["mean_batch"] <= 2.0 for t in timings)
    assert sum(t["mean_batch"] > 1.5 for t in timings) >= 4
    for t in timings:
        assert sum(t[part] for part in PARTS) == pytest.approx(t["total"], abs=1e-9)
    # No more than two are ever between their first step and their last token.
    marks = []
    for t in timings:
        begun = t["received"] + t["tokenise"] + t["queue"]
        marks += [(begun + 1e-4, 1), (begun + t["prefill"] + t["decode"], -1)]
    running = peak = 0
    for _, change in sorted(marks):
        running += change
        peak = max(peak, running)
    assert peak == 2


def test_a_repeated_prompt_is_found_in_the_cache_and_the_mirror_agrees(client: Client) -> None:
    text = f"{time.time()} " + "The mill by the river has been closed for years. " * 40
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "max_tokens": 4}
    first, second = client.chat(**asked), client.chat(**asked)
    prompt = first["usage"]["prompt_tokens"]
    cached = [
        answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in (first, second)
    ]
    assert cached[0] < 64  # the template and nothing else
    assert prompt - 32 <= cached[1] < prompt
    assert second["timings"]["cached_tokens"] == cached[1]
    assert second["timings"]["prefill"] < 0.5 * first["timings"]["prefill"]
    metrics = client.metrics()
    assert metrics["latok:prefix_cache_hit_tokens_total"] >= cached[1]
    assert metrics["latok:prefix_cache_doubt_blocks"] <= 1


def test_a_client_that_leaves_is_gone_from_the_engine_at_once(client: Client) -> None:
    body = json.dumps({**COLOURS, "max_tokens": 4000, "ignore_eos": True, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
    before = client.metrics()
    with socket.create_connection(client.address) as sock:
        sock.sendall(head + body)
        while b"content" not in sock.recv(4096):
            pass
        assert client.metrics()["latok:requests_running"] == 1
    left = time.monotonic()
    while client.metrics()["latok:requests_running"]:
        assert time.monotonic() < left + 1
    after = client.metrics()
    cancelled = 'latok:requests_finished_total{reason="cancelled"}'
    assert after[cancelled] == before[cancelled] + 1
    time.sleep(0.3)  # the core would go on stepping if it had not heard of it
    steps = client.metrics()["latok:steps_total"]
    time.sleep(0.3)
    assert client.metrics()["latok:steps_total"] == steps


def test_a_request_whose_prompt_is_being_read_runs_and_does_not_wait(client: Client) -> None:
    asked = {"prompt": "one two three four " * 1000, "max_tokens": 1}
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(client.call, "POST", "/v1/completions", asked)
        seen = []
        while not reading.done():
            look = client.metrics()
            seen.append((look["latok:requests_running"], look["latok:requests_waiting"]))
    assert reading.result()[0] == 200
    assert seen.count((1, 0)) >= 3
    # at most as it comes, while the order goes from one process to the other
    assert seen.count((0, 1)) <= 0.2 * seen.count((1, 0))


def test_a_full_queue_answers_429_and_when_to_come_back(client: Client) -> None:
    asked = {**COLOURS, "max_tokens": 32, "ignore_eos": True}
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda _: client.call("POST", "/v1/chat/completions", asked), range(16))
        )
    statuses = [status for status, _, _ in answers]
    assert statuses.count(200) >= 10  # two running, eight waiting
    assert 429 in statuses
    for status, headers, data in answers:
        if status == 429:
            assert int(headers["retry-after"]) >= 1
            assert json.loads(data)["error"]["code"] == "queue_full"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/chat/completions", b"{", 400, None),
        ("/v1/chat/completions", {**COLOURS, "max_tokens": "many"}, 400, None),
        ("/v1/chat/completions", {**COLOURS, "n": 2}, 400, None),
        ("/v1/chat/completions", {**COLOURS, "model": "gpt-9"}, 404, "model_not_found"),
        ("/v1/completions", {"prompt": ""}, 400, None),
        ("/v1/completions", {"prompt": [10**9]}, 400, None),
        ("/v1/completions", {"prompt": ["two", "prompts"]}, 400, None),
        ("/v1/completions", {"prompt": "x " * 9000}, 400, "context_length_exceeded"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 8192}, 400, "context_length_exceeded"),
        ("/v1/completions", b'{"prompt": "\\ud800", "max_tokens": 2}', 400, None),
        ("/v1/embeddings", {"input": "x"}, 404, None),
        ("/health", {}, 405, None),
    ],
)
def test_what_cannot_be_done_is_refused_in_openai_s_shape_and_the_engine_goes_on(
    client: Client, path: str, body: Any, status: int, code: str | None
) -> None:
    got, _, data = client.call("POST", path, body)
    error = json.loads(data)["error"]
    assert (got, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10
    assert client.chat(max_tokens=1)["usage"]["completion_tokens"] == 1


def test_the_metrics_count_what_was_done(client: Client) -> None:
    before = client.metrics()
    body = client.chat(ignore_eos=True, max_tokens=10)
    after = client.metrics()
    grown = {name: after[name] - before[name] for name in after}
    assert grown["latok:generation_tokens_total"] == 10
    assert grown["latok:prompt_tokens_total"] == body["usage"]["prompt_tokens"]
    assert grown["latok:steps_total"] == body["timings"]["steps"]
    for part in PARTS:
        sum_ = grown[f'latok:phase_seconds_total{{phase="{part}"}}']
        assert sum_ == pytest.approx(body["timings"][part], abs=1e-5)
    assert after["latok:requests_running"] == after["latok:requests_waiting"] == 0
    _, _, data = client.call("GET", "/metrics")
    assert re.fullmatch(r"(# TYPE \S+ (gauge|counter)\n(latok:\S+ [\d.e+-]+\n)+)+", data.decode())


def test_the_levers_act() -> None:
    """Those that leave a trace which one can count; speed is for a benchmark."""
    levers = {
        "step_tokens": 64,
        "kv_cache": "f16",
        "cache_gb": 2,
        "context_limit": 1024,
        "speculation": "prompt_lookup",
        "prefix_cache": False,
        "queue_limit": 0,
        "batch_limit": 1,
    }
    with launched("openvino", levers, say=print) as running:
        client = Client(running.url)
        assert running.levers["context_limit"] == 1024
        assert running.levers["threads"] is None
        assert json.loads(client.call("GET", "/v1/models")[2])["data"][0]["max_model_len"] == 1024
        assert 85_000 < client.metrics()["latok:kv_cache_tokens"] < 100_000
        text = "one two three four five six seven eight nine ten, " * 20
        asked: dict[str, Any] = {"prompt": text, "max_tokens": 40, "temperature": 0}
        client.call("POST", "/v1/completions", asked)
        said = json.loads(client.call("POST", "/v1/completions", asked)[2])
        assert said["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        prompt_steps = -(-said["usage"]["prompt_tokens"] // 64)
        assert said["usage"]["completion_tokens"] == 40
        assert prompt_steps + 6 <= said["timings"]["steps"] < prompt_steps + 30
        events = client.stream("/v1/completions", messages=None, **asked)
        counts = [0, *(event["usage"]["completion_tokens"] for event in events)]
        assert max(b - a for a, b in pairwise(counts)) > 1  # several tokens in one event
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: client.call("POST", "/v1/completions", asked)[0], "ab"))
        assert sorted(both) == [200, 429]
