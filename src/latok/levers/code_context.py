"""The lever `code_context=BUDGET`: of the files, what the function under work touches.

The question names functions, classes or constants of the files (`JSONDecoder.decode`, `loads`).
These are kept to the letter, under their classes' heads. What they use comes along, found as Python
finds names (module, class and its bases, imports from one file to the other): as a head with `...`
at least, whole where the budget has room, and what that uses as heads. Dropping blank lines or
unparsing saves nothing; leaving out functions does (SWE-Pruner, 2601.16746: 23-54 % of an agent's
tokens). What was measured: benchmarks/context_kept.py.

The result is Python again where the files were, and says with `...` where something is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from latok.errors import UsageError
from latok.levers.code_units import Name, Unit, units
from latok.levers.context import Count
from latok.levers.lexical import scores, words
from latok.workload.parts import Parts, Piece

_DEPTH = 2  # what is asked about, what that uses, what those use
# As many definitions of one bare name are meant at once; more (`__init__`) are told apart by the
# other words of the question.
_ALIKE = 4
_CALLED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def selected(parts: Parts, budget_tokens: int, count: Count) -> Parts:
    """The parts with at most so many tokens of Python files, by `count`; as they are if that is
    enough. Of what the question names nothing is ever cut, even if it alone is more.

    A file of which nothing is kept is left out; one that does not parse is kept whole or not at
    all. Files in other languages stay, and do not count.
    """
    if budget_tokens < 1:
        raise UsageError(f"a budget for code is at least one token, not {budget_tokens}")
    places = [n for n, piece in enumerate(parts.pieces) if _is_python(piece)]
    files = [parts.pieces[n] for n in places]
    if not files or sum(count([file.text for file in files])) <= budget_tokens:
        return parts
    code = _Code(files)
    asked = parts.of("question") or parts.of("instruction")
    targets = code.named(" ".join(piece.text for piece in asked))
    wanted = code.wanted(targets)
    kept = _fitted(code, wanted, budget_tokens, count)
    texts = code.shown(kept)
    pieces: list[Piece] = []
    for n, piece in enumerate(parts.pieces):
        if n not in places:
            pieces.append(piece)
        elif text := texts[places.index(n)]:
            pieces.append(msgspec.structs.replace(piece, text=text, shared=False))
    return msgspec.structs.replace(parts, pieces=tuple(pieces))


def _is_python(piece: Piece) -> bool:
    name = piece.name.rpartition("/")[2]
    return piece.kind == "file" and (name.endswith((".py", ".pyi")) or "." not in name)


class _Want(NamedTuple):
    unit: Unit
    depth: int


class _Code:
    """The files' units, and which unit a name in one of them means."""

    def __init__(self, files: Sequence[Piece]) -> None:
        self.files = files
        self.modules = [_module(file.name) for file in files]
        self.units = [
            units(file.text.encode(), module)
            for file, module in zip(files, self.modules, strict=True)
        ]
        self._at_top: list[dict[str, list[Unit]]] = []
        self._members: dict[Unit, dict[str, list[Unit]]] = {}
        self._file = {unit: n for n, found in enumerate(self.units) for unit in found}
        for found in self.units:
            top: dict[str, list[Unit]] = {}
            for unit in found:
                table = self._members.setdefault(unit.owner, {}) if unit.owner else top
                for name in unit.names:
                    table.setdefault(name, []).append(unit)
            self._at_top.append(top)

    # --- what is asked about ---

    def named(self, text: str) -> list[Unit]:
        """The definitions that a text names: those written as code if any, else any of its words,
        else those that its words fit best."""
        every = [unit for found in self.units for unit in found if unit.kind != "import"]
        by_name: dict[str, list[Unit]] = {}
        for unit in every:
            for name in unit.names:
                by_name.setdefault(name, []).append(unit)
        as_code: list[list[Unit]] = []
        plain: list[list[Unit]] = []
        for called in dict.fromkeys(_CALLED.findall(text)):
            *_, last = called.split(".")
            meant = [
                unit
                for unit in by_name.get(last, [])
                if unit.kind == "unparsed" or f".{unit.within}.{last}".endswith(f".{called}")
            ]
            # a capital behind a small letter, a sign, a call: no English word
            code = re.search(r"[a-z][A-Z]|[._\d]", called) or re.search(
                rf"`{re.escape(called)}`|\b{re.escape(called)}\(", text
            )
            (as_code if code else plain).append(self._likeliest(meant, text))
        for groups in (as_code, plain):
            if chosen := list(dict.fromkeys(unit for group in groups for unit in group)):
                return chosen
        functions = [unit for unit in every if unit.kind in ("function", "unparsed")]
        return self._likeliest(functions, text)

    def _likeliest(self, found: list[Unit], text: str) -> list[Unit]:
        if len(found) <= _ALIKE:
            return found
        fit = scores([words(f"{unit.within} {unit.whole}") for unit in found], words(text))
        best = sorted(range(len(found)), key=lambda n: -fit[n])[:_ALIKE]
        return [found[n] for n in sorted(best) if fit[n] > 0]

    # --- what that uses ---

    def wanted(self, targets: Iterable[Unit]) -> list[_Want]:
        """The targets and what they use, the nearest first; each with how far it is."""
        depth = dict.fromkeys(targets, 0)
        order = list(depth)
        for unit in order:  # grows while it is walked
            if depth[unit] == _DEPTH:
                continue
            for needed in self._uses(unit, whole=depth[unit] == 0):
                if needed not in depth:
                    depth[needed] = depth[unit] + 1
                    order.append(needed)
        return [_Want(unit, depth[unit]) for unit in order]

    def _uses(self, unit: Unit, *, whole: bool) -> Iterator[Unit]:
        for name in unit.used:
            yield from self._meant(unit, name)
        if unit.kind == "class" and whole:
            for member in self._inside(unit):
                for name in member.used:
                    yield from self._meant(member, name)
        elif unit.kind == "class":  # how it is made, and its fields
            yield from self._member(unit, "__init__")
            yield from (m for m in self._inside(unit) if m.kind == "statement" and m.names)
        if unit.owner:
            yield unit.owner
            for name in unit.owner.used:
                yield from self._meant(unit.owner, name)
        if unit.kind == "import":
            for bound in unit.imports:
                yield from self._behind(unit, bound)

    def _inside(self, unit: Unit) -> list[Unit]:
        return list(dict.fromkeys(m for ms in self._members.get(unit, {}).values() for m in ms))

    def _meant(self, unit: Unit, used: Name) -> Iterator[Unit]:
        base, name = used
        file = self._file[unit]
        top = self._at_top[file]
        if not base:
            if unit.owner and (unit.kind != "function" or used in unit.used_outside):
                yield from self._members[unit.owner].get(name, [])
            if name in unit.imports and unit.kind != "import":
                yield from self._behind(unit, name)
            yield from top.get(name, [])
            for bound in top.get(name, []):
                if name in bound.imports:
                    yield from self._behind(bound, name)
            if name not in top:
                yield from self._starred(file, name)
            return
        if base in ("self", "cls", "super()") and unit.owner:
            found = list(self._member(unit.owner, name, above=base == "super()"))
            yield from found
            if not found:  # an attribute of the instance: where it is made
                yield from self._member(unit.owner, "__init__")
            return
        where = self._module_called(unit, base)
        if where is not None:
            yield from self._at_top[where].get(name, [])
            return
        for holder in self._class_called(unit, base):
            yield from self._member(holder, name)

    def _behind(self, unit: Unit, name: str) -> Iterator[Unit]:
        """What an imported name is in the file that it comes from."""
        seen: set[tuple[int, str]] = set()
        todo = [unit.imports[name]]
        for come in todo:
            where = self._find(come.module)
            if where is None or (where, come.name) in seen or come.name in ("", "*"):
                continue
            seen.add((where, come.name))
            for found in self._at_top[where].get(come.name, []):
                yield found
                if come.name in found.imports:
                    todo.append(found.imports[come.name])

    def _starred(self, file: int, name: str) -> Iterator[Unit]:
        for unit in self.units[file]:
            if unit.kind != "import":
                continue
            for come in unit.imports.values():
                where = self._find(come.module) if come.name == "*" else None
                if where is not None and name in self._at_top[where]:
                    yield unit
                    yield from self._at_top[where][name]

    def _find(self, module: str) -> int | None:
        for n, known in enumerate(self.modules):
            if f".{known.removesuffix('.__init__')}".endswith(f".{module}"):
                return n
        return None

    def _module_called(self, unit: Unit, base: str) -> int | None:
        first, _, rest = base.partition(".")
        for bound in [unit, *self._at_top[self._file[unit]].get(first, [])]:
            if come := bound.imports.get(first):
                called = ".".join(filter(None, [come.module, come.name, rest]))
                return self._find(called)
        return None

    def _class_called(self, unit: Unit, written: str) -> list[Unit]:
        """The classes that a name means, where it is used."""
        base, _, name = written.rpartition(".")
        return [u for u in self._meant(unit, Name(base, name)) if u.kind == "class"]

    def _member(self, unit: Unit, name: str, *, above: bool = False) -> Iterator[Unit]:
        """A class's member, its own or the first base's that has it."""
        seen = {unit}
        todo = [unit]
        for n, holder in enumerate(todo):
            found = self._members.get(holder, {}).get(name, [])
            if found and not (above and n == 0):
                yield from found
                return
            for written in holder.bases:
                fresh = [c for c in self._class_called(holder, written) if c not in seen]
                seen.update(fresh)
                todo.extend(fresh)

    # --- what is said of it ---

    def shown(self, kept: dict[Unit, bool]) -> list[str]:
        """Each file's text with only these units; True: whole, False: a head. "" without any."""
        texts = []
        for file, found in zip(self.files, self.units, strict=True):
            heads = {holder for unit in found if unit in kept for holder in _above(unit)}
            lines: list[str] = []
            gap = ""
            for unit in found:
                if any(kept.get(holder) for holder in _above(unit)):
                    continue  # its class is there as a whole
                if unit not in kept and unit not in heads:
                    gap = gap or f"{unit.indent}..."
                    continue
                if gap:
                    lines.append(gap)
                    gap = ""
                if kept.get(unit):
                    lines.append(unit.whole)
                else:  # the members of a class speak for themselves, if only by a gap
                    lines.append(unit.first if unit.members else unit.stub)
            if not lines:
                texts.append("")
                continue
            if file.name and file.name not in file.text.partition("\n")[0]:
                lines.insert(0, f"# {file.name}")
            texts.append("\n".join([*lines, gap] if gap else lines))
        return texts


def _above(unit: Unit) -> Iterator[Unit]:
    """The classes that a unit stands in, the nearest first."""
    while unit.owner:
        unit = unit.owner
        yield unit


def _module(path: str) -> str:
    """`email/message.py` is `email.message`."""
    return path.removesuffix("i").removesuffix(".py").strip("./").replace("/", ".")


def _fitted(code: _Code, wanted: Sequence[_Want], budget: int, count: Count) -> dict[Unit, bool]:
    """Which units, and whether whole: the targets; heads of what they use; as much of that whole as
    there is room for; heads of what those use."""
    kept = {want.unit: True for want in wanted if want.depth == 0}
    others = [want for want in wanted if want.depth > 0]
    texts = [*(w.unit.whole for w in others), *(w.unit.stub for w in others), "...\n"]
    sizes = count([f"\n{text}" for text in texts])
    whole = dict(zip((w.unit for w in others), sizes, strict=False))
    head = dict(zip((w.unit for w in others), sizes[len(others) :], strict=False))
    mark = sizes[-1]
    room = budget - sum(count(code.shown(kept)))
    steps: list[tuple[Unit, bool]] = []

    def take(want: _Want, cost: int, *, is_whole: bool) -> None:
        nonlocal room
        if cost <= room:
            room -= cost
            steps.append((want.unit, is_whole))

    near = [want for want in others if want.depth == 1]
    for want in near:
        take(want, head[want.unit] + mark, is_whole=False)
    heads = {unit for unit, _ in steps}
    for want in near:
        if want.unit in heads and want.unit.kind != "import":
            take(want, whole[want.unit] - head[want.unit], is_whole=True)
    for want in others[len(near) :]:
        take(want, head[want.unit] + mark, is_whole=False)
    while steps:
        fitted = kept | dict(steps)
        if sum(count(code.shown(fitted))) <= budget:
            return fitted
        del steps[-max(1, len(steps) // 16) :]
    return kept
