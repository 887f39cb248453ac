"""Every quirk of every dialect, wherever its bytes are cut: tokens, kinds, usage, errors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.records import Message, Record, Request, Usage
from latok.wire.apis import LOGPROBS
from latok.wire.capture import Capture, pack_read, record_of
from latok.wire.dialects import DIALECTS, dialect_named
from latok.wire.http1 import Response
from tests.golden.case import Case
from tests.golden.quirks import CASES, WHAT, http
from tests.golden.table import PAGE, page

NAMES = st.sampled_from(sorted(CASES))


def heard(dialect: str, data: bytes, cuts: list[int]) -> Record:
    """What the driver would keep of these bytes, had they come in these pieces, as a Record."""
    response = Response()
    capture = Capture(id=0, app="", session="", turn=0, prompt_tokens=1, max_tokens=2, due=0.0)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    for n, (start, end) in enumerate(pairwise(edges)):
        if body := response.feed(data[start:end]):
            capture.packed.append(pack_read((n + 1) * 10**9, 0, n * 10**9, 0) + body)
    response.eof()
    capture.status, capture.headers = response.status, response.headers
    return record_of(capture, DIALECTS[dialect], keep_text=True)


def agrees(record: Record, case: Case) -> None:
    assert [(chunk.kind, chunk.tokens) for chunk in record.chunks] == case.truth
    assert (record.error.kind if record.error else "") == case.error
    assert record.text == case.text
    assert record.retry_after == case.retry_after
    assert record.first_token == case.first
    assert case.timings.items() <= (record.server_timings or {}).items()
    if not case.error:
        assert record.usage == case.usage
        assert record.finish_reason == case.finish
        assert record.token_source == case.source
    msgspec.json.encode(record)


@pytest.mark.parametrize(("dialect", "quirk"), sorted(CASES))
def test_what_was_said_is_what_is_read(dialect: str, quirk: str) -> None:
    case = CASES[dialect, quirk]
    data = http(case)
    for size in (len(data), 64, 7, 3, 2, 1):
        agrees(heard(dialect, data, list(range(0, len(data), size))), case)


@settings(deadline=None)
@given(NAMES, st.lists(st.integers(1, 4000), max_size=12))
def test_wherever_it_is_cut_an_answer_reads_the_same(
    name: tuple[str, str], cuts: list[int]
) -> None:
    agrees(heard(name[0], http(CASES[name]), cuts), CASES[name])


def test_a_time_belongs_to_the_read_that_completed_the_event() -> None:
    case = CASES["openai-chat", "plain"]
    data = http(case)
    record = heard("openai-chat", data, list(range(len(data))))
    ats = [chunk.at for chunk in record.chunks]
    assert ats == sorted(set(ats))  # byte by byte, no two events share a read
    assert not any(chunk.coalesced or chunk.doubt for chunk in record.chunks)


def test_a_message_that_was_cut_off_has_no_count_of_output() -> None:
    """Anthropic opens with `output_tokens: 1`, long before they are counted."""
    record = heard("anthropic", http(CASES["anthropic", "unfinished"]), [])
    assert record.usage == Usage(8, None, 4)
    assert record.token_source == "unknown"


def test_every_quirk_has_its_sentence_and_every_sentence_its_quirk() -> None:
    assert {quirk for _, quirk in CASES} == WHAT.keys()
    assert {dialect for dialect, _ in CASES} == DIALECTS.keys()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_request_asks_for_a_stream_of_so_many_tokens(name: str) -> None:
    dialect = dialect_named(name)
    request = Request(id=0, prompt="why?", prompt_tokens=3, max_tokens=40)
    for extras in (set(dialect.extras), set[str]()):
        body = msgspec.json.encode(dialect.body(request, "m", extras)).decode()
        assert '"stream":true' in body
        assert ":40" in body
        assert "why?" in body


@pytest.mark.parametrize("name", DIALECTS)
def test_log_probabilities_are_asked_for_by_who_wants_them_of_who_gives_them(name: str) -> None:
    dialect = dialect_named(name)
    plain = Request(id=0, prompt="why?", prompt_tokens=3, max_tokens=40)
    asking = msgspec.structs.replace(plain, top_logprobs=50)
    gives, refuses = set(dialect.extras), set(dialect.extras) - {LOGPROBS}

    def body(request: Request, extras: set[str]) -> str:
        return msgspec.json.encode(dialect.body(request, "m", extras)).decode()

    assert body(asking, refuses) == body(plain, refuses)
    assert (body(asking, gives) != body(plain, gives)) == (LOGPROBS in dialect.extras)
    top = {"tgi": 5}.get(name, 20)  # no more than what is taken
    assert (f":{top}" in body(asking, gives)) == (LOGPROBS in dialect.extras)


SENT: dict[str, tuple[bool, dict[str, Any] | None]] = {  # can it be whole; how much to think
    "openai-chat": (True, {"reasoning_effort": "low"}),
    "openai-completions": (True, None),
    "openai-responses": (True, {"reasoning": {"effort": "low"}}),
    "anthropic": (True, {"output_config": {"effort": "low"}}),
    "ollama-chat": (True, {"think": "low"}),
    "ollama-generate": (True, {"think": "low"}),
    "llamacpp": (True, None),
    "tgi": (False, None),
    "sglang": (True, None),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_request_for_a_whole_answer_says_nothing_of_streams(name: str) -> None:
    dialect = dialect_named(name)
    request = Request(id=0, prompt="why?", prompt_tokens=3, max_tokens=40)
    body = dialect.body(request, "m", set(dialect.extras))
    whole, _ = SENT[name]
    if not whole:
        with pytest.raises(UsageError, match="always streams"):
            dialect.unstreamed(body)
        return
    streamed = {word: value for word, value in body.items() if not word.startswith("stream")}
    assert dialect.unstreamed(body) == {**streamed, "stream": False}


@pytest.mark.parametrize("name", DIALECTS)
def test_how_much_to_think_is_said_as_the_api_has_it(name: str) -> None:
    dialect = dialect_named(name)
    _, effort = SENT[name]
    body = dialect.body(Request(id=0, prompt="why?", prompt_tokens=3, max_tokens=40), "m", set())
    if effort is None:
        with pytest.raises(UsageError, match="has no field"):
            dialect.with_effort(body, "low")
        return
    assert dialect.with_effort(body, "low") == {**body, **effort}
    # what the user sends in the same object stays
    ((outer, inner),) = effort.items()
    if isinstance(inner, dict):
        more = {outer: {"summary": "auto"}}
        assert dialect.with_effort(more, "low") == {outer: {"summary": "auto", **inner}}


def test_only_the_first_tokens_probabilities_are_kept() -> None:
    steps = CASES["openai-chat", "logprobs"].steps
    assert sum(b"top_logprobs" in step.data for step in steps) > 1
    assert CASES["openai-chat", "logprobs_late"].first is None


@pytest.mark.parametrize("name", DIALECTS)
def test_what_was_said_before_goes_along_in_its_order(name: str) -> None:
    before = (
        Message("system", "Be brief."),
        Message("user", "Who?"),
        Message("assistant", "Me."),
    )
    request = Request(id=0, prompt="why?", prompt_tokens=3, max_tokens=40, before=before)
    body = msgspec.json.encode(dialect_named(name).body(request, "m", set())).decode()
    said = [text for text in ("Who?", "Me.", "why?") if text in body]
    assert sorted(said, key=body.index) == ["Who?", "Me.", "why?"]
    assert "Be brief." in body
    assert '"role":"system"' not in body or name != "anthropic"  # there it stands apart


def test_the_table_in_the_docs_is_that_of_these_tests() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python tests/golden/table.py"
