"""The lever `context=bm25:BUDGET`: of the text that the answer stands in, what the question needs.

The text is cut where its sense is (paragraphs, lines, sentences; the package semchunk), the chunks
are ranked by BM25 against the question, and the best are kept in their order within a budget of
tokens. Such a selection keeps more than the deletion of single tokens does (Jha et al.,
"Characterizing prompt compression methods", 2407.08892).

A question about several facts has words for each. A word that a chosen chunk has counts half from
then on, so that the first fact does not eat the budget: a greedy cover, as for submodular
summaries (Lin & Bilmes 2011). Each chunk takes a share of its neighbours' scores, because a
sentence often goes on about what the one before it named. What was measured:
benchmarks/context_kept.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from latok.errors import UsageError
from latok.levers.extra import from_extra
from latok.levers.lexical import term_scores, words
from latok.workload.parts import Parts, Piece

Count = Callable[[list[str]], list[int]]

MARK = "[…]"
_BETWEEN = f"\n{MARK}\n"
_CHARACTERS = 320  # about three sentences; of a small budget a chunk is about a third
_SEEN, _NEIGHBOUR = 0.5, 0.25


class Chunk(NamedTuple):
    """A stretch of a context piece: which piece, and from where to where. It ends where the next
    begins, so that those that follow each other are the text as it was."""

    piece: int
    start: int
    end: int


def chunked(pieces: Sequence[Piece], tokens: int) -> list[Chunk]:
    """All of the pieces' texts, in order, as chunks of which a few go into so many tokens."""
    most = min(_CHARACTERS, max(tokens, 16))  # a token of English is some four characters
    chunk = from_extra("semchunk").chunk
    found = []
    for number, piece in enumerate(pieces):
        # by characters, because the target's tokeniser may be far away: it is asked once, later
        _, spans = chunk(piece.text, most, len, memoize=False, offsets=True)
        starts = [0, *(start for start, _ in spans[1:]), len(piece.text)]
        found += [Chunk(number, start, end) for start, end in pairwise(starts) if start < end]
    return found


def selected(parts: Parts, budget_tokens: int, count: Count) -> Parts:
    """The parts with at most so many tokens of context, by `count`; as they are if that is enough.

    What is left out is marked with `[…]`; a piece of which nothing is kept is left out with its
    mark. Nothing but context is ever cut. What no word of the question stands in is of no help to
    the choice: then the beginning is kept.
    """
    if budget_tokens < 1:
        raise UsageError(f"a context's budget is at least one token, not {budget_tokens}")
    pieces = parts.of("context")
    if not pieces or sum(count([piece.text for piece in pieces])) <= budget_tokens:
        return parts
    chunks = chunked(pieces, budget_tokens)
    *sizes, mark = count([*(pieces[c.piece].text[c.start : c.end] for c in chunks), _BETWEEN])
    kept: list[int] = []
    room = budget_tokens - mark  # each run of chunks has a mark behind it, the first one before it
    for best in _ranked(pieces, chunks, _question(parts)):
        alone = not {best - 1, best + 1} & set(kept)
        if (cost := sizes[best] + mark * alone) <= room:
            kept.append(best)
            room -= cost
    while kept:
        shown = _shown(pieces, chunks, sorted(kept))
        # A tokeniser may find more in a text than in its chunks, if rarely.
        if sum(count(list(shown.values()))) <= budget_tokens:
            return replaced(parts, shown)
        kept.pop()
    return replaced(parts, {})


def replaced(parts: Parts, texts: dict[int, str]) -> Parts:
    """The parts with the texts of its context pieces, by their number, instead; those without one
    are left out. They depend on the question, so no other request shares them."""
    kept, number = [], 0
    for piece in parts.pieces:
        if piece.kind != "context":
            kept.append(piece)
            continue
        text = texts.get(number)
        if text is not None:
            kept.append(msgspec.structs.replace(piece, text=text, shared=False))
        number += 1
    return msgspec.structs.replace(parts, pieces=tuple(kept))


def _question(parts: Parts) -> list[str]:
    """The words to look for: those of the question, or of the instruction where there is none."""
    asked = parts.of("question") or parts.of("instruction")
    return words(" ".join(piece.text for piece in asked))


def _ranked(
    pieces: Sequence[Piece], chunks: Sequence[Chunk], question: Sequence[str]
) -> Iterator[int]:
    """Chunks by what they add to those before them; without a hit, as they stand."""
    by_term = term_scores([words(pieces[c.piece].text[c.start : c.end]) for c in chunks], question)
    if not by_term.any():
        yield from range(len(chunks))
        return
    by_piece = np.array([c.piece for c in chunks])
    near = np.zeros_like(by_term)
    together = by_piece[1:] == by_piece[:-1]
    near[:, 1:] += by_term[:, :-1] * together
    near[:, :-1] = np.maximum(near[:, :-1], by_term[:, 1:] * together)
    by_term = by_term + _NEIGHBOUR * near
    weights = np.ones(len(by_term))
    most = by_term.max(axis=1)
    left = np.ones(len(chunks), dtype=bool)
    while True:
        gains = np.where(left, weights @ by_term, 0.0)
        best = int(gains.argmax())
        if gains[best] <= 0:
            return
        yield best
        left[best] = False
        weights *= 1 - (1 - _SEEN) * by_term[:, best] / most


def _shown(pieces: Sequence[Piece], chunks: Sequence[Chunk], kept: Sequence[int]) -> dict[int, str]:
    """The texts of the pieces of which something is kept, marked where something is not."""
    texts: dict[int, str] = {}
    for number in dict.fromkeys(chunks[n].piece for n in kept):
        text = pieces[number].text
        mine = [chunks[n] for n in kept if chunks[n].piece == number]
        shown, at = "", 0
        for chunk in mine:
            if chunk.start > at:
                shown = f"{shown.rstrip()}{_BETWEEN}" if shown else f"{MARK}\n"
            shown += text[chunk.start : chunk.end]
            at = chunk.end
        texts[number] = shown if at == len(text) else f"{shown.rstrip()}\n{MARK}"
    return texts
