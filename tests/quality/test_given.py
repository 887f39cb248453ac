import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.quality.given import FIELDS, given_items
from latok.quality.score import SCORERS, score
from latok.sandbox import run


def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def one(**row):
    return given_items(lines({"prompt": "What?", "answer": "Lima"} | row), "own.jsonl")[0]


@pytest.mark.parametrize(
    ("answer", "scorer", "said"),
    [
        ("Lima", "prefix", "Lima, I think"),
        (12, "number", "It is 12."),
        ({"city": "Lima"}, "json_fields", '{"city": "Lima"}'),
        (["red", "blue"], "set_f1", "blue and red"),
    ],
)
def test_the_scorer_follows_from_the_type_of_the_answer_and_is_said(answer, scorer, said):
    item = one(answer=answer)
    assert item.scorer == scorer
    assert scorer in item.about["scorer"]
    assert score(item, said) == 1
    assert score(item, "no") == 0
    assert one(answer=answer, scorer=scorer).about == {}


def test_an_item_has_a_file_a_place_and_a_family_of_its_own_where_nothing_is_said():
    bare, told = given_items(
        lines(
            {"prompt": "a", "answer": "b"},
            {"prompt": "a", "answer": "b", "task": "t", "family": "f", "id": 7, "max_tokens": 3},
        ),
        "own.jsonl",
    )
    assert (bare.id, bare.task, bare.family, bare.parts.max_tokens) == ("own/1", "own", "own/1", 16)
    assert (told.id, told.task, told.family, told.parts.max_tokens) == ("7", "t", "f", 3)


def test_a_conversation_is_asked_up_to_its_last_message_and_context_is_a_piece_of_its_own():
    said = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Who?")]
    messages = [{"role": role, "content": content} for role, content in said]
    row = {"messages": messages, "context": "Ann is here.", "answer": "Ann"}
    (item,) = given_items(lines(row), "own.jsonl")
    assert [(m.role, m.content) for m in item.parts.before] == said[:-1]
    assert item.parts.text == "Ann is here.\n\nWho?"
    assert item.parts.of("context")[0].text == "Ann is here."


def test_code_is_graded_by_its_tests():
    item = one(answer={"tests": "assert f(2) == 4", "before": "import math\n"}, scorer="code")
    assert score(item, "def f(x):\n    return 2 * x", run) == 1
    assert score(item, "def f(x):\n    return 3 * x", run) == 0


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "no answer"),
        ({"answer": "a"}, "either a prompt or messages"),
        ({"answer": "a", "prompt": "p", "messages": []}, "either a prompt or messages"),
        ({"answer": "a", "prompt": " "}, "prompt is ' '"),
        ({"answer": "a", "messages": []}, "messages must be a list"),
        ({"answer": "a", "messages": [{"role": "bot", "content": "x"}]}, "no role 'bot'"),
        ({"answer": "a", "messages": [{"role": "assistant", "content": "x"}]}, "a user must ask"),
        ({"answer": "a", "prompt": "p", "max_tokens": 0}, "max_tokens is 0"),
        ({"answer": "a", "prompt": "p", "promt": "p"}, "no field 'promt'"),
        ({"answer": "a", "prompt": "p", "id": []}, "id is"),
        ({"answer": ["a"], "prompt": "p", "scorer": "judge"}, "what a right answer must have"),
        ({"answer": "a", "prompt": "p", "scorer": "vibes"}, "no scorer 'vibes'; there are exact"),
        ({"answer": "a", "prompt": "p", "scorer": "number"}, "for the scorer number it must be"),
        ({"answer": "(", "prompt": "p", "scorer": "regex"}, "no pattern"),
        ({"answer": True, "prompt": "p"}, "answer is True"),
        (
            {"answer": [{"kind": "words", "n": "3"}], "prompt": "p", "scorer": "instructions"},
            "kind",
        ),
        ({"answer": [{"kind": "rhymes"}], "prompt": "p", "scorer": "instructions"}, "one of words"),
    ],
)
def test_what_cannot_be_an_item_is_said_in_one_line_with_its_place(row, why):
    with pytest.raises(UsageError, match=r"^own\.jsonl, line 2: ") as raised:
        given_items(lines({"prompt": "p", "answer": "a"}, row), "own.jsonl")
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_id_stands_for_one_item():
    rows = [{"prompt": "p", "answer": "a", "id": id} for id in ("x", "y", "x")]
    with pytest.raises(UsageError, match="line 3: the id 'x' is taken"):
        given_items(lines(*rows), "own.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "n", "word", "value", "name"]), inner)
    ),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"answer": JSON, "scorer": st.sampled_from([*SCORERS, "code", "judge"])},
    optional={
        field: JSON | st.text(min_size=1) for field in FIELDS if field not in ("answer", "scorer")
    },
)


@settings(max_examples=300)
@given(ROWS, st.text(max_size=60))
def test_whatever_is_in_a_row_it_is_refused_in_one_line_or_can_be_graded(row, said):
    row = {"prompt": "p"} | row
    try:
        (item,) = given_items(lines(row), "own.jsonl")
    except UsageError as why:
        refused = str(why)
    else:
        refused = ""
        if item.scorer != "judge":
            assert 0 <= score(item, said, lambda code, tests: True) <= 1
    assert not refused or refused.startswith("own.jsonl, line 1: ")
    assert len(refused.splitlines()) <= 1
