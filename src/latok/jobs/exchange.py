"""Runs handed to other tools, and other tools' results among the runs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from latok.analysis.exports import FORMATS
from latok.analysis.imports import imported
from latok.analysis.metrics import digest, steady_part
from latok.analysis.otel import otel
from latok.errors import UsageError
from latok.jobs.runs import POINT, read_run, write_beside
from latok.jobs.session import new_folder

_FORMATS = {**FORMATS, "otel": otel}
_EVERY_REQUEST = ("jsonl", "csv")  # the others hold what a window holds


def export(folder: Path, format: str) -> str:
    """The run in `folder` as another tool would write it. Raises UsageError for a format that there
    is not, where there is no run, and where the run has no window to summarise."""
    if format not in _FORMATS:
        raise UsageError(f"no format '{format}'; there are {', '.join(_FORMATS)}")
    manifest, records = read_run(folder)
    if manifest.window is None and format not in _EVERY_REQUEST:
        raise UsageError(
            f"the run in {folder} ended before its measuring began; "
            f"{' and '.join(_EVERY_REQUEST)} have its requests"
        )
    # of the same requests as our own numbers
    return _FORMATS[format](steady_part(manifest, [digest(r) for r in records])[0], records)


def import_(path: Path, runs: str, *, app: str = "imported") -> list[Path]:
    """A folder in `runs` for each result in another tool's file; `app` is what the load stood for,
    so that a report shows them beside ours. Raises UsageError."""
    try:
        points = imported(path.read_text("utf-8"))
    except OSError as why:
        raise UsageError(f"cannot read {path}: {why.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: no text, so no tool's result") from None
    except UsageError as why:
        raise UsageError(f"{path}: {why}") from None
    folders = []
    for point in points:
        folder = new_folder(runs, f"{point.target.name}-{path.stem}")
        ours = msgspec.structs.replace(point, id=folder.name, app=app, run=str(folder))
        write_beside(folder / POINT, msgspec.json.format(msgspec.json.encode(ours), indent=1))
        folders.append(folder)
    return folders
