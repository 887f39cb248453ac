"""The lever `prefix_order`: what many requests share goes first, so that a prefix cache finds it.

A prefix cache knows a prompt from its beginning to the first token that is another (vLLM and SGLang
alike); one piece of its own at the front, a date or a name, makes all behind it unknown.
"""

from __future__ import annotations

import msgspec

from latok.workload.parts import Parts


def ordered(parts: Parts) -> Parts:
    """Shared pieces first, each group in the order that it had.

    Where `shared` tells the truth (the requests have the same shared pieces, in one order, and no
    other piece is by chance the same text), no two requests have a shorter common prefix than
    before.
    """
    pieces = sorted(parts.pieces, key=lambda piece: not piece.shared)
    return msgspec.structs.replace(parts, pieces=tuple(pieces))
