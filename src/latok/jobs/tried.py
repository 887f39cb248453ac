"""What was tried, read back: its figures, and its runs as far as they are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from latok.errors import UsageError
from latok.jobs.runs import TRIED, read_point, run_there
from latok.quality.tried import Tried

if TYPE_CHECKING:
    from latok.report.tried_section import Trial


def read_tried(folder: Path) -> Tried:
    """What was tried in a folder. Raises UsageError if nothing was."""
    try:
        return msgspec.json.decode((folder / TRIED).read_bytes(), type=Tried)
    except OSError as why:
        raise UsageError(f"nothing was tried in {folder}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / TRIED} is not of latok: {why}") from None


def stored_trial(folder: Path) -> Trial:
    """What was tried in a folder, for a report. Raises UsageError if nothing was."""
    from latok.report.tried_section import Trial

    found = read_tried(folder)
    names = ["without", *(each.name for each in found.alone)]
    names.append(" ".join(f"{name}={value}" for name, value in found.levers.items()))
    points = []
    for name, side in zip(names, found.runs, strict=True):
        places = [place for run in side if (place := run_there(Path(run), folder)) is not None]
        points.append((name, [read_point(place) for place in places]))
    return Trial(found, points)
