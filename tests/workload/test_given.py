import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latok.errors import UsageError
from latok.records import Message
from latok.workload.given import MOST, Given, given

SHAREGPT = [
    {
        "id": "a",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Why is the sky blue?"},
            {"from": "gpt", "value": "It scatters."},
            {"from": "human", "value": "And red at night?"},
        ],
    },
    {"id": "b", "conversations": [{"from": "gpt", "value": "An answer to nothing."}]},
]


def lines(*rows):
    return "\n".join(map(json.dumps, rows)).encode()


def test_of_a_conversation_what_is_before_the_first_answer_is_asked():
    asked = Given((Message("system", "Be brief."),), "Why is the sky blue?", None, "It scatters.")
    assert given(json.dumps(SHAREGPT).encode(), "sharegpt.json", seed=0) == [asked]
    messages = [{"role": m.role, "content": m.content} for m in asked.before]
    messages += [{"role": "user", "content": [{"type": "text", "text": asked.prompt}]}]
    row = {"messages": messages, "output_tokens": 12}
    assert given(lines(row), "m.jsonl", seed=0) == [asked._replace(output=12, answer="")]


@pytest.mark.parametrize("column", ["prompt", "question", "instruction", "text"])
def test_a_prompt_is_found_by_the_name_of_its_column(column):
    rows = [{column: "one", "n": 1}, {column: "two", "n": 2}]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    csv = f"{column},n\none,1\ntwo,2\n".encode()
    files = {"p.jsonl": lines(*rows), "p.json": json.dumps(rows).encode(), "p.csv": csv}
    for name, data in (files | {"p.parquet": table.getvalue()}).items():
        assert {each.prompt for each in given(data, name, seed=0)} == {"one", "two"}


def test_an_answer_is_as_long_as_the_file_says_in_tokens_or_by_its_text():
    rows = [{"prompt": "a", "max_tokens": "20"}, {"question": "b", "answer": "so it is"}]
    found = {each.prompt: each for each in given(lines(*rows), "p.jsonl", seed=0)}
    assert (found["a"].output, found["b"].output) == (20, None)
    assert (found["a"].answer, found["b"].answer) == ("", "so it is")


def test_a_csv_may_have_commas_and_lines_in_a_text():
    data = b'prompt,output_tokens\n"one,\ntwo",5\n'
    assert given(data, "p.csv", seed=0) == [Given((), "one,\ntwo", 5)]


def test_the_seed_draws_the_order_and_no_prompt_twice():
    data = lines(*({"prompt": f"p{n}"} for n in range(3 * MOST)))
    once, again, other = (
        [each.prompt for each in given(data, "p.jsonl", seed=seed)] for seed in (1, 1, 2)
    )
    assert once == again != other
    assert len(set(once)) == MOST


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lines({"prompt": "a"}, {"id": 3}), "p.jsonl, line 2: no prompt; a column would be called"),
        (lines({"prompt": ""}), "p.jsonl, line 1: prompt holds no text"),
        (lines({"prompt": 7}), "p.jsonl, line 1: prompt holds no text, but '7'"),
        (lines({"messages": "hi"}), "line 1: messages must be a list of objects with role"),
        (lines({"conversations": [{"role": "user"}]}), "must be a list of objects with from"),
        (lines({"prompt": "a", "max_tokens": -1}), "line 1: max_tokens is -1"),
        (lines(SHAREGPT[1]), "p.jsonl holds no prompt"),
    ],
)
def test_a_row_without_a_prompt_is_one_line_with_its_place(data, said):
    with pytest.raises(UsageError) as why:
        given(data, "p.jsonl", seed=0)
    assert said in str(why.value)
