"""What a point costs: two cases worked by hand, and the laws that hold for any."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.cost import (
    STEPS,
    Tokens,
    billed,
    break_even,
    charged,
    cost_of,
    dollars,
    month,
    most_usd_of,
    parse_price,
    parse_traffic,
    point_cost,
    usd_of,
)
from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.errors import UsageError
from latok.records import Closed, EnergyUse, Failure, Hosted, Owned, Rate, Usage
from tests.simulated import closed, manifest, record

GPT = parse_price("input=0.15,cached=0.075,output=0.60")


def ten_requests(**changed: object) -> Point:
    """Ten requests in a window of 20 s, one each 2 s: each has 1,000 tokens in, of which 400 come
    from a cache, and 200 out; two of them are too slow for the SLO, and an eleventh is refused."""
    plan = manifest(Closed(1), (0.0, 20.0), slo="ttft.p50<500ms", **changed)
    records = [
        record(
            n,
            2.0 * n,
            ttft=0.9 if n < 2 else 0.1,
            gap=0.005,
            tokens=200,
            usage=Usage(1000, 200, 400),
        )
        for n in range(10)
    ]
    refused = record(
        10, 19.5, 0.1, 0.0, 0, status=429, error=Failure("rate_limited", "429"), usage=None
    )
    return point(plan, [*records, refused])


def test_a_hosted_point_agrees_with_the_sum_by_hand() -> None:
    cost = ten_requests(prices=GPT).cost
    assert cost is not None
    # A request: 600 fresh tokens at $0.15 and 400 cached at $0.075 a million, 200 out at $0.60:
    #   600 × 0.15e-6 + 400 × 0.075e-6 = 0.000090 + 0.000030 = $0.00012 in
    #   200 × 0.60e-6                                        = $0.00012 out
    assert cost.usd_per_request == pytest.approx(0.00024)
    # Ten of them are $0.0024; eight are good: 0.0024 ÷ 8 = $0.0003. The refused one is not billed.
    assert cost.usd_per_good_request == pytest.approx(0.0003)
    # $0.0012 for 10,000 tokens in is $0.12 a million; $0.0012 for 2,000 out is $0.60 a million;
    # $0.0024 for 12,000 together is $0.20 a million.
    assert cost.usd_per_million_input_tokens == pytest.approx(0.12)
    assert cost.usd_per_million_output_tokens == pytest.approx(0.60)
    assert cost.usd_per_million_tokens == pytest.approx(0.20)
    # $0.0024 in 20 s is $0.432 an hour
    assert cost.usd_per_hour == pytest.approx(0.432)


def test_own_hardware_agrees_with_the_sum_by_hand() -> None:
    found = ten_requests(prices=Owned(usd_per_hour=3.6))
    cost = found.cost
    assert cost is not None
    # $3.60 an hour is $0.001 a second, and in the window of 20 s:
    #   10 requests ended:    0.5 a second      → 0.001 ÷ 0.5 = $0.002 each
    #   8 of them were good:  0.4 a second      → 0.001 ÷ 0.4 = $0.0025 each
    #   10,000 tokens came in: 500 a second     → 0.001 ÷ 500 = $2 a million
    #   2,000 tokens came out: 100 a second     → 0.001 ÷ 100 = $10 a million
    #   together 600 a second                   → 0.001 ÷ 600 = $1.6667 a million
    assert cost.usd_per_request == pytest.approx(0.002)
    assert cost.usd_per_good_request == pytest.approx(0.0025)
    assert cost.usd_per_million_input_tokens == pytest.approx(2.0)
    assert cost.usd_per_million_output_tokens == pytest.approx(10.0)
    assert cost.usd_per_million_tokens == pytest.approx(1.6667, rel=1e-4)
    assert cost.usd_per_hour == 3.6


def test_a_month_and_the_break_even_agree_with_the_sum_by_hand() -> None:
    found, own = ten_requests(), Owned(usd_per_hour=0.36)
    # Hosted, a request is $0.00024 (above). $0.36 an hour is $0.0001 a second, so one machine costs
    # as much as 0.0001 ÷ 0.00024 = 0.41667 requests a second; it serves 0.5, so that is 83.3 % of
    # it; each request has 1,200 tokens, so 500 tokens a second.
    even = break_even(found, own, GPT)
    assert even is not None
    assert even.requests_per_s == pytest.approx(0.416667, rel=1e-5)
    assert even.share_of_capacity == pytest.approx(0.833333, rel=1e-5)
    assert even.tokens_per_s == pytest.approx(500.0)
    assert not even.never
    # 2 million requests a month of 730 × 3,600 s = 2,628,000 s are 0.761 a second: two machines of
    # 0.5, 2 × 0.36 × 730 = $525.60; hosted 2,000,000 × 0.00024 = $480.
    rate = parse_traffic("2M requests/month", 1200)
    assert rate == pytest.approx(0.761035, rel=1e-5)
    owned, hosted = month(found, own, rate), month(found, GPT, rate)
    assert owned is not None
    assert hosted is not None
    assert (owned.machines, owned.usd) == (2, pytest.approx(525.6))
    assert hosted.usd == pytest.approx(480.0)


def test_own_hardware_that_is_dearer_when_full_never_pays() -> None:
    even = break_even(ten_requests(), Owned(usd_per_hour=3.6), GPT)
    assert even is not None
    assert even.never
    assert even.share_of_capacity == pytest.approx(8.33333, rel=1e-5)


def test_energy_agrees_with_the_sum_by_hand() -> None:
    use = EnergyUse(joules=2400.0, source="RAPL")
    energy = ten_requests(energy=use).energy
    assert energy is not None
    # 2,400 J in 20 s: 120 W. 12,000 tokens, 2,000 of them out, 8 good requests.
    assert energy.mean_w == pytest.approx(120.0)
    assert energy.joules_per_token == pytest.approx(0.2)
    assert energy.joules_per_output_token == pytest.approx(1.2)
    assert energy.joules_per_good_request == pytest.approx(300.0)


def test_without_a_price_or_a_meter_there_is_no_figure() -> None:
    found = ten_requests()
    assert found.cost is None
    assert found.energy is None


def test_tokens_that_nobody_counted_have_no_hosted_price() -> None:
    plan, records = closed(2, 20.0)
    silent = [
        msgspec.structs.replace(
            r, usage=None, chunks=tuple(msgspec.structs.replace(c, tokens=None) for c in r.chunks)
        )
        for r in records
    ]
    found = point(plan, silent)
    assert cost_of(found, GPT).usd_per_request is None
    assert month(found, GPT, 1.0) is None
    assert break_even(found, Owned(usd_per_hour=1.0), GPT) is None
    assert cost_of(found, Owned(usd_per_hour=1.0)).usd_per_request is not None


LONG = Hosted(
    rates=(
        Rate(usd_per_million_input=1, usd_per_million_cached=1, usd_per_million_output=10),
        Rate(
            usd_per_million_input=2,
            usd_per_million_cached=2,
            usd_per_million_output=15,
            above_input_tokens=200_000,
        ),
    )
)


def test_each_prompt_has_the_price_of_its_own_length() -> None:
    assert usd_of(LONG, Tokens(200_000, 0, 100)) == pytest.approx(0.2 + 0.001)
    assert usd_of(LONG, Tokens(200_001, 0, 100)) == pytest.approx(0.400002 + 0.0015)


REQUESTS = st.lists(
    st.builds(
        lambda whole, part, out: Tokens(whole, int(whole * part), out),
        st.one_of(st.integers(0, 600_000), st.sampled_from(STEPS), st.sampled_from(STEPS[1:])),
        st.floats(0, 1),
        st.integers(0, 5000),
    ),
    min_size=1,
    max_size=30,
)


@given(REQUESTS)
def test_the_sums_of_a_point_cost_what_its_requests_cost(requests: list[Tokens]) -> None:
    found = msgspec.structs.replace(ten_requests(), billed=billed(requests))
    prices = msgspec.structs.replace(LONG, usd_per_request=0.01)
    each = cost_of(found, prices).usd_per_request
    assert each == pytest.approx(sum(usd_of(prices, r) for r in requests) / len(requests))


@given(st.floats(0.01, 100), st.floats(0.01, 20), st.floats(0.01, 20))
def test_at_the_break_even_a_machine_and_its_requests_cost_the_same(
    hour: float, read: float, written: float
) -> None:
    found, own = ten_requests(), Owned(usd_per_hour=hour)
    hosted = parse_price(f"input={read},output={written}")
    even = break_even(found, own, hosted)
    assert even is not None
    bill = month(found, hosted, even.requests_per_s)
    assert bill is not None
    assert bill.usd == pytest.approx(hour * 730)
    # and it is where a full machine's request costs as much as a hosted one
    ratio = cost_of(found, own).usd_per_request / cost_of(found, hosted).usd_per_request  # type: ignore[operator]
    assert even.share_of_capacity == pytest.approx(ratio)
    assert even.never == (even.share_of_capacity > 1)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.floats(0, 1))
def test_no_request_costs_more_than_it_may(prompt: int, answer: int, cached: float) -> None:
    most = most_usd_of(GPT, prompt, answer, margin=1.0)
    assert usd_of(GPT, Tokens(prompt, int(cached * prompt), answer)) <= most * (1 + 1e-12)
    assert most <= most_usd_of(GPT, prompt, answer, margin=1.25)


def test_a_point_can_be_priced_anew_and_keeps_the_rest() -> None:
    found = charged(ten_requests(prices=GPT), Owned(usd_per_hour=3.6))
    assert found == ten_requests(prices=Owned(usd_per_hour=3.6))


def test_both_ways_of_serving_stand_side_by_side() -> None:
    found = point_cost(ten_requests(), Owned(usd_per_hour=0.36), GPT, None)
    assert found.own_month is not None
    assert found.own_month.machines == 1  # its own load is one machine's
    assert found.hosted_month is not None
    assert found.hosted_month.usd == pytest.approx(0.5 * 730 * 3600 * 0.00024)


def test_a_price_is_read_as_it_is_written() -> None:
    found = parse_price(" input=0.15, output=0.6, request=0.001 ")
    assert found.rates == (
        Rate(usd_per_million_input=0.15, usd_per_million_cached=0.15, usd_per_million_output=0.6),
    )
    assert found.usd_per_request == 0.001


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot read the price ''"),
        ("input=1", "the price of output is missing"),
        ("output=1,cached=1", "the price of input is missing"),
        ("input=1,output=cheap", "cannot read the price 'output=cheap'"),
        ("input=1,output=1,thinking=2", "no price for 'thinking'"),
        ("input=-1,output=1", "cannot be below 0"),
        ("input=nan,output=1", "cannot be below 0"),
        ("input=inf,output=1", "cannot be below 0"),
    ],
)
def test_a_price_that_cannot_be_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_price(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10 req/s", 10.0),
        ("10/s", 10.0),
        ("3 requests per minute", 0.05),
        ("2.628M requests/month", 1.0),
        ("7200 requests/hour", 2.0),
        ("86.4k tokens/day", 0.001),  # of 1,000 tokens each
        ("500 tok/s", 0.5),
    ],
)
def test_traffic_is_requests_a_second(text: str, rate: float) -> None:
    assert parse_traffic(text, 1000.0) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "many", "10", "0 req/s", "10 req/fortnight", "-3 req/s"])
def test_traffic_that_cannot_be_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the traffic"):
        parse_traffic(text, 1000.0)


def test_dollars_are_written_as_a_person_would() -> None:
    said = [0, 0.00021, 0.0563, 0.9, 1, 14.2, 1430.4, None]
    assert [dollars(usd) for usd in said] == [
        "$0", "$0.00021", "$0.056", "$0.90", "$1.00", "$14.20", "$1,430", "–",
    ]  # fmt: skip
