"""What of a text a question needs is still there within a budget? Selection, head, chance.

    python benchmarks/context_kept.py [--documents 20] [--tokens 6000] [--seed 0]

Into generated documents go needed sentences among thirty of the same form about others; a question
asks for one in its own words, for three at once, or for one in other words ("latent", which BM25
cannot know). Shown is the share of needed sentences kept, beside the beginning of the same length
and chunks by chance. Then, for functions of the standard library, what `code_context` saves within
a fifth of the tokens, and the share of the names that they need (found with `ast`) that is left.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

from latok.levers.code_context import selected as code_selected
from latok.levers.context import chunked, selected
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate, prompt_maker

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.levers.needed import asking, files_of, needed, tasks_of, there

_NAMES = (
    "Lisbon Oslo Bern Riga Turin Ghent Porto Malmo Gdansk Split Bergen Cork Lyon Graz Brno Pisa "
    "Vigo Bath York Leeds Kiel Jena Ulm Linz Nice Metz Nantes Tartu Kaunas Varna"
)
CITIES = _NAMES.split()


def case(kind: str, rng: random.Random, tokens: int, n: int) -> tuple[Parts, list[str]]:
    """A document with a question, and the sentences that it needs."""
    facts = {c: f"The harbour office of {c} keeps {rng.randint(10, 9999)} crates." for c in CITIES}
    asked = rng.sample(CITIES, 3 if kind == "three" else 1)
    if kind == "latent":
        facts[asked[0]] = f"In the basement down there, {rng.randint(10, 9999)} boxes are stored."
        question = "How many crates does the cellar hold?"
    else:
        question = f"How many crates do the harbour offices of {' and '.join(asked)} keep?"
    text = prompt_maker("document", seed=n, count=None).make(tokens, n)
    sentences = text.split(". ")
    for fact in facts.values():
        sentences.insert(rng.randrange(len(sentences)), fact.removesuffix("."))
    pieces = (Piece("context", ". ".join(sentences)), Piece("question", question))
    return Parts(pieces=pieces, max_tokens=50), [facts[c].removesuffix(".") for c in asked]


def head(parts: Parts, budget: int, rng: random.Random) -> str:
    return _first(parts, budget, shuffled=None)


def by_chance(parts: Parts, budget: int, rng: random.Random) -> str:
    return _first(parts, budget, shuffled=rng)


def bm25(parts: Parts, budget: int, rng: random.Random) -> str:
    return "".join(piece.text for piece in selected(parts, budget, estimate).of("context"))


def _first(parts: Parts, budget: int, *, shuffled: random.Random | None) -> str:
    (piece,) = parts.of("context")
    texts = [piece.text[c.start : c.end] for c in chunked([piece], budget)]
    if shuffled:
        shuffled.shuffle(texts)
    kept, room = "", budget
    for text, size in zip(texts, estimate(texts), strict=True):
        room -= size
        if room < 0:
            break
        kept += text
    return kept


WAYS: dict[str, Callable[[Parts, int, random.Random], str]] = {
    "bm25": bm25,
    "head": head,
    "chance": by_chance,
}


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--documents", type=int, default=20)
    words.add_argument("--tokens", type=int, default=6000)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    good = True
    print(f"needed sentences kept, {asked.documents} documents of {asked.tokens} tokens")
    for kind in ("one", "three", "latent"):
        for share in (0.02, 0.05, 0.1, 0.25):
            budget = round(asked.tokens * share)
            kept = {}
            for name, way in WAYS.items():
                rng = random.Random(f"{asked.seed} {kind}")
                cases = [case(kind, rng, asked.tokens, n) for n in range(asked.documents)]
                hits = [f in way(parts, budget, rng) for parts, facts in cases for f in facts]
                kept[name] = sum(hits) / len(hits)
            print(f"  {kind:7} budget {share:4.0%}  " + "  ".join(
                f"{name} {value:5.0%}" for name, value in kept.items()))  # fmt: skip
            good &= kind == "latent" or share < 0.1 or kept["bm25"] >= 0.95
    print("code context within a fifth of the tokens, 15 functions each")
    for name in ("json", "argparse", "http.client", "email"):
        files = files_of(name)
        every = tasks_of(files)
        saved, found = [], []
        for task in random.Random(asked.seed).sample(every, min(15, len(every))):
            before = asking(files, task)
            whole = sum(estimate([piece.text for piece in before.of("file")]))
            after = code_selected(before, whole // 5, estimate)
            saved.append(1 - sum(estimate([p.text for p in after.of("file")])) / whole)
            found += [there(after, each) for each in set(needed(files, task))]
        share = sum(found) / len(found)
        least, mean = min(saved), sum(saved) / len(saved)
        print(
            f"  {name:12} saved {least:4.0%} at least, {mean:4.0%} in the mean; "
            f"{share:6.1%} of {len(found)} needed names kept"
        )
        good &= min(saved) >= 0.8 and share == 1
    print("PASS" if good else "over the bars: 95 % kept at a tenth; 80 % saved, every name kept")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
