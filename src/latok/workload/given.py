"""Prompts that somebody brings, in the forms that files of prompts have.

A row is a conversation (`messages` of role and content; `conversations` of from and value, as in
ShareGPT) or one text (`prompt`, `question`, …). Of a conversation the part before the first answer
is asked. How long an answer may be is a number of tokens, or is counted from an answer that the row
holds, or is left to the app.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from latok.errors import UsageError
from latok.records import Message
from latok.workload.files import rows

_TEXTS = ("prompt", "question", "instruction", "query", "text", "input", "content")
_COUNTS = (
    *("output_tokens", "output_length", "output_len", "max_tokens", "max_completion_tokens"),
    *("completion_tokens", "answer_tokens"),
)
_ANSWERS = ("answer", "response", "completion", "output", "chosen")
# ShareGPT's words, and those of others, for who speaks
_ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bard", "bing", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
MOST = 2000  # prompts of a file that are used: each is counted by the target's tokeniser


class Given(NamedTuple):
    """One prompt. `output`: tokens of its answer; else `answer`, from which they are counted; with
    neither, the app says."""

    before: tuple[Message, ...]
    prompt: str
    output: int | None = None
    answer: str = ""


def given(data: bytes, name: str, *, seed: int) -> list[Given]:
    """The prompts of a file, in an order that the seed draws, no more than `MOST`.

    Raises UsageError with the place of a row that holds no prompt.
    """
    found = [_read(row, place) for place, row in rows(data, name)]
    known = [each for each in found if each is not None]
    if not known:
        raise UsageError(f"{name} holds no prompt: nobody asks anything in it")
    rng = random.Random(f"prompts {seed}")
    return rng.sample(known, min(len(known), MOST))


def _read(row: Mapping[str, Any], place: str) -> Given | None:
    """A row as a prompt; None for a conversation in which nobody asks before it is answered."""
    output = _output(row, place)
    for column, who, what in (("messages", "role", "content"), ("conversations", "from", "value")):
        if row.get(column) is not None:
            return _conversation(row[column], who, what, output, f"{place}: {column}")
    for column in _TEXTS:
        if row.get(column) is None:
            continue
        if isinstance(row[column], list):  # messages under another name
            return _conversation(row[column], "role", "content", output, f"{place}: {column}")
        if not isinstance(row[column], str) or not row[column].strip():
            raise UsageError(f"{place}: {column} holds no text, but {str(row[column])[:40]!r}")
        answer = next((row[a] for a in _ANSWERS if isinstance(row.get(a), str)), "")
        return Given((), row[column], output, answer)
    raise UsageError(
        f"{place}: no prompt; a column would be called messages, conversations, {', '.join(_TEXTS)}"
    )


def _conversation(said: Any, who: str, what: str, output: int | None, place: str) -> Given | None:
    before: list[Message] = []
    answer = ""
    for each in said if isinstance(said, Iterable) and not isinstance(said, str) else [None]:
        if not isinstance(each, Mapping) or not isinstance(each.get(who), str):
            raise UsageError(f"{place} must be a list of objects with {who} and {what}")
        role = _ROLES.get(each[who].lower())
        text = _plain(each.get(what))
        if role is None or text is None:
            continue  # tools and pictures: nothing that could be sent as text
        if role == "assistant":
            answer = text
            break
        before.append(Message(role, text))
    if not before or before[-1].role != "user" or not before[-1].content.strip():
        return None
    return Given(tuple(before[:-1]), before[-1].content, output, answer)


def _plain(content: Any) -> str | None:
    """A content as text; OpenAI's may be a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def _output(row: Mapping[str, Any], place: str) -> int | None:
    for column in _COUNTS:
        value = row.get(column)
        if value in (None, ""):
            continue
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number < 1:
            raise UsageError(f"{place}: {column} is {value!r}; it must be a number of tokens")
        return number
    return None
