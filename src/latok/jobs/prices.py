"""Which price is in force for a target, from the options or the price sheet; and what was spent.

The sheet is that of genai-prices, as it was installed: nothing is fetched. A price that it does not
have is unknown, and said to be: never that of a model or a tier that is like it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from latok.analysis.cost import STEPS, most_usd_of, tokens_of, usd_of
from latok.analysis.metrics import output_tokens
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.records import Hosted, Prices, Rate, Record

# A prompt of which the target does not count the tokens may have this many times those that we
# estimate (`latok.workload.prompts`: within 10 % of GPT-4's tokeniser, for English, code and JSON).
ESTIMATED = 1.25

# What genai-prices calls our tiers.
_CONTEXTS = {
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
}


class Known(NamedTuple):
    """The price in force, or None; and a sentence where a provider's price should be known but is
    not."""

    prices: Prices | None
    note: str = ""


def in_force(asked: Experiment, url: str, model: str) -> Known:
    """The price that was given, or the sheet's for that model at that URL.

    Raises UsageError for a tier that has no known price, and for a `max_cost` without one.
    """
    found = _in_force(asked, url, model)
    if asked.max_cost is not None and not isinstance(found.prices, Hosted):
        raise UsageError(
            found.note or f"--max-cost needs the price of a token at {url}; --price says it"
        )
    return found


def _in_force(asked: Experiment, url: str, model: str) -> Known:
    if given := asked.prices():
        return Known(given)
    provider = _provider(url)
    if provider is None:
        if asked.tier is not None:
            raise UsageError(f"no price sheet knows {url}, so there is no --tier; --price says it")
        return Known(None)
    try:
        return Known(_listed(provider, model, asked.tier))
    except UsageError as why:
        if asked.tier is not None:
            raise
        return Known(None, str(why))


def listed(word: str, tier: str | None) -> Hosted:
    """The sheet's price of `MODEL` or `PROVIDER/MODEL`. Raises UsageError where it has none."""
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    first, _, rest = word.partition("/")
    sheet = get_snapshot()
    provider = find_provider_by_id(sheet.providers, first) if rest else None
    if provider is not None:
        return _listed(provider, rest, tier)
    try:
        provider = sheet.find_provider(word.lower(), None, None)
    except LookupError:
        raise UsageError(
            f"the price sheet does not know '{word}'; name it as PROVIDER/MODEL, or give --price"
        ) from None
    return _listed(provider, word, tier)


def _provider(url: str) -> Any:
    """The provider whose API is at a URL; None for any other server."""
    if not url.startswith("https://"):  # no provider is; and the sheet takes its time to load
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider(None, None, url)
    except LookupError:
        return None


def _listed(provider: Any, model: str, tier: str | None) -> Hosted:
    """Raises UsageError where the sheet has no price of the model, or none of that tier."""
    from datetime import UTC, datetime
    from importlib.metadata import version

    from genai_prices.data_snapshot import get_snapshot

    name = f"{provider.id} {model}"
    found = provider.find_model(model.lower(), all_providers=get_snapshot().providers)
    if found is None:
        raise UsageError(f"the price of {name} is not known; --price says it")
    now, tier = datetime.now(UTC), tier or "standard"
    context = _CONTEXTS.get(tier)
    has = [
        variant.when
        for variant in found.price_variants or ()
        if variant.constraint is None or variant.constraint.active(now)
    ]
    # asked for a context that it does not have, the sheet would answer with the standard price
    if context is not None and context not in has:
        raise UsageError(f"the {tier} price of {name} is not known; --price says it")
    price = found.get_prices(now, context)
    rates = tuple(_rate(price, above) for above in _steps(price))
    if None in rates:
        raise UsageError(f"the price of {name} is not known by the token; --price says it")
    per_thousand = price.requests_kcount
    return Hosted(
        rates=tuple(rate for rate in rates if rate),
        usd_per_request=_at(per_thousand, 0) / 1e3 if per_thousand is not None else 0.0,
        source=f"{name}, {tier}, genai-prices {version('genai-prices')}",
    )


def _steps(price: Any) -> list[int]:
    """0, and the lengths of a prompt above which the price is another. Raises UsageError for one
    that our sums do not know."""
    kinds = (price.input_mtok, price.cache_read_mtok, price.output_mtok)
    steps = {0, *(tier.start for kind in kinds for tier in getattr(kind, "tiers", ()))}
    if not steps <= set(STEPS):
        raise UsageError(f"the price of prompts above {max(steps):,} tokens is not known to latok")
    return sorted(steps)


def _rate(price: Any, above: int) -> Rate | None:
    if price.input_mtok is None or price.output_mtok is None:
        return None
    cached = price.input_mtok if price.cache_read_mtok is None else price.cache_read_mtok
    return Rate(
        usd_per_million_input=_at(price.input_mtok, above),
        usd_per_million_cached=_at(cached, above),
        usd_per_million_output=_at(price.output_mtok, above),
        above_input_tokens=above,
    )


def _at(price: Any, above: int) -> float:
    """A price for prompts just longer than `above`."""
    steps = getattr(price, "tiers", ())
    base = price.base if hasattr(price, "base") else price
    return float(next((t.price for t in reversed(steps) if above >= t.start), base))


# --- what was spent ------------------------------------------------------------------------------


def spent_on(record: Record, prices: Prices | None, *, margin: float) -> float:
    """Dollars that a provider may bill for a request: by usage where it was said, else the most
    that it may cost. What was never sent or was refused costs nothing. Own hardware: 0."""
    if not isinstance(prices, Hosted):
        return 0.0
    if record.sent_first is None or (record.status or 200) >= 400:
        return 0.0
    if record.ok and record.usage is not None:
        tokens = tokens_of(record, output_tokens(record))
        if tokens is not None:
            return usd_of(prices, tokens)
    return most_usd_of(prices, record.prompt_tokens, record.max_tokens, margin=margin)
