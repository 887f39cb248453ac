"""Weights in fewer bits: what their grid may cost, and that they say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from latok.engines.table import AS_IT_CAME, ENGINES
from latok.engines.variants import BLOCK, VARIANTS, on_grid


@pytest.mark.parametrize("name", ["w3_sim", "w2_sim"])
def test_a_simulated_grid_has_so_many_values_and_no_greater_error_than_a_step(name: str) -> None:
    weights = np.random.default_rng(1).normal(size=(8, BLOCK)).astype(np.float32)
    found = on_grid(weights, name)
    for exact, turned in zip(weights, found, strict=True):
        step = np.abs(exact).max() / 2 ** (VARIANTS[name].bits - 1)
        assert len(np.unique(turned)) <= 2 ** VARIANTS[name].bits
        assert np.abs(exact - turned).max() <= step * 1.0001


def test_an_engine_offers_only_weights_that_can_be_made() -> None:
    for row in ENGINES.values():
        for lever in row.levers:
            if lever.name == "weights" and row.embedded:
                assert set(lever.choices) <= {AS_IT_CAME, *VARIANTS}
