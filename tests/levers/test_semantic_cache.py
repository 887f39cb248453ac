"""A question like one before gets its answer only if nothing differs that a guard can tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.levers.near_misses import pairs
from latok.levers.response_cache import ResponseCache
from latok.levers.semantic_cache import (
    Likeness,
    Pair,
    SemanticCache,
    differs,
    false_hits,
    parted,
)
from latok.records import Request
from latok.wire.dialects import DIALECTS

EVERY = pairs(0, 200)
FINE: dict[str, Any] = {"status": 200, "ended": True, "drawn": False}
SAID = "is not the price of Oslo below 3 kg safe unsafe 5 never Rome `a_b` enabled how $ twice"
WORDS = st.sampled_from(SAID.split())
QUESTIONS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)


def cache(threshold: float = 0.6, most: int = 1000) -> SemanticCache:
    answers = ResponseCache(ttl=10, most_bytes=10_000)
    return SemanticCache(answers, threshold=threshold, guard=differs, most=most)


# --- the guard ---


@given(QUESTIONS, QUESTIONS)
def test_the_guard_says_the_same_either_way_round(one: str, other: str) -> None:
    assert bool(differs(one, other)) == bool(differs(other, one))
    assert differs(one, one) == ""


@given(st.text(), st.text())
def test_the_guard_reads_any_text(one: str, other: str) -> None:
    assert bool(differs(one, other)) == bool(differs(other, one))


@given(QUESTIONS, st.integers(0, 999), st.integers(0, 999))
def test_another_number_never_passes(question: str, one: int, other: int) -> None:
    passes = not differs(f"{question} {one} apples", f"{question} {other} apples")
    assert passes == (one == other)


@given(QUESTIONS)
def test_a_negation_more_never_passes(question: str) -> None:
    assert differs(question, f"{question} not") == "negation"


@given(QUESTIONS, st.sampled_from(["Lima", "Quito"]), st.sampled_from(["Lima", "Quito"]))
def test_another_name_never_passes(question: str, one: str, other: str) -> None:
    assert (differs(f"{question} in {one}", f"{question} in {other}") == "") == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I stop it?", "How do I start it?"),
        ("Was it enabled?", "Was it disabled?"),
        ("Is it safe?", "Is it unsafe?"),
        ("Is it a regular verb?", "Is it an irregular verb?"),
        ("At 5 am?", "At 5 pm?"),
        ("At 5am?", "At 5pm?"),
        ("Is 15kg much?", "Is 15 lb much?"),
        ("What is $5?", "What is €5?"),
        ("It doesn't work, why?", "It does work, why?"),
        ("From Rome to Oslo?", "From Oslo to Rome?"),
        ("Rome: is it big?", "Oslo: is it big?"),
        ("Python list methods", "Java list methods"),
        ("Can I go safely?", "Is it unsafe for me to go?"),
        ("What does get_all do?", "What does get_any do?"),
        ("What is C++?", "What is C#?"),
        ('What is "so" in German?', 'What is "no" in German?'),
        ("in two days", "in three days"),
        ("on monday", "on friday"),
    ],
)
def test_what_makes_it_another_question_is_seen(one: str, other: str) -> None:
    assert differs(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it safe to go?", "Would it be safe to go?"),
        ("It costs 1,000 USD", "it costs 1000 USD"),
        ("It takes 15kg", "It takes 15 kg"),
        ("It takes two days", "It takes 2 days"),
        ("What is the capital of France?", "france's capital is what?"),
        ("It doesn't work", "It does not work"),
        ("Which plan allows uploads?", "Which plans allow to upload?"),
    ],
)
def test_other_words_for_the_same_pass(one: str, other: str) -> None:
    assert differs(one, other) == ""


# --- what it is worth ---


def test_likeness_alone_tells_near_misses_from_paraphrases_at_no_threshold() -> None:
    thresholds = [n / 100 for n in range(30, 100)]
    for rates in false_hits(EVERY, thresholds, None):
        assert rates.false > 0.05 or rates.true < 0.2


def test_the_guard_stops_every_kind_but_a_small_word_for_another() -> None:
    let = {pair.kind for pair in EVERY if not pair.same and not differs(pair.one, pair.other)}
    assert let <= {"plain"}
    (alone,) = false_hits(EVERY, [0.7], None)
    (guarded,) = false_hits(EVERY, [0.7], differs)
    assert guarded.false < 0.05
    assert alone.false > 0.5
    assert guarded.true > 0.5


@given(st.floats(0.01, 0.98))
def test_a_higher_threshold_never_hits_more(threshold: float) -> None:
    low, high = false_hits(EVERY[:40], [threshold, threshold + 0.01], differs)
    assert low.false >= high.false
    assert low.true >= high.true


def test_the_suite_is_of_both_sorts_and_every_kind() -> None:
    assert EVERY[:60] == pairs(0, 30)
    assert sum(pair.same for pair in EVERY) == len(EVERY) / 2
    assert all(pair.one != pair.other for pair in EVERY)
    kinds = "number unit date name quote identifier plain negation opposite places"
    assert {pair.kind for pair in EVERY} == {"paraphrase", *kinds.split()}


def test_rates_of_one_sort_alone_are_refused() -> None:
    with pytest.raises(UsageError, match="both sorts"):
        false_hits([Pair("a", "b", True, "")], [0.5], differs)


# --- likeness ---


@given(st.lists(QUESTIONS, min_size=1, max_size=5), QUESTIONS)
def test_likeness_is_a_share_and_whole_to_itself(texts: list[str], asked: str) -> None:
    likeness = Likeness([*texts, asked]).to(asked)
    assert likeness[-1] == pytest.approx(1.0, abs=1e-5) or not any(map(str.isalnum, asked))
    assert (likeness > -1e-6).all()
    assert (likeness < 1 + 1e-5).all()


# --- the cache ---


def test_a_paraphrase_is_answered_and_a_near_miss_is_not() -> None:
    held = cache()
    held.put("t", "What was the revenue of Acme in Q3 2024?", b"7", 0.0, **FINE)
    assert held.get("t", "What revenue did Acme have in Q3 2024?", 1.0) == b"7"
    assert held.get("t", "What was the revenue of Acme in Q3 2025?", 1.0) is None
    assert held.get("t", "What was the loss of the company?", 1.0) is None
    assert held.get("another tenant", "What was the revenue of Acme in Q3 2024?", 1.0) is None


def test_the_likest_that_passes_answers_not_the_likest() -> None:
    held = cache()
    held.put("t", "What was the revenue of Acme in Q3 2025?", b"8", 0.0, **FINE)
    held.put("t", "Revenue of Acme in Q3 2024: what was it?", b"7", 0.0, **FINE)
    assert held.get("t", "What was the revenue of Acme in Q3 2024?", 1.0) == b"7"


def test_time_ends_an_answer_and_what_may_not_be_kept_is_not() -> None:
    held = cache()
    held.put("t", "How do I boil rice?", b"7", 0.0, **FINE)
    assert held.get("t", "How do I boil rice", 9.0) == b"7"
    assert held.get("t", "How do I boil rice", 10.0) is None
    assert not held.put("t", "How do I boil soup?", b"8", 0.0, status=500, ended=True, drawn=False)
    assert held.get("t", "How do I boil soup?", 1.0) is None


@given(st.lists(QUESTIONS, min_size=1, max_size=5), QUESTIONS)
def test_at_a_likeness_of_one_only_the_same_question_is_answered(
    known: list[str], asked: str
) -> None:
    held = SemanticCache(ResponseCache(ttl=10, most_bytes=10_000), threshold=1, guard=differs)
    for question in known:
        held.put("t", question, question.encode(), 0.0, **FINE)
    assert held.get("t", asked, 1.0) == (asked.encode() if asked in known else None)
    assert held.get("another tenant", asked, 1.0) is None


@given(QUESTIONS, QUESTIONS, st.integers(1, 99))
def test_all_of_a_request_but_its_question_is_its_scope(
    one: str, other: str, max_tokens: int
) -> None:
    def body(said: str, limit: int) -> dict[str, Any]:
        messages = [{"role": "system", "content": "s"}, {"role": "user", "content": said}]
        return {"model": "m", "messages": messages, "max_tokens": limit}

    first, second = parted(body(one, max_tokens)), parted(body(other, max_tokens))
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (one, other)
    assert first[1] == second[1]
    longer = parted(body(one, max_tokens + 1))
    assert longer is not None
    assert longer[1] != first[1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_question_is_found_in_the_body_of_every_dialect(dialect: str) -> None:
    request = Request(id=0, prompt="How far is Oslo?", prompt_tokens=5, max_tokens=9)
    found = parted(DIALECTS[dialect].body(request, "m", frozenset()))
    assert found is not None
    assert found[0] == "How far is Oslo?"
    assert "Oslo" not in str(found[1])


def test_a_question_that_is_no_text_is_in_no_cache() -> None:
    assert parted({"messages": [{"role": "user", "content": [{"type": "image"}]}]}) is None
    assert parted({"model": "m"}) is None


def test_only_the_last_questions_are_compared() -> None:
    held = cache(most=2)
    for n, what in enumerate(("rice", "pasta", "lentils")):
        held.put("t", what, str(n).encode(), 0.0, **FINE)
    assert [held.get("t", what, 1.0) for what in ("rice", "pasta", "lentils")] == [None, b"1", b"2"]


def test_without_a_guard_it_is_refused() -> None:
    answers = ResponseCache(ttl=10, most_bytes=100)
    with pytest.raises(UsageError, match="wants a guard"):
        SemanticCache(answers, threshold=0.9, guard=None)
    with pytest.raises(UsageError, match="at most 1"):
        SemanticCache(answers, threshold=1.5, guard=differs)
