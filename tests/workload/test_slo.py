import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.workload.slo import METRICS, Clause, Slo, parse_slo

percents = st.integers(1, 10_000).map(lambda n: f"{n / 100:g}")
numbers = st.integers(1, 10**6).map(lambda n: f"{n / 1000:g}" if n % 7 else f"{n}")
clauses = st.builds(
    "{}{}p{}{}{}{}".format,
    st.sampled_from(METRICS),
    st.sampled_from([".", " . "]),
    percents,
    st.sampled_from(["<", " < ", "<="]),
    numbers,
    st.sampled_from(["s", "ms", "µs", "μs", "us", " ms", ""]),
)


@given(st.lists(clauses, min_size=1, max_size=4).map(" ,".join))
def test_what_is_written_is_read_as_the_same(text):
    slo = parse_slo(text)
    assert parse_slo(str(slo)) == slo
    assert str(parse_slo(str(slo))) == str(slo)


def test_a_clause_has_a_share_and_seconds():
    assert parse_slo("ttft.p95<500ms, tpot.p99<=50ms,e2e.p99.9<630").clauses == (
        Clause("ttft", 0.95, 0.5),
        Clause("tpot", 0.99, 0.05),
        Clause("e2e", 0.999, 630),
    )


def test_units_are_chosen_for_a_reader():
    assert str(parse_slo("ttft.p95<0.5, gap.p99<1000ms, e2e.p50<250us")) == (
        "ttft.p95<500ms, gap.p99<1s, e2e.p50<250µs"
    )


def test_no_text_asks_nothing():
    assert parse_slo("  ") == Slo()
    assert str(Slo()) == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tfft.p95<1s", "no latency 'tfft'"),
        ("tfft.p95<1s", "there are ttft, ttft_user"),
        ("ttft.p95<1parsec", "no unit 'parsec'"),
        ("ttft.p101<1s", "p101"),
        ("ttft.p0<1s", "p0"),
        ("ttft.p95<0s", "nothing is below 0"),
        ("ttft.p95>1s", "reads like ttft.p95<500ms"),
        ("ttft<1s", "reads like ttft.p95<500ms"),
        ("ttft.p95<1s,", "cannot read ''"),
        ("banana", "cannot read 'banana'"),
    ],
)
def test_a_wrong_clause_is_named_with_what_would_be_right(text, says):
    with pytest.raises(UsageError) as why:
        parse_slo(text)
    assert says in str(why.value)
    assert "\n" not in str(why.value)
