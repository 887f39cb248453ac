"""An answer from memory is that of the same question of the same tenant, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.levers.response_cache import ResponseCache, drawn, key

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
FINE: dict[str, Any] = {"status": 200, "ended": True, "drawn": False}
VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3)
BODIES = st.dictionaries(st.text(max_size=3), VALUES | st.lists(VALUES, max_size=2), max_size=4)


@given(st.text(), st.text(), BODIES)
def test_two_tenants_never_share(one: str, other: str, body: dict[str, Any]) -> None:
    assert (key(one, "d", body) == key(other, "d", body)) == (one == other)


@given(BODIES, st.text(max_size=3), VALUES)
def test_any_change_of_a_parameter_is_another_key(
    body: dict[str, Any], name: str, value: Any
) -> None:
    changed = {**body, name: value}
    same = repr(sorted(changed.items())) == repr(sorted(body.items()))
    assert (key("t", "d", changed) == key("t", "d", body)) == same
    assert key("t", "d", dict(reversed(body.items()))) == key("t", "d", body)


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=40)), max_size=40))
def test_the_size_holds_and_what_is_found_is_what_was_put_last(
    puts: list[tuple[int, bytes]],
) -> None:
    cache, last = ResponseCache(ttl=10, most_bytes=100), dict[str, bytes]()
    for n, (name, answer) in enumerate(puts):
        if cache.put(str(name), answer, n / 100, **FINE):
            last[str(name)] = answer
        found = {each: cache.get(each, n / 100) for each in last}
        assert sum(len(k) + len(a) for k, a in found.items() if a is not None) == cache.size <= 100
        assert all(answer in (None, last[each]) for each, answer in found.items())


def test_an_answer_is_there_until_its_time_is_over() -> None:
    cache = ResponseCache(ttl=5, most_bytes=100)
    cache.put("k", b"a", 1.0, **FINE)
    assert cache.get("k", 5.9) == b"a"
    assert cache.get("k", 6.0) is None
    assert cache.size == 0


@pytest.mark.parametrize("wrong", [{"status": 500}, {"ended": False}, {"drawn": True}])
def test_failures_cut_streams_and_chance_are_not_kept(wrong: dict[str, Any]) -> None:
    cache = ResponseCache(ttl=5, most_bytes=100)
    assert not cache.put("k", b"a", 0.0, **{**FINE, **wrong})
    assert cache.get("k", 0.0) is None
    willing = ResponseCache(ttl=5, most_bytes=100, even_drawn=True)
    assert willing.put("k", b"a", 0.0, **{**FINE, **wrong}) == ("drawn" in wrong)


def test_a_temperature_that_nobody_states_is_chance() -> None:
    assert drawn("openai-chat", BODY)
    assert drawn("openai-chat", {**BODY, "temperature": 0.1})
    assert not drawn("openai-chat", {**BODY, "temperature": 0.0})
    assert drawn("ollama-chat", {**BODY, "temperature": 0.0})
    assert not drawn("ollama-chat", {**BODY, "options": {"temperature": 0}})
    assert not drawn("tgi", {"inputs": "a"})
