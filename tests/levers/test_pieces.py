"""The levers that order, drop or cap: prefix order, examples, the budget of an answer."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.levers.examples import kept
from latok.levers.output_budget import limited
from latok.levers.prefix_order import ordered
from latok.quality.tasks import tasks_of
from latok.quality.tasks.words import shown
from latok.records import Message
from latok.workload.parts import Parts, Piece

OWN = st.builds(Piece, st.sampled_from(["context", "question"]), st.text("ab", max_size=3))


def parts_of(pieces: list[Piece]) -> Parts:
    return Parts(pieces=tuple(pieces), max_tokens=9)


@st.composite
def batches(draw: st.DrawFn) -> list[Parts]:
    """Requests with the same shared pieces in one order, and each with others between them, none of
    which is by chance the text of a shared one."""
    texts = draw(st.lists(st.text("cd", min_size=1, max_size=3), max_size=3))
    found = []
    for _ in range(draw(st.integers(2, 4))):
        pieces = draw(st.lists(OWN, max_size=3))
        places = sorted(draw(st.integers(0, len(pieces))) for _ in texts)
        for n, (place, text) in enumerate(zip(places, texts, strict=True)):
            pieces.insert(place + n, Piece("instruction", text, shared=True))
        found.append(parts_of(pieces))
    return found


@given(batches())
def test_ordering_keeps_every_piece_and_is_done_once(batch: list[Parts]) -> None:
    for parts in batch:
        after = ordered(parts)
        assert Counter(map(repr, after.pieces)) == Counter(map(repr, parts.pieces))
        assert ordered(after) == after
        for shared in (True, False):
            assert [p for p in after.pieces if p.shared is shared] == [
                p for p in parts.pieces if p.shared is shared
            ]


@given(batches())
def test_a_common_prefix_never_shrinks(batch: list[Parts]) -> None:
    def common(batch: list[Parts]) -> int:
        columns = zip(*(parts.text for parts in batch), strict=False)
        return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))

    assert common([ordered(parts) for parts in batch]) >= common(batch)


@given(st.integers(0, 6), st.booleans())
def test_no_more_examples_than_asked_and_all_else_as_it_was(most: int, similar: bool) -> None:
    examples = [
        Piece("example", f"Q: animal {word}", shared=True) for word in ("cat", "dog", "eel")
    ]
    parts = parts_of([Piece("instruction", "i"), *examples, Piece("question", "The dog?")])
    after = kept(parts, most, similar=similar)
    assert len(after.of("example")) == min(most, 3)
    assert after.of("instruction") + after.of("question") == (parts.pieces[0], parts.pieces[-1])
    places = [[e.text for e in examples].index(e.text) for e in after.of("example")]
    assert places == sorted(places)
    if not similar:
        assert after.of("example") == tuple(examples[:most])


@given(st.integers(0, 5), st.integers(0, 4), st.booleans())
def test_worked_questions_are_dropped_whole_and_what_was_said_stays(
    most: int, turns: int, similar: bool
) -> None:
    system = Message("system", "You count.")
    talk = (Message("user", "hi"), Message("assistant", "a"))
    shots = [(f"How many are {n}?", str(n)) for n in range(turns)]
    before = (system, *shown(shots), *talk)
    parts = Parts(pieces=(Piece("question", "How many are 2?"),), before=before, max_tokens=9)
    after = kept(parts, most, similar=similar)
    examples = [message for message in after.before if message.example]
    assert len(examples) == 2 * min(most, turns)
    assert [m for m in after.before if not m.example] == [system, *talk]
    assert [m.role for m in examples] == ["user", "assistant"] * (len(examples) // 2)
    assert [m for m in before if m in after.before] == list(after.before)
    assert after.pieces == parts.pieces


@pytest.mark.parametrize("app", ["chat", "document", "code", "agent", "batch"])
def test_every_app_has_items_with_examples_to_drop(app: str) -> None:
    for task in tasks_of(app):
        parts = task.item(0, 0).parts
        fewer = kept(parts, 0)
        assert not any(message.example for message in fewer.before), task.name
        assert fewer.pieces == parts.pieces
    assert any(
        message.example for task in tasks_of(app) for message in task.item(0, 0).parts.before
    )


def test_the_most_similar_example_is_the_one_with_the_questions_words() -> None:
    examples = [
        Piece("example", f"Q: animal {word}", shared=True) for word in ("cat", "dog", "eel")
    ]
    (only,) = kept(parts_of([*examples, Piece("question", "Which dogs?")]), 1, similar=True).of(
        "example"
    )
    assert "dog" in only.text
    assert not only.shared


def test_alike_examples_are_told_apart_by_their_place() -> None:
    twice = [Piece("example", "Q: a dog", shared=True)] * 3
    assert len(kept(parts_of(twice), 2).of("example")) == 2


@given(st.integers(1, 99), st.integers(1, 99))
def test_a_budget_only_lowers(asked: int, budget: int) -> None:
    parts = Parts(pieces=(), max_tokens=asked)
    assert limited(parts, budget).max_tokens == min(asked, budget)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError):
        limited(parts_of([]), 0)
    with pytest.raises(UsageError):
        kept(parts_of([]), -1)
