"""Nothing on the frontier is beaten, everything off it is."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.frontier import AXES, behind, frontier, knee, knee_interval, saturation
from latok.analysis.metrics import point
from latok.analysis.point import Point, value_of
from latok.records import Closed
from tests.simulated import closed

BASE = point(*closed(1, 20.0))


def at(n: int, speed: float, throughput: float, *, valid: bool = True) -> Point:
    """A point at that place of the map."""
    replace = msgspec.structs.replace
    return replace(
        BASE,
        id=str(n),
        metrics=BASE.metrics | {"speed": replace(BASE.metrics["speed"], p50=speed)},
        throughput=replace(BASE.throughput, output_tokens_per_s=throughput),
        instrument=replace(BASE.instrument, verdict="valid" if valid else "invalid"),
    )


PLACES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.booleans()), max_size=12)


def beats(one: Point, other: Point) -> bool:
    a, b = ([value_of(p, axis) or 0.0 for axis, _ in AXES] for p in (one, other))
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


@given(PLACES)
def test_nothing_on_it_is_beaten_and_everything_off_it_is(
    places: list[tuple[int, int, bool]],
) -> None:
    points = [at(n, float(s), float(t), valid=v) for n, (s, t, v) in enumerate(places)]
    best = frontier(points)
    valid = [p for p in points if p.valid]
    assert all(p.valid for p in best)
    assert not any(beats(other, p) for p in best for other in valid)
    assert all(any(beats(b, p) for b in best) for p in valid if p not in best)


@given(PLACES)
def test_the_order_of_measuring_does_not_matter(places: list[tuple[int, int, bool]]) -> None:
    points = [at(n, float(s), float(t), valid=v) for n, (s, t, v) in enumerate(places)]
    assert {p.id for p in frontier(points)} == {p.id for p in frontier(points[::-1])}


def test_the_knee_is_where_the_frontier_bends() -> None:
    bent = [at(1, 100, 100), at(2, 95, 190), at(3, 85, 330), at(4, 50, 380), at(5, 20, 400)]
    found = knee(frontier(bent))
    assert found is not None
    assert found.id == "3"


def test_a_straight_frontier_has_no_knee() -> None:
    assert knee([at(1, 30, 10), at(2, 20, 20), at(3, 10, 30)]) is None
    assert knee([at(1, 30, 10), at(2, 20, 20)]) is None


def test_a_point_that_does_not_know_an_axis_is_left_out() -> None:
    unknown = msgspec.structs.replace(
        BASE, throughput=msgspec.structs.replace(BASE.throughput, output_tokens_per_s=None)
    )
    assert frontier([unknown]) == []


# --- how sure ------------------------------------------------------------------------------------


def known(users: int, speed: float, throughput: float, within: float, name: str = "") -> Point:
    """A point at a load, both of its places known to ± a share."""
    found, replace = at(users, speed, throughput), msgspec.structs.replace
    edges = [(v * (1.0 - within), v * (1.0 + within)) for v in (speed, throughput)]
    return replace(
        found,
        id=f"{name}{users}",
        load=Closed(users),
        metrics=found.metrics | {"speed": replace(found.metrics["speed"], ci95={"p50": edges[0]})},
        throughput=replace(found.throughput, ci95=edges[1]),
    )


BENT = ((1, 100, 100), (2, 95, 190), (4, 85, 330), (8, 50, 380), (16, 20, 400))


def test_a_knee_that_is_known_well_lies_at_one_load() -> None:
    assert knee_interval([known(*place, 0.001) for place in BENT]) == (4.0, 4.0)


def test_a_knee_that_is_known_badly_lies_between_loads() -> None:
    found = knee_interval([known(*place, 0.4) for place in BENT])
    assert found is not None
    assert found[0] < 4.0 < found[1]


def test_without_a_knee_there_is_no_interval_of_it() -> None:
    assert knee_interval([known(*place, 0.1) for place in BENT[:2]]) is None


def test_saturation_is_the_most_of_any_load_and_its_interval_holds_it() -> None:
    found = saturation([known(*place, 0.05) for place in BENT])
    assert found is not None
    assert (found.output_tokens_per_s, found.point) == (400, "16")
    low, high = found.ci95
    assert 370 < low < 400 < high < 430


def test_the_best_of_many_alike_was_lucky_and_the_interval_knows() -> None:
    one = saturation([known(1, 10, 100, 0.1)])
    many = saturation([known(n, 10, 100, 0.1, str(n)) for n in range(1, 20)])
    assert one is not None
    assert many is not None
    assert many.ci95[1] > one.ci95[1]


def test_nothing_valid_has_no_saturation() -> None:
    assert saturation([at(1, 9.0, 9.0, valid=False)]) is None


def test_behind_is_who_is_beaten_everywhere_beyond_the_intervals() -> None:
    mine = [known(*place, 0.02) for place in BENT[:3]]
    faster = [known(n, 1.2 * s, 1.2 * t, 0.02, "b") for n, s, t in BENT[:3]]
    alike = [known(n, 1.02 * s, 1.02 * t, 0.02, "c") for n, s, t in BENT[:3]]
    assert behind(mine, faster)
    assert not behind(faster, mine)
    assert not behind(mine, alike)
    assert not behind(mine[:2], faster[:2])  # two loads are too few to judge by
    assert not behind(mine, [*faster[:2], alike[2]])
