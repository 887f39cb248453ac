"""Of a long text, what the question needs: within the budget, verbatim, in order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.levers.context import MARK, chunked, selected
from latok.levers.map_reduce import mapped, reduced
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate, prompt_maker

TEXT = st.text(alphabet=" \n\tabcXYZ.,?!é漢", max_size=800) | st.lists(
    st.sampled_from(["The cat sat. ", "A dog ran!\n\n", "Rain fell on Oslo, and on Bern. "]),
    max_size=60,
).map("".join)


def parts_of(*texts: str, question: str = "Where did the dog run?") -> Parts:
    context = (Piece("context", text, shared=True) for text in texts)
    pieces = (Piece("instruction", "Be brief."), *context, Piece("question", question))
    return Parts(pieces=pieces, max_tokens=20)


def context_of(parts: Parts) -> list[str]:
    return [piece.text for piece in parts.of("context")]


def filler(tokens: int, n: int = 0) -> str:
    return prompt_maker("document", seed=3, count=None).make(tokens, n)


@given(st.lists(TEXT, max_size=3), st.integers(1, 900))
def test_chunks_that_follow_each_other_are_the_text(texts: list[str], tokens: int) -> None:
    pieces = [Piece("context", text) for text in texts]
    chunks = chunked(pieces, tokens)
    for number, text in enumerate(texts):
        assert "".join(text[c.start : c.end] for c in chunks if c.piece == number) == text


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXT, min_size=1, max_size=3), st.integers(1, 300))
def test_what_is_kept_is_within_the_budget_verbatim_and_in_order(
    texts: list[str], budget: int
) -> None:
    before = parts_of(*texts)
    after = selected(before, budget, estimate)
    assert sum(estimate(context_of(after))) <= budget
    assert [p for p in after.pieces if p.kind != "context"] == [
        p for p in before.pieces if p.kind != "context"
    ]
    if sum(estimate(texts)) <= budget:
        assert after == before
    rest = "\0".join(texts)
    for text in context_of(after):
        for kept in filter(None, map(str.strip, text.split(MARK))):
            _, found, rest = rest.partition(kept)
            assert found == kept


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 30), st.integers(70, 600))
def test_a_fact_in_the_questions_words_is_kept(place: int, budget: int) -> None:
    lines = [filler(40, n) for n in range(30)]
    fact = "The harbour master of Tromsø is called Ingrid Aas."
    text = "\n".join([*lines[:place], fact, *lines[place:]])
    parts = parts_of(text, question="What is the harbour master of Tromsø called?")
    assert fact in "".join(context_of(selected(parts, budget, estimate)))


def test_one_fact_does_not_eat_the_budget() -> None:
    gossip = [
        f"The budget of Oslo, remark {n}: the budget of Oslo was discussed." for n in range(40)
    ]
    fact = "Bern spends 40 francs on trees."
    lines = [filler(40, n) for n in range(20)]
    parts = parts_of(
        "\n\n".join([*gossip, *lines, fact]),
        question="What is the budget of Oslo, and that of Bern?",
    )
    kept = "".join(context_of(selected(parts, 300, estimate)))
    assert fact in kept
    assert "Oslo" in kept


def test_what_is_left_out_is_marked_and_no_longer_shared() -> None:
    fact = "The dog ran to Lyon."
    after = selected(parts_of(f"{filler(900)}\n\n{fact}\n\n{filler(900, 1)}"), 60, estimate)
    (piece,) = after.of("context")
    assert piece.text.startswith(MARK)
    assert piece.text.endswith(MARK)
    assert fact in piece.text
    assert not piece.shared


def test_without_a_hit_the_beginning_is_kept() -> None:
    text = filler(900)
    after = selected(parts_of(text, question="Xyzzy?"), 200, estimate)
    first = context_of(after)[0].partition(MARK)[0].rstrip()
    assert len(first) > 100
    assert text.startswith(first)


def test_a_far_tokeniser_is_asked_few_times() -> None:
    calls = 0

    def count(texts: list[str]) -> list[int]:
        nonlocal calls
        calls += 1
        return estimate(texts)

    selected(parts_of(filler(4000)), 500, count)
    assert calls <= 4


def test_a_budget_of_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least one token"):
        selected(parts_of("a"), 0, estimate)


# --- map and reduce ------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXT, min_size=1, max_size=3), st.integers(60, 300))
def test_every_word_is_read_once_and_in_its_order(texts: list[str], size: int) -> None:
    waves = mapped(parts_of(*texts), size, estimate)
    read = "".join(text for wave in waves for text in context_of(wave))
    assert read == "".join(texts)
    for wave in waves:
        assert wave.of("question") == parts_of().of("question")


@given(st.integers(100, 400))
def test_no_stretch_is_longer_than_asked(size: int) -> None:
    waves = mapped(parts_of(filler(3000)), size, estimate)
    assert len(waves) > 1
    assert all(sum(estimate(context_of(wave))) <= size for wave in waves)
    assert all("NONE" in wave.text for wave in waves)


def test_a_short_text_is_asked_once_as_it_is() -> None:
    parts = parts_of("A short text.")
    assert mapped(parts, 100, estimate) == (parts,)


def test_the_second_wave_has_the_answers_and_the_question_but_not_the_text() -> None:
    parts = parts_of("first text", "second text")
    again = reduced(parts, ["Lyon", "NONE", " none. ", None, "Bern"])
    assert context_of(again) == ["Part 1: Lyon\nPart 4: could not be read.\nPart 5: Bern"]
    assert again.of("question") == parts.of("question")
    assert "second text" not in again.text
    assert "No part" in reduced(parts, ["NONE"]).text


def test_a_missing_extra_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "semchunk", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'latok[context]'")):
        selected(parts_of(filler(900)), 100, estimate)
