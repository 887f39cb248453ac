"""What stored runs tell of where the latency goes: an account of one, of a map's, of probes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.counters import Counters, counted
from latok.analysis.course import course
from latok.analysis.evidence import Account, of_probes, of_told
from latok.analysis.explain import (
    WHOLES,
    AtLoad,
    Explanation,
    Finding,
    Grade,
    Joined,
    by_counters,
    explained,
)
from latok.analysis.floor import Floor, floor
from latok.analysis.metrics import digest
from latok.analysis.outside import explanation
from latok.analysis.point import Check
from latok.analysis.provider import provider_checks
from latok.analysis.stats import Floats
from latok.analysis.told import Whole
from latok.decide.findings import findings, why_slow
from latok.engines.model import FACTS, embedded_model
from latok.engines.peak import openvino_flops
from latok.engines.table import ENGINES, effective
from latok.errors import UsageError
from latok.jobs.infer import inferred_from, is_probing, seen_in
from latok.jobs.map import REPORT, read_maps
from latok.jobs.runs import folder_named, home, kind, read_run
from latok.load.roof import roof
from latok.load.scrape import read_pages
from latok.records import MANIFEST, Closed, Load, Manifest, Open, Record, read_manifest

GRADES: tuple[Grade, ...] = ("told", "counters", "inferred")


def checked(grade: str | None) -> str | None:
    """Raises UsageError for a grade that there is not."""
    if grade is not None and grade not in GRADES:
        raise UsageError(f"no grade '{grade}'; there are {', '.join(GRADES)}")
    return grade


class _Run(NamedTuple):
    """A run read back, and what is known of it by either grade."""

    manifest: Manifest
    records: list[Record]
    told: AtLoad | None
    joined: list[Joined]
    counters: AtLoad | None
    pages: Counters | None


class Stored(NamedTuple):
    """The folders of runs, the id of the one that is advised, and where a page of them goes."""

    folders: list[Path]
    advised: str
    report: Path


def stored_runs(word: str | None, runs: str) -> Stored | None:
    """The runs that a word means: one, or those of a map or an explanation. None where it means a
    target.

    Raises UsageError for a folder that holds none of them.
    """
    if word is None or word in ENGINES or "://" in word:
        return None
    try:
        folder = folder_named(word, runs)
    except UsageError:
        if word == "last" or Path(word).exists():
            raise
        return None
    # a map and a run have a page of their own
    page = folder / "explanation.html"
    if kind(folder) == "run":
        return Stored([folder], "", folder / REPORT if made_of_probes(folder) else page)
    if kind(folder) == "explanation":
        return Stored(runs_within(folder), "", folder / REPORT)
    if kind(folder) != "map":
        raise UsageError(f"{folder} is a {kind(folder)}; give a run, a map or an explanation")
    [found, *others] = read_maps(folder)
    if others:
        raise UsageError(f"{folder} holds a map for each app; give one of them, or a run")
    homes = (home(point, [folder]) for point in found.points)
    there = [place for place in homes if place is not None]
    if not there:
        raise UsageError(f"the runs of {folder} are not there any more")
    return Stored(there, found.advice.point or "", page)


def made_of_probes(folder: Path) -> bool:
    """Whether a folder holds a run of probes."""
    return (folder / MANIFEST).exists() and is_probing(read_manifest(folder))


def runs_within(folder: Path) -> list[Path]:
    """The runs of an explanation. Raises UsageError where they were deleted."""
    found = sorted(each for each in folder.iterdir() if each.is_dir() and kind(each) == "run")
    if not found:
        raise UsageError(f"the runs of {folder} are not there any more")
    return found


def account_of_stored(stored: Stored, *, grade: str | None) -> Account:
    """See `account`; the explanation says where its page goes."""
    found = account(stored.folders, stored.advised, grade=checked(grade))
    said = msgspec.structs.replace(found.explanation, report=str(stored.report))
    return found._replace(explanation=said)


def account(
    folders: Sequence[Path],
    advised: str = "",
    *,
    grade: str | None = None,
    beside_floor: bool = True,
) -> Account:
    """Explains runs of one target, the lightest load first; the operating point is the one that is
    `advised` (a run's id), or the heaviest. A run of probes is inferred from. Raises UsageError
    where they tell nothing.

    `beside_floor`: measures what this machine could do, for about two seconds, where an engine of
    latok's ran on it.
    """
    probed = [folder for folder in folders if is_probing(read_manifest(folder))]
    if probed or grade == "inferred":
        if grade not in (None, "inferred"):
            raise UsageError(f"{folders[0]} is made of probes; its grade is inferred")
        return _from_outside((probed or folders)[0])
    runs = sorted((_read(folder) for folder in folders), key=lambda run: _weight(run.manifest.load))
    known = [(run, found) for run in runs if (found := _at_load(run, grade)) is not None]
    if not known:
        raise UsageError(_silent(grade, folders))
    best = "told" if any(found.grade == "told" for _, found in known) else "counters"
    known = [(run, found) for run, found in known if found.grade == best]
    at = next((n for n, (run, _) in enumerate(known) if run.manifest.id == advised), len(known) - 1)
    run, found = known[at]
    typical = found.waterfall("ttft")
    whole = found.waterfall("e2e")
    first, lightest = known[0]
    said = Explanation(
        grade=found.grade,
        target=run.manifest.target,
        app=run.manifest.app,
        at=run.manifest.id,
        components=(
            *(typical.components if typical else ()),
            *(whole.components if whole else ()),
        ),
        laws=lightest.laws,
        unexplained=max(found.unexplained.values(), default=None),
        findings=tuple(_findings(run, found)),
        loads=tuple(found for _, found in known),
        floor=_floor(first, lightest) if beside_floor else None,
        checks=_checks([run for run, _ in known]),
        notes=tuple(_notes(run, found)),
    )
    fits = of_told(first.joined) if best == "told" else ()
    return Account(said, fits, course(run.manifest, [digest(record) for record in run.records]))


def _from_outside(folder: Path) -> Account:
    found = inferred_from(folder)
    said = explanation(found.target, found.laws, found.claims, run=found.run)
    heaviest = said.loads[-1:]
    said = msgspec.structs.replace(
        said, findings=tuple(each for load in heaviest for each in findings(load))
    )
    manifest, records = read_run(folder)
    fits = of_probes(seen_in(manifest, records), found.laws, seed=manifest.seed)
    return Account(said, fits, None)


def _silent(grade: str | None, folders: Sequence[Path]) -> str:
    what = {
        "told": "no answer in it tells the server's times",
        "counters": "no counters of its server were seen",
        None: "neither its answers nor counters tell the server's times",
    }[grade]
    return f"{folders[0]}: {what}; --grade inferred asks a target from outside"


def _read(folder: Path) -> _Run:
    manifest, records = read_run(folder)
    found = explained(manifest, records, run=str(folder))
    pages = None
    if manifest.window is not None:
        pages = counted(
            read_pages(folder), manifest.started_at, manifest.window, manifest.target.model
        )
    told, joined = found if found is not None else (None, [])
    by = by_counters(manifest, records, pages, run=str(folder)) if pages is not None else None
    return _Run(manifest, records, told, joined, by, pages)


def _at_load(run: _Run, grade: str | None) -> AtLoad | None:
    if run.told is not None and grade != "counters":
        return msgspec.structs.replace(run.told, counters=run.pages)
    return run.counters if grade != "told" else None


def _weight(load: Load) -> tuple[bool, float]:
    return isinstance(load, Open), load.rate if isinstance(load, Open) else load.concurrency


def _findings(run: _Run, found: AtLoad) -> list[Finding]:
    """What is large, then what slow requests have: each by what it could win."""
    said = findings(found)
    joined = run.joined if found.grade == "told" else []
    if joined:
        wholes: dict[Whole, Floats] = {
            of: np.asarray([each.splits[of].whole for each in joined]) for of in WHOLES
        }
        requests = [each.record for each in joined]
        said += why_slow(wholes, requests, run.records, preempted=_preempted(run.pages))
    return sorted(said, key=lambda each: -each.most_s)


def _preempted(pages: Counters | None) -> list[tuple[float, float, float]]:
    """From when to when the server preempted requests, and how many."""
    moments = pages.moments if pages else ()
    known = [(each.at, each.preemptions) for each in moments if each.preemptions is not None]
    return [(a, b, more - before) for (a, before), (b, more) in pairwise(known) if more > before]


def _checks(runs: Sequence[_Run]) -> tuple[Check, ...]:
    """Of all the runs; of a kind of check the first that fails, or else that of the heaviest."""
    by_name: dict[str, Check] = {}
    for run in reversed(runs):
        for check in provider_checks(run.manifest, run.records):
            known = by_name.get(check.name)
            if known is None or (check.ok is False and known.ok is not False):
                by_name[check.name] = check
    return tuple(by_name.values())


def _notes(run: _Run, found: AtLoad) -> list[str]:
    notes = []
    if found.explained < found.offered:
        notes.append(f"the server told its times for {found.explained} of {found.offered} requests")
    if found.counters is not None:
        finished = found.counters.values.get("finished")
        ended = len([r for r in run.records if r.ok and _ended_in(r, found.counters.window)])
        if finished is not None and abs(finished - ended) > max(0.1 * ended, 2):
            notes.append(
                f"the server finished {finished:.0f} requests while {ended} of ours ended: its "
                "counters are of others, too"
            )
        if found.counters.restarted:
            notes.append("a counter of the server fell: it was restarted meanwhile")
    return notes


def _ended_in(record: Record, window: tuple[float, float]) -> bool:
    return record.closed_at is not None and window[0] <= record.closed_at < window[1]


def _floor(run: _Run, found: AtLoad) -> Floor | None:
    """Where we know the model and stand on its hardware: for an engine that latok started here."""
    name, here = run.manifest.target.name, f"{platform.system()} {platform.release()}"
    known = name in ENGINES and run.manifest.target.model == embedded_model()
    if not known or not run.manifest.versions.get("system", "").startswith(here):
        return None
    whole = found.waterfall("e2e")
    prompt = (whole.prompt_tokens if whole else None) or 0.0
    answer = (whole.output_tokens if whole else None) or 0.0
    alone = isinstance(run.manifest.load, Closed) and run.manifest.load.concurrency == 1
    return floor(
        FACTS,
        roof(openvino_flops),
        context=prompt + answer / 2,
        cache=str(effective(name, run.manifest.levers)["kv_cache"]),
        prefill=found.laws.get("prefill_s_per_token"),
        decode=found.laws.get("decode_s_per_token"),
        note="" if alone else f"seen at {found.load}, not alone: a step serves several requests",
    )
