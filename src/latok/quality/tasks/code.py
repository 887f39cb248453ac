"""Graded tasks for the app `code`: write a line, fill one in, follow a name, repeat with a change.

Real code in them is that of the running Python's standard library (PSF licence), so items are the
same for one version of Python, and may be others with another.

Accuracy of the embedded model (SmolLM2-135M-Instruct Q4_1, OpenVINO) at each task's usual size, 40
items each, of seeds on which no size was chosen: fill 0.60 (102, 103), across 0.68 (106, 107), edit
0.68 (101, 104; 116 tokens an answer). body had 0.53 to 0.69 of 16 items. So few leave 0.15 either
way; `latok measure openvino --items TASK -c 8 --requests 32 --seed N` measures more.
"""

from __future__ import annotations

import ast
import importlib.util
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.abc import InspectLoader
from typing import Any, NamedTuple

from latok.quality.task import Made, Task
from latok.quality.tasks.words import shown
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate

# --- body: a function from its docstring ---------------------------------------------------------


class _Body(NamedTuple):
    """`takes`: its arguments; `says`: the docstring; `is_`: what it returns, of these and of n;
    `cases`: what it is called with."""

    takes: str
    says: str
    is_: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]]


_INTS = ((1,), (7,), (-4,))
_TEXTS = (("window",), ("Oak Tree",), ("a",))
_LISTS = (([3, 1, 2],), ([5, 9],), ([4, 4, -7, 12],))
_PAIRS = ((3, 8), (-2, 5), (10, 4))
# n is a number from 2 to 9, another one in each item.
_BODIES = {
    "add": _Body("x", "Return x plus {n}.", lambda n, x: x + n, _INTS),
    "subtract": _Body("x", "Return x minus {n}.", lambda n, x: x - n, _INTS),
    "multiply": _Body("x", "Return x times {n}.", lambda n, x: x * n, _INTS),
    "power": _Body("x", "Return x to the power of {n}.", lambda n, x: x**n, _INTS),
    "remainder": _Body("x", "Return the remainder of x divided by {n}.", lambda n, x: x % n, _INTS),
    "above": _Body("x", "Return True if x is greater than {n}.", lambda n, x: x > n, _INTS),
    "below": _Body("x", "Return True if x is less than {n}.", lambda n, x: x < n, _INTS),
    "equals": _Body("x", "Return True if x is equal to {n}.", lambda n, x: x == n, _INTS),
    "divisible": _Body(
        "x", "Return True if x is divisible by {n}.", lambda n, x: x % n == 0, _INTS
    ),
    "at_least": _Body("x", "Return the larger of x and {n}.", lambda n, x: max(x, n), _INTS),
    "at_most": _Body("x", "Return the smaller of x and {n}.", lambda n, x: min(x, n), _INTS),
    "sum_plus": _Body("a, b", "Return a plus b plus {n}.", lambda n, a, b: a + b + n, _PAIRS),
    "product": _Body("a, b", "Return a times b times {n}.", lambda n, a, b: a * b * n, _PAIRS),
    "weighted": _Body("a, b", "Return a times {n} plus b.", lambda n, a, b: a * n + b, _PAIRS),
    "absolute": _Body("x", "Return the absolute value of x.", lambda n, x: abs(x), _INTS),
    "negative": _Body("x", "Return the negative of x.", lambda n, x: -x, _INTS),
    "even": _Body("x", "Return True if x is even.", lambda n, x: x % 2 == 0, _INTS),
    "first": _Body("items", "Return the first {n} items.", lambda n, i: i[:n], _LISTS),
    "last": _Body("items", "Return the last item.", lambda n, i: i[-1], _LISTS),
    "total": _Body("items", "Return the sum of the items.", lambda n, i: sum(i), _LISTS),
    "largest": _Body("items", "Return the largest of the items.", lambda n, i: max(i), _LISTS),
    "smallest": _Body("items", "Return the smallest of the items.", lambda n, i: min(i), _LISTS),
    "ordered": _Body("items", "Return the items in sorted order.", lambda n, i: sorted(i), _LISTS),
    "backwards": _Body("items", "Return the items in reverse.", lambda n, i: i[::-1], _LISTS),
    "scaled": _Body(
        "items", "Return a list of each item times {n}.", lambda n, i: [x * n for x in i], _LISTS
    ),
    "larger": _Body(
        "items", "Return the items greater than {n}.", lambda n, i: [x for x in i if x > n], _LISTS
    ),
    "contains": _Body("items", "Return True if {n} is in items.", lambda n, i: n in i, _LISTS),
    "how_many": _Body("items", "Return the number of items.", lambda n, i: len(i), _LISTS),
    "upper": _Body("text", "Return the text in upper case.", lambda n, t: t.upper(), _TEXTS),
    "lower": _Body("text", "Return the text in lower case.", lambda n, t: t.lower(), _TEXTS),
    "repeat": _Body("text", "Return the text {n} times in a row.", lambda n, t: t * n, _TEXTS),
    "reverse": _Body("text", "Return the text in reverse.", lambda n, t: t[::-1], _TEXTS),
    "start": _Body(
        "text", "Return the first {n} characters of the text.", lambda n, t: t[:n], _TEXTS
    ),
    "longer": _Body(
        "text",
        "Return True if the text has more than {n} letters.",
        lambda n, t: len(t) > n,
        _TEXTS,
    ),
    "words": _Body("text", "Return a list of the words.", lambda n, t: t.split(), _TEXTS),
}


def _signed(name: str, body: _Body, n: int) -> str:
    return f'def {name}({body.takes}):\n    """{body.says.format(n=n)}"""'


_HALF = _Body("x", "Return half of x.", lambda n, x: x / 2, ())
_BETWEEN = _Body("a, b", "Return the difference of a and b.", lambda n, a, b: a - b, ())


def _body(rng: random.Random, size: int) -> Made:
    """So many functions in one answer."""
    names = rng.sample(tuple(_BODIES), min(size, len(_BODIES)))
    asked, tests = [], []
    for name in names:
        n, body = rng.randrange(2, 10), _BODIES[name]
        asked.append(_signed(name, body, n))
        for given in body.cases:
            called = ", ".join(map(repr, given))
            tests.append(f"assert {name}({called}) == {body.is_(n, *given)!r}")
    ask = "Write this Python function in one line:"
    parts = Parts(
        before=shown(
            (
                (f"{ask}\n{_signed('half', _HALF, 0)}", "def half(x): return x / 2"),
                (f"{ask}\n{_signed('between', _BETWEEN, 0)}", "def between(a, b): return a - b"),
            )
        ),
        pieces=(Piece("question", "\n".join([ask, *asked])),),
        max_tokens=32 * len(names),
    )
    answer = {"tests": "\n".join(tests), "lines": 2 * len(names)}
    return Made(parts, "code", answer, names[0])


# --- real code -----------------------------------------------------------------------------------

_MODULES = (
    "argparse ast bisect calendar cgi collections colorsys copy csv datetime difflib dis "
    "fnmatch fractions functools gettext glob heapq inspect ipaddress json.decoder json.encoder "
    "linecache locale mimetypes numbers operator pathlib pprint random shlex shutil statistics "
    "string tempfile textwrap timeit token tokenize traceback types urllib.parse uuid warnings"
)


@cache
def _functions() -> Sequence[ast.FunctionDef]:
    """Small functions of the standard library, without decorators and docstrings."""
    found: dict[str, ast.FunctionDef] = {}
    for name in _MODULES.split():
        for node in ast.parse(_source(name)).body:
            if not isinstance(node, ast.FunctionDef) or node.decorator_list:
                continue
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            # a number of four digits could be taken for one that is asked for
            if node.body and not any(len(word) > 3 for word in _numbers(node)):
                found.setdefault(node.name, node)
    return tuple(found.values())


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or not isinstance(spec.loader, InspectLoader):
        return ""  # not in this version
    return spec.loader.get_source(module) or ""


def _numbers(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, int | float):
            yield str(each.value)


@cache
def _written() -> Sequence[tuple[ast.FunctionDef, str, int]]:
    """Each with its text and how many tokens that has."""
    texts = [ast.unparse(node) for node in _functions()]
    return tuple(zip(_functions(), texts, estimate(texts), strict=True))


def _near(rng: random.Random, size: int, fits: Callable[[ast.FunctionDef], bool]) -> Any:
    """A function of about so many tokens: one of the forty that come nearest."""
    nearest = sorted(
        (each for each in _written() if fits(each[0])), key=lambda each: abs(each[2] - size)
    )
    return rng.choice(nearest[:40])


# --- fill: one line of real code is missing ------------------------------------------------------

_MASK = "# the missing line"


# Each with a name of its own: from examples that differ in one word alone the small model
# learns to repeat that word.
_FILLED = (
    ("def half(number):\n    part = number / 2", "return part"),
    ("def shout(text):\n    loud = text.upper()\n    loud = loud + '!'", "return loud"),
    (
        "def evens(items):\n    kept = []\n    for item in items:\n        if item % 2 == 0:\n"
        "            kept.append(item)",
        "return kept",
    ),
    (
        "def longest(words):\n    best = ''\n    for word in words:\n"
        "        if len(word) > len(best):\n            best = word",
        "return best",
    ),
)


def _ends_with_a_name(function: ast.FunctionDef) -> bool:
    """Whether it returns, at last, what it has given a name of its own before."""
    last = function.body[-1]
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Name):
        return False
    inside = list(ast.walk(function))
    named = {e.id for e in inside if isinstance(e, ast.Name) and isinstance(e.ctx, ast.Store)}
    taken = {each.arg for each in inside if isinstance(each, ast.arg)}
    shared = any(isinstance(each, ast.Global) for each in inside)
    return last.value.id in named - taken and not shared


def _fill(rng: random.Random, size: int) -> Made:
    """The missing line is the last: what comes before it is all that it can be guessed from."""
    node, text, _ = _near(rng, size, _ends_with_a_name)
    lines = text.splitlines()
    at = node.name
    missing = lines[-1].strip()
    ask = "Here is a Python function. Write its missing line."
    parts = Parts(
        before=shown((f"{ask}\n\n{code}\n    {_MASK}", line) for code, line in _FILLED),
        pieces=(
            Piece("question", ask),
            Piece("file", "\n".join([*lines[:-1], f"    {_MASK}"])),
        ),
        max_tokens=32,
    )
    return Made(parts, "python", {"code": missing, "lines": 1}, at)


# --- across: a name in one file, its value in another --------------------------------------------

_PLACES = ("hotel", "museum", "library", "station", "garden", "market", "harbour", "theatre")
_WHATS = ("guests", "tickets", "books", "tables", "boats", "seats", "lamps", "rooms")


_ROOM_FOR_ANOTHER = 100  # tokens of all files


def _across(rng: random.Random, size: int) -> Made:
    """Two files and, where there is room, a third; real functions stand between what is needed, and
    a number that is not asked for beside it."""
    place, family = rng.choice(_PLACES), rng.choice(("constant", "module", "function", "default"))
    whats = rng.sample(_WHATS, 2)
    values = rng.sample(range(1000, 10_000), 2)
    what, value = whats[0], values[0]
    upper = f"MAX_{what.upper()}"
    defined = [f"MAX_{w.upper()} = {v}" for w, v in zip(whats, values, strict=True)]
    called = f"allowed_{what}"
    name = f"max_{what}()" if family == "function" else upper
    if family == "function":
        defined = [f"def max_{w}():\n    return {v}" for w, v in zip(whats, values, strict=True)]
        uses = f"from settings import max_{what}\n\n\ndef {called}():\n    return {name}"
    elif family == "module":
        uses = f"import settings\n\n\ndef {called}():\n    return settings.{name}"
    elif family == "default":
        uses = f"from settings import {name}\n\n\ndef {called}(most={name}):\n    return most"
    else:
        uses = f"from settings import {name}\n\n\ndef {called}():\n    return {name}"
    if size < _ROOM_FOR_ANOTHER:
        del defined[1:]
    rng.shuffle(defined)
    files = {"settings.py": defined, f"{place}.py": [uses], "helpers.py": []}
    room = size - sum(estimate(["\n\n\n".join(some) for some in files.values()]))
    small = [(text, tokens) for _, text, tokens in _written() if tokens <= 80]
    for filler, tokens in rng.sample(small, len(small)):
        if room < 10:
            break
        if tokens <= room:
            some = files[rng.choice(tuple(files))]
            some.insert(rng.randrange(len(some) + 1), filler)
            room -= tokens
    pieces = [
        Piece("file", f"# {path}\n" + "\n\n\n".join(some), name=path)
        for path, some in files.items()
        if some
    ]
    question = "`{}.{}` returns `{}`. Which number is `{}`?"
    constant = (
        "# settings.py\nMAX_DOORS = 4172\n\n# school.py\nfrom settings import MAX_DOORS\n\n\n"
        "def allowed_doors():\n    return MAX_DOORS\n\n"
        + question.format("school", "allowed_doors", "MAX_DOORS", "MAX_DOORS")
    )
    function = (
        "# settings.py\ndef max_desks():\n    return 6318\n\n# office.py\n"
        "from settings import max_desks\n\n\ndef allowed_desks():\n    return max_desks()\n\n"
        + question.format("office", "allowed_desks", "max_desks()", "max_desks()")
    )
    parts = Parts(
        before=shown(((constant, "`MAX_DOORS` is 4172."), (function, "`max_desks()` is 6318."))),
        pieces=(*pieces, Piece("question", question.format(place, called, name, name))),
        max_tokens=24,
    )
    about: dict[str, float | str] = {"tokens": float(sum(estimate([p.text for p in pieces])))}
    return Made(parts, "number", {"value": value, "which": "first"}, f"{family} {what}", about)


# --- edit: a file again, with one change ---------------------------------------------------------

_BEFORE = 3  # versions of the file that were said before


def _edit(rng: random.Random, size: int) -> Made:
    """The last turn of a session in which one file is changed again and again, and written whole
    each time: the answer repeats its prompt, which speculation by prompt lookup is made for.

    Several versions must come before: with one, the small model repeats none of 12 files of real
    code, with two 6, with three 9.
    """
    node, text, _ = _near(rng, size, lambda node: True)
    values = rng.sample(range(10, 100), _BEFORE + 2)
    versions = [f"LIMIT = {value}\n\n\n{text}" for value in values]
    asks = [f"Set LIMIT to {value}." for value in values[1:]]
    first = f"{asks[0]}\n\n{versions[0]}"
    *said, right = versions[1:]
    parts = Parts(
        before=shown(zip((first, *asks[1:-1]), said, strict=True)),
        pieces=(Piece("question", asks[-1]),),
        max_tokens=estimate([right])[0] * 5 // 4 + 16,
    )
    return Made(parts, "python", right, node.name)


def _task(
    name: str,
    what: str,
    make: Callable[[random.Random, int], Made],
    sizes: tuple[int, ...],
    usual: int,
) -> Task:
    return Task(name=name, app="code", what=what, make=make, sizes=sizes, usual=usual)


TASKS: tuple[Task, ...] = (
    _task("body", "functions from their docstrings, tested; size: functions", _body, (1, 2, 3), 1),
    _task("fill", "the last line of a real function; size: its tokens", _fill, (40, 80, 160), 40),
    _task(
        "across",
        "a number that one file defines and another uses; size: tokens of all files",
        _across,
        (60, 100, 150, 200, 400, 800, 1600, 3200),
        60,
    ),
    _task(
        "edit",
        "a file of real code again, with one number changed; size: tokens of its function",
        _edit,
        (40, 70, 100, 140, 200, 300),
        100,
    ),
)
