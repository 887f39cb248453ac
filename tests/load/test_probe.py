"""What the probe makes of a URL: the dialect, the model, the context, the fields it may send."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from latok.engines.launch import launched
from latok.engines.table import parse_levers
from latok.errors import TargetError, UsageError
from latok.load.golden import NOT_FOUND, Asked, Golden, Step, response
from latok.load.probe import Found, find, site, tokeniser
from latok.records import Request
from latok.wire.dialects import DIALECTS
from tests.golden.quirks import CASES, http

REQUEST = Request(id=0, prompt="Say hello.", prompt_tokens=4, max_tokens=8)
MODELS = {"/v1/models": {"data": [{"id": "one", "max_model_len": 4096}, {"id": "two"}]}}
OLLAMA = {
    "/api/version": {"version": "0.12.6"},
    "/api/tags": {"models": [{"name": "llama3:8b"}]},
}
Refuses = Callable[[Asked], bytes | None]


@contextmanager
def serving(
    pages: dict[str, Any], *speaks: str, refuses: Refuses = lambda _: None
) -> Iterator[tuple[str, list[Asked]]]:
    """A server with these pages and dialects: its URL, and what it was asked."""
    heard: list[Asked] = []
    spoken = {DIALECTS[name].path: name for name in speaks}

    def script(asked: Asked) -> list[Step]:
        heard.append(asked)
        said = refuses(asked)
        if said is None and asked.path in pages:
            said = response(pages[asked.path])
        elif said is None and asked.path in spoken and asked.method == "POST":
            said = http(CASES[spoken[asked.path], "plain"])
        return [Step(0.0, said or NOT_FOUND)]

    server = Golden(script)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url, heard
    finally:
        server.stop()
        thread.join()


def found(url: str, headers: tuple[tuple[str, str], ...] = (), **words: Any) -> Found:
    return find(site(url, headers=headers), REQUEST, **words)


@pytest.mark.parametrize(
    ("pages", "speaks", "dialect", "model", "context"),
    [
        (MODELS, ("openai-chat", "openai-completions"), "openai-chat", "one", 4096),
        (MODELS, ("openai-completions",), "openai-completions", "one", 4096),
        (MODELS, ("openai-responses",), "openai-responses", "one", 4096),
        (OLLAMA, ("ollama-chat", "openai-chat"), "ollama-chat", "llama3:8b", None),
        (OLLAMA, ("ollama-generate",), "ollama-generate", "llama3:8b", None),
        (
            {**OLLAMA, "/api/ps": {"models": [{"name": "llama3:8b", "context_length": 4096}]}},
            ("ollama-chat",),
            *("ollama-chat", "llama3:8b", 4096),
        ),
        (
            {**OLLAMA, "/api/show": {"parameters": "stop x\nnum_ctx      8192\n"}},
            ("ollama-chat",),
            *("ollama-chat", "llama3:8b", 8192),
        ),
        (
            {**OLLAMA, "/api/show": {"model_info": {"llama.context_length": 131072}}},
            ("ollama-chat",),
            *("ollama-chat", "llama3:8b", 131072),
        ),
        (
            {"/info": {"model_id": "org/m", "max_total_tokens": 2048}},
            ("tgi", "openai-chat"),
            *("tgi", "org/m", 2048),
        ),
        (
            {
                "/v1/models": {"data": [{"id": "m", "meta": {"n_ctx_train": 8192}}]},
                "/props": {"default_generation_settings": {"n_ctx": 1024}},
            },
            ("openai-chat", "llamacpp"),
            *("openai-chat", "m", 1024),
        ),
        (
            {"/props": {"default_generation_settings": {"n_ctx": 1024}, "model_path": "m.gguf"}},
            ("llamacpp",),
            *("llamacpp", "m.gguf", 1024),
        ),
    ],
)
def test_the_dialect_is_found(
    pages: dict[str, Any], speaks: tuple[str, ...], dialect: str, model: str, context: int | None
) -> None:
    with serving(pages, *speaks) as (url, _):
        told = found(url)
    assert (told.dialect.name, told.model, told.context) == (dialect, model, context)
    assert told.site.path == DIALECTS[dialect].path
    assert told.usage is not None


@pytest.mark.parametrize("name", DIALECTS)
def test_a_path_or_a_name_says_the_dialect(name: str) -> None:
    path = DIALECTS[name].path
    with serving({}, name) as (url, heard):
        for told in (found(url + path, model="m"), found(url, model="m", dialect=name)):
            assert (told.dialect.name, told.site.path) == (name, path)
    assert {asked.path for asked in heard if asked.method == "POST"} <= {path, "/api/show"}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_base_before_the_path_is_kept(name: str) -> None:
    where = site("https://example.org/proxy" + DIALECTS[name].path)
    assert (where.base, where.path) == ("/proxy", "/proxy" + DIALECTS[name].path)


def test_a_key_goes_where_the_dialect_looks_for_it() -> None:
    def locked(asked: Asked) -> bytes | None:
        keyed = asked.headers.get("x-api-key") == "secret"
        ready = keyed and "anthropic-version" in asked.headers
        plain = "authorization" not in asked.headers
        return None if ready and plain else response({"error": "no key"}, "401 Unauthorized")

    key = (("Authorization", "Bearer secret"),)
    with serving(MODELS, "anthropic", refuses=locked) as (url, _):
        told = found(url + "/v1/messages", key)
        assert told.model == "one"
        assert b"\r\nx-api-key: secret\r\nanthropic-version: 2023-06-01\r\n" in told.site.post({})
        assert "secret" not in repr(told)
        with pytest.raises(TargetError, match="--key-env"):
            found(url + "/v1/messages")


def test_a_field_that_is_refused_is_left_out() -> None:
    def picky(asked: Asked) -> bytes | None:
        for word in ("ignore_eos", "max_tokens"):
            if word in (asked.body or {}):
                why = {"error": {"message": f"Unknown parameter: '{word}'."}}
                return response(why, "400 Bad Request")
        return None

    with serving(MODELS, "openai-chat", refuses=picky) as (url, _):
        told = found(url)
    assert told.accepts == {"continuous_usage_stats", "stream_options", "temperature"}


@pytest.mark.parametrize("given", ["logprobs", "plain", "refused"])
def test_log_probabilities_are_accepted_where_they_come(given: str) -> None:
    def telling(asked: Asked) -> bytes | None:
        if "logprobs" not in (asked.body or {}):
            return None
        if given == "refused":
            return response({"error": {"message": "top_logprobs: not here"}}, "400 Bad Request")
        return http(CASES["openai-chat", given])

    asking = msgspec.structs.replace(REQUEST, top_logprobs=5)
    with serving(MODELS, "openai-chat", refuses=telling) as (url, heard):
        told = find(site(url), asking)
        unasked = found(url)
    assert ("logprobs" in told.accepts) == (given == "logprobs")
    assert told.accepts - {"logprobs"} == unasked.accepts
    assert "logprobs" not in heard[-1].body


def test_a_refusal_is_said_once_and_without_the_paths_that_are_not_there() -> None:
    def full(asked: Asked) -> bytes | None:
        return response({"error": "all slots busy"}, "503 Busy") if asked.method == "POST" else None

    with (
        serving(MODELS, refuses=full) as (url, _),
        pytest.raises(TargetError, match="HTTP 503 all slots busy") as why,
    ):
        found(url + "/v1/chat/completions")
    assert "completions: HTTP 404" not in str(why.value)


def test_who_lists_no_model_and_is_told_none_is_an_error() -> None:
    with serving({}) as (url, _), pytest.raises(TargetError, match="name a --model"):
        found(url)


@pytest.mark.parametrize(
    ("path", "pages", "tokens"),
    [
        ("/v1/chat/completions", {"/tokenize": {"count": 3, "tokens": [1, 2, 3]}}, 3),
        ("/generate_stream", {"/tokenize": [{"id": 1}, {"id": 2}]}, 2),
    ],
)
def test_the_targets_own_tokeniser_counts(path: str, pages: dict[str, Any], tokens: int) -> None:
    with (
        serving(pages, "openai-chat", "tgi") as (url, _),
        tokeniser(found(url + path, model="m")) as count,
    ):
        assert count(["one two three", "four"]) == [tokens, tokens]


def test_a_dialect_that_is_not_there_names_the_choices() -> None:
    with pytest.raises(UsageError, match=r"there are openai-chat, .*tgi"):
        find(site("http://127.0.0.1:1"), REQUEST, dialect="gemini")


@pytest.mark.engine
def test_llama_cpp_is_understood_in_five_dialects() -> None:
    names = ("openai-chat", "openai-completions", "openai-responses", "anthropic", "llamacpp")
    with launched("llamacpp", parse_levers("llamacpp", {}), say=lambda _: None) as running:
        assert found(running.url).dialect.name == "openai-chat"
        told = [found(running.url, dialect=name) for name in names]
        with tokeniser(told[-1]) as count:
            assert count(["one two three"]) == [3]
    assert {each.context for each in told} == {told[0].context}
    assert all(each.usage and each.usage.completion_tokens for each in told)
