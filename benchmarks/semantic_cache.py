"""How often is a cache by likeness wrong, and how much of that does the guard prevent?

    python benchmarks/semantic_cache.py [--pairs 400] [--seed 0]

Generated pairs of questions: paraphrases, which may share an answer, and near misses, which may
not. Shown is the share of each that hits, by threshold, with likeness alone and with the guard; the
likeness of both sorts; and what the guard lets through, by what was changed. It fails if the guard
lets through more than the kind that it cannot know (a small word for another), or if likeness alone
would do.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from latok.levers.near_misses import pairs
from latok.levers.semantic_cache import Likeness, differs, false_hits

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--pairs", type=int, default=400)
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    every = pairs(options.seed, options.pairs)

    known = Likeness([pair.one for pair in every])
    likeness = [float(known.to(pair.other)[n]) for n, pair in enumerate(every)]
    for same, name in ((True, "paraphrases"), (False, "near misses")):
        of = [value for value, pair in zip(likeness, every, strict=True) if pair.same == same]
        low, middle, high = np.quantile(of, (0.05, 0.5, 0.95))
        print(f"likeness of {name:12} {middle:.2f} ({low:.2f} to {high:.2f}), {len(of)} pairs")

    print("threshold   likeness alone: wrong, right     with the guard: wrong, right")
    alone = false_hits(every, THRESHOLDS, None)
    guarded = false_hits(every, THRESHOLDS, differs)
    for a, g in zip(alone, guarded, strict=True):
        print(f"{a.threshold:9.2f}   {a.false:21.1%} {a.true:7.1%}   {g.false:24.1%} {g.true:7.1%}")

    asked_of = Counter(pair.kind for pair in every)
    let = Counter(pair.kind for pair in every if not differs(pair.one, pair.other))
    shares = ", ".join(f"{kind} {let[kind]} of {n}" for kind, n in sorted(asked_of.items()))
    print(f"let through by the guard: {shares}")
    missed = {kind for kind in let if kind not in ("paraphrase", "plain")}
    useless = any(each.false < 0.05 and each.true > 0.5 for each in alone)
    return 1 if missed or useless else 0


if __name__ == "__main__":
    raise SystemExit(main())
