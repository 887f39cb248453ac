"""Graded items that a user brings: rows of questions with their answers.

{"prompt": "What is the capital of Peru?", "answer": "Lima"}
{"messages": [{"role": "user", "content": "…"}], "answer": {"city": "Lima"}, "max_tokens": 48}

field        what it is                                              without it
prompt       what the user asks                                      `messages` must be there
messages     a conversation; the last message is asked               `prompt` must be there
context      text above the question, from which a lever may choose  none
answer       the right answer, as its scorer reads it                an error
scorer       one of `latok.quality.score`, or judge                  by the answer's type
max_tokens   that the answer may have                                16
task         its name in a report                                    the file's name
family       what it was made from: those alike count for less       each is its own
id           pairs two sides; no two alike                           task and place in the file
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from latok.errors import UsageError
from latok.quality.items import Item
from latok.quality.judge import JUDGE
from latok.quality.score import CHECKS, pattern
from latok.records import Message
from latok.workload.files import Row, rows
from latok.workload.parts import Parts, Piece

_ROLES = ("system", "user", "assistant")
_MAX_TOKENS = 16
FIELDS = (
    *("prompt", "messages", "context", "answer", "scorer", "max_tokens", "task", "family", "id"),
)


def given_items(content: bytes, name: str) -> list[Item]:
    """The items of a file of that name: JSON lines, or another form that `latok.workload.files`
    reads.

    Raises UsageError with the place of what cannot be an item.
    """
    items: dict[str, Item] = {}
    for number, (place, row) in enumerate(rows(content, name), 1):
        try:
            item = _item(row, number, name.partition(".")[0] or "own")
        except UsageError as why:
            raise UsageError(f"{place}: {why}") from None
        if item.id in items:
            raise UsageError(f"{place}: the id {item.id!r} is taken by a row above")
        items[item.id] = item
    return list(items.values())


def _item(row: Row, number: int, file: str) -> Item:
    row = {field: value for field, value in row.items() if value is not None}
    if unknown := row.keys() - set(FIELDS):
        raise UsageError(
            f"no field {', '.join(sorted(map(repr, unknown)))}; there are {', '.join(FIELDS)}"
        )
    if "answer" not in row:
        raise UsageError("no answer to grade by")
    answer = row["answer"]
    guessed = "scorer" not in row
    scorer = _guessed(answer) if guessed else _text(row, "scorer", "")
    _check(scorer, answer)
    task = _text(row, "task", file)
    id = row.get("id", f"{task}/{number}")
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise UsageError(f"id is {_shown(id)}; it must be a text or a whole number")
    return Item(
        id=str(id),
        task=task,
        family=_text(row, "family", str(id)),
        parts=_parts(row),
        scorer=scorer,
        answer=answer,
        about={"scorer": f"{scorer}, by the answer's type"} if guessed else {},
    )


def _parts(row: Row) -> Parts:
    if ("prompt" in row) == ("messages" in row):
        raise UsageError("an item has either a prompt or messages")
    before: tuple[Message, ...] = ()
    if "prompt" in row:
        asked = _text(row, "prompt", "")
    else:
        *said, last = _messages(row["messages"])
        if last.role != "user":
            raise UsageError(f"the last of messages is of {last.role}; a user must ask it")
        before, asked = tuple(said), last.content
    context = _text(row, "context", "") if "context" in row else None
    max_tokens = row.get("max_tokens", _MAX_TOKENS)
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise UsageError(f"max_tokens is {_shown(max_tokens)}; it must be a whole number above 0")
    question = Piece("question", asked)
    return Parts(
        before=before,
        pieces=(question,) if context is None else (Piece("context", context), question),
        max_tokens=max_tokens,
    )


def _messages(said: Any) -> list[Message]:
    if not isinstance(said, list) or not said:
        raise UsageError("messages must be a list of objects with role and content")
    messages = []
    for each in said:
        if not isinstance(each, dict) or each.keys() != {"role", "content"}:
            raise UsageError(f"a message is {_shown(each)}; it must have a role and a content")
        if each["role"] not in _ROLES:
            raise UsageError(f"no role {_shown(each['role'])}; there are {', '.join(_ROLES)}")
        messages.append(Message(each["role"], _text(each, "content", "")))
    return messages


def _text(row: Mapping[str, Any], field: str, default: str) -> str:
    value = row.get(field, default)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{field} is {_shown(value)}; it must be a text")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


# --- what a scorer can read ----------------------------------------------------------------------


def _guessed(answer: Any) -> str:
    if isinstance(answer, dict):
        return "json_fields"
    if _is_number(answer):
        return "number"
    return "set_f1" if isinstance(answer, list) else "prefix"


def _is_number(value: Any) -> bool:
    """One that a float holds: answers are read as floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_number_of(value: Any) -> bool:
    if not isinstance(value, dict):
        return _is_number(value)
    of = {"which": "last", **value}
    known = of.keys() == {"value", "which"} and of["which"] in ("first", "last")
    return known and _is_number(of["value"])


def _is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
    )


def _are_instructions(value: Any) -> bool:
    """Each is tried on an empty text: what its check does not know, or lacks, is a TypeError."""
    if not isinstance(value, list) or not value:
        return False
    try:
        for each in value:
            words = dict(each)
            check = CHECKS[words.pop("kind")]
            check("", **words)
            if not all(type(v) is int if k == "n" else _is_text(v) for k, v in words.items()):
                return False
    except (TypeError, ValueError, KeyError):
        return False
    return True


def _is_code(value: Any) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    return (
        isinstance(value, dict)
        and "tests" in value
        and value.keys() <= {"tests", "before", "after"}
        and all(isinstance(part, str) for part in value.values())
    )


def _one_or_several(value: Any) -> bool:
    return _is_text(value) or _are_texts(value)


# What the answer of each scorer must be.
_ANSWERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "exact": (_one_or_several, "a text or a list of texts"),
    "prefix": (_one_or_several, "a text or a list of texts"),
    "verbatim": (_is_text, "a text"),
    "contains": (_one_or_several, "a text or a list of texts"),
    "regex": (_is_text, "a pattern"),
    "number": (_is_number_of, 'a number, or {"value": 1, "which": "first"}'),
    "json_fields": (lambda value: isinstance(value, dict) and bool(value), "an object"),
    "set_f1": (_are_texts, "a list of texts"),
    "tool_call": (_is_call, "an object of name and arguments"),
    "instructions": (
        _are_instructions,
        f"a list of objects whose kind is one of {', '.join(CHECKS)}",
    ),
    "code": (_is_code, "tests, or an object of tests, before and after"),
    JUDGE: (_is_text, "a text: what a right answer must have"),
}


def _check(scorer: str, answer: Any) -> None:
    if scorer not in _ANSWERS:
        raise UsageError(f"no scorer {scorer!r}; there are {', '.join(_ANSWERS)}")
    fits, what = _ANSWERS[scorer]
    if not fits(answer):
        raise UsageError(f"answer is {_shown(answer)}; for the scorer {scorer} it must be {what}")
    if scorer == "regex":
        pattern(answer)
