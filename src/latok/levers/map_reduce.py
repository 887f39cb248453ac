"""The lever `context=map_reduce:CHUNK`: the question is asked of each part of a long text, and then
of the answers. Two waves of requests, so two latencies, but each prompt is short; and unlike a
selection, nothing of the text goes unread (Zhou et al., "LLM×MapReduce", 2410.09342).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from latok.errors import UsageError
from latok.levers.context import Count, chunked, replaced
from latok.workload.parts import Parts, Piece

NONE = "NONE"
_ONLY = Piece(
    "instruction",
    "The text above is one part of a longer one. Answer only from it. "
    f"If it says nothing about the question, answer {NONE}.",
)
_ANSWERS = Piece(
    "instruction",
    "The text above holds what was answered for each part of a longer one. Put these answers "
    "together to one answer to the question.",
)


def mapped(parts: Parts, chunk_tokens: int, count: Count) -> tuple[Parts, ...]:
    """The same question on each stretch of the context, none with more than `chunk_tokens` of it,
    as far as it can be cut so short; the parts alone, as they are, if all of it is no more."""
    if chunk_tokens < 1:
        raise UsageError(f"a part of a text has at least one token, not {chunk_tokens}")
    pieces = parts.of("context")
    if not pieces or sum(count([piece.text for piece in pieces])) <= chunk_tokens:
        return (parts,)
    chunks = chunked(pieces, chunk_tokens)
    sizes = count([pieces[c.piece].text[c.start : c.end] for c in chunks])
    stretches: list[dict[int, str]] = []
    room = 0
    for chunk, size in zip(chunks, sizes, strict=True):
        if size > room or not stretches:
            stretches.append({})
            room = chunk_tokens
        room -= size
        stretch = stretches[-1]
        text = pieces[chunk.piece].text[chunk.start : chunk.end]
        stretch[chunk.piece] = stretch.get(chunk.piece, "") + text
    return tuple(_asking(replaced(parts, stretch), _ONLY) for stretch in stretches)


def reduced(parts: Parts, answers: Sequence[str | None]) -> Parts:
    """The question on what was answered for each stretch, in their order; None: it failed.

    An answer that says NONE adds nothing; if all do, that is what the context says."""
    said = []
    for n, answer in enumerate(answers, 1):
        if answer is None:
            said.append(f"Part {n}: could not be read.")
        elif answer.strip().strip("\"'.").upper() not in ("", NONE):
            said.append(f"Part {n}: {answer.strip()}")
    text = "\n".join(said) or "No part of the text says anything about the question."
    return _asking(replaced(parts, {0: text}), _ANSWERS)


def _asking(parts: Parts, how: Piece) -> Parts:
    """With an instruction behind the last context piece."""
    last = max(n for n, piece in enumerate(parts.pieces) if piece.kind == "context") + 1
    pieces = (*parts.pieces[:last], how, *parts.pieces[last:])
    return msgspec.structs.replace(parts, pieces=pieces)
