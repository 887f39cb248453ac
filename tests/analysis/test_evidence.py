"""The fits behind an explanation: what is left is data less law, and a band holds its line."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.evidence import Fitted, of_probes, of_told
from latok.analysis.infer import infer
from latok.analysis.laws import Laws
from latok.analysis.probed import Seen
from latok.decide.probes import Limits, next_probe
from latok.records import Record, Usage
from tests.analysis.test_explain import at_load, request
from tests.planted import Laws as Planted
from tests.planted import Simulated

PLANTED = Planted(block=64, from_tokens=64, per_context=4e-6)


def asked(planted: Planted) -> list[Seen]:
    server, found = Simulated(planted, seed=1), list[Seen]()
    limits = Limits(context=8192)
    while probe := next_probe(found, limits, seconds=server.now, seed=1):
        found.append(Seen(probe, server.ask(probe)))
    return found


def fits_of(seen: list[Seen]) -> dict[str, Fitted]:
    return {each.name: each for each in of_probes(seen, infer(seen, seed=1), seed=1)}


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    return asked(PLANTED)


@pytest.fixture(scope="module")
def probed(seen: list[Seen]) -> dict[str, Fitted]:
    return fits_of(seen)


def requests(sizes: Sequence[tuple[int, int, float, float]]) -> list[Record]:
    """Of vLLM: tokens of the prompt and of the answer, seconds of prefill and of decode."""
    return [
        msgspec.structs.replace(
            request(n, 0.0, prefill, decode), usage=Usage(prompt, answer, 0), max_tokens=answer
        )
        for n, (prompt, answer, prefill, decode) in enumerate(sizes)
    ]


def told(sizes: Sequence[tuple[int, int, float, float]]) -> dict[str, Fitted]:
    return {each.name: each for each in of_told(at_load(requests(sizes))[1])}


def laws_hold(fitted: Fitted) -> None:
    """What holds of any fit: it leaves data less law, and its line lies within its band."""
    line = fitted.line
    law = np.interp(fitted.x, line.x, line.value)
    assert fitted.y - fitted.left == pytest.approx(law, rel=0.02, abs=1e-6)
    assert np.all(line.low <= line.value + 1e-12)
    assert np.all(line.value <= line.high + 1e-12)
    assert line.x[0] <= fitted.x.min()
    assert fitted.x.max() <= line.x[-1]
    assert len(fitted.x) == len(fitted.y) == len(fitted.left) <= fitted.of


def test_every_law_that_was_inferred_stands_beside_its_measurements(
    probed: dict[str, Fitted],
) -> None:
    assert probed.keys() == {"first_token", "context", "streams", "blocks"}
    for fitted in probed.values():
        laws_hold(fitted)


def test_the_line_of_a_fit_has_the_planted_slope(probed: dict[str, Fitted]) -> None:
    # where a token of context costs something, a stream beside others costs its context, too
    plain = fits_of(asked(Planted()))
    for fitted, planted in (
        (probed["first_token"], PLANTED.prefill),
        (probed["context"], PLANTED.per_context),
        (plain["streams"], Planted().per_stream),
    ):
        line = fitted.line
        slope = (line.value[-1] - line.value[0]) / (line.x[-1] - line.x[0])
        assert slope == pytest.approx(planted, rel=0.15)


def test_the_teeth_of_the_blocks_are_as_long_as_the_blocks(probed: dict[str, Fitted]) -> None:
    line = probed["blocks"].line
    falls = line.x[1:][np.diff(line.value) < -5 * PLANTED.prefill]
    assert len(falls) > 1
    assert set(np.diff(falls)) == {PLANTED.block}


def test_what_was_not_inferred_has_no_fit(seen: list[Seen]) -> None:
    without = of_probes(seen, Laws(), seed=1)
    assert [each.name for each in without] == ["first_token"]  # it is seen, whoever infers it
    assert of_probes([], Laws(), seed=1) == ()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(10, 5000), st.integers(2, 500), st.floats(0.01, 5.0), st.floats(0.01, 5.0)
        ),
        min_size=3,
        max_size=700,
    )
)
def test_of_anything_that_a_server_tells_the_band_holds_the_line_and_half_of_the_requests(
    sizes: list[tuple[int, int, float, float]],
) -> None:
    for fitted in told(sizes).values():
        laws_hold(fitted)
        low, high = (edge[-1] / fitted.line.x[-1] for edge in (fitted.line.low, fitted.line.high))
        each = fitted.y / fitted.x
        if fitted.of == len(fitted.x):
            held = np.sum((low - 1e-9 <= each) & (each <= high + 1e-9))
            assert held >= 0.5 * len(each) - 1  # quartiles lie between two of few


def test_an_exact_law_leaves_nothing() -> None:
    sizes = [(n, 10 + n, 2e-4 * n, 0.008 * (9 + n)) for n in range(50, 1000, 50)]
    found = told(sizes)
    assert found.keys() == {"prefill", "decode"}
    for fitted, per_token in ((found["prefill"], 2e-4), (found["decode"], 0.008)):
        assert np.abs(fitted.left).max() < 1e-6
        assert fitted.line.value[-1] / fitted.line.x[-1] == pytest.approx(per_token)


def test_of_too_many_measurements_some_are_drawn_and_all_are_counted() -> None:
    fitted = told([(100 + n, 10 + n, 1e-4 * n + 0.01, 0.1) for n in range(1000)])["prefill"]
    assert len(fitted.x) <= 300
    assert fitted.of == 1000


def test_requests_of_one_length_or_too_few_show_no_law() -> None:
    assert told([(100, 20, 0.1, 0.2)] * 30) == {}
    assert told([(100, 20, 0.1, 0.2), (200, 30, 0.2, 0.3)]) == {}
    assert of_told([]) == ()
