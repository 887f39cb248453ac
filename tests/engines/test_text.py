"""Tokens to text: whole characters, and nothing of a stop string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from latok.engines.text import Detokeniser, StopText

BYTES = [bytes([number]) for number in range(256)]


@given(st.text())
def test_characters_come_out_whole_however_many_tokens_they_are_made_of(text: str) -> None:
    detokeniser = Detokeniser(BYTES)
    pieces = [detokeniser.push([byte]) for byte in text.encode()]
    assert "".join([*pieces, detokeniser.end()]) == text
    assert all(not piece or piece in text for piece in pieces)


def test_half_a_character_at_the_end_is_shown_as_one_that_is_missing() -> None:
    detokeniser = Detokeniser(BYTES)
    assert detokeniser.push("😀".encode()[:2]) == ""
    assert detokeniser.end() == "\ufffd"


@given(
    st.text("ab<|", max_size=30),
    st.lists(st.text("ab<|", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 5)),
)
def test_text_ends_before_the_first_stop_string_however_it_is_cut(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    stop, shown, rest = StopText(stops), "", text
    for size in [*sizes, *[1] * len(text)]:
        shown += stop.push(rest[:size])
        rest = rest[size:]
        if stop.hit:
            break
    shown += stop.end()
    # The stop string that is complete first wins; of those, the one that begins first.
    ends = [text.find(word) + len(word) for word in stops if word in text]
    assert stop.hit == bool(ends)
    if not ends:
        assert shown == text
    else:
        assert text.startswith(shown)
        assert not any(word in shown for word in stops)
        assert len(shown) < min(ends)


def test_what_may_become_a_stop_string_is_held_back_until_it_is_known() -> None:
    stop = StopText(["END"])
    assert stop.push("the E") == "the "
    assert stop.push("N") == ""
    assert stop.push("ERGY") == "ENERGY"
    assert stop.push(" E") == " "
    assert stop.end() == "E"
