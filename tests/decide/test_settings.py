"""What a setting did, and what is made of it: points and graded answers in, words out."""

from __future__ import annotations

import msgspec
import pytest

from latok.analysis.frontier import Setting, frontier, worse
from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.decide.advise import advise
from latok.decide.settings import effect, kept_out, lever_sentences, setting_found
from latok.quality.items import Graded
from tests.graded import side
from tests.simulated import closed

SLO = "ttft.p90<10s"


def points(target: str, *levels: int, faster: float = 1.0) -> list[Point]:
    """Of a server whose clock runs so many times as fast, and so all that it does."""
    found = []
    for level in levels:
        plan, records = closed(level, 60.0)
        plan = msgspec.structs.replace(
            plan,
            slo=SLO,
            id=f"{target}-{level}",
            target=msgspec.structs.replace(plan.target, name=target),
        )
        one = point(plan, records)
        replace = msgspec.structs.replace
        metrics = dict(one.metrics)
        for name, ratio in (("speed", faster), ("ttft", 1.0 / faster)):
            known = metrics[name]
            p50, (low, high) = known.p50, known.ci95["p50"]
            assert p50 is not None
            metrics[name] = replace(
                known, p50=p50 * ratio, ci95={"p50": (low * ratio, high * ratio)}
            )
        rate = one.throughput
        assert rate.output_tokens_per_s
        assert rate.ci95
        low, high = rate.ci95
        throughput = replace(
            rate,
            output_tokens_per_s=rate.output_tokens_per_s * faster,
            ci95=(low * faster, high * faster),
        )
        found.append(replace(one, metrics=metrics, throughput=throughput))
    return found


BASE = points("engine", 1, 2, 4)


def found(
    levers: dict[str, str],
    *,
    faster: float,
    answers: list[Graded] | None = None,
    base_answers: list[Graded] | None = None,
    over: bool = True,
    levels: tuple[int, ...] = (1, 2, 4),
    at: int | None = 4,
) -> tuple[Setting, list[Point]]:
    name = " ".join(f"{n}={v}" for n, v in levers.items())
    ours = points(f"engine {name}", *levels, faster=faster)
    setting = setting_found(
        levers,
        target=f"engine {name}",
        base="engine",
        ours=ours,
        theirs=BASE,
        answers={levels[-1]: answers or []},
        base_answers={levels[-1]: base_answers or []},
        at=at,
        margin=0.02,
        over=over,
    )
    return setting, ours


SAME = side([1.0] * 400)
WORSE = side([float(n % 2) for n in range(400)])
FEW = side([1.0] * 5)
SPECULATION, WEIGHTS = {"speculation": "prompt_lookup"}, {"weights": "q4_0"}


def test_a_gain_is_the_ratio_at_the_same_load_with_an_interval_around_it() -> None:
    setting, _ = found(SPECULATION, faster=1.5)
    assert setting.load == "4 at a time"
    for name, ratio in (("speed", 1.5), ("throughput", 1.5), ("ttft", 1 / 1.5)):
        gain = setting.gains[name]
        assert gain.ratio == pytest.approx(ratio)
        assert gain.ci95
        assert gain.ci95[0] < ratio < gain.ci95[1]


def test_where_the_load_of_interest_was_not_held_the_nearest_below_is_taken() -> None:
    assert found(SPECULATION, faster=1.5, levels=(1, 2))[0].load == "2 at a time"
    assert found(SPECULATION, faster=1.5, levels=(2,), at=1)[0].load == "2 at a time"
    alone = found(SPECULATION, faster=1.5, levels=(8,))[0]
    assert (alone.load, alone.gains) == ("", {})


def test_what_is_sure_is_told_from_what_is_not() -> None:
    assert effect(found(SPECULATION, faster=1.5)[0]) == "pays"
    assert effect(found(SPECULATION, faster=0.6)[0]) == "costs"
    assert effect(found(SPECULATION, faster=1.001)[0]) == "unclear"
    fast, slow = found(SPECULATION, faster=1.5)[0], found(SPECULATION, faster=0.6)[0]
    both = msgspec.structs.replace(fast, gains=fast.gains | {"ttft": slow.gains["ttft"]})
    assert effect(both) == "trades"


def test_worse_answers_make_a_setting_inferior_and_its_points_stand_on_no_frontier() -> None:
    setting, ours = found(WEIGHTS, faster=3.0, answers=WORSE, base_answers=SAME)
    assert setting.verdict == "inferior"
    assert setting.delta == pytest.approx(-0.5)
    assert worse([setting]) == {p.id for p in ours}
    every = [*BASE, *ours]
    assert {p.id for p in frontier(every)} & worse([setting])  # but for its answers it would be
    said = advise("chat", every, settings=[setting])
    assert said.point in {p.id for p in BASE}
    assert any("harms the answers" in sentence for sentence in said.levers)
    assert "None of the levers tried pays" in said.levers[0]


def test_a_lever_that_may_harm_is_not_advised_before_its_answers_are_known() -> None:
    setting, ours = found(WEIGHTS, faster=3.0, answers=FEW, base_answers=FEW)
    assert setting.verdict == "inconclusive"
    assert not worse([setting])  # it may be on the frontier
    assert kept_out([setting]) == {p.id for p in ours}
    said = advise("chat", [*BASE, *ours], settings=[setting])
    assert said.point in {p.id for p in BASE}
    assert "before it is known whether it harms" in " ".join(said.levers)
    assert "inconclusive (5 pairs" in " ".join(said.levers)


def test_a_lever_that_pays_and_whose_answers_hold_is_advised_with_its_measured_effect() -> None:
    setting, ours = found(WEIGHTS, faster=1.5, answers=SAME, base_answers=SAME)
    assert setting.verdict == "non-inferior"
    said = advise("chat", [*BASE, *ours], settings=[setting])
    assert said.point in {p.id for p in ours}
    (sentence,) = said.levers
    assert sentence.startswith("Turn weights=q4_0: speed ×1.50 [")
    assert "(4 at a time); answers not worse by more than 2 points (400 pairs)" in sentence


def test_a_lever_that_changes_no_answer_by_its_design_needs_no_pairs() -> None:
    setting, ours = found(SPECULATION, faster=1.5)
    assert setting.verdict is None
    assert advise("chat", [*BASE, *ours], settings=[setting]).point in {p.id for p in ours}
    harmed, ours = found(SPECULATION, faster=1.5, answers=WORSE, base_answers=SAME)
    assert advise("chat", [*BASE, *ours], settings=[harmed]).point in {p.id for p in BASE}


def test_what_is_not_sure_to_help_is_not_advised_for_its_luck() -> None:
    setting, ours = found(SPECULATION, faster=1.001)
    assert advise("chat", [*BASE, *ours], settings=[setting]).point in {p.id for p in BASE}
    assert "Nothing is sure of speculation" in lever_sentences([setting])[1]


def test_before_the_end_only_the_test_that_may_be_looked_at_often_decides() -> None:
    few = side([1.0] * 30), side([1.0] * 24 + [0.0] * 6)
    soon, _ = found(WEIGHTS, faster=1.0, answers=few[1], base_answers=few[0], over=False)
    end, _ = found(WEIGHTS, faster=1.0, answers=few[1], base_answers=few[0])
    assert (soon.verdict, end.verdict) == ("inconclusive", "inferior")


def test_the_same_items_at_two_loads_are_pairs_of_each() -> None:
    own = side([1.0] * 10)
    setting = setting_found(
        WEIGHTS,
        target="t",
        base="b",
        ours=[],
        theirs=[],
        answers={1: own, 2: own, 4: own},
        base_answers={1: own, 2: own},
        at=None,
        margin=0.02,
        over=True,
    )
    assert setting.pairs == 20


def test_nothing_is_said_of_levers_where_none_was_tried() -> None:
    assert lever_sentences([]) == []
    assert advise("chat", BASE).levers == ()
