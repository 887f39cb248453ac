"""A request whose parts are known, so that a lever can take hold of one of them.

A server sees one text. Whoever wrote it knows more: which part is the document and which the
question, what is the same for all requests, what is data. Levers that act on requests
(`latok.levers`) read and change a Parts; what is sent is made of it at the end.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from latok.records import Message, Request

_ASKED = 16  # words at the end of a drawn prompt that stand for its question
PieceKind = Literal["instruction", "example", "context", "file", "data", "question"]


class Piece(msgspec.Struct, frozen=True):
    """A part of a prompt. `example`: a worked question with its answer; `context`: text that the
    answer stands in; `file`: source code, `name` is its path; `data`: JSON records.

    `shared`: the same text in many requests, so that a prefix cache may know it.
    """

    kind: PieceKind
    text: str
    name: str = ""
    shared: bool = False


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked last is its `pieces` in their order; `before` is what was said until then,
    worked questions first."""

    pieces: tuple[Piece, ...]
    max_tokens: int
    before: tuple[Message, ...] = ()

    @property
    def text(self) -> str:
        """What the user says last: the pieces, an empty line between each two."""
        return "\n\n".join(piece.text for piece in self.pieces)

    def of(self, kind: PieceKind) -> tuple[Piece, ...]:
        """The pieces of one kind."""
        return tuple(piece for piece in self.pieces if piece.kind == kind)

    def request(
        self, id: int, prompt_tokens: int, *, app: str = "", top_logprobs: int = 0
    ) -> Request:
        """As it is sent, its answer ending by itself; `prompt_tokens`: of all of it, by the
        target's tokeniser."""
        return Request(
            id=id,
            prompt=self.text,
            prompt_tokens=prompt_tokens,
            max_tokens=self.max_tokens,
            app=app,
            before=self.before,
            top_logprobs=top_logprobs,
            may_stop=True,
        )


def parts_of_drawn(request: Request) -> Parts:
    """What was drawn for an app, as far as that has parts: of a document the last words are the
    question and all above them its context; of any other app the whole is the question."""
    question, context = request.prompt, tuple[Piece, ...]()
    if request.app == "document":
        words = re.findall(r"\s*\S+", request.prompt)
        above, question = "".join(words[:-_ASKED]), "".join(words[-_ASKED:])
        context = (Piece("context", above),) if above else ()
    return Parts(
        pieces=(*context, Piece("question", question)),
        max_tokens=request.max_tokens,
        before=request.before,
    )
