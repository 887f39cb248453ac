"""The table of all levers, and the page that is made of it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from latok.errors import UsageError
from latok.levers.spelling import ENGINES, SPELLINGS
from latok.levers.table import LEVERS, WHERE, Lever, lever_named

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "levers_page.py"


def test_the_page_in_the_docs_is_that_of_the_tables() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["PAGE"].read_text("utf-8") == script["page"](), f"run python {SCRIPT}"


@pytest.mark.parametrize("row", LEVERS.values(), ids=LEVERS)
def test_every_lever_says_what_one_gets_and_pays_and_who_found_it(row: Lever) -> None:
    assert row.what
    assert row.values
    assert row.trades
    assert row.moves
    assert row.where in WHERE
    assert ("quality" in row.moves) == (not row.lossless)
    assert all(effect.says and effect.source for effect in row.effects)


def test_engines_are_spelt_alike_everywhere() -> None:
    assert all(set(spelt) <= set(ENGINES) for spelt in SPELLINGS.values())
    assert all(lever in LEVERS for lever in SPELLINGS)


def test_a_lever_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no lever 'kv_cash'; there are batch_limit, step_tokens"):
        lever_named("kv_cash")
