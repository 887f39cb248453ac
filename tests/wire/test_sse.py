"""Server-sent events, however their bytes are cut and whatever their lines end with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from latok.wire.sse import PING, Event, EventStream, Lines

TEXT = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)
ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])


def events(data: bytes, cuts: list[int]) -> list[Event]:
    stream, found, start = EventStream(), [], 0
    for cut in [*sorted(min(c, len(data)) for c in cuts), len(data)]:
        found += stream.feed(data[start:cut])
        start = cut
    return found + stream.end()


@given(st.lists(TEXT, max_size=6), ENDINGS, st.lists(st.integers(0, 200), max_size=10))
def test_what_is_sent_is_read_wherever_it_is_cut(
    texts: list[str], ending: str, cuts: list[int]
) -> None:
    data = "".join(f"data: {text}{ending}{ending}" for text in texts).encode()
    assert events(data, cuts) == [Event("", text.encode()) for text in texts]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_any_bytes_give_the_same_events_wherever_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert events(data, cuts) == events(data, [])


def test_a_line_separator_inside_a_token_is_text() -> None:
    sent = "data: a\u2028b\u0085c\x0bd\n\n".encode()
    assert events(sent, []) == [Event("", "a\u2028b\u0085c\x0bd".encode())]


def test_names_comments_and_several_data_lines() -> None:
    sent = b"event: x\ndata: 1\ndata:2\nid: 9\n\n: keep-alive\n\n\n\ndata\n\n"
    assert events(sent, []) == [Event("x", b"1\n2"), PING, Event("", b"")]


def test_a_last_event_without_its_blank_line_still_counts() -> None:
    assert events(b"data: [DONE]", []) == [Event("", b"[DONE]")]


def test_a_byte_order_mark_is_not_part_of_the_first_field() -> None:
    assert events(b"\xef\xbb\xbfdata: 1\n\n", [1, 2]) == [Event("", b"1")]


def test_pending_says_whether_an_event_has_begun() -> None:
    stream = EventStream()
    stream.feed(b"data: 1\n\n")
    assert not stream.pending
    stream.feed(b"da")
    assert stream.pending


@given(
    st.lists(TEXT.filter(str.strip), max_size=6),
    st.sampled_from(["\n", "\n\n", "\n \n"]),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_lines_are_read_wherever_they_are_cut(
    texts: list[str], ending: str, cuts: list[int]
) -> None:
    data = ending.join(texts).encode()
    stream, found, start = Lines(), [], 0
    for cut in [*sorted(min(c, len(data)) for c in cuts), len(data)]:
        found += stream.feed(data[start:cut])
        assert stream.pending == (cut > 0 and not data[:cut].endswith(b"\n"))
        start = cut
    assert found + stream.end() == [Event("", text.encode()) for text in texts]


def test_an_error_line_is_an_event_of_that_name() -> None:
    assert events(b'error: {"code":500}\n\n', []) == [Event("error", b'{"code":500}')]
