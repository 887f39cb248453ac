import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.quality.items import Item
from latok.quality.score import READ, SCORERS, code_in, pattern, score
from latok.workload.parts import Parts, Piece

ANSWERS = {
    "python": "x = 1",
    "exact": "Paris",
    "prefix": ["Paris", "in Paris"],
    "verbatim": "PARIS",
    "contains": ["Paris", "Rome"],
    "regex": "(a+)+b",
    "number": 7,
    "json_fields": {"name": "Ann", "age": 3},
    "set_f1": ["Paris", "Rome"],
    "tool_call": {"name": "go", "arguments": {"city": "Paris"}},
    "instructions": [{"kind": "no_commas"}, {"kind": "sentences", "n": 1}, {"kind": "json"}],
}
HOSTILE = ("[", '{"a":', "a", "1", "1,111", "-", "- ", "```", "\ud800", "“", "and", " ", ". ")


def item(scorer, answer):
    parts = Parts(pieces=(Piece("question", "Where?"),), max_tokens=8)
    return Item(id="t/0/0", task="t", family="f", parts=parts, scorer=scorer, answer=answer)


@pytest.mark.parametrize("scorer", SCORERS)
@settings(max_examples=30)
@given(text=st.text() | st.sampled_from(HOSTILE).map(lambda bit: bit * 40_000))
def test_no_answer_crashes_a_scorer_or_hangs_it(scorer, text):
    assert 0 <= score(item(scorer, ANSWERS[scorer]), text) <= 1


def test_every_scorer_is_tried_with_hostile_answers():
    assert ANSWERS.keys() == SCORERS.keys()


@pytest.mark.parametrize(
    ("scorer", "answer", "text", "expected"),
    [
        ("exact", "Paris", ' **"paris"**. ', 1),
        ("exact", "Paris", "Paris, France", 0),
        ("prefix", "12", "12 apples", 1),
        ("prefix", "12", "123", 0),
        ("verbatim", "PARIS", "PARIS.", 1),
        ("verbatim", "PARIS", "Paris", 0),
        ("contains", ["Rome", "Oslo"], "Rome and Romeo", 0.5),
        ("contains", "art", "party", 0),
        ("regex", "^[A-Z]{2}$", "AB", 1),
        ("number", 1234.5, "first 3, then $1,234.5.", 1),
        ("number", 5, "10-5", 1),
        ("number", -5, "it is -5", 1),
        ("number", {"value": 3, "which": "first"}, "3 of 9", 1),
        ("number", 3, "none", 0),
        ("set_f1", ["Rome", "Oslo"], "1. Rome\n2. Oslo", 1),
        ("set_f1", ["Rome", "Oslo"], "Rome, Bern", 0.5),
        ("json_fields", {"a": 1, "b": "x"}, '```json\n{"a": 1.0, "b": "y"}\n```', 0.5),
        ("json_fields", {"a": 1}, '{"a": true}', 0),
        ("json_fields", {"a": 1}, '{"a": "1"}', 0),
        ("json_fields", {"a": 1}, 'Here: {"a": 1}', 0),
        ("json_fields", {"a": 1}, '{"a": 1, "more": 2}', 0.5),
        ("tool_call", ANSWERS["tool_call"], json.dumps(ANSWERS["tool_call"]), 1),
        (
            "tool_call",
            ANSWERS["tool_call"],
            '{"name":"go","arguments":"{\\"city\\":\\"Paris\\"}"}',
            1,
        ),
        ("tool_call", ANSWERS["tool_call"], '{"name":"go","arguments":{"city":"paris"}}', 0),
        ("instructions", [{"kind": "no_commas"}, {"kind": "words", "n": 2}], "Yes, sir", 0.5),
        ("instructions", [{"kind": "no_commas"}], " ", 0),
    ],
)
def test_an_answer_is_scored_strictly(scorer, answer, text, expected):
    assert score(item(scorer, answer), text) == expected


def test_an_answer_is_read_no_further_than_the_bound():
    assert score(item("contains", "Oslo"), "x " * READ + "Oslo") == 0


@pytest.mark.parametrize("text", ["(", r"(a)\1", "(?=a)", "\ud800"])
def test_a_pattern_that_could_hang_or_is_none_is_refused(text):
    with pytest.raises(UsageError, match="no pattern"):
        pattern(text)


def test_code_is_run_between_what_stands_around_it_and_never_by_us():
    code = item("code", {"tests": "T", "before": "B\n", "after": "A"})
    ran = []
    assert score(code, "So:\n```python\nx = 1\n```\nDone.", lambda *of: not ran.append(of)) == 1
    assert ran == [("B\nx = 1\nA", "T")]
    with pytest.raises(UsageError, match="running code"):
        score(code, "x = 1")
    assert code_in("x = 1") == "x = 1"


def test_an_unknown_scorer_is_said():
    with pytest.raises(UsageError, match="no scorer 'vibes'"):
        score(item("vibes", "x"), "y")
