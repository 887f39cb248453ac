"""The lever `examples`: how many worked questions stand before the one that is asked."""

from __future__ import annotations

import msgspec

from latok.errors import UsageError
from latok.levers.lexical import scores, words
from latok.workload.parts import Parts


def kept(parts: Parts, most: int, *, similar: bool = False) -> Parts:
    """The parts with at most so many example pieces, in their order: the first ones, which stay the
    same from request to request; or, with `similar`, those nearest to the question by BM25 (as in
    Liu et al., "What makes good in-context examples", 2021), which no prefix cache knows."""
    if most < 0:
        raise UsageError(f"there are no {most} examples")
    examples = parts.of("example")
    if len(examples) <= most:
        return parts
    chosen = set(range(most))
    if similar:
        asked = words(" ".join(piece.text for piece in parts.of("question")))
        by_score = scores([words(piece.text) for piece in examples], asked)
        chosen = set(sorted(range(len(examples)), key=lambda n: (-by_score[n], n))[:most])
    number, pieces = -1, []
    for piece in parts.pieces:
        if piece.kind != "example":
            pieces.append(piece)
            continue
        number += 1
        if number in chosen:
            shared = piece.shared and not similar
            pieces.append(msgspec.structs.replace(piece, shared=shared))
    return msgspec.structs.replace(parts, pieces=tuple(pieces))
