"""Runs and maps on disk, read back: into a Manifest and Records, into Points, into Maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from latok.analysis.frontier import Map
from latok.analysis.metrics import digest, point
from latok.analysis.point import Point
from latok.analysis.told import told
from latok.errors import UsageError
from latok.load.fleet import logs
from latok.quality.items import Graded
from latok.quality.judge import Judgement
from latok.quality.summary import Answer, with_quality
from latok.records import MANIFEST, RECORDS, Manifest, Record, read_manifest, read_records
from latok.wire.capture import read_log, read_order, record_of
from latok.wire.dialects import dialect_named

LOG = "captures.log"
MAP = "map.json"
CAPACITY = "capacity.json"
COMPARISON = "compare.json"
GRADED = "graded.jsonl"
JUDGED = "judged.jsonl"
TRIED = "try.json"
EXPLANATION = "explanation.json"
POINT = "point.json"  # another tool's result, imported
_Row = TypeVar("_Row")
_FIRST = 20  # requests, of which none tells where its time went: then none will
_READ_AGAIN = 5_000  # requests of a run that is explained though nobody asked for it


def read_run(folder: Path | str) -> tuple[Manifest, list[Record]]:
    """A run's manifest and records; of a run that was cut short, what its log still tells.

    Raises UsageError if there is no run in the folder.
    """
    manifest, records = opened_run(folder)
    return manifest, list(records)


def opened_run(folder: Path | str) -> tuple[Manifest, Iterator[Record]]:
    """`read_run` for runs that are larger than memory: the records come one by one."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    if (folder / RECORDS).exists():
        return manifest, read_records(folder)
    if manifest.window is None:
        light = (msgspec.structs.replace(r, chunks=()) for r in decoded(folder, manifest))
        manifest = msgspec.structs.replace(manifest, window=_window(list(light)))
    return manifest, decoded(folder, manifest)


def decoded(folder: Path, manifest: Manifest) -> Iterator[Record]:
    """What the driver wrote, as far as it is whole, as records in the order of their due times."""
    dialect = dialect_named(manifest.target.dialect)
    with ExitStack() as stack:
        files = [stack.enter_context(log.open("rb")) for log in logs(folder / LOG) if log.exists()]
        order = sorted((*found, n) for n, file in enumerate(files) for found in read_order(file))
        for _, _, place, n in order:
            files[n].seek(place)
            yield record_of(next(read_log(files[n])), dialect, keep_text=manifest.texts)


def _window(records: Iterable[Record]) -> tuple[float, float] | None:
    """A window for a run whose driver could not say it: from when every stream had been answered
    once (the most that were ever in flight) to the last answer."""
    edges = sorted(
        edge
        for r in records
        if r.sent_first is not None and r.closed_at is not None
        for edge in ((r.sent_first, 1), (r.closed_at, -1))
    )
    flying = most = 0
    for _, change in edges:
        flying += change
        most = max(most, flying)
    ended = [at for at, change in edges if change < 0]
    return (ended[most - 1], ended[-1]) if len(ended) > most else None


def read_point(folder: Path | str) -> Point:
    """The run in `folder` as a Point, by today's definitions; an imported one as it was said."""
    folder = Path(folder)
    if (folder / POINT).exists():
        try:
            return msgspec.json.decode((folder / POINT).read_bytes(), type=Point)
        except msgspec.DecodeError as why:
            raise UsageError(f"{folder / POINT} is not a point of latok: {why}") from None
    manifest, records = opened_run(folder)
    graded, judged = read_graded(folder), read_judged(folder)
    return summarised(manifest, records, graded, judged, run=str(folder))


def summarised(
    manifest: Manifest,
    records: Iterable[Record],
    graded: Iterable[Graded],
    judged: Sequence[Judgement],
    run: str,
) -> Point:
    """A run as a Point, with the quality of what was graded in it."""
    grades = {each.request: each for each in graded}
    answers: list[Answer] = []

    def passing() -> Iterator[Record]:
        for record in records:
            if record.id in grades:
                answers.append((digest(record), grades[record.id]))
            yield record

    return with_quality(point(manifest, passing(), run=run), manifest, answers, judged)


def read_graded(folder: Path) -> list[Graded]:
    """What was graded in a run, as it was graded then. Raises UsageError for a broken file."""
    return _lines(folder / GRADED, Graded)


def read_judged(folder: Path) -> list[Judgement]:
    """What a judge said of a run's answers. Raises UsageError for a broken file."""
    return _lines(folder / JUDGED, Judgement)


def _lines(path: Path, kind: type[_Row]) -> list[_Row]:
    if not path.exists():
        return []
    try:
        return msgspec.json.Decoder(kind).decode_lines(path.read_bytes())
    except (OSError, msgspec.DecodeError) as why:
        raise UsageError(f"{path} does not hold grades: {why}") from None


def tells(point: Point, folder: Path) -> bool:
    """Whether the server told its times with each answer, of a run that is small enough to be read
    again for them."""
    if point.counts.offered > _READ_AGAIN:
        return False
    _, records = opened_run(folder)
    return any(told(record.server_timings) for record in islice(records, _FIRST))


def read_map(folder: Path) -> Map:
    """The map in `folder`. Raises UsageError if there is none."""
    try:
        return msgspec.json.decode((folder / MAP).read_bytes(), type=Map)
    except OSError as why:
        raise UsageError(f"no map in {folder}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / MAP} is not a map of latok: {why}") from None


def write_beside(path: Path, data: bytes) -> None:
    """Writes a whole file or none. Raises UsageError if the disk does not take it."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as why:
        raise UsageError(f"cannot write {path}: {why.strerror}") from None


def kind(folder: Path) -> str:
    """`run`, `map` (which may hold one map for each app), `try`, `capacity`, `compare` or
    `explanation`; empty for anything else."""
    if (folder / MANIFEST).exists() or (folder / POINT).exists():
        return "run"
    if (folder / TRIED).exists():  # which may have searched capacities, too
        return "try"
    if (folder / CAPACITY).exists():
        return "capacity"
    if (folder / COMPARISON).exists():
        return "compare"
    if (folder / EXPLANATION).exists():
        return "explanation"
    return "map" if (folder / MAP).exists() or any(folder.glob(f"*/{MAP}")) else ""


def stored(runs: str) -> list[Path]:
    """The folders of runs and maps, oldest first. Raises UsageError if `runs` cannot be read."""
    try:
        folders = [folder for folder in Path(runs).iterdir() if folder.is_dir() and kind(folder)]
    except OSError as why:
        raise UsageError(f"cannot read {runs}: {why.strerror}") from None
    return sorted(folders, key=lambda folder: folder.stat().st_mtime)


def folder_named(word: str, runs: str) -> Path:
    """The folder of a run or a map, by path or by name. `last`: the newest map, or else run."""
    if word == "last":
        found = stored(runs)
        maps = [folder for folder in found if kind(folder) == "map"]
        if not found:
            raise UsageError(f"there is no run in {runs}")
        return (maps or found)[-1]
    for folder in (Path(word), Path(runs) / word):
        if folder.is_dir() and kind(folder):
            return folder
    raise UsageError(f"no run or map '{word}', neither as a folder nor in {runs}; see `latok runs`")


def run_there(run: Path, folder: Path) -> Path | None:
    """Where a run of a folder lies now: as it was named, or in the folder, wherever moved."""
    places = (run, folder / run.name)
    return next((place for place in places if (place / MANIFEST).exists()), None)


def home(point: Point, folders: Sequence[Path]) -> Path | None:
    """Where a point's run lies now: as it was named, or beside its map, wherever that was moved."""
    places = [Path(point.run), *(folder.parent / Path(point.run).name for folder in folders)]
    return next((place for place in places if (place / MANIFEST).exists()), None)
