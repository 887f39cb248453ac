"""What is asked, by the tokeniser that stands in for a target's: see test_prompts."""

from dataclasses import replace
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.records import Message, Request
from latok.workload.apps import APPS
from latok.workload.ask import Counted, drawn, from_file, next_id, replayed
from latok.workload.given import Given
from latok.workload.lengths import parse_lengths, parse_seconds
from latok.workload.parts import parts_of_drawn
from latok.workload.prefix import cache_name, parse_cache, parse_tree
from latok.workload.traces import Call, Trace
from tests.workload.test_prompts import GPT4, maker, tokenise

CHAT = replace(APPS["chat"], input=parse_lengths("uniform(60,200)"), output=parse_lengths("20"))


def tokens(text):
    return tokenise(GPT4, text)


def shared(a, b):
    """How many tokens two texts have in common at their beginning."""
    return next(
        (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def first(workload, count, start=0):
    return [ask.request for ask in islice(workload.asks(start), count)]


@given(st.sampled_from(list(APPS)), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_the_nth_request_does_not_depend_on_where_one_starts(name, start):
    app = APPS[name].scaled(0.05)
    workload = drawn(app, maker(app.text), seed=3)
    assert first(workload, 5, start)[2:] == first(workload, 3, start + 2)


def test_a_request_carries_what_was_asked():
    asked = first(drawn(APPS["chat"], maker("chat"), seed=0), 200, 100)
    assert [request.id for request in asked] == list(range(100, 300))
    assert {request.app for request in asked} == {"chat"}
    assert all(len(tokens(r.prompt)) == r.prompt_tokens for r in asked)
    mean = sum(request.max_tokens for request in asked) / len(asked)
    assert mean == pytest.approx(APPS["chat"].output.mean(), rel=0.05)


# --- what a cache may know ---


def test_cold_prompts_share_nothing():
    workload = drawn(CHAT, maker("chat"), seed=0)
    texts = [tokens(r.prompt) for r in first(workload, 40)]
    assert (workload.regime, workload.share, workload.warm_up) == ("cold", 0.0, 0)
    assert max(shared(a, b) for n, a in enumerate(texts) for b in texts[:n]) < 8


def test_warm_prompts_were_all_asked_before():
    workload = drawn(CHAT, maker("chat"), seed=0, cache=1.0)
    asked = first(workload, workload.warm_up + 100, 7)
    taught = {r.prompt for r in asked[: workload.warm_up]}
    assert len(taught) == workload.warm_up
    assert {r.max_tokens for r in asked[: workload.warm_up]} == {1}
    assert {r.prompt for r in asked[workload.warm_up :]} == taught
    assert {r.max_tokens for r in asked[workload.warm_up :]} == {20}
    assert [r.id for r in asked] == list(range(7, 7 + len(asked)))


@given(st.floats(0.05, 0.9), st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_a_share_of_each_prompt_is_the_beginning_of_one_text(share, overhead):
    workload = drawn(CHAT, maker("chat"), seed=0, cache=share, overhead=overhead)
    teaching, *asked = first(workload, 30)
    common = tokens(teaching.prompt)
    for request in asked:
        text = tokens(request.prompt)
        wanted = min(round(share * request.prompt_tokens), request.prompt_tokens - overhead - 1)
        assert -1 <= shared(text, common) - wanted <= 4  # two words may be the same by chance
        assert abs(len(text) + overhead - request.prompt_tokens) <= 3
    assert workload.share == share


def test_a_tree_of_prefixes_is_shared_by_its_branches():
    app = replace(CHAT, prefix=parse_tree("tree(2:40,3:20)"))
    asked = first(drawn(app, maker("chat"), seed=0), 60)
    texts = [tokens(r.prompt) for r in asked]
    common = {shared(a, b) for n, a in enumerate(texts) for b in texts[:n]}
    assert {c for c in common if c >= 30} <= set(range(40, 43)) | set(range(60, 66))
    assert len({tuple(t[:40]) for t in texts}) == 2
    assert len({tuple(t[:60]) for t in texts}) == 6
    assert all(abs(len(t) - r.prompt_tokens) <= 3 for t, r in zip(texts, asked, strict=True))
    assert all(r.prompt_tokens > 60 for r in asked)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 9999)), min_size=1, max_size=4))
def test_a_tree_is_what_it_is_written_as(levels):
    text = f"tree({','.join(f'{n}:{tokens}' for n, tokens in levels)})"
    assert str(parse_tree(text)) == text
    assert parse_tree(text).tokens == sum(tokens for _, tokens in levels)


@pytest.mark.parametrize(
    "text", ["", "tree", "tree()", "tree(4)", "tree(0:5)", "4:400", "tree(a:1)"]
)
def test_what_is_no_tree_is_answered_with_the_form(text):
    with pytest.raises(UsageError, match="it reads like tree"):
        parse_tree(text)


def test_cache_regimes_are_words_or_shares():
    assert [parse_cache(word) for word in ("cold", "warm", "0.5")] == [0.0, 1.0, 0.5]
    assert [cache_name(share) for share in (0.0, 1.0, 0.5)] == ["cold", "warm", "0.5"]
    for wrong in ("hot", "1.5", "-1", "nan"):
        with pytest.raises(UsageError, match="cold, warm, or a share"):
            parse_cache(wrong)


# --- sessions ---


def test_a_session_has_the_turns_asked_and_ends_before_the_context_does():
    app = replace(
        CHAT, turns=parse_lengths("uniform(2,6)"), follow_up=parse_lengths("30"),
        think=parse_seconds("uniform(0,4)"),
    )  # fmt: skip
    workload = drawn(app, maker("chat"), seed=0, overhead=5)
    asks = list(islice(workload.asks(0), 200))
    assert {1 + len(ask.later) for ask in asks} == {2, 3, 4, 5, 6}
    assert len({ask.request.session for ask in asks}) == 200
    for ask in asks:
        for turn in ask.later:
            assert abs(len(tokens(turn.text)) - turn.tokens) <= 2
            assert 0 <= turn.think <= 4
    room = 250
    for request, later in islice(drawn(app, maker("chat"), seed=0, room=room).asks(0), 100):
        held = request.prompt_tokens + request.max_tokens
        assert held + sum(turn.tokens + turn.max_tokens for turn in later) <= room
    assert workload.regime == "sessions"


def test_ids_of_turns_meet_no_other():
    asked = first(drawn(CHAT, maker("chat"), seed=0), 3, 10**12)
    ids = [r.id for r in asked] + [next_id(r) for r in asked]
    assert len(set(ids)) == 6
    assert max(ids) < 2**63


# --- from a file ---


def counted(*sizes):
    return [
        Counted(Given((Message("system", "s"),), f"p{n}"), size, None if n % 2 else 9)
        for n, size in enumerate(sizes)
    ]


def test_a_files_prompts_come_in_turn_and_again_and_those_too_long_never():
    workload = from_file(counted(10, 5000, 30), CHAT, seed=0, name="f", room=100)
    asked = first(workload, 5, 40)
    assert [r.prompt for r in asked] == ["p0", "p2", "p0", "p2", "p0"]
    assert [r.id for r in asked] == [40, 41, 42, 43, 44]
    assert asked[0].before == (Message("system", "s"),)
    assert (asked[0].prompt_tokens, asked[0].max_tokens) == (10, 9)
    assert workload.manifest["prompts_too_long"] == 1
    with pytest.raises(UsageError, match="no prompt of f fits"):
        from_file(counted(5000), CHAT, seed=0, name="f", room=100)


# --- from a trace ---

TRACE = Trace(
    "t",
    (
        Call(0, 3 * 32 + 7, 5, (0, 1, 2, 3)),
        Call(1, 2 * 32 + 32, 5, (0, 1, 4)),
        Call(2, 20, 5, (5,)),
        Call(3, 3 * 32 + 7, 5, (0, 1, 2, 3)),
    ),
    32,
)


@pytest.mark.parametrize("kind", ["chat", "agent", "code"])
def test_equal_blocks_of_a_trace_are_equal_tokens_and_others_are_not(kind):
    workload = replayed(TRACE, CHAT, maker(kind))
    asked = first(workload, 10)
    texts = [tokens(r.prompt) for r in asked]
    assert [len(t) for t in texts] == [103, 96, 20, 103]
    assert [r.prompt_tokens for r in asked] == [103, 96, 20, 103]
    assert [shared(a, b) for a, b in pairwise(texts)] == pytest.approx([64, 0, 0], abs=1)
    assert texts[0] == texts[3]
    assert workload.share == TRACE.hit_share() == pytest.approx((64 + 102) / 322)


def test_another_load_has_other_texts_with_the_same_sharing():
    workload = replayed(TRACE, CHAT, maker("chat"))
    one, two = (first(workload, 4, start) for start in (0, 1000))
    assert shared(tokens(one[0].prompt), tokens(two[0].prompt)) < 8


def test_what_a_template_adds_is_taken_off_the_last_block_alone():
    asked = first(replayed(TRACE, CHAT, maker("chat"), overhead=6), 4)
    texts = [tokens(r.prompt) for r in asked]
    assert [len(t) for t in texts] == [97, 90, 14, 97]
    assert [r.prompt_tokens for r in asked] == [103, 96, 20, 103]
    assert shared(texts[0], texts[1]) in (64, 65)
    assert first(replayed(TRACE, CHAT, maker("chat"), overhead=30), 1)[0].prompt_tokens == 96 + 31


def test_requests_without_blocks_share_nothing():
    trace = Trace("t", (Call(0, 50, 5), Call(1, 50, 5)))
    workload = replayed(trace, CHAT, maker("chat"), overhead=4)
    a, b = (tokens(r.prompt) for r in first(workload, 2))
    assert len(a) == len(b) == 46
    assert shared(a, b) < 8
    assert workload.regime == "cold"


@given(st.text(max_size=200), st.sampled_from(["document", "chat"]))
def test_the_parts_of_a_drawn_prompt_are_all_of_it(prompt: str, app: str) -> None:
    request = Request(id=0, prompt=prompt, prompt_tokens=9, max_tokens=7, app=app)
    parts = parts_of_drawn(request)
    assert "".join(piece.text for piece in parts.pieces).rstrip() == prompt.rstrip()
    assert parts.max_tokens == 7
    assert bool(parts.of("context")) == (app == "document" and len(prompt.split()) > 16)
