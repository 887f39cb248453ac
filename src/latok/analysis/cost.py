"""What a point costs, in dollars and in joules; what a month of it costs; when own hardware pays.

Hosted cost comes from the tokens of each request (cached ones apart), the cost of own hardware from
its price by the hour and what it serves at the point.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from latok.analysis.point import Billed, Cost, Energy, Point
from latok.errors import UsageError
from latok.records import EnergyUse, Hosted, Load, Owned, Prices, Rate, Record, Usage

# Where price sheets charge longer prompts otherwise (all of genai-prices' data, November 2026). The
# price of a request goes by the length of its own prompt, so sums are kept between these.
STEPS = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
HOURS_PER_MONTH = 730.0  # 365 × 24 / 12
# The Responses API takes no smaller limit of an answer.
_SHORTEST_LIMIT = 16


class Tokens(NamedTuple):
    """What a provider counts of one request; input includes what came from a cache."""

    input: int
    cached: int
    output: int


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """From which load on own hardware costs less than a hosted model, for requests like these.

    `share_of_capacity`: that load as a part of what the hardware serves at the point. Above 1 it is
    `never` cheaper there: not even a full machine is.
    """

    requests_per_s: float
    tokens_per_s: float
    share_of_capacity: float
    never: bool


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """What 730 hours of an even traffic cost. `machines`: None where the tokens are billed."""

    requests_per_s: float
    usd: float
    machines: int | None = None


class PointCost(msgspec.Struct, frozen=True, kw_only=True):
    """One point on own hardware and hosted, as far as their prices are known."""

    id: str
    target: str
    load: Load
    meets_slo: bool | None
    own: Cost | None
    own_month: Month | None
    hosted: Cost | None
    hosted_month: Month | None
    break_even: BreakEven | None


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What `latok cost` found, in US dollars. `traffic_requests_per_s`: None where none was named,
    and then each point's month is that of its own load, all of the time."""

    run: str
    app: str
    own: Owned | None
    hosted: Hosted | None
    traffic_requests_per_s: float | None
    points: tuple[PointCost, ...]
    hours_per_month: float = HOURS_PER_MONTH
    schema: str = "latok.cost/1"


def dollars(usd: float | None) -> str:
    """As a person would write them: $0.00021, $0.56, $14.20, $1,430; of nothing, a dash."""
    if usd is None:
        return "–"
    if not usd:
        return "$0"
    if abs(usd) >= 1:
        return f"${usd:,.{0 if abs(usd) >= 100 else 2}f}"
    return f"${usd:.{1 - math.floor(math.log10(abs(usd)))}f}"


def parse_price(text: str) -> Hosted:
    """Reads `input=0.15,cached=0.075,output=0.6,request=0.001`: dollars per million tokens, and per
    request. Without `cached` a cached token costs as much as any. Raises UsageError."""
    form = "it would look like 'input=0.15,cached=0.075,output=0.6', in $ per million tokens"
    said: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            said[name] = float(value)
        except ValueError:
            raise UsageError(f"cannot read the price '{part.strip()}'; {form}") from None
        if name not in ("input", "cached", "output", "request"):
            raise UsageError(f"no price for '{name}'; there are input, cached, output, request")
        if not 0 <= said[name] < math.inf:
            raise UsageError(f"the price of {name} is {value}; it cannot be below 0")
    if missing := {"input", "output"} - said.keys():
        raise UsageError(f"the price of {' and '.join(sorted(missing))} is missing; {form}")
    rate = Rate(
        usd_per_million_input=said["input"],
        usd_per_million_cached=said.get("cached", said["input"]),
        usd_per_million_output=said["output"],
    )
    return Hosted(rates=(rate,), usd_per_request=said.get("request", 0.0))


def usd_of(prices: Hosted, tokens: Tokens) -> float:
    """What one request costs."""
    return sum(_bill(prices, Billed(tokens.input - 1, 1, *tokens)))


def most_usd_of(prices: Hosted, prompt_tokens: int, max_tokens: int, *, margin: float) -> float:
    """What one request may cost: nothing is cached, the answer is as long as it may be, and the
    prompt is `margin` times as long as we counted it (1: by the target's own tokeniser)."""
    prompt = math.ceil(margin * prompt_tokens)
    return usd_of(prices, Tokens(prompt, 0, max(max_tokens, _SHORTEST_LIMIT)))


def _bill(prices: Hosted, row: Billed) -> tuple[float, float, float]:
    """Dollars for input, for output, and for the requests as such."""
    rate = prices.rates[0]
    for longer in prices.rates[1:]:
        if row.above_input_tokens >= longer.above_input_tokens:
            rate = longer
    fresh = max(row.input_tokens - row.cached_tokens, 0)
    read = fresh * rate.usd_per_million_input + row.cached_tokens * rate.usd_per_million_cached
    written = row.output_tokens * rate.usd_per_million_output
    return read / 1e6, written / 1e6, row.requests * prices.usd_per_request


def tokens_of(record: Record, output: int | None) -> Tokens | None:
    """What a provider bills of a request that has `output` tokens: by its usage, or what was asked
    where that does not say: nothing more of an answer out of a cache. None where nobody knows the
    output."""
    if record.answered_by is not None:
        return Tokens(0, 0, 0)
    if output is None:
        return None
    usage = record.usage or Usage()
    asked = record.prompt_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    return Tokens(asked, usage.cached_tokens or 0, output)


def billed(requests: Iterable[Tokens]) -> tuple[Billed, ...]:
    """The sums of all requests, by the length classes of their prompts."""
    classes: dict[int, list[Tokens]] = defaultdict(list)
    for tokens in requests:
        classes[max((step for step in STEPS if step < tokens.input), default=0)].append(tokens)
    return tuple(
        Billed(above, len(rows), *(sum(kind) for kind in zip(*rows, strict=True)))
        for above, rows in sorted(classes.items())
    )


def charged(point: Point, prices: Prices | None, energy: EnergyUse | None = None) -> Point:
    """The point with its cost by `prices`, and with its energy where that was measured."""
    return msgspec.structs.replace(
        point,
        cost=None if prices is None else cost_of(point, prices),
        energy=point.energy if energy is None else _energy_of(point, energy),
    )


def cost_of(point: Point, prices: Prices) -> Cost:
    """What the point costs by `prices`, which need not be those in force when it was measured.

    Only answered requests are billed: a provider takes nothing for one that it refused.
    """
    return _hosted(point, prices) if isinstance(prices, Hosted) else _owned(point, prices)


def _hosted(point: Point, prices: Hosted) -> Cost:
    bills = [_bill(prices, row) for row in point.billed]
    read, written, asked = (sum(part) for part in zip(*bills, strict=True)) if bills else (0, 0, 0)
    inputs = sum(row.input_tokens for row in point.billed)
    outputs = sum(row.output_tokens for row in point.billed)
    seconds = point.throughput.window_s
    total = read + written + asked if bills else None
    return Cost(
        prices=prices,
        usd_per_hour=_over(total, seconds, 3600.0),
        usd_per_million_tokens=_over(total, inputs + outputs, 1e6),
        usd_per_million_input_tokens=_over(read, inputs, 1e6),
        usd_per_million_output_tokens=_over(written, outputs, 1e6),
        usd_per_request=_over(total, sum(row.requests for row in point.billed)),
        usd_per_good_request=_over(total, point.goodput.requests_per_s * seconds),
    )


def _owned(point: Point, prices: Owned) -> Cost:
    second = prices.usd_per_hour / 3600.0
    found, good = point.throughput, point.goodput.requests_per_s
    return Cost(
        prices=prices,
        usd_per_hour=prices.usd_per_hour,
        usd_per_million_tokens=_over(second, _tokens_per_s(point), 1e6),
        usd_per_million_input_tokens=_over(second, found.input_tokens_per_s, 1e6),
        usd_per_million_output_tokens=_over(second, found.output_tokens_per_s, 1e6),
        usd_per_request=_over(second, found.requests_per_s),
        usd_per_good_request=_over(second, good),
    )


def _over(whole: float | None, parts: float | None, scale: float = 1.0) -> float | None:
    return None if whole is None or not parts else whole / parts * scale


def _tokens_per_s(point: Point) -> float | None:
    """Of prompts and answers together."""
    read, written = point.throughput.input_tokens_per_s, point.throughput.output_tokens_per_s
    return None if read is None or written is None else read + written


def _energy_of(point: Point, use: EnergyUse) -> Energy:
    seconds = point.throughput.window_s
    watts = use.joules / seconds if seconds else 0.0
    return Energy(
        source=use.source,
        mean_w=watts,
        joules_per_token=_over(watts, _tokens_per_s(point)),
        joules_per_output_token=_over(watts, point.throughput.output_tokens_per_s),
        joules_per_good_request=_over(watts, point.goodput.requests_per_s),
    )


# --- a month, and the break-even -----------------------------------------------------------------


def month(point: Point, prices: Prices, requests_per_s: float) -> Month | None:
    """What that traffic costs by the month if it comes evenly, in requests like the point's.

    Own hardware: as many machines as it takes at the point's load, each paid for all of the month.
    None where the point does not say what a request costs, or answers none.
    """
    rate = point.throughput.requests_per_s
    if isinstance(prices, Owned):
        if not rate:
            return None
        machines = max(math.ceil(requests_per_s / rate - 1e-9), 1)
        usd = machines * prices.usd_per_hour * HOURS_PER_MONTH
        return Month(requests_per_s=requests_per_s, usd=usd, machines=machines)
    each = cost_of(point, prices).usd_per_request
    if each is None:
        return None
    usd = each * requests_per_s * 3600.0 * HOURS_PER_MONTH
    return Month(requests_per_s=requests_per_s, usd=usd)


def break_even(point: Point, own: Owned, hosted: Hosted) -> BreakEven | None:
    """The load at which one machine's hour costs what its requests would cost hosted.

    None where the point does not say what a request of its kind would cost.
    """
    each, capacity = cost_of(point, hosted).usd_per_request, point.throughput.requests_per_s
    if not each or not capacity:
        return None
    rate = own.usd_per_hour / 3600.0 / each
    return BreakEven(
        requests_per_s=rate,
        tokens_per_s=rate * tokens_per_request(point.billed),
        share_of_capacity=rate / capacity,
        never=rate > capacity,
    )


def tokens_per_request(rows: Iterable[Billed]) -> float:
    """Prompt and answer together, the mean of the answered requests; 0 where that is not known."""
    sums = [(row.input_tokens + row.output_tokens, row.requests) for row in rows]
    return sum(tokens for tokens, _ in sums) / max(sum(requests for _, requests in sums), 1)


def point_cost(
    point: Point, own: Owned | None, hosted: Hosted | None, requests_per_s: float | None
) -> PointCost:
    """The point by both prices, and their months at that traffic (None: at the point's own)."""
    rate = point.throughput.requests_per_s if requests_per_s is None else requests_per_s
    return PointCost(
        id=point.id,
        target=point.target.name or point.target.model,
        load=point.load,
        meets_slo=point.goodput.met,
        own=None if own is None else cost_of(point, own),
        own_month=None if own is None else month(point, own, rate),
        hosted=None if hosted is None else cost_of(point, hosted),
        hosted_month=None if hosted is None else month(point, hosted, rate),
        break_even=break_even(point, own, hosted) if own and hosted else None,
    )


# --- traffic -------------------------------------------------------------------------------------

_TRAFFIC = {"k": 1e3, "m": 1e6, "b": 1e9, "": 1.0}
_PERIODS = {
    "s": 1.0,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "month": 3600.0 * HOURS_PER_MONTH,
}


def parse_traffic(text: str, tokens_each: float) -> float:
    """Requests a second, from `10 req/s`, `2M requests/month` or `5M tokens/day`; `tokens_each` is
    what a request has of them, prompt and answer together. Raises UsageError."""
    found = _TRAFFIC_FORM.fullmatch(text.strip().lower())
    if found is None or found["period"] not in _PERIODS or not float(found["number"]):
        raise UsageError(
            f"cannot read the traffic '{text}'; it would look like '10 req/s', "
            "'2M requests/month', '5M tokens/day'"
        )
    rate = float(found["number"]) * _TRAFFIC[found["scale"]] / _PERIODS[found["period"]]
    if not (found["what"] or "").startswith("tok"):
        return rate
    if not tokens_each:
        raise UsageError("the run does not say how many tokens a request has; say requests")
    return rate / tokens_each


_TRAFFIC_FORM = re.compile(
    r"(?P<number>\d+(?:\.\d*)?)\s*(?P<scale>[kmb]?)\s*"
    r"(?P<what>req|requests?|tok|tokens?)?\s*(?:/|per)\s*(?P<period>[a-z]+)"
)
