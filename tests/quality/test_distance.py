"""Distances between answers: texts, first tokens, lengths."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.quality.distance import divergence, first_tokens, identical, length_ratio
from latok.quality.items import Graded

WEIGHTS = st.lists(st.floats(0.001, 1), min_size=6, max_size=6)


def graded(**words: object) -> Graded:
    return msgspec.structs.replace(
        Graded(item="i", task="t", family="f", score=1.0, text="a"), **words
    )


def logs(weights: list[float], keep: int = 6) -> dict[str, float]:
    """The likeliest `keep` tokens of a distribution."""
    total = sum(weights)
    ranked = sorted(enumerate(weights), key=lambda each: -each[1])[:keep]
    return {f"t{n}": math.log(weight / total) for n, weight in ranked}


@given(WEIGHTS, WEIGHTS, st.integers(1, 5), st.integers(1, 5))
def test_what_is_not_listed_hides_divergence_and_never_adds_any(
    ours: list[float], theirs: list[float], top: int, other: int
) -> None:
    p, q = logs(ours), logs(theirs)
    whole = sum(math.exp(p[t]) * (p[t] - q[t]) for t in p)
    assert divergence(p, q) == pytest.approx(whole, abs=1e-5)
    assert 0.0 <= divergence(logs(ours, top), logs(theirs, other)) <= whole + 1e-5


@given(WEIGHTS, st.integers(1, 6))
def test_the_same_distribution_does_not_diverge(weights: list[float], top: int) -> None:
    assert divergence(logs(weights, top), logs(weights, top)) == pytest.approx(0, abs=1e-5)


def test_a_token_that_is_said_to_be_very_unlikely_is_as_if_it_were_not_listed() -> None:
    p, q = {"a": math.log(0.9), "b": math.log(0.1)}, {"a": math.log(0.9), "c": math.log(0.1)}
    never = -9999.0
    assert divergence({**p, "c": never}, {**q, "b": never}) == divergence(p, q)


def test_a_likeliest_token_that_the_other_side_does_not_list_is_counted() -> None:
    ours, theirs = {"a": -0.1, "b": -3.0}, {"c": -0.1, "b": -3.0}
    found = first_tokens(
        [
            (graded(first=ours), graded(first=ours)),
            (graded(first=ours), graded(first=theirs)),
            (graded(first=ours), graded(first=None)),
            (graded(first={}), graded(first=ours)),
        ]
    )
    assert found is not None
    assert (found.n, found.missed, found.top1.share) == (2, 1, 0.5)
    assert found.kl > 0.1


def test_nothing_is_said_of_what_nobody_tells() -> None:
    silent = [(graded(text="", tokens=None), graded(text="", tokens=None))]
    assert first_tokens(silent) is None
    assert identical(silent) is None
    assert length_ratio(silent) is None


def test_texts_are_compared_byte_by_byte_where_both_sides_answered() -> None:
    pairs = [
        (graded(), graded()),
        (graded(), graded(text="a ")),
        (graded(), graded(text="", failed=True)),
    ]
    found = identical(pairs)
    assert found is not None
    assert (found.share, found.n) == (0.5, 2)
    assert found.ci95[0] < 0.5 < found.ci95[1]


def test_lengths_are_compared_in_sum() -> None:
    pairs = [(graded(tokens=10), graded(tokens=30)), (graded(tokens=90), graded(tokens=70))]
    assert length_ratio(pairs) == 1.0
    assert length_ratio([*pairs, (graded(tokens=5), graded(tokens=9, failed=True))]) == 1.0
