"""Where the latency goes: of stored runs, or of a target that is measured alone and under load."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from latok.analysis.counters import Counters, counted
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
from latok.analysis.outside import explanation
from latok.analysis.point import Check
from latok.analysis.provider import provider_checks
from latok.analysis.stats import Floats
from latok.analysis.told import Whole
from latok.decide.findings import findings, why_slow
from latok.engines.model import FACTS, embedded_model
from latok.engines.peak import openvino_flops
from latok.engines.table import ENGINES, effective
from latok.errors import TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.infer import Inferred, inferred, inferred_from, is_probing
from latok.jobs.map import Watcher, read_maps
from latok.jobs.measure import failed, hold_point, load_of
from latok.jobs.runs import folder_named, home, kind, read_run
from latok.jobs.session import EMBEDDED, opened
from latok.load.roof import roof
from latok.load.scrape import read_pages
from latok.records import Closed, Load, Manifest, Open, Record, read_manifest

GRADES: tuple[Grade, ...] = ("told", "counters", "inferred")
_SECONDS = 20.0  # that a load is held, unless that is said
_AT_A_TIME = 8  # at the operating point, unless that is said


class Explained(NamedTuple):
    """`complete`: all was measured that was to be."""

    explanation: Explanation
    complete: bool


class _Run(NamedTuple):
    """A run read back, and what is known of it by either grade."""

    manifest: Manifest
    records: list[Record]
    told: AtLoad | None
    joined: list[Joined]
    counters: AtLoad | None
    pages: Counters | None


def explain(asked: Experiment, grade: str | None, watcher: Watcher) -> Explained:
    """Measures a target alone and at the load that is asked for, and explains that. Without a
    `grade` the best that it allows is taken.

    Raises UsageError (it tells nothing of its times), TargetError.
    """
    if checked(grade) == "inferred":
        return _inferred(asked, watcher)
    folders, complete = _measured(asked, watcher)
    return Explained(explain_runs(folders, grade=grade), complete)


def checked(grade: str | None) -> str | None:
    """Raises UsageError for a grade that there is not."""
    if grade is not None and grade not in GRADES:
        raise UsageError(f"no grade '{grade}'; there are {', '.join(GRADES)}")
    return grade


_NOT_OF_PROBES = ("rate", "arrivals", "requests", "duration")


def _inferred(asked: Experiment, watcher: Watcher) -> Explained:
    for name in _NOT_OF_PROBES:
        if getattr(asked, name) is not None:
            raise UsageError(f"--{name} is not for --grade inferred: its probes are designed")
    found = inferred(asked, say=watcher.say, watch=watcher.progress)
    return Explained(_from_outside(found), found.complete)


def _from_outside(found: Inferred) -> Explanation:
    said = explanation(found.target, found.laws, found.claims, run=found.run)
    heaviest = said.loads[-1:]
    return msgspec.structs.replace(
        said, findings=tuple(each for load in heaviest for each in findings(load))
    )


class Stored(NamedTuple):
    """The folders of runs, and the id of the one that is advised."""

    folders: list[Path]
    advised: str


def stored_runs(word: str | None, runs: str) -> Stored | None:
    """The runs that a word means: one, or a map's. None where it means a target.

    Raises UsageError for a folder that holds neither.
    """
    if word is None or word in ENGINES or "://" in word:
        return None
    try:
        folder = folder_named(word, runs)
    except UsageError:
        if word == "last" or Path(word).exists():
            raise
        return None
    if kind(folder) == "run":
        return Stored([folder], "")
    if kind(folder) != "map":
        raise UsageError(f"{folder} is a {kind(folder)}; give a run or a map")
    [found, *others] = read_maps(folder)
    if others:
        raise UsageError(f"{folder} holds a map for each app; give one of them, or a run")
    homes = (home(point, [folder]) for point in found.points)
    there = [place for place in homes if place is not None]
    if not there:
        raise UsageError(f"the runs of {folder} are not there any more")
    return Stored(there, found.advice.point or "")


def _measured(asked: Experiment, watcher: Watcher) -> tuple[list[Path], bool]:
    """Holds one request at a time on a target, then the load that is asked for; the runs' folders,
    and whether all of it was measured."""
    app = asked.profile(asked.app)
    duration = asked.duration
    if duration is None and asked.requests is None:
        duration = _SECONDS
    folders: list[Path] = []
    requests = tokens = 0
    with opened(asked.targets[0] if asked.targets else EMBEDDED, asked, watcher.say) as session:
        usd = session.probed()
        heavy: Load = Closed(_AT_A_TIME)
        if asked.concurrency is not None or asked.rate is not None or asked.trace is not None:
            heavy = load_of(asked, app, session.trace)
        fitting, note = session.fit(app, asked.scale)
        if note:
            watcher.say(note)
        maker = session.maker(fitting, asked.seed)
        alone = Closed(1)
        for load in (alone,) if heavy == alone else (alone, heavy):
            watcher.level(f"{fitting.name} on {session.target.name}: {load}", "", duration or 0, 0)
            held = hold_point(
                session,
                fitting,
                maker,
                load,
                asked=asked,
                duration=duration,
                ramp=session.found.seconds if isinstance(load, Closed) and load != alone else 0.0,
                note=note,
                watch=watcher.progress,
                spent=(requests, tokens, usd),
            )
            requests, tokens, usd = requests + held.requests, tokens + held.tokens, usd + held.usd
            if held.ended == "interrupted" and not held.point.counts.ok:
                break
            if not held.point.counts.ok:
                raise TargetError(failed(held))
            watcher.done(held.point)
            folders.append(Path(held.point.run))
            if held.ended == "interrupted":
                break
        else:
            return folders, True
    if not folders:
        raise KeyboardInterrupt
    return folders, False


# --- what runs tell ------------------------------------------------------------------------------


def explain_runs(
    folders: Sequence[Path], advised: str = "", *, grade: str | None = None
) -> Explanation:
    """Explains runs of one target, the lightest load first; the operating point is the one that is
    `advised` (a run's id), or the heaviest. A run of probes is inferred from. Raises UsageError
    where they tell nothing."""
    probed = [folder for folder in folders if is_probing(read_manifest(folder))]
    if probed or grade == "inferred":
        if grade not in (None, "inferred"):
            raise UsageError(f"{folders[0]} is made of probes; its grade is inferred")
        return _from_outside(inferred_from((probed or folders)[0]))
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
    return Explanation(
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
        floor=_floor(first, lightest),
        checks=_checks([run for run, _ in known]),
        notes=tuple(_notes(run, found)),
    )


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
