"""The price in force: the one that was given, or the sheet's; never one that is only alike."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.cost import STEPS, Tokens, usd_of
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.prices import in_force, listed, spent_on
from latok.records import Failure, Hosted, Owned, Usage
from tests.simulated import record

OPENAI = "https://api.openai.com"
CONTEXTS: dict[str, dict[str, str] | None] = {
    "standard": None,
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
}


def refusal(provider: str, model: str, tier: str) -> str:
    """Why we say no price of it; empty if we do."""
    try:
        listed(f"{provider}/{model}", tier)
    except UsageError as why:
        return str(why)
    return ""


EVERY = [
    (provider.id, model.id, tier)
    for provider in get_snapshot().providers
    for model in provider.models
    for tier in CONTEXTS
]
WHY_NOT = {named: refusal(*named) for named in EVERY}
MODELS = [named for named, why in WHY_NOT.items() if not why]


def test_most_of_the_sheet_can_be_read() -> None:
    assert len(MODELS) > 1500
    assert {tier for _, _, tier in MODELS} == set(CONTEXTS)
    # every step by the length of a prompt is one that a point keeps its sums by
    assert not [why for why in WHY_NOT.values() if "not known to latok" in why]


@given(
    st.sampled_from(MODELS),
    st.one_of(st.integers(1, 600_000), st.sampled_from(STEPS[1:])),
    st.floats(0, 1),
    st.integers(0, 10_000),
)
def test_we_charge_what_the_sheet_charges(
    named: tuple[str, str, str], prompt: int, cached: float, answer: int
) -> None:
    provider, model, tier = named
    prices = listed(f"{provider}/{model}", tier)
    from_cache = int(cached * prompt)
    usage: dict[str, Any] = {"input_tokens": prompt, "output_tokens": answer}
    if any(r.usd_per_million_cached != r.usd_per_million_input for r in prices.rates):
        usage["cache_read_tokens"] = from_cache
    if prices.usd_per_request:
        usage["requests"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = genai_prices.calc_price(
            genai_prices.Usage(**usage),
            model_ref=model,
            provider_id=provider,
            price_context=CONTEXTS[tier],
            genai_request_timestamp=datetime.now(UTC),
        )
    ours = usd_of(prices, Tokens(prompt, from_cache, answer))
    assert ours == pytest.approx(float(theirs.total_price), rel=1e-9, abs=1e-12)


def test_the_url_and_the_model_tell_the_price() -> None:
    found = in_force(Experiment(), OPENAI, "gpt-4o-mini").prices
    assert isinstance(found, Hosted)
    assert found.rates[0].usd_per_million_input == 0.15
    assert "genai-prices" in found.source
    batch = in_force(Experiment(tier="batch"), OPENAI, "gpt-4o-mini").prices
    assert isinstance(batch, Hosted)
    assert batch.rates[0].usd_per_million_input == 0.075


def test_what_was_given_goes_before_the_sheet() -> None:
    own = in_force(Experiment(price_per_hour=2.5), OPENAI, "gpt-4o-mini")
    assert own.prices == Owned(usd_per_hour=2.5)
    given = in_force(Experiment(price="input=1,output=2"), OPENAI, "gpt-4o-mini").prices
    assert isinstance(given, Hosted)
    assert given.source == "as given"


def test_a_server_of_nobodys_has_no_price_and_nothing_is_said() -> None:
    for url in ("http://127.0.0.1:8000", "https://llm.example.com"):
        assert in_force(Experiment(), url, "gpt-4o-mini") == (None, "")


def test_a_model_that_the_sheet_does_not_know_is_said_and_not_guessed() -> None:
    found = in_force(Experiment(), OPENAI, "gpt-99-imaginary")
    assert found.prices is None
    assert found.note == "the price of openai gpt-99-imaginary is not known; --price says it"


@pytest.mark.parametrize(
    ("asked", "url", "model", "said"),
    [
        ({"tier": "priority"}, "https://api.anthropic.com", "claude-sonnet-4-5", "priority price"),
        ({"tier": "batch"}, "http://127.0.0.1:8000", "m", "no price sheet knows"),
        ({"max_cost": 1.0}, "http://127.0.0.1:8000", "m", "--max-cost needs the price of a token"),
        ({"max_cost": 1.0}, OPENAI, "gpt-99", "the price of openai gpt-99 is not known"),
    ],
)
def test_what_needs_a_price_that_is_not_known_is_refused(
    asked: dict[str, Any], url: str, model: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        in_force(Experiment(**asked), url, model)


@pytest.mark.parametrize("word", ["nosuch-model", "openai/nosuch-model"])
def test_a_hosted_model_that_there_is_not_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="nosuch-model"):
        listed(word, None)


def test_what_was_spent_is_by_usage_or_else_the_most_that_it_may_be() -> None:
    prices = in_force(Experiment(price="input=1,output=10"), OPENAI, "m").prices
    answered = record(0, 0.0, 0.1, 0.01, 20, usage=Usage(100, 20))
    broken = record(1, 0.0, 0.1, 0.01, 20, usage=None, error=Failure("reset", ""))
    refused = record(2, 0.0, 0.1, 0.0, 0, status=429, error=Failure("rate_limited", ""))
    unsent = record(3, 0.0, 0.1, 0.0, 0, sent_first=None, status=None)
    by_usage = (100 * 1 + 20 * 10) / 1e6
    at_most = (125 * 1 + 20 * 10) / 1e6  # the prompt may be a quarter longer than we think
    assert spent_on(answered, prices, margin=1.25) == pytest.approx(by_usage)
    assert spent_on(broken, prices, margin=1.25) == pytest.approx(at_most)
    assert spent_on(refused, prices, margin=1.25) == spent_on(unsent, prices, margin=1.25) == 0
    assert spent_on(answered, Owned(usd_per_hour=1.0), margin=1.0) == 0
