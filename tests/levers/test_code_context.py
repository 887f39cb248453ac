"""Of real packages, what a function touches: all of it there, to the letter, in few tokens."""

from __future__ import annotations

import ast
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.levers.code_context import selected
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate
from tests.levers.needed import asking, definitions, files_of, needed, tasks_of, there

PACKAGES = [["json"], ["argparse"], ["http.client"], ["email"], ["configparser", "textwrap"]]


def tokens(parts: Parts) -> int:
    return sum(estimate([piece.text for piece in parts.of("file")]))


@pytest.mark.parametrize("names", PACKAGES, ids=" ".join)
def test_what_a_function_needs_is_kept_in_a_fifth_of_the_tokens(names: list[str]) -> None:
    files = files_of(*names)
    every = tasks_of(files)
    for task in random.Random(names[0]).sample(every, min(12, len(every))):
        before = asking(files, task)
        after = selected(before, tokens(before) // 5, estimate)
        assert tokens(after) <= tokens(before) // 5, task
        wanted = set(needed(files, task))
        assert {name for name in wanted if not there(after, name)} == set(), task
        # and the function itself, to the letter
        tree = ast.parse(files[task.path])
        holders = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == task.holder]
        inside = holders[0].body if holders else tree.body
        (kept,) = (piece for piece in after.of("file") if piece.name == task.path)
        for function in definitions(inside, task.name):
            assert ast.get_source_segment(files[task.path], function) in kept.text


@pytest.mark.parametrize("names", PACKAGES, ids=" ".join)
def test_each_line_that_is_kept_stood_there_and_the_whole_is_python(names: list[str]) -> None:
    files = files_of(*names)
    rng = random.Random(names[0])
    for task in rng.sample(tasks_of(files), 6):
        before = asking(files, task)
        after = selected(before, rng.randint(1, tokens(before)), estimate)
        for piece in after.of("file"):
            ast.parse(piece.text)
            rest = iter(files[piece.name].splitlines())
            for line in piece.text.splitlines()[1:]:
                if line.strip() != "...":
                    assert any(line in (known, f"{_head(known, line)} ...") for known in rest), line


def _head(known: str, line: str) -> str:
    head = line.removesuffix(" ...")
    return head if known.startswith(head) else known


def test_files_that_fit_are_left_as_they_are() -> None:
    files = files_of("json")
    parts = asking(files, tasks_of(files)[0])
    assert selected(parts, tokens(parts), estimate) == parts


def in_file(text: str, question: str, budget: int = 60) -> str:
    more = "\n\n\ndef other(a, b):\n    return a.b(b) or a[b] + 1\n" * 12
    pieces = (Piece("file", text + more, name="pkg/mod.py"), Piece("question", question))
    after = selected(Parts(pieces=pieces, max_tokens=9), budget, estimate)
    return "".join(piece.text for piece in after.of("file"))


def test_what_it_looks_like() -> None:
    text = '''\
import os
import sys
LIMIT = 3
class Base:
    def far(self):
        return 1
class A(Base):
    """Doc."""
    def f(self, n):
        return self.g(n) + LIMIT
    def g(self, n):
        return self.far() + n
    def h(self):
        return os.sep
'''
    assert (
        in_file(text, "What does A.f return?", 100)
        == """\
# pkg/mod.py
...
LIMIT = 3
class Base:
    def far(self):
        return 1
class A(Base):
    ...
    def f(self, n):
        return self.g(n) + LIMIT
    def g(self, n):
        return self.far() + n
    ..."""
    )


def test_what_is_asked_about_is_never_cut() -> None:
    text = "def f(a):\n    return [a + 1, a + 2, a + 3, a + 4, a + 5]\n"
    assert text.strip() in in_file(text, "Explain f(a)", budget=1)


BROKEN = (
    "def f(x:\n    return [x, 1]\nstray line\nclass A:\n    def m(self):\n        return f(2)\n"
)


@pytest.mark.parametrize("asked", ["`f`", "What does f(1) return?", "A.m", "the stray thing"])
def test_a_file_that_does_not_parse_is_kept_whole_if_it_is_asked_about(asked: str) -> None:
    assert BROKEN in in_file(BROKEN, asked, budget=1)


def test_a_file_that_does_not_parse_goes_if_another_is_asked_about() -> None:
    sound = "def sound(a):\n    return a\n"
    files = (Piece("file", BROKEN * 20, name="a.py"), Piece("file", sound, name="b.py"))
    parts = Parts(pieces=(*files, Piece("question", "`sound`?")), max_tokens=9)
    (kept,) = selected(parts, 30, estimate).of("file")
    assert sound.strip() in kept.text


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9), st.text(alphabet="()[]:=.,*'\"\n \\@ximport", max_size=4))
def test_of_a_file_broken_anywhere_the_named_function_is_there(at: int, noise: str) -> None:
    text = files_of("textwrap")["textwrap.py"]
    head = "    def fill(self, text):"
    place = at % len(text)
    if abs(place - text.index(head)) < len(head) + 10:
        place = 0
    broken = text[:place] + noise + text[place + 1 :]
    pieces = (Piece("file", broken, name="textwrap.py"), Piece("question", "`fill`"))
    after = selected(Parts(pieces=pieces, max_tokens=9), 300, estimate)
    assert any(head in piece.text for piece in after.of("file"))


def test_statements_of_one_line_are_kept_together() -> None:
    assert "a = 1; b = 2  # both" in in_file(
        "a = 1; b = 2  # both\ndef f():\n    return b\n", "`f`"
    )
    assert "é = 'ü'" in in_file("é = 'ü'\ndef f():\n    return é\n", "`f`")


def test_other_languages_stay() -> None:
    files = (Piece("file", "fn main() {}", name="a.rs"), Piece("file", "x = 1\n" * 90, name="b.py"))
    parts = Parts(pieces=(*files, Piece("question", "`y`?")), max_tokens=9)
    assert selected(parts, 9, estimate).of("file")[0] == files[0]


def test_a_budget_of_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least one token"):
        selected(Parts(pieces=(), max_tokens=1), 0, estimate)
