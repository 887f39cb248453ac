"""What is said after compaction is what was said before."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.levers.compaction import compact_json, compacted, records
from latok.workload.parts import Parts, Piece

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
COLUMNS = st.sampled_from(
    [
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.text(max_size=8),
        st.none() | st.integers(),
        st.none() | st.text(min_size=1, max_size=8),
        st.none() | st.text(max_size=8),
    ]
)
LIKE_RECORDS = st.dictionaries(st.text(max_size=6), COLUMNS, min_size=1, max_size=4).flatmap(
    lambda columns: st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=6)
)
INDENTS = st.sampled_from([None, 0, 1, 2, 4, "\t"])


def exactly(value: Any) -> str:
    """Equal texts mean equal values, types and order too (1 is not True, nor 1.0)."""
    return json.dumps(value)


@given(JSON, INDENTS, st.booleans())
def test_json_reads_as_before(value: Any, indent: Any, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    after = compact_json(text)
    assert len(after) <= len(text)
    try:
        found = json.loads(after)
    except ValueError:
        found = records(after)
    assert exactly(found) == exactly(value)


@given(LIKE_RECORDS, INDENTS)
def test_records_read_as_before_whatever_form_they_got(rows: list[Any], indent: Any) -> None:
    assert exactly(records(compact_json(json.dumps(rows, indent=indent)))) == exactly(rows)


@given(LIKE_RECORDS)
def test_what_is_compact_stays(rows: list[Any]) -> None:
    once = compact_json(json.dumps(rows, indent=2))
    assert compact_json(once) == once


def test_like_records_become_csv_that_states_its_types() -> None:
    rows = [
        {"id": 1, "name": "Ann, A.", "paid": True, "left": None},
        {"id": 2, "name": 'Bo "B"', "paid": False, "left": 1.5},
    ]
    assert compact_json(json.dumps(rows, indent=2)) == (
        'id:number,name:string,paid:boolean,left:number?\n1,"Ann, A.",true,\n2,"Bo ""B""",false,1.5'
    )


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '[{"a": 1, "a": 2}, {"a": 3}]', "[1.10, 1e2, 12345678901234567890]"],
)
def test_a_key_said_twice_and_a_numbers_spelling_are_kept(text: str) -> None:
    assert compact_json(text) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["no json", '{"a": NaN}', "[1, 2", '{"a":  1} and more', ""])
def test_what_is_no_json_is_left_alone(text: str) -> None:
    assert compact_json(text) == text


# --- prose ---------------------------------------------------------------------------------------

PROSE = st.lists(
    st.sampled_from(
        ["word", "End.", " ", "  ", "   ", "\n", "\n\n\n", "\t", '"a  b"', "`x   y`",
         "```\na   b  \n\n\n\n```", '"', "| a   b"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


def parts_of(kind: Any, text: str) -> Parts:
    return Parts(pieces=(Piece(kind, text),), max_tokens=9)


def after(kind: Any, text: str) -> str:
    return compacted(parts_of(kind, text)).pieces[0].text


@given(PROSE, st.sampled_from(["context", "instruction"]))
def test_every_word_stays_and_never_grows(text: str, kind: str) -> None:
    short = after(kind, text)
    assert short.split() == text.split()
    assert len(short) <= len(text)
    assert after(kind, short) == short


@given(PROSE)
def test_what_stands_in_quotes_or_fences_stays_to_the_letter(text: str) -> None:
    for quoted in re.findall(r"```.*?```", text, re.DOTALL):
        assert quoted in after("context", text)
    if "```" not in text and '"' not in text.replace('"a  b"', ""):
        assert after("context", text).count('"a  b"') == text.count('"a  b"')


@given(PROSE, st.sampled_from(["file", "question", "example"]))
def test_code_questions_and_examples_are_never_touched(text: str, kind: str) -> None:
    assert after(kind, text) == text


def test_blanks_that_nothing_stands_in_go_and_a_tables_stay() -> None:
    assert after("context", "One.  Two.   \n\n\n\nname    age\nAnn      3\n") == (
        "One. Two.\n\nname    age\nAnn      3\n"
    )
