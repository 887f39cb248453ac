"""What a command would send, and what that would cost, before it does.

How many requests there will be depends on how fast they are answered, which nobody knows yet. The
estimate supposes a fast target that never tires, and says so: most targets are sent less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from latok.analysis.cost import Tokens, dollars, most_usd_of, usd_of
from latok.decide.search import Level, Seen, next_level
from latok.records import Closed, Hosted, Load, Prices
from latok.workload.apps import App

# A fast hosted model: the first token, and the tokens of one stream after it.
_FIRST_S, _TOKENS_PER_S = 0.5, 100.0


class Limits(NamedTuple):
    """What may be sent at the most: requests, tokens of prompts and answers, US dollars."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One app on one target. `mean_tokens`: of a prompt, of an answer. `usd`: about; `most_usd`: it
    cannot be more. Both None where no token's price is known, the second where nothing bounds it.
    """

    target: str
    model: str
    app: str
    mean_tokens: tuple[float, float]
    requests: float
    prices: Prices | None
    usd: float | None
    most_usd: float | None
    note: str = ""


def outlook(
    app: App,
    requests: float,
    prices: Prices | None,
    *,
    limits: Limits,
    margin: float,
    target: str,
    model: str,
    note: str = "",
) -> Outlook:
    """About so many requests of an app, within `limits`. `margin`: how many times as many tokens
    as we think a prompt may have."""
    mean = app.input.mean(), app.output.mean()
    requests = min(
        requests,
        math.inf if limits.requests is None else limits.requests,
        math.inf if limits.tokens is None else limits.tokens / sum(mean),
    )
    usd = None
    if isinstance(prices, Hosted):
        usd = requests * usd_of(prices, Tokens(round(mean[0]), 0, round(mean[1])))
        usd = usd if limits.usd is None else min(usd, limits.usd)
    return Outlook(
        target=target,
        model=model,
        app=app.name,
        mean_tokens=mean,
        requests=requests,
        prices=prices,
        usd=usd,
        most_usd=_most(app, prices, limits, margin),
        note=note,
    )


def _most(app: App, prices: Prices | None, limits: Limits, margin: float) -> float | None:
    """The least of the bounds; None where there is none, or the price is not known."""
    if not isinstance(prices, Hosted):
        return None
    bounds = [] if limits.usd is None else [limits.usd]
    longest = app.input.quantile(1), app.output.quantile(1)
    if limits.requests is not None and max(longest) < math.inf:
        each = most_usd_of(prices, round(longest[0]), round(longest[1]), margin=margin)
        bounds.append(limits.requests * each)
    if (spent := _most_of_tokens(prices, limits, margin)) is not None:
        bounds.append(spent)
    return min(bounds, default=None)


def most_usd_within(prices: Prices | None, limits: Limits, *, margin: float) -> float | None:
    """What so many requests and tokens may cost at the most, however they are shared out between
    prompts and answers; None where the price is not known, or nothing bounds it."""
    if not isinstance(prices, Hosted):
        return None
    bounds = (_most_of_tokens(prices, limits, margin), limits.usd)
    return min((bound for bound in bounds if bound is not None), default=None)


def _most_of_tokens(prices: Hosted, limits: Limits, margin: float) -> float | None:
    """All tokens are of the dearest kind, and each request is billed."""
    if limits.tokens is None or (prices.usd_per_request and limits.requests is None):
        return None
    dearest = max(
        max(margin * rate.usd_per_million_input, rate.usd_per_million_output)
        for rate in prices.rates
    )
    return limits.tokens * dearest / 1e6 + (limits.requests or 0) * prices.usd_per_request


def requests_at(app: App, load: Load, seconds: float, requests: int, warm_up: float) -> float:
    """About how many a load sends in `seconds`, or for so many `requests`, with what comes before
    the window and after it. `warm_up`: of an open loop, seconds."""
    if isinstance(load, Closed):
        return requests + load.concurrency * (seconds / _latency(app) + 2)
    return requests + load.rate * (seconds + warm_up + _latency(app))


def requests_of_map(app: App, budget: float, highest: int) -> float:
    """About how many a map of `budget` seconds sends, its ramps included."""
    latency = _latency(app)
    levels = _levels(budget, highest, latency)
    return sum(level.concurrency * (level.seconds / latency + 2) for level in levels)


def _latency(app: App) -> float:
    return _FIRST_S + app.output.mean() / _TOKENS_PER_S


def _levels(budget: float, highest: int, latency: float) -> Iterator[Level]:
    """The levels of a map, of a target that serves any number as fast as one."""
    seen: list[Seen] = []
    while isinstance(
        step := next_level(seen, budget=budget, highest=highest, first_latency=latency), Level
    ):
        yield step
        cost = step.seconds + 2.0 * latency
        seen.append(Seen(step.concurrency, float(step.concurrency), latency, 1.0, True, cost))


def spend_line(found: Outlook) -> str:
    """What a hosted model would take for it, in a sentence; empty where that is not known."""
    if found.usd is None:
        return ""
    most = "nothing bounds it, --max-cost would"
    if found.most_usd is not None:
        most = f"at most {dollars(found.most_usd)}"
    return (
        f"about {dollars(found.usd)} for {found.requests:,.0f} requests if each answer is written "
        f"at {_TOKENS_PER_S:g} tokens/s; {most}"
    )
