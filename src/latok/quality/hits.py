"""What a cache of answers did in front of a target: how often it answered, how often wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from latok.analysis.point import Interval
from latok.analysis.stats import share_interval
from latok.levers.near_misses import pairs
from latok.levers.semantic_cache import Rates, differs, false_hits

_PAIRS, _SEED = 400, 0  # of each sort, as benchmarks/semantic_cache.py draws them


class Use(NamedTuple):
    """One request. `seconds`: from when it was wanted to its answer out of the cache, None where
    the target was asked. `borrowed`: that was the answer to another question; `false`: which was
    not the right answer to this one."""

    seconds: float | None = None
    borrowed: bool = False
    false: bool = False


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """Of so many `requests` the cache answered `hits`, in `seconds` (the median of what the look-up
    took, measured); `ci95` is of their share. `borrowed`: answers to other questions, `false` of
    them wrong, and `false_ci95` their share of the hits.

    `near_misses`, `paraphrases`: shares of so many generated `pairs` of questions each that hit at
    this likeness, those that may not and those that may (`latok.levers.near_misses`); None of an
    exact cache.
    """

    requests: int
    hits: int
    ci95: Interval
    seconds: float | None
    borrowed: int
    false: int
    false_ci95: Interval
    near_misses: float | None = None
    paraphrases: float | None = None
    pairs: int = 0


def hits_of(uses: Sequence[Use], likeness: float | None) -> Hits:
    """`likeness`: from which on a question got another's answer; None: only the same request."""
    taken = sorted(use.seconds for use in uses if use.seconds is not None)
    false = sum(use.false for use in uses)
    found = Hits(
        requests=len(uses),
        hits=len(taken),
        ci95=share_interval(len(taken), len(uses)),
        seconds=taken[len(taken) // 2] if taken else None,
        borrowed=sum(use.borrowed for use in uses),
        false=false,
        false_ci95=share_interval(false, len(taken)),
    )
    if likeness is None:
        return found
    rates = _rates(likeness)
    return msgspec.structs.replace(
        found, near_misses=rates.false, paraphrases=rates.true, pairs=_PAIRS
    )


@cache
def _rates(likeness: float) -> Rates:
    (rates,) = false_hits(pairs(_SEED, _PAIRS), [likeness], differs)
    return rates
