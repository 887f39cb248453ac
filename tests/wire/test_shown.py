"""When a user has the first sentence and the first line, found in what was streamed."""

from __future__ import annotations

import json
from time import perf_counter

import pytest

from latok.wire.capture import Capture, first_line, first_sentence, pack_read, record_of
from latok.wire.dialects import DIALECTS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("It is so. And then", "It is so."),
        ("It is 3.14 of it. And", "It is 3.14 of it."),
        ("1. Take two eggs. 2. Beat", "1. Take two eggs."),
        ('He said "no way!" Then', 'He said "no way!"'),
        ("What is to be done\nThen", "What is to be done"),
        ("  \n\n Yes, sir! No", "  \n\n Yes, sir!"),
        ("天空是蓝色的。因为", "天空是蓝色的。"),
        ("no end in sight", "no end in sight"),
        ("Really? Yes it is. So", "Really? Yes it is."),
    ],
)
def test_a_sentence_has_two_words_and_an_end(text: str, sentence: str) -> None:
    end = first_sentence(text)
    assert end is not None
    assert text[:end] == sentence


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\ny = 2\n", "x = 1"),
        ("\n\n    return x\n", "\n\n    return x"),
        ("Here it is:\n```python\nimport os\nimport re\n```\n", "import os"),
        ("Here:\n  ~~~\n\nimport os\n", "import os"),
        ("x = 1", "x = 1"),
        ("Here:\n```py\n", "```py\n"),
    ],
)
def test_a_line_is_of_code_where_code_is_marked(text: str, line: str) -> None:
    end = first_line(text)
    assert end is not None
    assert text[:end].endswith(line)


def test_an_empty_answer_has_neither() -> None:
    assert first_sentence("") is None
    assert first_line("") is None


@pytest.mark.parametrize(
    "text", ["\n" * 10**6, " " * 10**6, "x" * 10**6, "." * 10**6, "a\n" * 10**5]
)
def test_no_answer_takes_long_to_read(text: str) -> None:
    before = perf_counter()
    first_sentence(text)
    first_line(text)
    assert perf_counter() - before < 1.0


def test_they_are_shown_when_their_last_piece_arrives() -> None:
    pieces = ["It", " is", " so", ".", " And", " x\ny", " = 1"]
    capture = Capture(id=0, app="", session="", turn=0, prompt_tokens=1, max_tokens=9, due=0.0)
    capture.status = 200
    for n, piece in enumerate(pieces):
        said = json.dumps({"choices": [{"delta": {"content": piece}}]}).encode()
        capture.packed.append(
            pack_read((n + 1) * 10**9, 0, n * 10**9, 0) + b"data: " + said + b"\n\n"
        )
    record = record_of(capture, DIALECTS["openai-chat"])
    assert record.first_sentence_at == 4.0
    assert record.first_line_at == 6.0
    capture.packed = []
    assert record_of(capture, DIALECTS["openai-chat"]).first_line_at is None
