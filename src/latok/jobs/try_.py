"""With and without: the same requests, in turns, on a target whose levers are turned and not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from latok.analysis.capacity import Capacity
from latok.analysis.compare import Stretch, stretch
from latok.analysis.metrics import digest, in_window, point
from latok.analysis.point import Point
from latok.engines.table import ENGINES
from latok.errors import InvalidError, TargetError, UsageError
from latok.jobs.calibrated import Fitting, suite_for
from latok.jobs.capacity import highest
from latok.jobs.compare import read_side
from latok.jobs.experiment import Experiment
from latok.jobs.fronted import as_users, salted, to_warm, uses
from latok.jobs.graded import suite_asked
from latok.jobs.map import Watcher
from latok.jobs.measure import Held, failed, hold_point
from latok.jobs.runs import (
    TRIED,
    opened_run,
    read_graded,
    read_judged,
    read_run,
    summarised,
    write_beside,
)
from latok.jobs.session import EMBEDDED, Session, command_line, new_folder, opened
from latok.jobs.turned import Turned, turned
from latok.jobs.waves import Waves, in_waves
from latok.levers.client import PLAIN
from latok.levers.requests import Change
from latok.quality.hits import Use
from latok.quality.items import Graded
from latok.quality.judge import Judgement, judging, judging_line
from latok.quality.suite import Exam, Suite
from latok.quality.tried import Answers, Side, Tried, tried
from latok.records import Closed, Usage
from latok.wire.apis import LOGPROBS
from latok.workload.apps import App
from latok.workload.parts import Parts
from latok.workload.prompts import PromptMaker, estimate
from latok.workload.repeats import Repeats

_CONCURRENCY = 8
# The budget is cut into so many rounds, in each of which every setting is asked the same: fewer
# leave much doubt of their own spread, more lose their time at their edges.
_ROUNDS, _FEWEST = 8, 4
# Past the budget by this share two rounds must do, however wide their intervals.
_OVER = 0.25
_PATIENT = 3  # times the budget may be passed until there are two rounds that can be trusted
_FLOOR = 3  # every such round base is asked twice
_GRADED = 0.5  # of the requests, where it was not said
_ITEMS = 1000  # of a round at the most
_IDS = 50_000  # of a round's requests: each has prompts of its own, so that no cache knows them
_LIKELIEST = 10  # first tokens whose log-probabilities are asked for, where the target gives them
_REPEATS = 0.3  # of the requests, where a cache of answers is tried and nothing was said
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
    uses: list[Use] = field(default_factory=list)
    floor: list[Graded] = field(default_factory=list)

    @property
    def side(self) -> Side:
        return Side(
            name=self.setting.name,
            levers=dict(self.setting.levers),
            stretches=tuple(self.stretches),
            points=tuple(self.points),
            answers=Answers(tuple(self.graded), tuple(self.floor)),
            uses=tuple(self.uses) if self.setting.client.cache else (),
        )


class _Turn(NamedTuple):
    """One setting in one round. `failed`: why nothing was answered, empty if something was."""

    graded: list[Graded]
    point: Point
    stretch: Stretch
    ended: str
    why: str
    failed: str
    uses: Sequence[Use] = ()


def _add(kept: list[Graded], more: Sequence[Graded]) -> None:
    """A user's few items are asked again and again; the first answer counts."""
    known = {each.item for each in kept}
    kept += [each for each in more if each.item not in known]


def _check(settings: Sequence[Turned], asked: Experiment) -> None:
    """Raises UsageError for what would be ignored."""
    if asked.repeats is not None and any(each.part_tokens for each in settings):
        raise UsageError("--repeats: nothing is repeated where context=map_reduce asks in waves")
    cap, concurrency = settings[-1].client.cap, asked.concurrency or _CONCURRENCY
    if cap is not None and cap >= concurrency:
        raise UsageError(
            f"concurrency_cap={cap} changes nothing with {concurrency} at a time; -c sets those"
        )


def _salted(parts: Parts, *, change: Change | None, salt: str) -> Parts:
    return salted(parts if change is None else change(parts), salt)


def _with_warming(found: Point, warmed: Held, requests: int) -> Point:
    """The point with what its warming asked for, which is shared out between its requests."""
    tokens = dict(found.tokens)
    if requests and (own := tokens.get("input")):
        tokens["input"] = own + warmed.tokens / requests
    cost = found.cost
    if requests and cost is not None and cost.usd_per_request is not None:
        more = warmed.usd / requests
        cost = msgspec.structs.replace(cost, usd_per_request=cost.usd_per_request + more)
    return msgspec.structs.replace(found, tokens=tokens, cost=cost)


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
    _check(settings, asked)
    notes = []
    if asked.repeats is None and settings[-1].client.cache:
        asked = replace(asked, repeats=_REPEATS)
        notes.append(f"{_REPEATS:.0%} of the requests repeat an earlier one; --repeats sets that")
    app = asked.profile(asked.app)
    suite = suite_asked(replace(asked, graded=asked.graded or 1.0), app.name)
    assert suite is not None
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-try-{app.name}")
    asked = replace(asked, runs=str(folder), concurrency=asked.concurrency or _CONCURRENCY)
    with ExitStack() as stack:
        arms = _arms(stack, word, settings, asked, watcher)
        base = arms[0]
        fitting = suite_for(base.session, suite, base.app, base.maker, asked, watcher)
        work = _Rounds(arms, fitting, asked, watcher, folder, notes)
        work.warm_up()
        complete = work.run()
        capacities = {}
        if complete and app.slo.clauses and settings[-1].of_engine:
            search = replace(
                asked, budget=_CAPACITY * asked.budget, concurrency=None, graded=None, items=None
            )
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
        fitting: Fitting,
        asked: Experiment,
        watcher: Watcher,
        folder: Path,
        notes: Sequence[str],
    ) -> None:
        self._arms, self._suite = arms, fitting.suite
        self._asked, self._watcher = asked, watcher
        self._folder = folder
        share = _CAPACITY if arms[-1].setting.of_engine else 0.0
        self._budget = (1.0 - share) * asked.budget
        assert asked.concurrency is not None
        self._load = Closed(asked.concurrency)
        self._requests = 2 * asked.concurrency  # of a round and a setting
        self._notes = list(notes)
        self._judged: list[Judgement] = []
        # one that acts in front of the target is seen by whoever waits there
        self._fronted = any(arm.setting.client != PLAIN for arm in arms)
        self._warms = any(arm.setting.client.warm for arm in arms)
        if self._fronted:
            self._notes.append(
                "times are from when each request was wanted: what waits in the client is in them"
            )
        self._spent = fitting.spent
        self._repeats = Repeats(asked.repeats or 0.0, seed=asked.seed)

    def warm_up(self) -> None:
        """A round that is not compared: it warms all, and shows how many requests a round bears."""
        rates, overhead = list[float](), 0.0
        for arm in self._arms:
            began = time.monotonic()
            turn = self._turn(arm, 0)
            if turn.ended == "interrupted":
                raise KeyboardInterrupt
            if turn.failed:
                raise TargetError(turn.failed)
            rates.append(max(turn.point.throughput.requests_per_s, 1e-3))
            took = time.monotonic() - began
            overhead = max(overhead, took - self._requests / rates[-1])
        turns = len(self._arms) * _ROUNDS + _ROUNDS // _FLOOR
        # at least half of a turn is measured, even where fewer rounds fit then
        seconds = max(self._budget / turns - overhead, overhead)
        if self._warms:  # a beginning is new to the first users alone: many short turns
            return
        c = self._load.concurrency
        self._requests = max(2 * c, min(round(min(rates) * seconds), _ITEMS // 2))

    def run(self) -> bool:
        """Rounds until all is clear or the budget is spent; False if it was interrupted."""
        try:
            complete = self._run()
        except KeyboardInterrupt:  # between two turns
            complete = False
        if not complete:
            if len(self._arms[0].stretches) < 2:
                raise KeyboardInterrupt
            self._notes.append("interrupted before the budget was spent")
        return complete

    def _run(self) -> bool:
        began, number, longest = time.monotonic(), 1, 0.0
        while True:
            left = self._budget - (time.monotonic() - began)
            kept = len(self._arms[0].stretches)
            if left < longest and kept >= self._least(left):
                return True
            started = time.monotonic()
            arms = list(self._arms) if number % 2 else list(self._arms)[::-1]
            names = ", then ".join(arm.setting.name for arm in arms)
            self._watcher.level(f"round {number}: {names}", "", longest, max(left, 0.0))
            turns = [self._turn(arm, number) for arm in arms]
            if any(turn.ended == "interrupted" for turn in turns):
                return False
            self._keep(arms, turns)
            if number % _FLOOR == 0:
                _add(self._arms[0].floor, self._turn(self._arms[0], number).graded)
            if why := next((turn.why for turn in turns if turn.why), ""):
                self._notes.append(why)
                return True
            longest = max(longest, time.monotonic() - started)
            if len(self._arms[0].stretches) >= 2:
                _write(self._folder, self.found({}))
            if len(self._arms[0].stretches) >= _FEWEST and self._clear():
                return True
            number += 1

    def _least(self, left: float) -> int:
        """Rounds that there must be, once so many seconds of the budget are left."""
        if left > -_OVER * self._budget:
            return _FEWEST
        return 2 if left > -_PATIENT * self._budget else 0

    def _turn(self, arm: _Arm, number: int) -> _Turn:
        # where requests are changed, all that is asked must be known by its parts
        whole = self._warms or any(each.setting.of_requests for each in self._arms)
        change = arm.setting.change(arm.session.count)
        if self._warms:
            # what one asked of a target that all share, no other may find in its cache
            shared = len({each.session.target.url for each in self._arms}) == 1
            salt = f"({number}.{self._arms.index(arm) if shared else 0})"
            change = partial(_salted, change=change, salt=salt)
        exam = Exam(
            suite=self._suite,
            share=1.0 if whole else self._asked.graded or _GRADED,
            start=_ITEMS * number,
            change=change,
            top_logprobs=_LIKELIEST if LOGPROBS in arm.session.found.accepts else 0,
        )
        turn = self._waves(arm, exam) if arm.setting.part_tokens else self._hold(arm, exam, number)
        self._judged += read_judged(Path(turn.point.run))
        return turn

    def _waves(self, arm: _Arm, exam: Exam) -> _Turn:
        """A turn whose items are each asked in two waves."""
        items = [item for n in range(self._requests) if (item := exam.item(n)) is not None]
        done = in_waves(
            arm.session,
            items,
            arm.setting.part_tokens,
            self._load,
            asked=self._asked,
            app=arm.app,
            spent=self._spent,
            watch=self._watcher.progress,
        )
        self._spend(done)
        manifest, _ = opened_run(done.folder)
        # what came before its last request is in an item's times; its tokens are those of all
        records = [
            msgspec.structs.replace(
                each.record,
                usage=Usage(prompt_tokens=each.input_tokens, completion_tokens=each.output_tokens),
            )
            for each in done.items
        ]
        if records:
            ends = min(r.due for r in records), max(r.closed_at or r.due for r in records)
            manifest = msgspec.structs.replace(manifest, window=ends)
        return _Turn(
            graded=[each.graded for each in done.items],
            point=point(manifest, records, run=str(done.folder)),
            stretch=stretch(manifest, [digest(each) for each in records], str(arm.app.slo)),
            ended=done.ended,
            why=done.why,
            failed="" if records else f"no item was answered in two waves: {done.why}",
        )

    def _hold(self, arm: _Arm, exam: Exam, number: int) -> _Turn:
        warmed = self._warm(arm, exam) if arm.setting.client.warm else None
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
            cold=self._warms,
        )
        self._spend(held)
        folder = Path(held.point.run)
        manifest, requests = read_side(folder)
        turn = _Turn(
            graded=read_graded(folder),
            point=held.point,
            stretch=stretch(manifest, requests, str(arm.app.slo)),
            ended=held.ended,
            why=held.why,
            failed="" if held.point.counts.ok else failed(held),
        )
        return self._of_users(turn, arm, exam, warmed) if self._fronted else turn

    def _of_users(self, turn: _Turn, arm: _Arm, exam: Exam, warmed: Held | None) -> _Turn:
        """The turn as those see it who wait in front of the client."""
        manifest, records = read_run(turn.point.run)
        first, repeats = manifest.workload["first_id"], self._repeats
        waited = as_users(records)
        point = summarised(
            manifest, waited, turn.graded, read_judged(Path(turn.point.run)), turn.point.run
        )
        return turn._replace(
            point=point if warmed is None else _with_warming(point, warmed, len(records)),
            stretch=stretch(manifest, list(map(digest, waited)), str(arm.app.slo), whole=True),
            uses=uses(
                [record for record in records if in_window(record, manifest)],
                lambda id: exam.item(repeats.origin(id - first)),
                lambda id: repeats.origin(id - first),
            ),
        )

    def _warm(self, arm: _Arm, exam: Exam) -> Held | None:
        """Sends the beginnings that the turn's requests share, one token each."""
        items = [item for n in range(self._requests) if (item := exam.item(n)) is not None]
        count = arm.session.count or estimate
        parts = [item.parts if exam.change is None else exam.change(item.parts) for item in items]
        beginnings = to_warm(parts, count)
        if not beginnings:
            self._notes.append("no two requests begin alike, so there is nothing to warm")
            return None
        most = self._spent[0] + len(beginnings)
        if self._asked.max_requests is not None:
            most = min(most, self._asked.max_requests)
        held = hold_point(
            arm.session,
            arm.app,
            arm.maker,
            Closed(1),
            asked=replace(self._asked, max_requests=most, repeats=None),
            duration=None,
            ramp=0.0,
            note="to warm the beginnings of the requests that follow",
            watch=self._watcher.progress,
            spent=self._spent,
            exam=Exam(suite=Suite(own=tuple(beginnings))),
            cold=True,
        )
        self._spend(held)
        return held

    def _spend(self, more: Held | Waves) -> None:
        requests, tokens, usd = self._spent
        self._spent = requests + more.requests, tokens + more.tokens, usd + more.usd

    def _keep(self, arms: Sequence[_Arm], turns: Sequence[_Turn]) -> None:
        """Takes a round: the answers in any case, the times if all of them can be trusted."""
        for arm, turn in zip(arms, turns, strict=True):
            _add(arm.graded, turn.graded)
            arm.uses += turn.uses
        trouble = [why for turn in turns for why in turn.point.instrument.why]
        if trouble:
            self._notes.append(f"the times of a round are left out: {trouble[0]}")
            return
        for arm, turn in zip(arms, turns, strict=True):
            arm.stretches.append(turn.stretch)
            arm.points.append(turn.point)

    def _clear(self) -> bool:
        found = self.found({}, over=False)
        decided = all(each.verdict != "undecided" for each in found.deltas.values())
        return decided and found.quality is not None and found.quality.verdict != "inconclusive"

    def found(self, capacities: dict[str, Capacity], *, over: bool = True) -> Tried:
        """Of the rounds so far. Raises InvalidError where none could be trusted."""
        if len(self._arms[0].stretches) < 2:
            raise InvalidError("; ".join(self._notes) or "fewer than two rounds were measured")
        use = judging(self._judged)
        judge = [] if use is None else [f"the {judging_line(use)}"]
        return tried(
            [arm.side for arm in self._arms],
            target=self._arms[0].session.target,
            app=self._arms[0].app.name,
            load=self._load,
            margin=self._asked.margin,
            quality_margin=self._asked.quality_margin,
            capacities=capacities,
            over=over,
            notes=(*dict.fromkeys(self._notes), *judge),
            command=command_line(),
        )
