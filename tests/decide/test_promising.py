"""Which settings are tried where nobody named any."""

from __future__ import annotations

import pytest

from latok.decide.promising import MOST, Has, expected, promising
from latok.engines.table import ENGINES
from latok.jobs.experiment import Experiment
from latok.jobs.settings import levers_of, settings_asked, turned
from latok.levers.table import LEVERS
from latok.workload.apps import APPS


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("app", [*APPS, "an app of mine"])
def test_what_is_promising_is_few_known_takable_and_something_else_than_now(
    engine: str, app: str
) -> None:
    base, *found = settings_asked(Experiment(settings=("auto",)), engine, app)
    assert not base
    assert 1 <= len(found) <= MOST
    assert len(set(found)) == len(found)
    for setting in found:
        assert all(LEVERS[name].where == "engine" for name in levers_of(setting))
        # named by a user it would be taken, too: it is a value of the engine's, and not its own
        assert settings_asked(Experiment(settings=(setting,)), engine, app) == ["", setting]


def test_document_first_tries_what_shortens_prefill_and_code_what_repeats() -> None:
    asked = Experiment(settings=("auto",))
    document, code = (settings_asked(asked, "openvino", app)[1] for app in ("document", "code"))
    assert (document, code) == ("sparse_attention=xattention", "speculation=prompt_lookup")


def test_a_lever_that_the_user_turned_is_promising_where_it_stands_now() -> None:
    off = Experiment(levers=("prefix_cache=off",), settings=("auto",))
    assert settings_asked(off, "openvino", "chat")[1] == "prefix_cache=on"
    assert promising("chat", {"prefix_cache": Has("on", ("on", "off"))}) == []
    assert promising("chat", {"kv_cache": Has("u4", ("f16", "u8", "u4"))}) == []


def test_a_number_that_an_engine_chose_itself_is_left_alone() -> None:
    assert promising("chat", {"batch_limit": Has("auto", ())}) == []
    assert promising("chat", {"batch_limit": Has("4", ())}) == []
    assert promising("batch", {"batch_limit": Has("64", ())}) == ["batch_limit=128"]


def test_what_to_expect_is_said_with_who_says_it() -> None:
    assert "2.3 times" in expected("speculation=prompt_lookup")
    assert "measured" in expected("speculation=prompt_lookup")
    assert expected("") == ""


def test_a_setting_takes_the_place_of_the_levers_that_it_names() -> None:
    asked = turned(Experiment(levers=("kv_cache=f16", "threads=2")), "kv_cache=u4")
    assert asked.levers == ("kv_cache=u4", "threads=2")
