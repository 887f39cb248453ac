"""The shape of the house: the order of its rooms, and the line above which there is no world."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import latok

SOURCE = Path(latok.__file__).parent

# A module imports only from its own room and from rooms above it in this list.
ROOMS = [
    "version",
    "errors",
    "records",
    "workload",
    "wire",
    "levers",
    "analysis",
    "quality",
    "decide",
    "report",
    # only what follows touches the world
    "load",
    "engines",
    "sandbox",
    "jobs",
    "cli",
    "__main__",
]
PURE = ROOMS[: ROOMS.index("load")]
WORLD = {"asyncio", "socket", "ssl", "time", "subprocess", "os", "sys", "select", "threading"}
MODULES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file, as absolute names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_only_from_itself_and_from_rooms_above(path: Path) -> None:
    if room(path) == "__init__":  # the public names come from everywhere
        return
    above = set(ROOMS[: ROOMS.index(room(path)) + 1])
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("latok.")}
    assert ours <= above, f"{room(path)} imports from {sorted(ours - above)}"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room(p) in PURE], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_above_the_line_there_is_no_clock_socket_process_or_file(path: Path) -> None:
    world = {name.split(".")[0] for name in imports(path)} & (WORLD | {"pathlib"})
    allowed = {"pathlib"} if room(path) == "records" else set()
    assert world <= allowed, f"{path.name} imports {sorted(world - allowed)}"


def test_every_room_stands_in_the_list() -> None:
    assert {room(path) for path in MODULES} - {"__init__"} == set(ROOMS)


def test_load_does_not_know_engines() -> None:
    for path in MODULES:
        if room(path) == "load":
            assert not any(name.startswith("latok.engines") for name in imports(path))
