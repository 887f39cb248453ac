"""Tokenisers are stood in for by the two rules by which the common ones cut text before they
merge, and by one that cuts at spaces only; each then cuts what is left into short pieces."""

import re
import sys
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import TargetError, UsageError
from latok.workload import prompts
from latok.workload.apps import TEXTS
from latok.workload.prompts import PromptMaker, prompt_maker

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\s+(?!\S)|\s+"
GPT4 = (
    r"'(?:[sdmt]|ll|ve|re)|[^\r\nA-Za-z\d]?[A-Za-z]+|\d{1,3}| ?[^\sA-Za-z\d]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA2 = r"▁*[^▁\n]+|▁+|\n"


def tokenise(rule, text):
    if rule == LLAMA2:  # marks the start of every text, as a space and as a token
        text = "▁" + text.replace(" ", "▁")
    words = [word for word in re.findall(rule, text) if word]
    assert "".join(words) == text
    tokens = [word[at : at + 6] for word in words for at in range(0, len(word), 6)]
    return ["<s>", *tokens] if rule == LLAMA2 else tokens


@cache
def maker(kind, rule=GPT4, seed=0) -> PromptMaker:
    return prompt_maker(
        kind, seed=seed, count=lambda texts: [len(tokenise(rule, t)) for t in texts]
    )


kinds = st.sampled_from(TEXTS)
rules = st.sampled_from([GPT2, GPT4, LLAMA2])
ns = st.integers(0, 2**40)


@given(kinds, rules, st.integers(1, 5000) | st.integers(1, 100), ns)
@settings(max_examples=300, deadline=None)
def test_a_prompt_has_the_tokens_asked(kind, rule, tokens, n):
    counted = len(tokenise(rule, maker(kind, rule).make(tokens, n)))
    assert abs(counted - tokens) <= max(2, tokens / 100)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("rule", [GPT2, GPT4, LLAMA2])
def test_a_maker_that_agrees_with_the_tokeniser_says_so(kind, rule):
    assert maker(kind, rule).exact


@given(kinds, rules, st.integers(16, 3000), st.integers(16, 3000), ns, ns)
@settings(deadline=None)
def test_no_two_prompts_share_their_first_sixteen_tokens(kind, rule, a, b, n, other):
    first = tokenise(rule, maker(kind, rule).make(a, n))[:16]
    second = tokenise(rule, maker(kind, rule).make(b, other))[:16]
    assert first != second or n == other


def test_ten_thousand_prompts_have_ten_thousand_beginnings():
    beginnings = {tuple(tokenise(GPT4, maker("chat").make(40, n))[:16]) for n in range(10_000)}
    assert len(beginnings) == 10_000


def test_seeds_and_kinds_have_beginnings_of_their_own():
    makers = [maker("chat"), maker("chat", seed=1), maker("batch"), maker("document")]
    beginnings = {" ".join(m.make(200, n).split()[:6]) for m in makers for n in range(1000)}
    assert len(beginnings) == 4000


@given(kinds, st.integers(1, 3000), ns)
@settings(max_examples=20, deadline=None)
def test_the_same_seed_and_n_give_the_same_prompt(kind, tokens, n):
    again = prompt_maker(kind, seed=0, count=lambda ts: [len(tokenise(GPT4, t)) for t in ts])
    assert again.make(tokens, n) == maker(kind).make(tokens, n)


def test_a_tokeniser_far_away_is_asked_twice():
    asked = []

    def count(texts):
        asked.append(len(texts))
        return [len(tokenise(GPT2, text)) for text in texts]

    made = prompt_maker("chat", seed=0, count=count)
    for n in range(100):
        made.make(500, n)
    assert len(asked) == 2
    assert sum(asked) < 2500


def test_without_a_tokeniser_tokens_are_estimated_and_that_is_said():
    made = prompt_maker("code", seed=0, count=None)
    assert not made.exact
    assert 3 < len(made.make(1000, 1)) / 1000 < 6


def test_a_tokeniser_that_joins_what_we_cut_is_found_out():
    def count(texts):  # one that finds longer words in longer texts
        return [len(text) if len(text) < 1000 else len(text) // 2 for text in texts]

    assert not prompt_maker("chat", seed=0, count=count).exact


def test_a_tokeniser_that_counts_nothing_is_the_targets_fault():
    with pytest.raises(TargetError, match="finds no tokens"):
        prompt_maker("chat", seed=0, count=lambda texts: [7 for _ in texts])


def test_prompts_read_like_their_application():
    assert maker("chat").make(300, 1).endswith("?")
    assert "Question: " in maker("document").make(300, 1)
    assert "\n    " in maker("code").make(300, 1)
    assert '{"type": "function"' in maker("agent").make(2000, 1)
    assert "JSON" in maker("batch").make(300, 1)
    assert re.fullmatch("[a-zI ]+", maker("voice").make(300, 1))


@given(kinds, rules, st.lists(st.integers(8, 600), min_size=1, max_size=6), st.text(max_size=5))
@settings(max_examples=150, deadline=None)
def test_blocks_behind_each_other_have_the_tokens_asked(kind, rule, sizes, key):
    text = "".join(
        maker(kind, rule).block(size, f"{key} {at}", behind=at > 0) for at, size in enumerate(sizes)
    )
    assert abs(len(tokenise(rule, text)) - sum(sizes)) <= (rule == LLAMA2)


@given(kinds, rules, st.integers(16, 200), st.integers(16, 200))
@settings(max_examples=60, deadline=None)
def test_what_follows_a_block_does_not_change_its_tokens(kind, rule, size, other):
    made = maker(kind, rule)
    block = made.block(size, "same", behind=False)
    one, two = (tokenise(rule, block + made.block(other, key, behind=True)) for key in "ab")
    alone = len(tokenise(rule, block))
    assert one[:alone] == two[:alone]
    assert one[alone : alone + 5] != two[alone : alone + 5]


@given(kinds, rules, st.integers(2, 500), st.integers(2, 500), ns)
@settings(max_examples=60, deadline=None)
def test_the_common_text_begins_every_prompt_that_shares_it(kind, rule, tokens, more, n):
    made = maker(kind, rule)
    short, long = made.common(tokens), made.common(tokens + more)
    assert long.startswith(short)
    whole = short + made.make(more, n, behind=True)
    assert abs(len(tokenise(rule, short)) - tokens) <= 1 + (kind == "agent")
    assert abs(len(tokenise(rule, whole)) - tokens - more) <= max(3, more / 100)


def test_an_unknown_kind_of_text_is_answered_with_the_known():
    with pytest.raises(UsageError, match="no kind of text 'poem'; there are chat, voice"):
        prompt_maker("poem", seed=0, count=None)


def test_every_kind_of_text_that_an_app_may_name_can_be_made():
    assert {*TEXTS} == prompts._KINDS.keys()


@pytest.fixture
def fresh_sources():
    read = (prompts._sources, prompts.sentences, prompts._common_words, prompts._spoken)
    everything = (*read, prompts._code, prompts._steps)
    for function in everything:
        function.cache_clear()
    yield
    for function in everything:
        function.cache_clear()


@pytest.mark.usefixtures("fresh_sources")
@pytest.mark.parametrize("kind", TEXTS)
def test_without_pydoc_topics_the_docstrings_are_the_text(monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    made = prompt_maker(kind, seed=0, count=lambda ts: [len(tokenise(GPT2, t)) for t in ts])
    assert made.exact


@pytest.mark.usefixtures("fresh_sources")
@pytest.mark.parametrize("kind", TEXTS)
def test_without_sources_every_prompt_is_prose(monkeypatch, kind):
    monkeypatch.setattr(prompts.importlib.util, "find_spec", lambda name: None)
    made = prompt_maker(kind, seed=0, count=lambda ts: [len(tokenise(GPT2, t)) for t in ts])
    assert made.exact


@pytest.mark.usefixtures("fresh_sources")
def test_with_neither_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    monkeypatch.setattr(prompts.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="neither pydoc_data nor the sources"):
        prompt_maker("chat", seed=0, count=None)
