"""The lever `examples`: how many worked questions stand before the one that is asked.

They are turns that came before (`Message.example`), a question and its answer each, or pieces of
what is asked (`Piece("example", …)`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from latok.errors import UsageError
from latok.levers.lexical import scores, words
from latok.records import Message
from latok.workload.parts import Parts, Piece

_Example = tuple[Message, ...] | Piece


def kept(parts: Parts, most: int, *, similar: bool = False) -> Parts:
    """The parts with at most so many examples, in their order: the first ones, which stay the same
    from request to request; or, with `similar`, those nearest to the question by BM25 (as in Liu
    et al., "What makes good in-context examples", 2021), which no prefix cache knows."""
    if most < 0:
        raise UsageError(f"there are no {most} examples")
    turns = _turns(parts.before)
    examples: list[_Example] = [*turns, *parts.of("example")]
    if len(examples) <= most:
        return parts
    chosen = set(range(most))
    if similar:
        asked = words(" ".join(piece.text for piece in parts.of("question")))
        by_score = scores([words(_text(each)) for each in examples], asked)
        chosen = set(sorted(range(len(examples)), key=lambda n: (-by_score[n], n))[:most])
    number, before = -1, []
    for message in parts.before:
        number += message.example and message.role == "user"
        if not message.example or number in chosen:
            before.append(message)
    pieces = []
    for piece in parts.pieces:
        if piece.kind != "example":
            pieces.append(piece)
            continue
        number += 1
        if number in chosen:
            shared = piece.shared and not similar
            pieces.append(msgspec.structs.replace(piece, shared=shared))
    return msgspec.structs.replace(parts, before=tuple(before), pieces=tuple(pieces))


def _turns(before: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The worked questions among the turns, each from its question on."""
    found: list[tuple[Message, ...]] = []
    for message in before:
        if message.example and message.role == "user":
            found.append((message,))
        elif message.example and found:
            found[-1] = (*found[-1], message)
    return found


def _text(example: _Example) -> str:
    if isinstance(example, Piece):
        return example.text
    return "\n".join(message.content for message in example)
