"""Measures a target alone and under load, or probes it, to explain where its latency goes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from latok.analysis.evidence import Account
from latok.errors import TargetError, UsageError
from latok.jobs.account import Stored, account_of_stored, checked
from latok.jobs.experiment import AT_A_TIME, EXPLAIN_SECONDS, Experiment
from latok.jobs.infer import inferred
from latok.jobs.map import REPORT, Watcher
from latok.jobs.measure import failed, hold_point, load_of
from latok.jobs.runs import EXPLANATION, write_beside
from latok.jobs.session import EMBEDDED, new_folder, opened
from latok.records import Closed, Load


class Explained(NamedTuple):
    """`complete`: all was measured that was to be."""

    account: Account
    complete: bool


def explain(asked: Experiment, grade: str | None, watcher: Watcher) -> Explained:
    """Measures a target alone and at the load that is asked for, and explains that. Without a
    `grade` the best that it allows is taken.

    Raises UsageError (it tells nothing of its times), TargetError.
    """
    if checked(grade) == "inferred":
        return _inferred(asked, watcher)
    folder, folders, complete = _measured(asked, watcher)
    found = account_of_stored(Stored(folders, "", folder / REPORT), grade=grade)
    write_beside(folder / EXPLANATION, msgspec.json.encode(found.explanation))
    return Explained(found, complete)


_NOT_OF_PROBES = ("rate", "arrivals", "requests", "duration")


def _inferred(asked: Experiment, watcher: Watcher) -> Explained:
    for name in _NOT_OF_PROBES:
        if getattr(asked, name) is not None:
            raise UsageError(f"--{name} is not for --grade inferred: its probes are designed")
    found = inferred(asked, say=watcher.say, watch=watcher.progress)
    folder = Path(found.run)
    stored = Stored([folder], "", folder / REPORT)
    return Explained(account_of_stored(stored, grade="inferred"), found.complete)


def _measured(asked: Experiment, watcher: Watcher) -> tuple[Path, list[Path], bool]:
    """Holds one request at a time on a target, then the load that is asked for; where all of it
    lies, the runs' folders in it, and whether all of it was measured."""
    app = asked.profile(asked.app)
    duration = asked.duration
    if duration is None and asked.requests is None:
        duration = EXPLAIN_SECONDS
    folders: list[Path] = []
    requests = tokens = 0
    with opened(asked.targets[0] if asked.targets else EMBEDDED, asked, watcher.say) as session:
        usd = session.probed()
        heavy: Load = Closed(AT_A_TIME)
        if asked.concurrency is not None or asked.rate is not None or asked.trace is not None:
            heavy = load_of(asked, app, session.trace)
        fitting, note = session.fit(app, asked.scale)
        if note:
            watcher.say(note)
        maker = session.maker(fitting, asked.seed)
        folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-explain-{app.name}")
        asked = replace(asked, runs=str(folder))
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
            return folder, folders, True
    if not folders:
        raise KeyboardInterrupt
    return folder, folders, False
