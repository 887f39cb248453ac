"""The levers that act on a request's parts, by name: what a value of each makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latok.errors import UsageError
from latok.levers.code_context import selected as selected_code
from latok.levers.compaction import compacted
from latok.levers.context import selected
from latok.levers.examples import kept
from latok.levers.output_budget import limited
from latok.levers.prefix_order import ordered
from latok.workload.parts import Parts

MAP_REDUCE = "map_reduce:"
Count = Callable[[list[str]], list[int]]
Change = Callable[[Parts], Parts]


def _context(value: str, count: Count) -> Change:
    how, _, budget = value.partition(":")
    if how == "whole":
        return unchanged
    if value.startswith(MAP_REDUCE):  # not one request any more: `latok.jobs.waves` asks it
        _whole("context", budget)
        return unchanged
    if how != "bm25":
        raise UsageError(f"context is whole, bm25:TOKENS or map_reduce:TOKENS, not '{value}'")
    tokens = _whole("context", budget)
    return lambda parts: selected(parts, tokens, count)


def _code_context(value: str, count: Count) -> Change:
    if value == "whole":
        return unchanged
    tokens = _whole("code_context", value)
    return lambda parts: selected_code(parts, tokens, count)


def _compaction(value: str, count: Count) -> Change:
    return compacted if _on("compaction", value) else unchanged


def _prefix_order(value: str, count: Count) -> Change:
    return ordered if _on("prefix_order", value) else unchanged


def _examples(value: str, count: Count) -> Change:
    most = _whole("examples", value, least=0)
    return lambda parts: kept(parts, most)


def _output_budget(value: str, count: Count) -> Change:
    tokens = _whole("output_budget", value)
    return lambda parts: limited(parts, tokens)


_CHANGES: dict[str, Callable[[str, Count], Change]] = {
    "context": _context,
    "code_context": _code_context,
    "compaction": _compaction,
    "prefix_order": _prefix_order,
    "examples": _examples,
    "output_budget": _output_budget,
}
REQUEST_LEVERS = tuple(_CHANGES)


def unchanged(parts: Parts) -> Parts:
    """What no lever does."""
    return parts


def change(levers: Sequence[tuple[str, str]], count: Count) -> Change:
    """What levers (name and value) make of a request, one after the other in the order given.

    `count`: tokens of texts. Raises UsageError for a value that a lever does not have.
    """
    changes = [_CHANGES[name](value, count) for name, value in levers]

    def changed(parts: Parts) -> Parts:
        for each in changes:
            parts = each(parts)
        return parts

    return changed


def _whole(name: str, value: str, least: int = 1) -> int:
    if not value.isdecimal() or int(value) < least:
        raise UsageError(f"{name} wants a whole number of at least {least}, not '{value}'")
    return int(value)


def _on(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise UsageError(f"{name} is on or off, not '{value}'")
    return value == "on"
