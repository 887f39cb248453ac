"""Weights in fewer bits: what their grid may cost, and that they say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latok.engines.table import AS_IT_CAME, ENGINES
from latok.engines.variants import BLOCK, VARIANTS, model_file, on_grid, sha256, variant
from latok.errors import UsageError

gguf = pytest.importorskip("gguf")
TURNED = "blk.0.ffn_up.weight"
KEPT = ("token_embd.weight", "blk.0.attn_norm.weight")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three tensors, and a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    random = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    for name, shape in ((TURNED, (6, 4 * BLOCK)), (KEPT[0], (2, 2 * BLOCK)), (KEPT[1], (BLOCK,))):
        writer.add_tensor(name, random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(path: Path) -> dict[str, Any]:
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(path).tensors
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_no_weight_moves_by_more_than_its_format_allows_and_others_stay(
    name: str, source: Path
) -> None:
    exact, made = tensors(source), tensors(variant(source, name, print))
    blocks = exact[TURNED].reshape(-1, BLOCK)
    widest = np.abs(blocks).max(axis=1)
    # q8_0: half of a 127th; the others have no step for the widest value with its sign turned, so
    # a whole one; each with the rounding of its scale to 16 bits, and of a simulated grid to q8_0
    step = widest / 254 if name == "q8_0" else widest / 2 ** (VARIANTS[name].bits - 1)
    allowed = step * 1.001 + widest * (1 / 200 if name.endswith("_sim") else 1e-3)
    moved = np.abs(made[TURNED].reshape(-1, BLOCK) - blocks).max(axis=1)
    assert (moved <= allowed).all()
    assert moved.max() > 0
    for kept in KEPT:
        assert np.array_equal(made[kept], exact[kept])


def test_a_variant_says_what_it_was_made_of_and_keeps_the_rest(source: Path) -> None:
    fields = gguf.GGUFReader(variant(source, "q4_0", print)).fields
    assert fields["latok.weights"].contents() == "q4_0"
    assert fields["latok.made_of"].contents() == "tiny.gguf"
    assert fields["latok.made_of_sha256"].contents() == sha256(source)
    assert fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]


def test_a_variant_is_made_once_and_again_if_it_is_broken(source: Path) -> None:
    said: list[str] = []
    path = variant(source, "q5_0", said.append)
    whole = path.read_bytes()
    variant(source, "q5_0", said.append)
    assert len(said) == 1
    path.write_bytes(whole[:-40])
    assert variant(source, "q5_0", said.append) == path
    assert path.read_bytes() == whole
    path.with_suffix(".sha256").unlink()
    variant(source, "q5_0", said.append)
    assert len(said) == 3
    assert sorted(each.name for each in path.parent.iterdir()) == (
        ["tiny.q5_0.gguf", "tiny.q5_0.sha256"]
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"<html>", "is not a GGUF file"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 64, "cannot be read as GGUF"),
    ],
)
def test_what_is_no_model_is_one_line(
    content: bytes | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "broken.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        model_file({"model": str(path), "weights": "q4_0"}, print)


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
