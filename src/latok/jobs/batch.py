"""Work that can wait, planned by what is stored."""

from __future__ import annotations

from pathlib import Path

from latok.decide.batch import Batch, batches
from latok.errors import UsageError
from latok.jobs.map import read_maps
from latok.jobs.runs import kind, read_point


def batches_by(folder: Path, *, requests: int, deadline: float, fewest: bool) -> list[Batch]:
    """The plans that a stored run or map allows; see `latok.decide.batch.batches`."""
    if kind(folder) not in ("map", "run"):
        raise UsageError(f"{folder} is neither a map nor a run, so it has no points to plan by")
    if kind(folder) == "map":
        points = [point for each in read_maps(folder) for point in each.points]
    else:
        points = [read_point(folder)]
    return batches(points, requests=requests, deadline=deadline, fewest=fewest)
