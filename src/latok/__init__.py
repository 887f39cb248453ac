"""latok maps where a language-model deployment stands between latency and tokens.

    import latok

    found = latok.map("http://127.0.0.1:8000", app="chat", budget=120)
    print(found.advice.text)
    for point in latok.frontier(found.points):
        print(point.load, point.metrics["ttft"].p95, point.throughput.output_tokens_per_s)

The names below are the public ones; all else may change. They are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latok.version import VERSION as __version__

if TYPE_CHECKING:
    from latok.analysis.capacity import Capacity
    from latok.analysis.compare import Comparison
    from latok.analysis.explain import Explanation
    from latok.analysis.frontier import Advice, Map, frontier, knee
    from latok.analysis.point import Point, Summary
    from latok.errors import InvalidError, LatokError, TargetError, UsageError
    from latok.jobs.calls import capacity, compare, explain, map, measure, try_levers
    from latok.jobs.doctor import doctor
    from latok.jobs.map import read_maps
    from latok.jobs.runs import read_point, read_run
    from latok.quality.tried import Tried
    from latok.records import Chunk, Manifest, Record, Request

_HOMES = {
    "latok.analysis.capacity": ("Capacity",),
    "latok.analysis.compare": ("Comparison",),
    "latok.analysis.explain": ("Explanation",),
    "latok.analysis.frontier": ("Advice", "Map", "frontier", "knee"),
    "latok.analysis.point": ("Point", "Summary"),
    "latok.errors": ("InvalidError", "LatokError", "TargetError", "UsageError"),
    "latok.jobs.calls": ("capacity", "compare", "explain", "map", "measure", "try_levers"),
    "latok.jobs.doctor": ("doctor",),
    "latok.jobs.map": ("read_maps",),
    "latok.jobs.runs": ("read_point", "read_run"),
    "latok.quality.tried": ("Tried",),
    "latok.records": ("Chunk", "Manifest", "Record", "Request"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  # by what one does with them
    "map",
    "measure",
    "compare",
    "capacity",
    "explain",
    "try_levers",
    "doctor",
    "read_maps",
    "read_point",
    "read_run",
    "frontier",
    "knee",
    "Map",
    "Advice",
    "Point",
    "Summary",
    "Comparison",
    "Capacity",
    "Tried",
    "Explanation",
    "Record",
    "Request",
    "Chunk",
    "Manifest",
    "LatokError",
    "UsageError",
    "TargetError",
    "InvalidError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'latok' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
