"""What was inferred is said in the same values, and the same words, as what a server tells."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from latok.analysis.claims import claims
from latok.analysis.explain import WHOLES, Explanation
from latok.analysis.infer import infer
from latok.analysis.laws import Laws
from latok.analysis.outside import explanation
from latok.analysis.probed import Seen
from latok.decide.probes import Limits, next_probe
from latok.records import Target
from latok.report.explain import print_explanation
from tests.planted import Laws as Planted
from tests.planted import Simulated

TARGET = Target(name="sim", url="http://sim", model="m", dialect="openai-chat")


@pytest.fixture(scope="module")
def found() -> Explanation:
    server, seen = Simulated(replace(Planted(), batch_limit=8, block=32), seed=1), list[Seen]()
    limits = Limits(context=8192)
    while probe := next_probe(seen, limits, seconds=server.now, seed=1):
        seen.append(Seen(probe, server.ask(probe)))
    laws = infer(seen, seed=1)
    return explanation(TARGET, laws, claims(laws), run="runs/x")


def shown(found: Explanation) -> str:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        print_explanation(found, console)
    return capture.get()


def test_each_load_is_cut_in_parts_that_sum_to_the_whole(found: Explanation) -> None:
    assert [str(each.load) for each in found.loads] == [f"{n} at a time" for n in (1, 8, 24)]
    for load in found.loads:
        for of in WHOLES:
            waterfall = load.waterfall(of)
            assert waterfall is not None
            assert sum(p.seconds for p in waterfall.components) == pytest.approx(waterfall.seconds)
            assert all(part.source == "fit" for part in waterfall.components)


def test_laws_are_numbers_by_name_and_whole_with_their_doubts(found: Explanation) -> None:
    assert {"prefill_s_per_token", "decode_s_per_token", "fixed_s"} <= found.laws.keys()
    assert found.inferred is not None
    again = msgspec.json.decode(msgspec.json.encode(found), type=Explanation)
    assert again == found


def test_the_page_says_laws_claims_and_where_the_time_goes(found: Explanation) -> None:
    page = " ".join(shown(found).split())
    assert "as inferred from outside" in page
    assert "at most 8 requests run at once" in page
    assert "in blocks of 32 tokens" in page
    assert "a token of a prompt: " in page
    assert "not told from it" in page


def test_of_a_target_that_taught_nothing_a_page_can_still_be_printed() -> None:
    assert "as inferred from outside" in shown(explanation(TARGET, Laws(), [], run="runs/x"))
