"""A suite that fits the model: sizes of its tasks, by asking it before anything is compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from latok.errors import TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.map import Watcher
from latok.jobs.measure import failed, hold_point
from latok.jobs.runs import read_graded
from latok.jobs.session import Session
from latok.quality.calibrate import calibrate
from latok.quality.items import Graded, Item
from latok.quality.suite import Exam, Suite
from latok.records import Closed
from latok.workload.apps import App
from latok.workload.prompts import PromptMaker

_CONCURRENCY = 8


class Fitting(NamedTuple):
    """A suite, and what finding it has spent: requests, tokens, US dollars, probe and all."""

    suite: Suite
    spent: tuple[int, int, float]


def suite_for(
    session: Session,
    suite: Suite,
    app: App,
    maker: PromptMaker,
    asked: Experiment,
    watcher: Watcher,
) -> Fitting:
    """The suite with each task at a size that tells most of this model, and without those that
    would tell nothing; a user's own items, and the embedded model, are as they are.

    Where none is left all stay as they are, and that is said. Raises TargetError if nothing
    answered, UsageError where too little may be spent, KeyboardInterrupt.
    """
    spent = (0, 0, session.probed())
    if suite.own or asked.item_size is not None or is_usual(session):
        return Fitting(suite, spent)
    load = Closed(asked.concurrency or _CONCURRENCY)

    def ask(items: list[Item]) -> list[Graded]:
        nonlocal spent
        watcher.level(f"sizes of the tasks: {len(items)} items", "", 0.0, asked.budget)
        held = hold_point(
            session,
            app,
            maker,
            load,
            asked=replace(asked, requests=len(items), repeats=None),
            duration=None,
            ramp=0.0,
            note="to find how hard the tasks must be for this model",
            watch=watcher.progress,
            spent=spent,
            exam=Exam(suite=Suite(own=tuple(items))),
        )
        if held.ended == "interrupted":
            raise KeyboardInterrupt
        if held.why:
            raise UsageError(f"the sizes of the tasks cannot be found: {held.why}")
        if not held.point.counts.ok:
            raise TargetError(failed(held))
        requests, tokens, usd = spent
        spent = requests + held.requests, tokens + held.tokens, usd + held.usd
        return read_graded(Path(held.point.run))

    found = calibrate([task for task, _ in suite.tasks], ask, seed=suite.seed)
    sizes = {each.task: each.size for each in found}
    left_out = ", ".join(each.said for each in found if each.size is None)
    tasks = tuple((task, size) for task, _ in suite.tasks if (size := sizes[task.name]) is not None)
    if not tasks:
        watcher.say(
            f"no task of {app.name} tells anything of this model's answers: {left_out}; "
            "bring your own with --items"
        )
        return Fitting(suite, spent)
    watcher.say("sizes for this model: " + ", ".join(s.said for s in found if s.size is not None))
    if left_out:
        watcher.say(f"left out: {left_out}")
    return Fitting(replace(suite, tasks=tasks), spent)


def is_usual(session: Session) -> bool:
    """Whether it is the model, with the weights, that the tasks' usual sizes were measured on."""
    levers = session.levers
    return (
        session.embedded
        and levers.get("model") == "embedded"
        and levers.get("weights", "file") == "file"
    )
