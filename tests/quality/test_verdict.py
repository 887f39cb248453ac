"""The verdict from pairs: what it says of what is known, and what it prints beside it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.quality.items import Graded
from latok.quality.verdict import judge
from tests.graded import drawn, side

SIDES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=300,
)


def pilot(regress: int, improve: int, n: int = 240) -> tuple[list[Graded], list[Graded]]:
    """So many regressions and improvements, spread over the items."""
    order = np.random.default_rng(1).permutation(n)
    base, with_ = np.ones(n), np.ones(n)
    with_[order[:regress]] = 0.0
    base[order[regress : regress + improve]] = 0.0
    return side(base), side(with_)


def changed(graded: list[Graded], **words: Any) -> list[Graded]:
    return [msgspec.structs.replace(each, **words) for each in graded]


@pytest.mark.parametrize(
    ("regress", "improve", "word"),
    [
        (40, 5, "inferior"),  # a KV cache of 4 bits
        (68, 8, "inferior"),  # weights rounded to 4 bits
        (2, 1, "inconclusive"),  # a KV cache of 8 bits: too few pairs to be sure
        (0, 0, "non-inferior"),
    ],
)
def test_what_was_seen_of_real_levers_is_judged_as_it_should(
    regress: int, improve: int, word: str
) -> None:
    found = judge(*pilot(regress, improve))
    assert found.verdict == word
    assert found.delta == pytest.approx((improve - regress) / 240)
    assert (found.flips.regress, found.flips.improve) == (regress, improve)


def test_base_against_itself_is_never_inferior_in_twenty_repeats() -> None:
    """Of concurrent requests 0.8 % flip by themselves."""
    rng = np.random.default_rng(2)
    words = []
    for _ in range(20):
        base, with_ = drawn(rng, 800, regress=0.004, improve=0.004)
        words.append(judge(side(base), side(with_)).verdict)
    assert "inferior" not in words
    assert words.count("non-inferior") >= 18


def test_harm_is_claimed_of_no_more_than_one_harmless_side_in_twenty() -> None:
    rng = np.random.default_rng(3)
    sides = [drawn(rng, 150, regress=0.1, improve=0.1) for _ in range(200)]
    words = [judge(side(a), side(b)).verdict for a, b in sides]
    assert words.count("inferior") <= 10


@settings(deadline=None)
@given(SIDES, st.floats(0.005, 0.2))
def test_the_rule_is_kept(scores: list[tuple[float, float]], margin: float) -> None:
    base, with_ = side([a for a, _ in scores]), side([b for _, b in scores])
    found = judge(base, with_, margin=margin)
    low, high = found.ci95
    if found.verdict == "inferior":
        assert found.by == "sequential" or (high < 0 and found.delta < -margin)
    elif found.verdict == "non-inferior":
        assert found.by == "sequential" or low > -margin
    else:
        assert low <= -margin
        assert found.needed
    assert (found.needed is None) == (found.verdict != "inconclusive")
    assert 0 < found.detectable <= 1
    assert found.why
    msgspec.json.encode(found)


@settings(deadline=None)
@given(SIDES)
def test_swapping_the_sides_negates_the_difference(scores: list[tuple[float, float]]) -> None:
    base, with_ = side([a for a, _ in scores]), side([b for _, b in scores])
    one, other = judge(base, with_), judge(with_, base)
    assert other.delta == pytest.approx(-one.delta)
    assert other.ci95 == pytest.approx((-one.ci95[1], -one.ci95[0]))
    assert (one.flips.regress, one.flips.improve) == (other.flips.improve, other.flips.regress)
    assert (one.base, one.with_) == (other.with_, other.base)
    assert {one.verdict, other.verdict} != {"inferior"}


def test_before_the_planned_end_only_the_sequential_test_decides() -> None:
    harmed = pilot(9, 1)
    assert judge(*harmed).by == "interval"
    early = judge(*harmed, planned=1000)
    assert (early.verdict, early.by) == ("inconclusive", "")
    assert "240 of 1000 pairs" in early.why
    assert judge(*pilot(40, 5), planned=1000).by == "sequential"


def test_what_failed_is_wrong_and_counted_apart() -> None:
    base, with_ = pilot(0, 0)
    with_ = [*changed(with_[:40], failed=True), *with_[40:]]
    found = judge(base, with_)
    assert found.verdict == "inferior"
    assert (found.base.failed, found.with_.failed) == (0, 40)
    assert found.with_.accuracy == pytest.approx(200 / 240)
    low, high = found.with_.ci95
    assert low < 200 / 240 < high
    assert found.identical is not None
    assert found.identical.n == 200


@pytest.mark.parametrize(("tokens", "said"), [(9, False), (11, False), (13, True), (8, True)])
def test_answers_that_are_longer_or_shorter_are_said(tokens: int, said: bool) -> None:
    base, with_ = pilot(0, 0)
    found = judge(base, changed(with_, tokens=tokens))
    assert found.length_ratio == pytest.approx(tokens / 10)
    assert ("times as long" in found.why) == said


@pytest.mark.parametrize("word", ["length", "max_tokens", "limit"])
def test_answers_that_were_cut_off_are_counted_on_both_sides(word: str) -> None:
    base, with_ = pilot(0, 0)
    found = judge(base, [*changed(with_[:60], finish=word), *with_[60:]])
    assert (found.base.truncated, found.with_.truncated) == (0.0, 0.25)


def test_the_task_that_suffers_most_is_named_and_tasks_are_tested_together() -> None:
    base, with_ = pilot(30, 0)
    worse = {graded.item for graded in with_ if not graded.score}
    tasks = {item: "lists" if item in worse or int(item) % 4 == 0 else "sums" for item in
             (graded.item for graded in base)}  # fmt: skip
    base, with_ = (
        [msgspec.structs.replace(each, task=tasks[each.item]) for each in each_side]
        for each_side in (base, with_)
    )
    found = judge(base, with_)
    assert found.worst == "lists"
    assert found.tasks["lists"].p < 1e-6
    assert found.tasks["sums"].p == 1.0
    assert sum(task.pairs for task in found.tasks.values()) == found.pairs
    assert judge(base, base).worst is None


def test_few_families_are_said_and_many_widen_the_interval() -> None:
    base, with_ = pilot(20, 0)
    few = [changed(each, family="one") for each in (base, with_)]
    assert any("too few to speak" in note for note in judge(*few).notes)
    assert judge(*few).ci95 == judge(base, with_).ci95
    order = sorted(range(240), key=lambda n: with_[n].score)
    names = {str(n): str(place // 20) for place, n in enumerate(order)}
    together = [
        [msgspec.structs.replace(each, family=names[each.item]) for each in each_side]
        for each_side in (base, with_)
    ]
    wide, narrow = judge(*together), judge(base, with_)
    assert wide.families == 12
    assert not wide.notes
    assert wide.ci95[1] - wide.ci95[0] > 1.5 * (narrow.ci95[1] - narrow.ci95[0])


def test_the_floor_stands_beside_what_the_lever_changed() -> None:
    base, with_ = pilot(10, 5)
    first = {"a": -0.1, "b": -2.5}
    base, with_ = changed(base, first=first), changed(with_, first={"a": -0.3, "b": -1.4})
    floor = [
        changed([each], score=1.0 - each.score)[0] if n < 2 else each for n, each in enumerate(base)
    ]
    found = judge(base, with_, floor)
    assert found.floor is not None
    assert found.floor.flips == pytest.approx(2 / 240)
    assert found.flips.share == pytest.approx(15 / 240)
    assert found.floor.identical is not None
    assert found.floor.first_token is not None
    assert found.first_token is not None
    assert found.floor.first_token.kl == pytest.approx(0, abs=1e-6)
    assert found.first_token.kl > 0.01
    assert found.first_token.top1.share == 1.0
    assert judge(base, with_).floor is None


def test_a_verdict_is_printed_as_it_is_promised() -> None:
    said = msgspec.to_builtins(judge(*pilot(2, 1)))
    assert said["verdict"] == "inconclusive"
    assert said["pairs"] == 240
    assert len(said["ci95"]) == 2
    assert said["floor"] is None
    assert said["with"]["accuracy"] == pytest.approx(238 / 240)
    assert "pairs find a difference from" in said["why"]


def test_unpaired_items_are_said_and_doubled_ones_refused() -> None:
    base, with_ = pilot(0, 0)
    assert "1 items" in judge(base, with_[1:]).notes[0]
    with pytest.raises(ValueError, match="2 times"):
        judge(base, [*with_, with_[0]])
