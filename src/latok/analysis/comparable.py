"""Whether two runs may be compared at all: the same question asked of both, in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from latok.analysis.digest import Digest
from latok.records import Manifest

# What a run says of its workload that may differ: how it was sent, not what was asked.
_INCIDENTAL = frozenset({"exact_counts", "template_tokens", "first_id", "accepts", "note"})
# Mean tokens of a request, and shares of its prompt that came from a cache, further apart than this
# are another workload.
_TOKENS, _CACHED = 0.05, 0.05


def differences(
    a: tuple[Manifest, Sequence[Digest]],
    b: tuple[Manifest, Sequence[Digest]],
    *,
    any_model: bool = False,
) -> list[str]:
    """Why the two are not comparable, a sentence each; none where they are.

    The requests are those of the windows. `any_model`: two models are what is compared.
    """
    (one, ours), (other, theirs) = a, b
    levers = {**one.levers, **other.levers}
    found = []
    if one.load != other.load:
        found.append(f"the load differs: {one.load}, and {other.load}")
    names = (one.workload.keys() | other.workload.keys()) - _INCIDENTAL
    found += [
        f"{name.replace('_', ' ')} of the workload differs: {one.workload.get(name)}, and "
        f"{other.workload.get(name)}"
        for name in sorted(names)
        if one.workload.get(name) != other.workload.get(name)
    ]
    if one.target.model != other.target.model and not any_model and "model" not in levers:
        found.append(
            f"the model differs: {one.target.model}, and {other.target.model} (--any-model "
            "compares them all the same)"
        )
    for way in ("input", "output"):
        found += _tokens_apart(way, _tokens(ours, way), _tokens(theirs, way))
    cached = _cached(ours), _cached(theirs)
    if None not in cached and "prefix_cache" not in levers:
        shares = [share or 0.0 for share in cached]
        if abs(shares[1] - shares[0]) > _CACHED:
            found.append(
                f"the caches differ: {shares[0]:.0%} of the input came from A's, and "
                f"{shares[1]:.0%} from B's"
            )
    return found


def _tokens(requests: Sequence[Digest], way: str) -> list[int]:
    if way == "output":
        return [each.tokens for each in requests if each.ok and each.tokens is not None]
    usages = [each.record.usage for each in requests if each.ok]
    return [u.prompt_tokens for u in usages if u is not None and u.prompt_tokens is not None]


def _tokens_apart(way: str, ours: Sequence[int], theirs: Sequence[int]) -> list[str]:
    """Means that are apart by more than the tolerance, and by more than lengths drawn anew are."""
    if not ours or not theirs:
        return []
    a, b = float(np.mean(ours)), float(np.mean(theirs))
    chance = 3.0 * math.sqrt(np.var(ours) / len(ours) + np.var(theirs) / len(theirs))
    if abs(b - a) <= max(_TOKENS * a, chance):
        return []
    return [f"{way} tokens differ: {a:.0f} a request on average, and {b:.0f}"]


def _cached(requests: Sequence[Digest]) -> float | None:
    """The share of the input that came from a cache, where the target says it."""
    usages = [each.record.usage for each in requests if each.ok and each.record.usage is not None]
    known = [usage for usage in usages if usage.cached_tokens is not None and usage.prompt_tokens]
    if not known:
        return None
    total = sum(usage.prompt_tokens or 0 for usage in known)
    return sum(usage.cached_tokens or 0 for usage in known) / total
