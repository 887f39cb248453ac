"""With and without: the same requests, in turns, on a target whose levers are turned and not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from latok.analysis.capacity import Capacity
from latok.analysis.compare import Stretch, stretch
from latok.analysis.point import Point
from latok.engines.table import ENGINES
from latok.errors import InvalidError, TargetError, UsageError
from latok.jobs.capacity import highest
from latok.jobs.compare import read_side
from latok.jobs.experiment import Experiment
from latok.jobs.graded import suite_asked
from latok.jobs.map import Watcher
from latok.jobs.measure import Held, failed, hold_point
from latok.jobs.runs import TRIED, read_graded, write_beside
from latok.jobs.session import EMBEDDED, Session, command_line, new_folder, opened
from latok.jobs.turned import Turned, turned
from latok.quality.items import Graded
from latok.quality.suite import Exam, Suite
from latok.quality.tried import Answers, Side, Tried, tried
from latok.records import Closed
from latok.wire.dialects import LOGPROBS
from latok.workload.apps import App
from latok.workload.prompts import PromptMaker

_CONCURRENCY = 8
# The budget is cut into so many rounds, in each of which every setting is asked the same: fewer
# leave much doubt of their own spread, more lose their time at their edges.
_ROUNDS, _FEWEST = 8, 4
_FLOOR = 3  # every such round base is asked twice
_IDS = 50_000  # of a round's requests: each has prompts of its own, so that no cache knows them
_LIKELIEST = 10  # first tokens whose log-probabilities are asked for, where the target gives them
_CAPACITY = 0.35  # share of the budget in which the capacities are searched


@dataclass(kw_only=True)
class _Arm:
    """One setting, and what it has done so far; `floor`: what base did when asked once more."""

    setting: Turned
    session: Session
    app: App
    maker: PromptMaker
    stretches: list[Stretch] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    graded: list[Graded] = field(default_factory=list)
    floor: list[Graded] = field(default_factory=list)

    @property
    def side(self) -> Side:
        return Side(
            name=self.setting.name,
            levers=dict(self.setting.levers),
            stretches=tuple(self.stretches),
            points=tuple(self.points),
            answers=Answers(tuple(self.graded), tuple(self.floor)),
        )


def try_(asked: Experiment, watcher: Watcher | None = None) -> tuple[Tried, Path, bool]:
    """Turns levers and measures with and without; says where it lies and whether it ran to its end.

    Raises UsageError, TargetError, InvalidError (nothing that can be trusted), KeyboardInterrupt
    (before there was anything).
    """
    watcher = watcher or Watcher()
    word = asked.targets[0] if asked.targets else EMBEDDED
    if len(asked.targets) > 1:
        raise UsageError("try turns the levers of one target; latok compare takes two")
    settings = turned(word, asked.levers)
    app = asked.profile(asked.app)
    suite = suite_asked(replace(asked, graded=asked.graded or 1.0), app.name)
    assert suite is not None
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-try-{app.name}")
    asked = replace(asked, runs=str(folder), concurrency=asked.concurrency or _CONCURRENCY)
    with ExitStack() as stack:
        arms = _arms(stack, word, settings, asked, watcher)
        work = _Rounds(arms, suite, asked, watcher, folder)
        work.warm_up()
        complete = work.run()
        capacities = {}
        if complete and app.slo.clauses and not settings[-1].of_requests:
            search = replace(asked, budget=_CAPACITY * asked.budget, concurrency=None)
            ends = [arms[0], arms[-1]]
            found, complete = highest([arm.session for arm in ends], search, watcher, folder)
            capacities = {a.setting.name: c for a, c in zip(ends, found, strict=True)}
    result = work.found(capacities)
    _write(folder, result)
    return result, folder, complete


def _write(folder: Path, found: Tried) -> None:
    write_beside(folder / TRIED, msgspec.json.format(msgspec.json.encode(found), indent=1))


def _arms(
    stack: ExitStack,
    word: str,
    settings: Sequence[Turned],
    asked: Experiment,
    watcher: Watcher,
) -> list[_Arm]:
    """A session for each setting. Engines that we start are one for each, so that none finds in its
    cache what another was asked; a URL is one target for all."""
    shared: Session | None = None
    arms: list[_Arm] = []
    for setting in settings:
        if word in ENGINES or shared is None:
            own = replace(asked, levers=setting.engine)
            shared = stack.enter_context(opened(word, own, watcher.say, top_logprobs=_LIKELIEST))
        session = setting.asks(shared)
        app, note = session.fit(asked.profile(asked.app), asked.scale)
        if note and not arms:
            watcher.say(note)
        arms.append(
            _Arm(setting=setting, session=session, app=app, maker=session.maker(app, asked.seed))
        )
    return arms


class _Rounds:
    """Rounds in which each setting is asked the same requests, in an order that turns around, so
    that what drifts does so for all."""

    def __init__(
        self,
        arms: Sequence[_Arm],
        suite: Suite,
        asked: Experiment,
        watcher: Watcher,
        folder: Path,
    ) -> None:
        self._arms, self._suite, self._asked, self._watcher = arms, suite, asked, watcher
        self._folder = folder
        share = 0.0 if arms[-1].setting.of_requests else _CAPACITY
        self._budget = (1.0 - share) * asked.budget
        assert asked.concurrency is not None
        self._load = Closed(asked.concurrency)
        self._requests = 2 * asked.concurrency  # of a round and a setting
        self._notes: list[str] = []
        self._spent = (0, 0, sum(arm.session.probed() for arm in arms[:1]))

    def warm_up(self) -> None:
        """A round that is not compared: it warms all, and shows how many requests a round bears."""
        began = time.monotonic()
        for arm in self._arms:
            held = self._hold(arm, 0)
            if not held.point.counts.ok and held.ended != "interrupted":
                raise TargetError(failed(held))
            if held.ended == "interrupted":
                raise KeyboardInterrupt
        took = (time.monotonic() - began) / len(self._arms)
        rounds = _ROUNDS + _ROUNDS // _FLOOR / len(self._arms)
        wanted = self._budget / (len(self._arms) * rounds)
        assert self._asked.concurrency is not None
        c = self._asked.concurrency
        # a third of a short round is start and end
        self._requests = max(2 * c, min(round(self._requests * wanted / took), 40 * c))

    def run(self) -> bool:
        """Rounds until all is clear or the budget is spent; False if it was interrupted."""
        began, number, longest = time.monotonic(), 1, 0.0
        while True:
            left = self._budget - (time.monotonic() - began)
            if left < longest and number > (_FEWEST if left > -self._budget else 2):
                return True
            started = time.monotonic()
            arms = list(self._arms) if number % 2 else list(self._arms)[::-1]
            names = ", then ".join(arm.setting.name for arm in arms)
            self._watcher.level(f"round {number}: {names}", "", longest, max(left, 0.0))
            helds = [self._hold(arm, number) for arm in arms]
            if any(held.ended == "interrupted" for held in helds):
                if number < 2:
                    raise KeyboardInterrupt
                self._notes.append("interrupted before the budget was spent")
                return False
            self._keep(arms, helds)
            if number % _FLOOR == 0:
                again = self._hold(self._arms[0], number)
                self._arms[0].floor += read_graded(Path(again.point.run))
            if why := next((held.why for held in helds if held.why), ""):
                self._notes.append(why)
                return True
            longest = max(longest, time.monotonic() - started)
            if number >= 2:
                _write(self._folder, self.found({}))
            if number >= _FEWEST and self._clear():
                return True
            number += 1

    def _hold(self, arm: _Arm, number: int) -> Held:
        assert self._asked.concurrency is not None
        whole = arm.setting.of_requests
        share = 1.0 if whole else self._asked.graded or 0.5
        exam = Exam(
            suite=self._suite,
            share=share,
            start=0 if self._suite.own else 1000 * number,
            change=arm.setting.change(arm.session.count),
            top_logprobs=_LIKELIEST if LOGPROBS in arm.session.found.accepts else 0,
        )
        held = hold_point(
            arm.session,
            arm.app,
            arm.maker,
            self._load,
            asked=replace(self._asked, requests=self._requests),
            duration=None,
            ramp=arm.session.found.seconds if self._load.concurrency > 1 else 0.0,
            note="",
            watch=self._watcher.progress,
            spent=self._spent,
            ids=number * _IDS,
            exam=exam,
        )
        requests, tokens, usd = self._spent
        self._spent = requests + held.requests, tokens + held.tokens, usd + held.usd
        return held

    def _keep(self, arms: Sequence[_Arm], helds: Sequence[Held]) -> None:
        """Takes a round: the answers in any case, the times if all of them can be trusted."""
        for arm, held in zip(arms, helds, strict=True):
            arm.graded += read_graded(Path(held.point.run))
        trouble = [why for held in helds for why in held.point.instrument.why]
        if trouble:
            self._notes.append(f"the times of a round are left out: {trouble[0]}")
            return
        for arm, held in zip(arms, helds, strict=True):
            manifest, requests = read_side(Path(held.point.run))
            arm.stretches.append(stretch(manifest, requests, str(arm.app.slo)))
            arm.points.append(held.point)

    def _clear(self) -> bool:
        found = self.found({}, over=False)
        decided = all(each.verdict != "undecided" for each in found.deltas.values())
        return decided and found.quality is not None and found.quality.verdict != "inconclusive"

    def found(self, capacities: dict[str, Capacity], *, over: bool = True) -> Tried:
        """Of the rounds so far. Raises InvalidError where none could be trusted."""
        if len(self._arms[0].stretches) < 2:
            raise InvalidError("; ".join(self._notes) or "fewer than two rounds were measured")
        return tried(
            [arm.side for arm in self._arms],
            target=self._arms[0].session.target,
            app=self._arms[0].app.name,
            load=self._load,
            margin=self._asked.margin,
            quality_margin=self._asked.quality_margin,
            capacities=capacities,
            over=over,
            notes=tuple(dict.fromkeys(self._notes)),
            command=command_line(),
        )
