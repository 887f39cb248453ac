"""How far two answers to the same question are apart, before anybody grades them.

A distance says that something changed, not that it became worse: it is an alarm, with the floor
(base against base) beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from latok.analysis.point import Interval
from latok.analysis.stats import share_interval
from latok.quality.items import Graded

Answers = tuple[Graded, Graded]  # to one item: of base, and of the other side

LENGTHS = (0.9, 1.1)  # MLPerf's gate: an answer that is shorter or longer by more is another one
_UNTOLD = 1e-6  # servers round what they tell; a smaller rest is none
_NEVER = -100.0  # OpenAI writes -9999.0 for "very unlikely"


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share of `n`, with Wilson's interval."""

    share: float
    ci95: Interval
    n: int


class FirstToken(msgspec.Struct, frozen=True, kw_only=True):
    """How far the first tokens' distributions are apart, over `n` items that both sides told.

    `kl`: mean Kullback-Leibler divergence of the other side from base, nats, at least: what the
    servers did not list is merged. `missed`: of how many items one side's likeliest token is not
    among the other's. `top1`: share of those whose likeliest token is the same.
    """

    kl: float
    top1: Share
    missed: int
    n: int


def share(hits: int, n: int) -> Share | None:
    """None of none."""
    return Share(share=hits / n, ci95=share_interval(hits, n), n=n) if n else None


def same_text(pairs: Iterable[Answers]) -> list[bool]:
    """Of each item that both sides answered, whether they said the same, byte for byte.

    Empty where the texts were not kept.
    """
    answered = [(a.text, b.text) for a, b in pairs if not (a.failed or b.failed)]
    return [a == b for a, b in answered] if any(a or b for a, b in answered) else []


def identical(pairs: Iterable[Answers]) -> Share | None:
    """The share of answers that are the same byte for byte."""
    same = same_text(pairs)
    return share(sum(same), len(same))


def divergence(base: Mapping[str, float], other: Mapping[str, float]) -> float:
    """KL(base‖other) in nats of two listings of log-probabilities, never more than of the whole
    distributions: merging outcomes can but lower it, so there are the tokens that both list, those
    that only base does, and the rest. Those have no more of the other side than it leaves over."""
    p, q = _told(base), _told(other)
    common = p.keys() & q.keys()
    only = sum(p[token] for token in p.keys() - common)
    rest = max(1.0 - sum(p.values()), 0.0)
    left = max(1.0 - sum(q[token] for token in common), _UNTOLD)
    total = sum(p[token] * math.log(p[token] / q[token]) for token in common)
    if only + rest > _UNTOLD:
        # as much as makes them diverge least, up to what is left over
        most = min(max(1.0 - sum(q.values()), _UNTOLD), left * only / (only + rest))
        total += _term(only, most) + _term(rest, left - most)
    return max(total, 0.0)


def _term(p: float, q: float) -> float:
    return p * math.log(p / max(q, _UNTOLD)) if p > 0.0 else 0.0


def first_tokens(pairs: Iterable[Answers]) -> FirstToken | None:
    """None where no item has the first token's log-probabilities on both sides."""
    told = [(a.first, b.first) for a, b in pairs if a.first and b.first]
    if not told:
        return None
    likeliest = [(_likeliest(a), _likeliest(b)) for a, b in told]
    agree = share(sum(a == b for a, b in likeliest), len(told))
    assert agree is not None
    return FirstToken(
        kl=math.fsum(divergence(a, b) for a, b in told) / len(told),
        top1=agree,
        missed=sum(
            a not in second or b not in first
            for (first, second), (a, b) in zip(told, likeliest, strict=True)
        ),
        n=len(told),
    )


def length_ratio(pairs: Sequence[Answers]) -> float | None:
    """Output tokens of the other side over base's, in items that both answered and counted."""
    counted = [
        (a.tokens, b.tokens)
        for a, b in pairs
        if a.tokens is not None and b.tokens is not None and not (a.failed or b.failed)
    ]
    ours = sum(a for a, _ in counted)
    return sum(b for _, b in counted) / ours if ours else None


def _told(first: Mapping[str, float]) -> dict[str, float]:
    return {token: math.exp(min(log, 0.0)) for token, log in first.items() if log > _NEVER}


def _likeliest(first: Mapping[str, float]) -> str:
    return max(first, key=lambda token: (first[token], token))
