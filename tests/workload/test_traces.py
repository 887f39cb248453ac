"""Files here are made up, in the forms that the named traces have."""

import gzip
import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.workload.traces import Call, Trace, read_trace

AZURE = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05.9799600,110,27
"""
MOONCAKE = [
    {"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]},
    {"timestamp": 1500, "input_length": 1300, "output_length": 26, "hash_ids": [46, 47, 49]},
    {"timestamp": 3000, "input_length": 500, "output_length": 5, "hash_ids": [50]},
]


def lines(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def test_azure_has_times_and_lengths():
    trace = read_trace(AZURE, "code.csv")
    assert [(c.input, c.output) for c in trace.calls] == [(4808, 10), (3180, 8), (110, 27)]
    assert [c.at for c in trace.calls] == pytest.approx([0, 0.052, 2.0], abs=1e-6)
    assert trace.block == 0
    assert trace.hit_share() == 0


def test_mooncake_has_blocks_of_512_tokens_and_milliseconds():
    trace = read_trace(lines(MOONCAKE), "t.jsonl")
    assert trace.block == 512
    assert [c.at for c in trace.calls] == [0, 1.5, 3.0]
    assert trace.rate == pytest.approx(2 / 3)
    assert trace.hit_share() == pytest.approx(1024 / 2900)


def test_the_same_file_may_be_packed():
    assert read_trace(gzip.compress(lines(MOONCAKE)), "t.jsonl.gz").calls == (
        read_trace(lines(MOONCAKE), "t").calls
    )


def test_timed_traces_have_seconds_and_blocks_of_16():
    rows = [
        {"timestamp": 61.114, "input_length": 33, "output_length": 7, "hash_ids": [1, 2, 3]},
        {"timestamp": 61.5, "input_length": 20, "output_length": 7, "hash_ids": [1, 4]},
    ]
    trace = read_trace(lines(rows), "bailian.jsonl")
    assert trace.block == 16
    assert trace.calls[1].at == pytest.approx(0.386)


@pytest.mark.parametrize(
    ("data", "name", "second"),
    [
        (b"Timestamp,Request tokens,Response tokens\n5,472,18\n45,1087,0\n", "burst.csv", 40.0),
        (
            b'{"arrival_time_ns":0,"input_toks":472,"output_toks":18}\n'
            b'{"arrival_time_ns":40000000000,"input_toks":1087,"output_toks":1}',
            "sim.jsonl",
            40.0,
        ),
    ],
)
def test_other_traces_are_known_by_their_columns(data, name, second):
    trace = read_trace(data, name)
    assert trace.calls == (Call(0.0, 472, 18), Call(second, 1087, 1))


def test_calls_stand_in_the_order_of_their_times():
    trace = read_trace(lines(reversed(MOONCAKE)), "t.jsonl")
    assert trace == read_trace(lines(MOONCAKE), "t.jsonl")


def test_another_rate_stretches_the_times_and_keeps_their_shape():
    trace = read_trace(lines(MOONCAKE), "t.jsonl")
    assert trace.due(trace.rate) == [0, 1.5, 3.0]
    assert trace.due(2 * trace.rate) == [0, 0.75, 1.5]


@st.composite
def shared(draw):
    """Calls whose blocks are paths of a tree: an id stands for all that is before it."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    ids, calls = {}, []
    for n in range(draw(st.integers(1, 25))):
        depth = rng.randint(1, 6)
        path = tuple(rng.randrange(2) for _ in range(depth))
        blocks = tuple(ids.setdefault(path[: k + 1], len(ids)) for k in range(depth))
        calls.append(Call(float(n), 512 * (depth - 1) + rng.randint(1, 512), 50, blocks))
    return Trace("made up", tuple(calls), 512)


@given(shared())
def test_scaling_keeps_the_share_that_is_shared(trace):
    small = trace.scaled(1 / 16)
    assert small.block == 32
    assert all(math.ceil(c.input / 32) == len(c.blocks) for c in small.calls)
    assert small.hit_share() == pytest.approx(trace.hit_share(), abs=0.03)


@given(shared(), st.integers(1, 40))
def test_a_cache_that_forgets_knows_no_more(trace, blocks):
    small, larger, endless = (trace.hit_share(n * 512) for n in (blocks, blocks + 5, math.inf))
    assert small <= larger + 1e-12
    assert larger <= endless + 1e-12
    assert trace.hit_share(512 * 1000) == endless


@given(shared())
def test_nothing_new_is_all_but_the_last_token_in_the_cache(trace):
    again = Trace("twice", trace.calls * 2, 512)
    total = sum(c.input for c in trace.calls)
    known = sum(min(len(c.blocks) * 512, c.input - 1) for c in trace.calls)
    assert again.hit_share() * 2 * total == pytest.approx(trace.hit_share() * total + known)


def test_a_block_that_is_no_whole_number_is_refused():
    trace = read_trace(lines(MOONCAKE), "t.jsonl")
    for scale in (0.3, 1 / 128):
        with pytest.raises(UsageError, match="blocks of 512 tokens into"):
            trace.scaled(scale)


def test_what_does_not_fit_a_context_is_left_out():
    trace = read_trace(lines(MOONCAKE), "t.jsonl")
    assert [c.input for c in trace.fitting(1200).calls] == [1100, 500]
    assert [c.input for c in trace.first(1).calls] == [1100]


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"", "t.jsonl", "t.jsonl is empty"),
        (b'{"timestamp": 0}', "t.jsonl", "t.jsonl, line 1: not a trace; there are those with"),
        (lines(MOONCAKE) + b"\n{oops", "t.jsonl", "t.jsonl, line 4: not JSON"),
        (lines(MOONCAKE) + b"\n17", "t.jsonl", "t.jsonl, line 4: not a JSON object, but '17'"),
        (AZURE + b"yesterday,1,2", "a.csv", "a.csv, line 5: TIMESTAMP is 'yesterday'"),
        (AZURE + b"2023-11-16,many,2", "a.csv", "a.csv, line 5: ContextTokens is 'many'"),
        (AZURE + b"2023-11-16,0,2", "a.csv", "a.csv, line 5: ContextTokens is 0"),
        (AZURE + b"2023-11-16,5", "a.csv", "a.csv, line 5: GeneratedTokens is None"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "a.csv", "a.csv holds no request"),
        (b"\xff\xfe\x00", "a.csv", "neither JSON nor Parquet nor text"),
        (lines([{**MOONCAKE[0], "hash_ids": "x"}]), "t", "t, line 1: hash_ids must be a list"),
        (lines([*MOONCAKE, {**MOONCAKE[0], "hash_ids": [1]}]), "t", "fit no size of a block"),
        (b"\x1f\x8b broken", "t.gz", "cannot unpack t.gz"),
        (b"PAR1 broken", "t.parquet", "cannot read t.parquet as Parquet"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(data, name, said):
    with pytest.raises(UsageError) as why:
        read_trace(data, name)
    assert said in str(why.value)
    assert "\n" not in str(why.value)
