"""llama.cpp with the same model: it answers like the other engine does, under the same name."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from latok.engines.launch import Running, launched
from latok.load.probe import find, site
from latok.records import Request
from latok.wire.dialects import DIALECTS
from latok.wire.sse import EventStream

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    levers = {"batch_limit": 2, "context_limit": 512, "kv_cache": "q8_0", "prefix_cache": False}
    with launched("llamacpp", levers, say=print) as engine:
        yield engine


def get(running: Running, path: str) -> bytes:
    with urllib.request.urlopen(running.url + path) as answer:
        data: bytes = answer.read()
    return data


def post(running: Running, path: str, body: Any) -> bytes:
    request = urllib.request.Request(running.url + path, json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        data: bytes = answer.read()
    return data


def test_it_serves_the_model_under_its_name_with_the_context_that_was_asked_for(
    running: Running,
) -> None:
    [model] = json.loads(get(running, "/v1/models"))["data"]
    assert model["id"] == running.model == "smollm2-135m-instruct"
    assert model["meta"]["n_ctx"] == 512
    assert b"llamacpp:" in get(running, "/metrics")


def test_it_streams_and_says_its_timings(running: Running) -> None:
    asked = {
        "model": running.model,
        "messages": [{"role": "user", "content": "Name three colours. " * 5}],
        "max_tokens": 8,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for _ in range(2):  # the second time as well: prefix_cache is off
        reply = DIALECTS["openai-chat"].reply()
        for event in EventStream().feed(post(running, "/v1/chat/completions", asked)):
            reply.see(event)
        assert reply.usage
        assert reply.usage.completion_tokens == 8
        assert reply.usage.cached_tokens == 0
        assert reply.timings
        assert "".join(reply.text)


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions", "llamacpp"])
def test_the_first_tokens_log_probabilities_arrive(running: Running, dialect: str) -> None:
    """Ten tokens of which the one that was said is the likeliest; the same the second time."""
    request = Request(id=0, prompt="Two and two is", prompt_tokens=4, max_tokens=4, top_logprobs=10)
    found = find(site(running.url), request, model=running.model, dialect=dialect)
    assert "logprobs" in found.accepts
    row, told = DIALECTS[dialect], []
    for _ in range(2):
        reply = row.reply()
        body = row.body(request, running.model, found.accepts)
        for event in EventStream().feed(post(running, row.path, body)):
            reply.see(event)
        told.append(reply.first)
    first = told[0]
    assert first is not None
    assert told[1] == pytest.approx(first, abs=1e-3)
    assert len(first) == 10
    assert all(value <= 0 for value in first.values())
    assert 0.3 < sum(map(math.exp, first.values())) <= 1.001
    assert "".join(reply.text).startswith(max(first, key=lambda token: first[token]))
    asked_plainly = msgspec.structs.replace(request, top_logprobs=0)
    assert b"logprob" not in post(
        running, row.path, row.body(asked_plainly, running.model, found.accepts)
    ).replace(b'"logprobs":null', b"")
