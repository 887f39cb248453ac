"""The least that hardware needs for a token, and what was measured of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from latok.analysis.floor import Floor, Law, Model, Roof, floor
from latok.load.roof import roof

MODEL = Model(weights_bytes=1e9, parameters=1e9, embedding=1e8, layers=10, kv_heads=2, head_size=50)


def found(bytes_per_s: float, flops_per_s: float, context: float = 0.0) -> Floor:
    return floor(
        MODEL,
        Roof(bytes_per_s, flops_per_s, 2),
        context=context,
        cache="f16",
        prefill=Law(0.018),
        decode=Law(0.3),
    )


def test_a_decoded_token_reads_the_weights_and_the_cache() -> None:
    assert found(1e10, 1e15).decode_floor_s == pytest.approx(0.1)
    # 2 kinds × 10 layers × 2 heads × 50 numbers × 2 bytes for each of 100,000 tokens
    assert found(1e10, 1e15, context=1e5).decode_floor_s == pytest.approx(0.1 + 4e8 / 1e10)
    assert found(1e10, 1e15).decode_times == pytest.approx(3.0)


def test_where_computing_is_slower_than_reading_it_decides() -> None:
    assert found(1e15, 1e10).decode_floor_s == pytest.approx(0.2)


def test_a_token_of_a_prompt_does_not_meet_the_output_layer() -> None:
    assert found(1e10, 1e12).prefill_floor_s == pytest.approx(2 * 0.9e9 / 1e12)
    assert found(1e10, 1e12).prefill_times == pytest.approx(10.0)


def test_this_machine_is_measured_and_its_best_is_kept(tmp_path: Path) -> None:
    first = roof(folder=tmp_path)
    assert 1e8 < first.bytes_per_s < 1e13
    assert 1e8 < first.flops_per_s < 1e15
    faster = roof(lambda: 9e20, folder=tmp_path)
    assert faster.flops_per_s == 9e20
    assert faster.bytes_per_s >= first.bytes_per_s
    assert roof(folder=tmp_path).flops_per_s == 9e20
