"""Two sides for a report: the verdict or why there is none, how both spread, and their points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from latok.analysis.compare import Comparison
from latok.analysis.course import Ecdf, spread
from latok.analysis.digest import Digest
from latok.analysis.metrics import digest, in_window, steady_part
from latok.analysis.point import Point
from latok.errors import InvalidError, UsageError
from latok.jobs.compare import of_stored
from latok.jobs.experiment import Experiment
from latok.jobs.map import read_maps
from latok.jobs.runs import COMPARISON, home, kind, opened_run, read_point, run_there
from latok.records import Manifest, Open, read_manifest

if TYPE_CHECKING:
    from latok.report.sections import Versus


def versus(a: Path, b: Path, *, margin: float, any_model: bool) -> Versus:
    """Judges a stored run or map against another. Raises UsageError where one has no requests."""
    from latok.report.sections import Versus

    found, refused = None, ""
    try:
        found = of_stored([a, b], Experiment(margin=margin, any_model=any_model))
    except (UsageError, InvalidError) as why:
        refused = str(why)
    if found is not None:
        pairs = list(zip(*found.runs, strict=True))
    else:
        ours, theirs = _places(a), _places(b)
        shared = [load for load in ours if load in theirs]
        pairs = [(ours[load], theirs[load]) for load in shared]
    places = [(Path(one), Path(other)) for one, other in pairs]
    return Versus(
        a=a.name,
        b=b.name,
        slo=_slo(places),
        found=found,
        refused=refused,
        spread={_load(one): (_spread([one]), _spread([other])) for one, other in places}
        if found is not None
        else {},
        points=_points(places),
    )


def stored_versus(folder: Path) -> Versus:
    """A comparison of two targets that was measured: all pairs of a side are one distribution."""
    from latok.report.sections import Versus

    found = read_comparison(folder)
    sides = [[run_there(Path(run), folder) for run in side] for side in found.runs]
    places = [(a, b) for a, b in zip(*sides, strict=True) if a is not None and b is not None]
    ours, theirs = [a for a, _ in places], [b for _, b in places]
    return Versus(
        a=found.a,
        b=found.b,
        slo=_slo(places),
        found=found,
        refused="",
        spread={"": (_spread(ours), _spread(theirs))} if places else {},
        points=_points(places),
    )


def read_comparison(folder: Path) -> Comparison:
    """What `latok compare` found. Raises UsageError if there is nothing."""
    try:
        return msgspec.json.decode((folder / COMPARISON).read_bytes(), type=Comparison)
    except OSError as why:
        raise UsageError(f"no comparison in {folder}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / COMPARISON} is not of latok: {why}") from None


def _places(folder: Path) -> dict[str, str]:
    """The runs of a folder by their load; a lone run by nothing, so that two of them meet."""
    if kind(folder) != "map":
        return {"": str(folder)}
    points = [point for each in read_maps(folder) for point in each.points]
    return {str(p.load): str(place) for p in points if (place := home(p, [folder])) is not None}


def _points(places: Sequence[tuple[Path, Path]]) -> list[tuple[Point, Point]]:
    return [(read_point(one), read_point(other)) for one, other in places]


def _load(place: Path) -> str:
    return str(read_manifest(place).load)


def _slo(places: Sequence[tuple[Path, Path]]) -> str:
    """That of A, by which both sides are judged."""
    return read_manifest(places[0][0]).slo if places else ""


def _spread(places: Sequence[Path]) -> dict[str, Ecdf]:
    """How the requests of all these runs spread, taken together."""
    requests: list[Digest] = []
    manifest: Manifest | None = None
    for place in places:
        whole, records = opened_run(place)
        digests = [digest(record) for record in records]
        manifest, _ = steady_part(whole, digests)
        requests += [each for each in digests if in_window(each.record, manifest)]
    if manifest is None:
        return {}
    return spread(manifest.slo, isinstance(manifest.load, Open), requests)
