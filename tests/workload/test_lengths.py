import math
import statistics
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.workload.lengths import pairs, parse_lengths

whole = st.integers(1, 200_000)
spread = st.integers(0, 300).map(lambda n: n / 100)


def table(steps):
    """`quantiles(…)` of some steps up in percent and in tokens."""
    percent, tokens, points = 0, 0, []
    for up, more in steps:
        percent, tokens = percent + up, tokens + more
        points.append(f"{percent}:{tokens}")
    return f"quantiles({','.join(points)})"


shapes = st.one_of(
    whole.map(str),
    st.builds(lambda a, b: f"uniform({a},{a + b})", whole, whole),
    st.builds("normal({},{})".format, whole, whole),
    st.builds("lognormal({},{})".format, whole, spread),
    st.lists(st.tuples(st.integers(1, 14), whole), min_size=1, max_size=7).map(table),
)


def bounded(shape, low, more):
    inside = shape[:-1] if shape.endswith(")") else f"constant({shape}"
    return f"{inside},min={low},max={low + more})"


texts = st.one_of(shapes, st.builds(bounded, shapes, whole, whole))


@given(texts)
def test_what_is_written_is_read_as_the_same(text):
    lengths = parse_lengths(text)
    assert parse_lengths(str(lengths)) == lengths


@given(texts, st.floats(0.01, 1))
def test_a_scaled_distribution_can_be_written_too(text, factor):
    lengths = parse_lengths(text).scaled(factor)
    assert parse_lengths(str(lengths)) == lengths


@given(texts, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise(text, a, b):
    lengths = parse_lengths(text)
    low, high = sorted((a, b))
    assert lengths.low <= lengths.quantile(low) <= lengths.quantile(high) <= lengths.high


@given(texts, st.floats(0.05, 1), st.floats(0.001, 0.999))
def test_scaling_keeps_every_ratio(text, factor, q):
    lengths = parse_lengths(text)
    expected = max(1, lengths.quantile(q) * factor)
    assert lengths.scaled(factor).quantile(q) == pytest.approx(expected, rel=1e-4)


@given(texts, whole)
def test_what_is_clipped_is_no_longer_than_the_bound_and_else_unchanged(text, high):
    lengths = parse_lengths(text)
    clipped = lengths.clipped(high)
    assert clipped.quantile(1) <= high
    assert parse_lengths(str(clipped)) == clipped
    for q in (0.01, 0.5, 0.9):
        assert clipped.quantile(q) == min(lengths.quantile(q), high)


@given(shapes, shapes, st.integers(0, 2**32), st.integers(0, 10_000))
def test_the_nth_pair_depends_on_the_seed_and_n_alone(inputs, outputs, seed, first):
    inputs, outputs = parse_lengths(inputs), parse_lengths(outputs)
    later = list(islice(pairs(inputs, outputs, seed=seed, first=first + 3), 5))
    assert list(islice(pairs(inputs, outputs, seed=seed, first=first), 3, 8)) == later
    assert all(a >= 1 and b >= 1 for a, b in later)


def test_any_twenty_pairs_have_nearly_the_mix_of_the_whole():
    inputs, outputs = parse_lengths("lognormal(1020,0.84,max=4096)"), parse_lengths("uniform(1,99)")
    drawn = list(islice(pairs(inputs, outputs, seed=5), 20_000))
    means = [statistics.mean(a for a, _ in drawn[n : n + 20]) for n in range(0, 20_000, 20)]
    assert statistics.mean(means) == pytest.approx(inputs.mean(), rel=0.002)
    # Twenty independent draws have 17 %.
    assert statistics.stdev(means) / inputs.mean() < 0.07
    assert abs(statistics.correlation(*zip(*drawn, strict=True))) < 0.01


def test_seeds_differ():
    lengths = parse_lengths("uniform(1,100000)")
    assert next(pairs(lengths, lengths, seed=1)) != next(pairs(lengths, lengths, seed=2))


def test_the_mean_is_of_what_is_drawn():
    assert parse_lengths("230").mean() == 230
    assert parse_lengths("uniform(64,256)").mean() == pytest.approx(160)
    assert parse_lengths("lognormal(100,1)").mean() == pytest.approx(100 * math.exp(0.5), rel=0.01)
    assert parse_lengths("lognormal(100,1,max=100)").mean() < 100


def test_a_table_holds_at_its_points_and_runs_between_them():
    lengths = parse_lengths("quantiles(5:100, 50:1000, 95:10k)")
    assert [lengths.quantile(q) for q in (0, 0.05, 0.5, 0.95, 1)] == pytest.approx(
        [100, 100, 1000, 10_000, 10_000]
    )
    assert lengths.quantile(0.275) == pytest.approx(math.sqrt(100 * 1000))


def test_a_number_may_be_short():
    assert str(parse_lengths("10k")) == "10000"
    assert str(parse_lengths(" lognormal( 1.5k , 0.5, max=4k )")) == "lognormal(1500,0.5,max=4000)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zipf(3)", "no lengths 'zipf'"),
        ("zipf(3)", "there are constant, uniform"),
        ("banana", "'banana' in the lengths 'banana' is no number"),
        ("", "is no number; try 230, uniform(64,256)"),
        ("0", "they read like 230"),
        ("-3", "no number"),
        ("nan", "no number"),
        ("uniform(3)", "they read like uniform(64,256)"),
        ("uniform(9,3)", "they read like uniform(64,256)"),
        ("lognormal(0,1)", "they read like lognormal(1020,0.84)"),
        ("lognormal(1:2)", "they read like lognormal(1020,0.84)"),
        ("normal(1,2,3)", "they read like normal(200,50)"),
        ("lognormal(100,1,max=5,min=9)", "they read like"),
        ("quantiles(5:10,5:20)", "they read like quantiles("),
        ("quantiles(5:10,9:8)", "they read like quantiles("),
        ("quantiles(5:10,120:80)", "they read like quantiles("),
        ("quantiles(5,10)", "they read like quantiles("),
    ],
)
def test_nonsense_is_named_with_what_would_be_right(text, says):
    with pytest.raises(UsageError) as why:
        parse_lengths(text)
    assert says in str(why.value)
    assert "\n" not in str(why.value)
