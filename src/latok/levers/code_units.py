"""A Python file as units that can be kept or left out: what each binds, and what it names.

A unit is a statement of a module or of a class. A class is one for its head, and its members are
units of their own; whatever else holds statements (`if`, `try`) stays in one piece. Read by
tree-sitter. A file that does not parse is one unit: where its functions end nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple

from latok.levers.extra import from_extra

Kind = Literal["function", "class", "import", "statement", "unparsed"]
_DEFINITIONS = {"function_definition": "function", "class_definition": "class"}
_IMPORTS = ("import_statement", "import_from_statement")
_DEFINED = re.compile(r"^[ \t]*(?:async +)?(?:def|class) +(\w+)|^(\w+) *[:=]", re.MULTILINE)
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Name(NamedTuple):
    """A name in use: `base.name`. `base` is "" for a bare one and "?" if it is no plain name."""

    base: str
    name: str


class Import(NamedTuple):
    """What an import binds: `name` of `module` ("" if the module itself, "*" if all of it)."""

    module: str
    name: str


class Unit:
    """Where it stands (bytes, whole lines), what it binds, and in which class it stands.

    `head`: where its head ends, if the rest can be left out: behind a definition's colon, or an
    assignment's sign.
    """

    def __init__(self, source: bytes, node: Any, module: str, owner: Unit | None) -> None:
        self.owner = owner
        self.module = module
        self._source = source
        self._nodes = [node]
        inner = node.child_by_field_name("definition") or node
        self.node = inner
        self.kind: Kind = "import" if inner.type in _IMPORTS else "statement"
        self.kind = _DEFINITIONS.get(inner.type, self.kind)  # type: ignore[assignment]
        if node.parent is None:
            self.kind = "unparsed"
        self.start = source.rfind(b"\n", 0, node.start_byte) + 1
        self.head = _head(inner)
        self.names = frozenset(_bound(node))
        if self.kind == "unparsed":  # by its lines: of a broken head the tree has only pieces
            defined = _DEFINED.findall(source.decode())
            self.names |= {name for names in defined for name in names if name}

    def add(self, node: Any) -> None:
        """A statement that begins on the line on which this one ends."""
        self._nodes.append(node)
        self.names |= frozenset(_bound(node))
        self.head = None

    @property
    def end(self) -> int:
        """The end of its last line, a comment there too."""
        last = int(self._nodes[-1].end_byte)
        if self._source[last - 1 : last] == b"\n":
            return last - 1
        end = self._source.find(b"\n", last)
        return len(self._source) if end < 0 else end

    @property
    def row(self) -> int:
        return int(self._nodes[-1].end_point[0])

    @property
    def whole(self) -> str:
        return self._source[self.start : self.end].decode()

    @property
    def first(self) -> str:
        """Its head alone, or all of what has none."""
        return self.whole if self.head is None else self._source[self.start : self.head].decode()

    @property
    def stub(self) -> str:
        """Its head and `...`, or all of what has none."""
        return self.whole if self.head is None else f"{self.first} ..."

    @property
    def indent(self) -> str:
        line = self._source[self.start : self.end]
        return line[: len(line) - len(line.lstrip())].decode()

    @property
    def members(self) -> list[Any]:
        """The statements of a class whose body stands on lines of its own."""
        body = self.node.child_by_field_name("body") if self.kind == "class" else None
        if body is None or body.start_point[0] == self.node.start_point[0]:
            return []
        return list(body.named_children)

    @property
    def within(self) -> str:
        """The dotted name of what it stands in: its module, and its classes."""
        if self.owner is None:
            return self.module.removesuffix(".__init__")
        return f"{self.owner.within}.{''.join(self.owner.names)}"

    @cached_property
    def used(self) -> list[Name]:
        """Every name that it uses, or only its head if it is a class with members; once each."""
        nodes = self._nodes
        if self.members:
            nodes = [
                child
                for node in dict.fromkeys([self._nodes[0], self.node])
                for child in node.named_children
                if child.type not in ("block", "class_definition")
            ]
        return list(dict.fromkeys(name for node in nodes for name in _used(node)))

    @cached_property
    def used_outside(self) -> list[Name]:
        """Of a function: what its decorators and parameters use, where it stands itself."""
        body = self.node.child_by_field_name("body")
        parts = [*self._nodes[0].named_children, *self.node.named_children]
        return [n for part in parts if part not in (body, self.node) for n in _used(part)]

    @cached_property
    def bases(self) -> list[str]:
        """A class's base classes, as they are written."""
        given = self.node.child_by_field_name("superclasses") if self.kind == "class" else None
        texts = [child.text.decode() for child in given.named_children] if given else []
        return [text for text in texts if _DOTTED.fullmatch(text)]

    @cached_property
    def imports(self) -> dict[str, Import]:
        """What the imports in it bind, those in a function's body too."""
        found = {}
        for node in self._nodes:
            for inner in _walk(node):
                if inner.type in _IMPORTS:
                    found.update(_imported(inner, self.module))
        return found


def units(source: bytes, module: str) -> list[Unit]:
    """All units of a module, each class before its members. `module`: dotted; a package ends with
    `.__init__`."""
    language = from_extra("tree_sitter_python").language()
    tree_sitter = from_extra("tree_sitter")
    root = tree_sitter.Parser(tree_sitter.Language(language)).parse(source).root_node
    if root.has_error:
        return [Unit(source, root, module, None)]
    return list(_units(source, root.named_children, module, None))


def _units(source: bytes, nodes: list[Any], module: str, owner: Unit | None) -> Iterator[Unit]:
    found: list[Unit] = []
    for node in nodes:
        if node.type == "comment":
            continue
        if found and found[-1].row >= node.start_point[0]:
            found[-1].add(node)
        else:
            found.append(Unit(source, node, module, owner))
    for unit in found:
        yield unit
        yield from _units(source, unit.members, module, unit)


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for child in node.named_children:
        yield from _walk(child)


def _head(node: Any) -> int | None:
    """Where a head ends that can stand before `...`."""
    if node.type in _DEFINITIONS:
        colons = [child for child in node.children if child.type == ":"]
        return int(colons[-1].end_byte) if colons else None
    if node.type == "expression_statement" and node.named_child_count == 1:
        signs = [child for child in node.named_children[0].children if child.type == "="]
        # a = b = 1: the first of them, behind which everything is one value
        if node.named_children[0].type == "assignment" and signs:
            right = node.named_children[0].child_by_field_name("right")
            left = node.named_children[0].child_by_field_name("left")
            if left.type == "identifier" and right.type != "assignment":
                return int(signs[-1].end_byte)
    return None


def _bound(node: Any) -> Iterator[str]:
    """Names that a statement binds where it stands: not those inside of its functions."""
    match node.type:
        case "function_definition" | "class_definition":
            yield node.child_by_field_name("name").text.decode()
            return
        case "assignment" | "augmented_assignment" | "for_statement":
            yield from _targets(node.child_by_field_name("left"))
        case "named_expression":
            yield node.child_by_field_name("name").text.decode()
        case "as_pattern_target":
            yield from _targets(node)
        case "import_statement" | "import_from_statement":
            yield from _imported(node, "")
            return
        case "lambda" | "comment" | "string":
            return
    for child in node.named_children:
        yield from _bound(child)


def _targets(node: Any) -> Iterator[str]:
    """`a`, `a, (b, *c)`; what `a.x` and `a[0]` change is `a`."""
    if node.type == "identifier":
        yield node.text.decode()
    elif node.type in ("attribute", "subscript"):
        yield from _targets(node.named_children[0])
    else:
        for child in node.named_children:
            yield from _targets(child)


def _imported(node: Any, module: str) -> dict[str, Import]:
    found = {}
    source = node.child_by_field_name("module_name")
    origin = _absolute(source.text.decode(), module) if source else ""
    for child in node.named_children:
        if child == source:
            continue
        if child.type == "wildcard_import":
            found[f"*{origin}"] = Import(origin, "*")
        elif child.type in ("dotted_name", "aliased_import"):
            alias = child.child_by_field_name("alias")
            what = (child.child_by_field_name("name") or child).text.decode()
            if source:
                found[(alias.text.decode()) if alias else what] = Import(origin, what)
            elif alias:
                found[alias.text.decode()] = Import(what, "")
            else:
                first = what.partition(".")[0]
                found[first] = Import(first, "")
    return found


def _absolute(name: str, module: str) -> str:
    """A module's name without dots before it: one for each package to leave."""
    rest = name.lstrip(".")
    dots = len(name) - len(rest)
    if not dots:
        return rest
    package = module.split(".")[:-dots]
    return ".".join([*package, rest] if rest else package)


def _used(node: Any) -> Iterator[Name]:
    match node.type:
        case "identifier":
            yield Name("", node.text.decode())
            return
        case "attribute":
            base, name = node.named_children[0], node.named_children[-1].text.decode()
            written = base.text.decode()
            if written.startswith("super("):
                written = "super()"
            plain = written == "super()" or _DOTTED.fullmatch(written)
            yield Name(written if plain else "?", name)
            yield from _used(base)
            return
        case "keyword_argument":
            yield from _used(node.named_children[-1])
            return
        case "comment" | "import_statement" | "import_from_statement":
            return
    for child in node.named_children:
        yield from _used(child)
