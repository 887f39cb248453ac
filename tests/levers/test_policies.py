"""Policies of the client: a batch by its deadline, beginnings to be warmed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.levers.offline_batch import Rate, planned
from latok.levers.warm_prefix import prefixes
from latok.records import Message
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate

RATES = st.lists(
    st.builds(Rate, st.integers(1, 64), st.floats(0.1, 100), st.floats(0.1, 60)), min_size=1
)


@given(st.integers(1, 10_000), st.floats(1, 1e5), RATES, st.floats(0, 0.5))
def test_a_plan_keeps_its_deadline_or_none_could(
    requests: int, deadline: float, rates: list[Rate], margin: float
) -> None:
    soon = planned(requests, deadline, rates, margin=margin)
    few = planned(requests, deadline, rates, margin=margin, prefer="fewest")
    times = [requests / rate.requests_per_s + rate.latency for rate in rates]
    assert soon.fits == few.fits == (min(times) <= deadline * (1 - margin))
    assert soon.seconds == min(times)
    if few.fits:
        assert few.concurrency <= soon.concurrency
        assert few.seconds <= deadline * (1 - margin)


def test_a_batch_without_measured_points_is_an_error() -> None:
    with pytest.raises(UsageError, match="measured"):
        planned(10, 60, [])


SYSTEM = Message("system", "You are a helper of the harbour. " * 10)


def parts_of(*texts: str, before: tuple[Message, ...] = ()) -> Parts:
    pieces = tuple(Piece("context", text, shared=True) for text in texts)
    return Parts(pieces=pieces, max_tokens=50, before=before)


TEXTS = st.sampled_from(["long " * 30, "other " * 40, "short", "x"])


@given(st.lists(st.lists(TEXTS, max_size=4).map(lambda t: parts_of(*t)), max_size=8))
def test_what_is_warmed_begins_as_many_requests_as_it_says(batch: list[Parts]) -> None:
    found = prefixes(batch, 20, estimate)
    for warm in found:
        size = len(warm.parts.pieces)
        assert warm.reuse == sum(p.pieces[:size] == warm.parts.pieces for p in batch) > 1
        assert warm.parts.max_tokens == 1
        assert warm.tokens >= 20
        assert not any(
            other.parts.pieces[:size] == warm.parts.pieces for other in found if other != warm
        )


def test_a_system_prompt_is_warmed_and_a_question_of_one_is_not() -> None:
    batch = [parts_of(text, before=(SYSTEM,)) for text in ("a", "b", "c")]
    (warm,) = prefixes(batch, 20, estimate)
    assert (warm.parts.before, warm.parts.pieces, warm.reuse) == ((SYSTEM,), (), 3)
