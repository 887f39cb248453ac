"""What OpenVINO's tokeniser and the model's chat template make of text."""

from __future__ import annotations

import re
from typing import Any

from latok.engines.openai import Message, Refusal

# The tokeniser cuts what it gives at 8,192 tokens and says nothing. A token is at least one byte
# and a character at most four, so pieces of this many characters are never cut.
_TOKENISED_LIMIT = 8192
_PIECE = 2000


class Text:
    """The model's tokeniser and chat template. All of it holds the GIL, and is quick."""

    def __init__(self, model: str) -> None:
        import openvino_genai

        self._tokeniser: Any = openvino_genai.Tokenizer(model)
        vocabulary: dict[bytes, int] = self._tokeniser.get_vocab()
        self.pieces = [b""] * (max(vocabulary.values()) + 1)
        for piece, id in vocabulary.items():
            # Only what looks like a special token can be one; decoding drops those that are.
            special = piece[:1] + piece[-1:] == b"<>" and not self._tokeniser.decode([id])
            self.pieces[id] = b"" if special else piece
        self.ids("the first call takes 15 ms")

    def ids(self, text: str) -> list[int]:
        ids = self._encode(text)
        if len(ids) < _TOKENISED_LIMIT:
            return ids
        return [id for piece in _pieces(text) for id in self._encode(piece)]

    def chat(self, messages: list[Message], *, answer: bool = True) -> list[int]:
        """The ids of a conversation in the model's own template."""
        said = [{"role": message.role, "content": message.text} for message in messages]
        try:
            text = self._tokeniser.apply_chat_template(said, add_generation_prompt=answer)
        except RuntimeError as why:
            raise Refusal(f"the chat template does not take this: {why}", param="messages") from why
        return self.ids(text)

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        ids: Any = self._tokeniser.encode(text, add_special_tokens=False).input_ids.data
        return list(ids[0].tolist())


def _pieces(text: str) -> list[str]:
    """A long text cut where the tokeniser would cut too: before a space that a word follows."""
    pieces, start = [], 0
    while len(text) - start > _PIECE:
        cuts = [
            m.start() for m in re.finditer(r"(?<=\w) (?=[A-Za-z])", text[start : start + _PIECE])
        ]
        end = start + (cuts[-1] if cuts and cuts[-1] else _PIECE)
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]
