"""What the verdicts say on a real engine, where it is known what they should say.

    python benchmarks/quality_known.py [same] [harm] [harmless] [--engine NAME] [--budget SECONDS]

`same`: the embedded model against itself, the same items asked twice of one setting. They are cut
into 20 sets, of which none may be called inferior; the floor is what all of them changed by.

`harm`: levers that are known to harm this model, by `latok try` as a user would call it: a KV cache
of 4 bits (llama.cpp), weights rounded to the nearest of 4 bits. Each should be called inferior
within 200 pairs and 15 minutes. `harmless`: a KV cache of 8 bits, which should not; guessing ahead
and the prefix cache, whose answers should be the same up to the floor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import latok
from latok.jobs.runs import read_graded
from latok.quality.verdict import judge
from latok.report.tried import quality_sentences, settings

SETS, PAIRS = 20, 24
MOST_PAIRS, MOST_SECONDS = 200, 900.0
APP = "chat"
CONCURRENCY = 4
HARM = {
    "llamacpp": ("kv_cache=q4_0", "weights=q4_0"),
    "openvino": ("weights=q4_0",),
}
HARMLESS = {
    "llamacpp": ("kv_cache=q8_0", "prefix_cache=on"),
    "openvino": ("kv_cache=u8..f16", "speculation=prompt_lookup", "prefix_cache=on"),
}


def same(engine: str, runs: str) -> bool:
    """Base against base: no set is called inferior."""
    sides = []
    for turn in ("a", "b"):
        point = latok.measure(
            engine,
            app=APP,
            graded=1.0,
            concurrency=CONCURRENCY,
            requests=SETS * PAIRS,
            runs=f"{runs}/{turn}",
        )
        sides.append({each.item: each for each in read_graded(Path(point.run))})
    items = [item for item in sides[1] if item in sides[0]]
    words: list[str] = []
    for n in range(SETS):
        mine = items[n::SETS]
        found = judge([sides[0][item] for item in mine], [sides[1][item] for item in mine])
        words.append(found.verdict)
    whole = judge(*([side[item] for item in items] for side in sides))
    said = ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
    print(f"{engine} against itself, {SETS} sets of {len(items) // SETS} pairs: {said}")
    print(
        f"  the floor of {whole.pairs} pairs: {whole.flips.share:.1%} of the answers flip, "
        f"accuracy {100 * whole.delta:+.1f} pt of {whole.base.accuracy:.1%}: {whole.verdict}"
    )
    return "inferior" not in words and whole.verdict != "inferior"


def tried(engine: str, lever: str, budget: float, runs: str) -> latok.Tried:
    began = time.monotonic()
    found = latok.try_levers(
        lever,
        target=engine,
        app=APP,
        graded=1.0,
        concurrency=CONCURRENCY,
        budget=budget,
        runs=runs,
    )
    print(f"latok try {lever} {engine} --app {APP} --graded 100%, {time.monotonic() - began:.0f} s")
    for setting in settings(found):
        for sentence in quality_sentences(setting):
            print(f"  {sentence}")
    return found


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("parts", nargs="*", help="of same, harm, harmless; none: all")
    words.add_argument("--engine", choices=list(HARM), default="llamacpp")
    words.add_argument("--budget", type=float, default=600.0)
    asked = words.parse_args()
    parts, good = asked.parts or ["same", "harm", "harmless"], True
    with tempfile.TemporaryDirectory() as runs:
        if "same" in parts:
            good &= same(asked.engine, runs)
        for lever in HARM[asked.engine] if "harm" in parts else ():
            began = time.monotonic()
            quality = tried(asked.engine, lever, asked.budget, runs).quality
            took = time.monotonic() - began
            good &= quality is not None and quality.verdict == "inferior"
            good &= quality is not None and quality.pairs <= MOST_PAIRS and took <= MOST_SECONDS
        for lever in HARMLESS[asked.engine] if "harmless" in parts else ():
            found = tried(asked.engine, lever, asked.budget, runs)
            good &= found.quality is not None and found.quality.verdict != "inferior"
            if found.identity is not None:
                good &= found.identity.verdict != "changed"
    print("PASS" if good else "not as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
