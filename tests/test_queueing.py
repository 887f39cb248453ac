"""The laws that the search for capacity is judged by, against a simulation of the same queue."""

from __future__ import annotations

import numpy as np
import pytest

from tests.queueing import capacity, share_within, waits


@pytest.mark.parametrize(("servers", "wait", "busy"), [(1, 0.5, 0.6), (4, 1.5, 0.6), (8, 0.4, 0.8)])
def test_franx_and_the_simulation_agree(servers: int, wait: float, busy: float) -> None:
    waited = waits(busy * servers, servers, 1.0, 2_000_000, seed=1)
    law = share_within(wait, busy * servers, servers, 1.0)
    assert float(np.mean(waited <= wait)) == pytest.approx(law, abs=0.003)


def test_at_its_capacity_a_queue_meets_the_clause_and_no_more() -> None:
    found = capacity(1.0, 0.95, 4, 1.0)
    assert (
        share_within(1.0, 0.999 * found, 4, 1.0) > 0.95 > share_within(1.0, 1.001 * found, 4, 1.0)
    )


def test_the_capacity_of_a_faster_server_is_in_proportion() -> None:
    assert capacity(0.1, 0.9, 2, 0.1) == pytest.approx(10 * capacity(1.0, 0.9, 2, 1.0), rel=1e-4)
