"""The engines' rows, and words for levers."""

from __future__ import annotations

import importlib.util

import pytest

from latok.engines.table import ENGINES, effective, engine_named, parse_levers, require
from latok.errors import UsageError
from latok.levers.spelling import SPELLINGS, spelt
from latok.levers.table import LEVERS


@pytest.mark.parametrize("name", ENGINES)
def test_every_row_can_be_read_and_run(name: str) -> None:
    row = ENGINES[name]
    assert row.name == name
    assert importlib.util.find_spec(row.module)
    assert len({lever.name for lever in row.levers}) == len(row.levers)
    for lever in row.levers:
        assert lever.what
        assert lever.trades
        assert spelt(lever.name, name)
        if lever.choices:
            assert lever.default in lever.choices
    words = {lever.name: lever.shown for lever in row.levers}
    assert parse_levers(name, words) == row.defaults == effective(name, {})


def test_every_lever_of_an_engine_stands_in_the_table_of_all() -> None:
    for row in ENGINES.values():
        assert {lever.name for lever in row.levers} <= set(LEVERS)
    assert set(SPELLINGS) <= set(LEVERS)


@pytest.mark.parametrize(
    ("engine", "word", "value", "says"),
    [
        ("openvino", "kv_cash", "u8", "has no lever 'kv_cash'; it has batch_limit, step_tokens"),
        ("openvino", "kv_cache", "q8_0", "kv_cache is one of f16, u8, u4, not 'q8_0'"),
        ("openvino", "batch_limit", "many", "batch_limit is a whole number of at least 1"),
        ("openvino", "batch_limit", "0", "batch_limit is a whole number of at least 1"),
        ("llamacpp", "prefix_cache", "maybe", "prefix_cache is on or off, not 'maybe'"),
        ("vlm", "batch_limit", "1", "no engine 'vlm'; there are openvino, llamacpp, vllm, sglang"),
    ],
)
def test_a_wrong_word_is_named_with_what_would_be_right(
    engine: str, word: str, value: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says.replace("'", ".")):
        parse_levers(engine, {word: value})


def test_levers_that_exclude_each_other_are_an_error_and_defaults_give_way() -> None:
    assert effective("openvino", {"cache_eviction": 512})["prefix_cache"] is False
    guessing = {"draft_tokens": 16, "speculation": "prompt_lookup"}
    assert effective("openvino", guessing)["draft_tokens"] == 16
    with pytest.raises(UsageError, match="draft_tokens needs speculation"):
        effective("openvino", {"draft_tokens": 16})
    with pytest.raises(UsageError, match="exclude each other"):
        effective("openvino", {"cache_eviction": 512, "prefix_cache": True})
    with pytest.raises(UsageError, match="batch_limit=64 needs step_tokens of at least 64, not 32"):
        effective("openvino", {"step_tokens": 32})


def test_a_missing_extra_is_one_line_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'latok\[embedded\]'"):
        require(engine_named("openvino"))
