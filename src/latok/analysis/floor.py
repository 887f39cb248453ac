"""The least that hardware needs for a token: bytes over bandwidth, FLOPs over peak.

A token decoded alone reads all weights once and the attention cache of its context; a token of a
prompt costs two FLOPs for each parameter that it meets (Kaplan et al. 2020, §2.1).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from latok.analysis.point import Interval


class Law(msgspec.Struct, frozen=True):
    """A quantity that the components follow, and its 95 % interval."""

    value: float
    ci95: Interval | None = None


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What the hardware would need at the least, and how far the engine stands above it.

    `bytes_per_s`, `flops_per_s`: measured on this machine. `*_floor_s`: per token, by bytes over
    bandwidth and FLOPs over peak, the larger; `*_times`: what was seen as a multiple of it.
    """

    bytes_per_s: float
    flops_per_s: float
    threads: int
    weights_bytes: float
    parameters: float
    prefill_floor_s: float
    decode_floor_s: float
    prefill_times: float | None
    decode_times: float | None
    note: str = ""


class Model(NamedTuple):
    """What of a model the hardware feels. `embedding`: parameters of the output layer, which only
    the last token of a prompt meets."""

    weights_bytes: float
    parameters: float
    embedding: float
    layers: int
    kv_heads: int
    head_size: int

    def cache_bytes(self, tokens: float, each: float) -> float:
        """Of the keys and values of so many tokens, `each` byte(s) a number."""
        return 2.0 * self.layers * self.kv_heads * self.head_size * each * tokens


class Roof(NamedTuple):
    """What a machine was measured to do at its best."""

    bytes_per_s: float
    flops_per_s: float
    threads: int


# Bytes of a number in the attention cache, by the words of the lever `kv_cache`; the quantised
# kinds of llama.cpp hold a scale of 16 bits for each 32 numbers.
CACHE_BYTES = {"f16": 2.0, "u8": 1.0, "u4": 0.5, "q8_0": 34 / 32, "q4_0": 18 / 32}


def floor(
    model: Model,
    roof: Roof,
    *,
    context: float,
    cache: str,
    prefill: Law | None,
    decode: Law | None,
    note: str = "",
) -> Floor:
    """How far what was seen alone (seconds per token) stands above the floor of this machine.

    `context`: tokens before a typical token; `cache`: the kind of the attention cache.
    """
    read = model.weights_bytes + model.cache_bytes(context, CACHE_BYTES.get(cache, 2.0))
    computed = 2.0 * model.parameters / roof.flops_per_s
    decode_s = max(read / roof.bytes_per_s, computed)
    prefill_s = 2.0 * (model.parameters - model.embedding) / roof.flops_per_s
    return Floor(
        bytes_per_s=roof.bytes_per_s,
        flops_per_s=roof.flops_per_s,
        threads=roof.threads,
        weights_bytes=model.weights_bytes,
        parameters=model.parameters,
        prefill_floor_s=prefill_s,
        decode_floor_s=decode_s,
        prefill_times=prefill.value / prefill_s if prefill else None,
        decode_times=decode.value / decode_s if decode else None,
        note=note,
    )
