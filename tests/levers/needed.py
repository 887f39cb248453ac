"""Which names a function of the standard library needs, found with `ast` and not with our code.

Shared by the tests and by benchmarks/context_kept.py.
"""

from __future__ import annotations

import ast
import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from latok.workload.parts import Parts, Piece

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Task(NamedTuple):
    """A function of a file, with its class if it has one: "" if not."""

    path: str
    holder: str
    name: str

    @property
    def called(self) -> str:
        return f"{self.holder}.{self.name}" if self.holder else self.name


def files_of(*names: str) -> dict[str, str]:
    """The sources of packages and modules of the standard library, by their paths."""
    found = {}
    for name in names:
        place = Path(importlib.import_module(name).__file__ or "")
        whole = place.parent.rglob("*.py") if place.name == "__init__.py" else [place]
        root = place.parent.parent if place.name == "__init__.py" else place.parent
        for path in sorted(whole):
            before = (
                "" if place.name == "__init__.py" else name.rpartition(".")[0].replace(".", "/")
            )
            found[str(Path(before) / path.relative_to(root))] = path.read_text("utf-8")
    return found


def tasks_of(files: dict[str, str]) -> list[Task]:
    """Every function of at least eight lines that stands in a module or its classes."""
    found = []
    for path, text in files.items():
        for node in ast.parse(text).body:
            holder = node.name if isinstance(node, ast.ClassDef) else ""
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            found += [
                Task(path, holder, each.name)
                for each in inside
                if isinstance(each, Function) and (each.end_lineno or 0) - each.lineno >= 7
            ]
    return list(dict.fromkeys(found))


def asking(files: dict[str, str], task: Task) -> Parts:
    pieces = [Piece("file", text, name=path) for path, text in files.items()]
    module = task.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    question = Piece("question", f"Make `{module}.{task.called}` faster, and keep what it does.")
    return Parts(pieces=(*pieces, question), max_tokens=100)


def bound(body: list[ast.stmt]) -> set[str]:
    """Names that statements bind, those in their `if` and `try` too, not those in functions."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, Function | ast.ClassDef):
                names.add(inner.name)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                names.add(inner.id)
            elif isinstance(inner, ast.alias):
                names.add(inner.asname or inner.name.partition(".")[0])
    return names


def definitions(body: list[ast.stmt], name: str) -> list[Function]:
    return [node for node in body if isinstance(node, Function) and node.name == name]


def classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def needed(files: dict[str, str], task: Task) -> Iterator[tuple[str, str, str]]:
    """(path, class or "", name) of what the function uses: names of its module, members of its
    class or of bases in the same file that it calls on self, and, of names that the module
    imports from another of the files, where they are defined."""
    tree = ast.parse(files[task.path])
    at_top, holders = bound(tree.body), classes(tree)
    inside = holders[task.holder].body if task.holder else tree.body
    for function in definitions(inside, task.name):
        own = bound(function.body) | {
            each.arg for each in ast.walk(function) if isinstance(each, ast.arg)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in at_top - own - set(dir(builtins)):
                yield (task.path, "", node.id)
                yield from _imported(files, tree, task.path, node.id)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
                and task.holder
            ):
                for holder in _line(holders, task.holder):
                    if node.attr in bound(holders[holder].body):
                        yield (task.path, holder, node.attr)
                        break


def _line(holders: dict[str, ast.ClassDef], name: str) -> Iterator[str]:
    if name in holders:
        yield name
        for base in holders[name].bases:
            if isinstance(base, ast.Name):
                yield from _line(holders, base.id)


def _imported(
    files: dict[str, str], tree: ast.Module, path: str, name: str
) -> Iterator[tuple[str, str, str]]:
    package = path.split("/")[:-1]
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                above = package[: len(package) - node.level + 1] if node.level else []
                place = "/".join([*above, *(node.module or "").split(".")]).strip("/")
                for found in (f"{place}.py", f"{place}/__init__.py"):
                    if found in files and alias.name in bound(ast.parse(files[found]).body):
                        yield (found, "", alias.name)


def there(parts: Parts, wanted: tuple[str, str, str]) -> bool:
    """Whether a needed name is still bound where it was."""
    path, holder, name = wanted
    for piece in parts.of("file"):
        if piece.name == path:
            tree = ast.parse(piece.text)
            if holder:
                return holder in classes(tree) and name in bound(classes(tree)[holder].body)
            return name in bound(tree.body)
    return False
