"""How well an answer agrees with the right one: from 0 to 1, strictly, and by no model's opinion
(a user's own items may ask for that: `latok.quality.judge`).

    scorer         answer                            score
    exact          a text, or several                1 if the whole answer is one of them
    prefix         a text, or several                1 if the answer begins with one of them
    verbatim       a text                            as prefix, but capitals count
    contains       a text, or several                share of them that stand in it, as whole words
    regex          a pattern (RE2)                   1 if it is found
    number         a number, or {value, which}       1 if it is the last number (or the first)
    json_fields    an object                         share of fields that are right, of all of both
    set_f1         a list of texts                   F1 of the entries of the list that was given
                   or {right, among}                 F1 of those of `among` that the answer names
    tool_call      {name, arguments}                 1 if name and every argument are right
    instructions   a list of {kind, …} (CHECKS)      share of the instructions that were followed
    python         code, or {code, lines}            1 if it is the same syntax tree; not run
    code           {tests, before, after, lines}     1 if the tests pass; run by `Run`

Except where capitals count, texts are compared without case, without quotes, asterisks and a full
stop around them, and with every run of white space as one space (`plain`). JSON may stand in a
Markdown fence, with nothing else around it: who reads it is a program.

An answer is hostile until it is scored: every scorer takes time linear in its length, and reads no
more than `READ` characters.
"""

from __future__ import annotations

import ast
import re
import textwrap
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from latok.errors import UsageError
from latok.quality.items import Item

READ = 100_000  # characters of an answer

# Whether code passes its tests, under limits; the caller knows where it may run.
Run = Callable[[str, str], bool]


def score(item: Item, text: str, run: Run | None = None) -> float:
    """From 0 (wrong) to 1 (right). Raises UsageError for a scorer that is no rule, or lacks its
    `run`."""
    text = text[:READ]
    if item.scorer == "code":
        if run is None:
            raise UsageError(f"{item.id} is graded by running code, and nothing here may run it")
        given = item.answer
        of: Mapping[str, Any] = {"tests": given} if isinstance(given, str) else given
        code = of.get("before", "") + code_in(text, of.get("lines")) + of.get("after", "")
        return float(run(code, of["tests"]))
    if item.scorer not in SCORERS:
        raise UsageError(f"no scorer {item.scorer!r}; there are {', '.join((*SCORERS, 'code'))}")
    return SCORERS[item.scorer](item.answer, text)


# --- texts ---------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """As texts are compared: no case, single spaces, no quotes, asterisks or full stop around."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.split()).strip(" \"'`*“”‘’").rstrip(".").rstrip(" \"'`*“”‘’")


def _several(answer: str | Sequence[str]) -> Sequence[str]:
    return (answer,) if isinstance(answer, str) else answer


def _exact(answer: str | Sequence[str], text: str) -> float:
    return float(plain(text) in map(plain, _several(answer)))


def _begins(text: str, start: str) -> bool:
    """With whole words: "12" does not begin "123"."""
    return text.startswith(start) and not text[len(start) : len(start) + 1].isalnum()


def _prefix(answer: str | Sequence[str], text: str) -> float:
    return float(any(_begins(plain(text), plain(one)) for one in _several(answer)))


def _verbatim(answer: str, text: str) -> float:
    return float(_begins(" ".join(text.split()).lstrip("\"'`*"), " ".join(answer.split())))


def _stands_in(word: str, text: str) -> bool:
    """As whole words; both are plain."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not text[at - 1 : at].isalnum() and not text[end : end + 1].isalnum():
            return True
        at = text.find(word, at + 1)
    return False


def _contains(answer: str | Sequence[str], text: str) -> float:
    said, several = plain(text), _several(answer)
    return sum(_stands_in(plain(one), said) for one in several) / len(several)


def pattern(text: str) -> Any:
    """A pattern of RE2, which takes linear time on any text, so that none can hang us.

    Raises UsageError if it is not one, or if RE2 is not installed.
    """
    try:
        import re2
    except ImportError:
        raise UsageError(
            "patterns are read by RE2, which is not installed: pip install 'latok[quality]'"
        ) from None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as why:
        said = why.args[0].decode() if isinstance(why.args[0], bytes) else str(why)
        raise UsageError(f"{text[:60]!r} is no pattern that RE2 knows: {said}") from None


def _regex(answer: str, text: str) -> float:
    known = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text
    return float(pattern(answer).search(known) is not None)


_NUMBER = re.compile(r"(?<![\w.])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?")


def _number(answer: float | Mapping[str, Any], text: str) -> float:
    """Numbers as people write them: 1,234.5 or -3; a sign behind a word or a digit is a hyphen."""
    of = answer if isinstance(answer, Mapping) else {"value": answer}
    found = _NUMBER.findall(text)
    if not found:
        return 0.0
    said = found[0 if of.get("which") == "first" else -1].replace(",", "")
    return float(abs(float(said[:400]) - of["value"]) <= 1e-6 * max(1, abs(of["value"])))


def _set_f1(answer: Sequence[str] | Mapping[str, Sequence[str]], text: str) -> float:
    """Entries stand on lines, or between commas, semicolons or “and”; their bullets do not count.
    Where it is known what could have been listed, `among`, they may stand in sentences, too.

    F1: twice what both have ÷ what both have together; said twice counts twice.
    """
    if isinstance(answer, Mapping):
        said = plain(text)
        given = Counter(one for one in map(plain, answer["among"]) if _stands_in(one, said))
        right = Counter(map(plain, answer["right"]))
    else:
        parts = [plain(_BULLET.sub("", part)) for part in re.split(r"[,;\n]|\band\b", text)]
        given, right = Counter(part for part in parts if part), Counter(map(plain, answer))
    return 2 * (given & right).total() / max(given.total() + right.total(), 1)


_BULLET = re.compile(r"^\s*(?:[-*•]|[0-9]{1,3}[.)])\s+")


# --- JSON ----------------------------------------------------------------------------------------


def json_in(text: str) -> Any:
    """The value that an answer is, without a Markdown fence around it; `...` if it is not JSON."""
    try:
        return msgspec.json.decode(_unfenced(text).encode())
    except (ValueError, RecursionError):  # also a surrogate that UTF-8 has not
        return ...


def _unfenced(text: str) -> str:
    """What stands in the fence, if the whole answer does."""
    inside = text.strip()
    if inside.startswith("```") and inside.endswith("```") and "\n" in inside:
        inside = inside.partition("\n")[2].removesuffix("```")
    return inside


def _same(one: Any, other: Any) -> bool:
    """As JSON has it: true is not 1 and "1" is not 1, but 1.0 is 1. As deep as `one` at most."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list | tuple):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _json_fields(answer: Mapping[str, Any], text: str) -> float:
    said = json_in(text)
    if not isinstance(said, dict):
        return 0.0
    right = sum(name in said and _same(value, said[name]) for name, value in answer.items())
    return right / max(len(answer.keys() | said.keys()), 1)


def _tool_call(answer: Mapping[str, Any], text: str) -> float:
    """Arguments may be an object, or the text of one, as OpenAI's API has it."""
    said = json_in(text)
    if not isinstance(said, dict) or said.keys() != {"name", "arguments"}:
        return 0.0
    arguments = said["arguments"]
    if isinstance(arguments, str):
        arguments = json_in(arguments)
    return float(said["name"] == answer["name"] and _same(answer["arguments"], arguments))


# --- instructions that can be verified (as in IFEval, Zhou et al. 2023, arXiv 2311.07911) ---


def _words(text: str) -> int:
    return len(text.split())


def _bullets(text: str) -> int:
    return sum(_BULLET.match(line) is not None for line in text.splitlines())


# Each takes what was said, without white space around it, and the words of the instruction.
CHECKS: Mapping[str, Callable[..., bool]] = {
    "words": lambda said, n: _words(said) == n,
    "at_most_words": lambda said, n: _words(said) <= n,
    "at_least_words": lambda said, n: _words(said) >= n,
    "sentences": lambda said, n: len(re.findall(r"[.!?](?=[\"'”]?(?:\s|$))", said)) == n,
    "bullets": lambda said, n: _bullets(said) == n,
    "includes": lambda said, word: _stands_in(plain(word), plain(said)),
    "excludes": lambda said, word: not _stands_in(plain(word), plain(said)),
    "starts": lambda said, word: _begins(plain(said), plain(word)),
    "ends": lambda said, word: plain(said).endswith(plain(word)),
    "lower": lambda said: said == said.lower(),
    "upper": lambda said: said == said.upper(),
    "no_commas": lambda said: "," not in said,
    "quoted": lambda said: len(said) > 1 and said[0] == said[-1] == '"',
    "json": lambda said: json_in(said) is not ...,
}


def _instructions(answer: Sequence[Mapping[str, Any]], text: str) -> float:
    """An empty answer follows none, not even the one to leave out commas."""
    said = text.strip()
    if not said:
        return 0.0
    return sum(_followed(dict(one), said) for one in answer) / len(answer)


def _followed(instruction: dict[str, Any], said: str) -> bool:
    return CHECKS[instruction.pop("kind")](said, **instruction)


# --- code ----------------------------------------------------------------------------------------


def code_in(text: str, lines: int | None = None) -> str:
    """The first block of code in an answer, or all of it where nothing is fenced.

    `lines`: only so many of those that are not empty, and none behind an empty one.
    """
    _, fence, rest = text.partition("```")
    if fence:
        text = rest.partition("\n")[2].partition("```")[0]  # behind the fence stands its language
    if lines is None:
        return text
    first = text.strip("\n").partition("\n\n")[0].splitlines()
    return "\n".join(first[:lines])


_PARSED = 10_000  # characters


def _python(answer: str | Mapping[str, Any], text: str) -> float:
    """Comments, quotes and brackets may differ, and how far all of it is indented."""
    of: Mapping[str, Any] = {"code": answer} if isinstance(answer, str) else answer
    right, said = _tree(of["code"]), _tree(code_in(text, of.get("lines")))
    return float(said is not None and said == right)


def _tree(code: str) -> str | None:
    """None if it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would say of a strange backslash
            return ast.dump(ast.parse(textwrap.dedent(code[:_PARSED]).strip()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


SCORERS: Mapping[str, Callable[[Any, str], float]] = {
    "exact": _exact,
    "prefix": _prefix,
    "verbatim": _verbatim,
    "contains": _contains,
    "regex": _regex,
    "number": _number,
    "json_fields": _json_fields,
    "set_f1": _set_f1,
    "tool_call": _tool_call,
    "python": _python,
    "instructions": _instructions,
}
