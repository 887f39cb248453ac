import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.workload.apps import APPS, TEXTS, app_from_toml, app_named, embedded_scale, fitted
from latok.workload.arrivals import parse_arrivals
from latok.workload.lengths import parse_lengths
from latok.workload.slo import parse_slo

apps = st.sampled_from(list(APPS.values()))


@given(apps, st.floats(0.2, 1))
def test_scaling_keeps_the_shape_and_leaves_the_slo(app, factor):
    small = app.scaled(factor)
    assert small.slo == app.slo
    for q in (0.5, 0.95):
        assert small.input.quantile(q) / small.output.quantile(q) == pytest.approx(
            app.input.quantile(q) / app.output.quantile(q), rel=1e-4
        )


@given(apps, st.integers(256, 200_000), st.floats(0.05, 1))
def test_a_fitted_app_never_passes_the_context(app, context, scale):
    small, _ = fitted(app, context_tokens=context, scale=scale)
    assert round(small.input.quantile(1)) + round(small.output.quantile(1)) <= context


@given(apps, st.integers(2048, 200_000))
def test_the_scale_of_a_small_engine_leaves_nearly_every_request_whole(app, context):
    scale = embedded_scale(app, context)
    small, _ = fitted(app, context_tokens=context, scale=scale)
    for q in (0.5, 0.98):
        whole = app.scaled(scale).input.quantile(q)
        assert small.input.quantile(q) == pytest.approx(whole, rel=0.02)


def test_chat_on_the_embedded_engine_is_a_fifth():
    app = APPS["chat"]
    scale = embedded_scale(app, 8192)
    small, said = fitted(app, context_tokens=8192, scale=scale)
    assert scale == 1 / 5
    assert said == (
        "lengths are 1/5 of the profile's (about 231 tokens in, 42 out); the SLO is not scaled"
    )
    assert small.slo == app.slo


def test_what_does_not_fit_is_cut_and_that_is_said():
    small, said = fitted(APPS["document"], context_tokens=8192, scale=1)
    assert small.input.quantile(0.99) == small.input.high < 8192
    assert said == f"prompts end at {small.input.high:.0f} tokens: the context is 8,192"


def test_nothing_is_said_where_nothing_is_changed():
    assert fitted(APPS["chat"], context_tokens=None, scale=1) == (APPS["chat"], "")
    assert fitted(APPS["chat"], context_tokens=128_000, scale=1) == (APPS["chat"], "")


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(UsageError, match="cannot scale lengths"):
        fitted(APPS["chat"], context_tokens=None, scale=scale)


@pytest.mark.parametrize("name", APPS)
def test_every_profile_says_what_it_is_and_where_its_figures_are_from(name):
    app = app_named(name)
    assert app.name == name
    assert app.what
    assert app.slo.clauses
    assert parse_arrivals(app.arrivals)
    assert app.text in TEXTS
    assert {"input, output", "cv", "slo"} <= app.sources.keys()


# The means are the traces' own: the tables between their quantiles lose none of them.
@pytest.mark.parametrize(
    ("name", "tokens_in", "tokens_out"),
    [
        ("chat", 1155, 211),
        ("voice", 232, 44),
        ("document", 12_035, 343),
        ("code", 2048, 28),
        ("agent", 8596, 182),
        ("batch", 2588, 291),
    ],
)
def test_the_mean_lengths_are_those_of_the_source(name, tokens_in, tokens_out):
    assert APPS[name].input.mean() == pytest.approx(tokens_in, rel=0.05)
    assert APPS[name].output.mean() == pytest.approx(tokens_out, rel=0.05)


def test_an_unknown_app_is_answered_with_the_known():
    with pytest.raises(UsageError, match="no app 'chta'; there are chat, voice, document"):
        app_named("chta")


MINE = """
name = "tickets"
what = "sorting tickets"
input = "lognormal(300,0.5,max=2000)"
output = 20
slo = "e2e.p95<2s"
arrivals = "constant"
cv = 0
matters = ["e2e", "throughput"]
text = "batch"
[sources]
slo = "our contract"
"""


def test_the_users_own_app_is_read_with_the_same_words():
    app = app_from_toml(MINE)
    assert app.input == parse_lengths("lognormal(300,0.5,max=2000)")
    assert app.output == parse_lengths("20")
    assert app.slo == parse_slo("e2e.p95<2s")
    assert (app.name, app.text, app.arrivals, app.cv) == ("tickets", "batch", "constant", 0)
    assert app.matters == ("e2e", "throughput")
    assert app.sources == {"slo": "our contract"}


def test_four_words_are_enough():
    app = app_from_toml('name = "x"\ninput = 230\noutput = 42\nslo = ""')
    assert (app.what, app.text, app.arrivals) == ("x", "chat", "poisson")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cv = 0", "rate = 3", "unknown in the app's file: rate; known: name, what, input"),
        ('name = "tickets"', "", "missing in the app's file: name"),
        ('name = "tickets"', "name = 3", "name in the app's file is 3; it must be a text"),
        ('"constant"', '"posson"', "no arrivals 'posson'; there are constant, poisson"),
        ('"batch"', '"poem"', "is 'poem'; there are chat, voice"),
        ('"throughput"]', '"joy"]', "is 'joy'; there are ttft"),
        ('["e2e", "throughput"]', '"e2e"', "it must be a list"),
        ("cv = 0", 'cv = "wild"', "it must be a number"),
        ("cv = 0", "cv = -1", "it must be a number"),
        ("output = 20", "output = true", "no number"),
        ("p95<2s", "p95>2s", "reads like ttft.p95<500ms"),
        ("[sources]\nslo = ", "sources = ", "it must be a table"),
        ("output = 20", "output = ", "is not TOML"),
    ],
)
def test_a_wrong_word_in_the_file_is_named_with_what_would_be_right(old, new, says):
    with pytest.raises(UsageError) as why:
        app_from_toml(MINE.replace(old, new))
    assert says in str(why.value)
    assert "\n" not in str(why.value)


def test_the_profiles_come_without_heavy_libraries():
    code = (
        "import sys, latok.workload.apps, latok.workload.prompts;"
        "print({'numpy', 'scipy', 'pyarrow', 'tomllib', 'pydoc_data'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
