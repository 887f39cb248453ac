"""Nothing on the frontier is beaten, everything off it is."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from latok.analysis.frontier import AXES, frontier, knee
from latok.analysis.metrics import point
from latok.analysis.point import Point, value_of
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
