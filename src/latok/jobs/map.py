"""The main job: find the load levels that tell, measure them, draw the frontier, advise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from latok.analysis.cost import dollars, most_usd_of
from latok.analysis.explain import Finding, explained
from latok.analysis.frontier import (
    AXES,
    Map,
    Setting,
    behind,
    frontier,
    knee,
    knee_interval,
    saturation,
    worse,
)
from latok.analysis.point import Point
from latok.decide.advise import advise, stands
from latok.decide.findings import findings
from latok.decide.search import Level, Seen, Stop, next_level, next_same
from latok.decide.settings import setting_found
from latok.errors import InvalidError, TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.measure import Held, failed, hold_point
from latok.jobs.outlook import session_line
from latok.jobs.runs import (
    MAP,
    read_graded,
    read_map,
    read_point,
    read_run,
    tells,
    write_beside,
)
from latok.jobs.session import EMBEDDED, Say, Session, command_line, new_folder, opened
from latok.jobs.settings import graded_share, levers_of, settings_asked, turned
from latok.jobs.turned import one_setting
from latok.load.plan import Progress
from latok.quality.items import Graded
from latok.records import Closed, Hosted
from latok.workload.apps import APPS, App

REPORT = "report.html"
_IN_A_ROW = (
    "settings are measured one after another, so what else this machine did meanwhile is in their "
    "differences; latok try measures with and without in turns"
)
_STATE = "state.json"  # beside the map: what was asked and what each level cost, to go on with
_OF_ALL = 0.9  # the driver may need so much of all cores
_TELLING = 1.0  # seconds that a window must last to tell what the driver needs
_FEWEST = 2  # requests of each user, that a level is worth its money
_LEAST = 30.0  # seconds that a level is given at the least, whatever is left


class Watcher(NamedTuple):
    """Who follows a map: talk, a load that begins (which, why, about how many seconds, how many of
    the budget are left), what the driver says, a point that is done."""

    say: Say = lambda _: None
    level: Callable[[str, str, float, float], None] = lambda *_: None
    progress: Callable[[Progress], None] = lambda _: None
    done: Callable[[Point], None] = lambda _: None


class Part(msgspec.Struct):
    """One app on one target, as it is or with the levers of a `setting` turned: the points so far,
    in the order in which they were measured."""

    target: str
    app: str
    setting: str = ""
    runs: list[str] = []
    costs: list[float] = []
    stopped: str = ""

    @property
    def name(self) -> str:
        """What its points call their target."""
        return f"{self.target} {self.setting}".rstrip()


class State(msgspec.Struct):
    """All that a map needs to go on after an interruption."""

    asked: dict[str, Any]
    command: str
    parts: list[Part]
    notes: list[str] = []
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0


class Mapped(NamedTuple):
    """The maps (one for each app), their folder, and whether all was measured."""

    maps: list[Map]
    folder: Path
    complete: bool


def map_(asked: Experiment, watcher: Watcher | None = None) -> Mapped:
    """Maps each app on each target. Ctrl-C ends it with what was measured.

    Raises UsageError, TargetError (a target that cannot be reached, or that failed every request),
    InvalidError (no point that can be trusted), KeyboardInterrupt (before there is any point).
    """
    names = list(APPS) if asked.app == "all" else [asked.app]
    profiles = [asked.profile(name).name for name in names]  # a wrong word, before an engine starts
    parts = [
        Part(target, name, setting)
        for target in asked.targets or (EMBEDDED,)
        for name, profile in zip(names, profiles, strict=True)
        for setting in settings_asked(asked, target, profile)
    ]
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-map-{_joined(profiles)}")
    return _Work(folder, State(asdict(asked), command_line(), parts), asked, watcher).done()


def resume(folder: Path, watcher: Watcher | None = None) -> Mapped:
    """Goes on with a map that was interrupted. Raises UsageError if there is none."""
    try:
        state = msgspec.json.decode((folder / _STATE).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        raise UsageError(f"{folder} holds no map that could be resumed") from None
    return _Work(folder, state, msgspec.convert(state.asked, Experiment), watcher).done()


def read_maps(folder: Path | str) -> list[Map]:
    """The maps in a folder: one, or with `--app all` one for each app. Raises UsageError."""
    folder = Path(folder)
    inside = [path for path in sorted(folder.iterdir()) if (path / MAP).exists()]
    return [read_map(path) for path in inside or [folder]]


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "all"


class _Work:
    """A map in the making."""

    def __init__(
        self, folder: Path, state: State, asked: Experiment, watcher: Watcher | None
    ) -> None:
        self._folder = folder
        self._state = state
        self._asked = asked
        self._watcher = watcher or Watcher()
        self._points = {run: read_point(Path(run)) for part in state.parts for run in part.runs}
        self._why = {point.id: _why(point) for point in self._points.values()}
        self._graded = {run: read_graded(Path(run)) for run in self._points}

    def done(self) -> Mapped:
        """Measures what is not measured yet, and gives the maps of all that is."""
        state = self._state
        complete = True
        # a target as it is comes first: its settings are held at its loads
        starts = dict.fromkeys((p.target, bool(p.setting), p.setting) for p in state.parts)
        for target, _, setting in sorted(starts, key=lambda start: start[1]):
            waiting = [p for p in state.parts if (p.target, p.setting) == (target, setting)]
            waiting = [p for p in waiting if not p.stopped]
            if waiting and complete:
                complete = self._target(target, setting, waiting)
        maps = [self._map(name) for name in dict.fromkeys(part.app for part in state.parts)]
        points = [p for each in maps for p in each.points]
        if not points and not complete:
            raise KeyboardInterrupt
        if complete and not any(p.valid for p in points):
            raise InvalidError("no point is valid: " + "; ".join(points[0].instrument.why))
        return Mapped(maps, self._folder, complete)

    def _target(self, target: str, setting: str, parts: Sequence[Part]) -> bool:
        """Measures the apps of one target, which is started once; says whether all of them."""
        try:
            with opened(target, turned(self._asked, setting), self._watcher.say) as session:
                self._state.usd += session.probed()
                name = parts[0].name if setting else session.target.name
                named = msgspec.structs.replace(session.target, name=name)
                asking = one_setting(target, setting.split()).asks(session)
                return all(self._part(p, replace(asking, target=named)) for p in parts)
        except KeyboardInterrupt:  # between two points, or while the engine starts
            return False
        except TargetError as why:
            if not setting:
                raise
            for part in parts:
                part.stopped = part.stopped or f"it cannot be measured: {why}"
                self._write(part.app)
            return True

    def _part(self, part: Part, session: Session) -> bool:
        """Measures one app on one target until the search stops; False if it was interrupted."""
        watcher = self._watcher
        asked, ungraded = graded_share(self._asked, self._asked.profile(part.app).name)
        # what the parts before left, or a loser did not need, is there for the others
        others = sum(sum(p.costs) for p in self._state.parts if p is not part)
        waiting = sum(not p.stopped for p in self._state.parts)
        spent = sum(part.costs)
        share = round(spent + max(asked.budget - others - spent, 0.0) / waiting, 1)
        app, note = session.fit(asked.profile(part.app), asked.scale)
        for each in (note, ungraded):
            if each and each not in self._state.notes:
                self._state.notes.append(each)
                watcher.say(each)
        if line := session_line(asked, "map", app, session, budget=share):
            watcher.say(line)
        maker = session.maker(app, asked.seed)
        while not part.stopped:
            step = self._next(part, share, app, session)
            if isinstance(step, Stop):
                part.stopped = step.why
                break
            cores = self._cores(part, step.concurrency)
            if cores > _OF_ALL * (os.cpu_count() or 1):
                part.stopped = (
                    f"the client would be the limit: for {step.concurrency} at a time it needs "
                    f"{cores:.1f} of {os.cpu_count()} cores"
                )
                break
            if dear := self._too_dear(step, app, session):
                part.stopped = dear
                break
            left = share - sum(part.costs)
            title = f"{app.name} on {session.target.name}: {Closed(step.concurrency)}"
            watcher.level(title, step.why, step.seconds + 2 * step.ramp, left)
            began = time.monotonic()
            held = hold_point(
                session,
                app,
                maker,
                Closed(step.concurrency),
                asked=asked,
                duration=step.seconds,
                ramp=step.ramp,
                note=note,
                watch=watcher.progress,
                # where the estimate was far off, what is there is kept: the next one is better
                limit=max(2.0 * left, _LEAST),
                spent=(self._state.requests, self._state.tokens, self._state.usd),
                cores=cores,
                precision=asked.precision,
                change=one_setting(part.target, part.setting.split()).change(session.count),
            )
            self._state.requests += held.requests
            self._state.tokens += held.tokens
            self._state.usd += held.usd
            found = held.point
            if held.ended == "interrupted" and not found.counts.ok:
                return False
            if not found.counts.ok and not part.runs:
                raise TargetError(held.why if self._spent() else failed(held))
            self._points[found.run] = found
            self._graded[found.run] = read_graded(Path(found.run))
            part.runs.append(found.run)
            part.costs.append(time.monotonic() - began)
            self._why[found.id] = _why(found)
            part.stopped = (
                self._end(held, part, session) or self._beaten(part) or self._harmful(part)
            )
            watcher.done(found)
            self._write(part.app)
            if held.ended == "interrupted":
                return False
        self._write(part.app)
        return True

    def _next(self, part: Part, share: float, app: App, session: Session) -> Level | Stop:
        """What to hold next, of `share` seconds for this part."""
        base = self._base(part)
        seen = self._all_seen(base, app)
        if part is base:
            return next_level(
                seen,
                budget=share,
                highest=self._asked.highest,
                first_latency=session.found.seconds,
            )
        windows = [self._points[run].throughput.window_s for run in base.runs]
        levels = [
            Level(
                each.concurrency,
                window,
                each.latency if each.concurrency > 1 else 0.0,
                f"as {base.name} was",
            )
            for each, window in zip(seen, windows, strict=True)
        ]
        done = {each.concurrency for each in self._all_seen(part, app)}
        at = self._advised(base)
        held = sorted(
            zip(levels, base.costs, strict=True), key=lambda each: each[0].concurrency != at
        )
        return next_same(held, done, share - sum(part.costs))

    def _all_seen(self, part: Part, app: App) -> list[Seen]:
        return [
            _seen(self._points[run], cost, app.output.mean())
            for run, cost in zip(part.runs, part.costs, strict=True)
        ]

    def _base(self, part: Part) -> Part:
        """The same app on the same target as it is."""
        return next(
            p
            for p in self._state.parts
            if (p.target, p.app, p.setting) == (part.target, part.app, "")
        )

    def _cores(self, part: Part, concurrency: int) -> float:
        """How many cores the driver would need at a level, by what it needed at those before."""
        needed = 0.0
        for run in part.runs:
            found = self._points[run]
            assert isinstance(found.load, Closed)
            seconds = found.throughput.window_s
            if seconds >= _TELLING:
                used = found.instrument.client_cpu_s / seconds
                needed = max(needed, used * concurrency / found.load.concurrency)
        return needed

    def _too_dear(self, step: Level, app: App, session: Session) -> str:
        """Why a level would cost more than is left; empty if it would not. Raises UsageError where
        not even the first one may be measured."""
        most, state = self._asked.max_cost, self._state
        if most is None or not isinstance(session.prices, Hosted):
            return ""
        mean = round(app.input.mean()), round(app.output.mean())
        each = most_usd_of(session.prices, *mean, margin=session.margin)
        if state.usd + _FEWEST * step.concurrency * each <= most:
            return ""
        if not self._points:
            raise UsageError(
                f"--max-cost {most:g} is too little: a request for {app.name} may cost "
                f"{dollars(each)}"
            )
        least = dollars(_FEWEST * step.concurrency * each)
        return (
            f"{dollars(state.usd)} of {dollars(most)} is spent, and {step.concurrency} at a time "
            f"may take {least}"
        )

    def _spent(self) -> bool:
        asked, state = self._asked, self._state
        return (asked.max_requests is not None and state.requests >= asked.max_requests) or (
            asked.max_tokens_spent is not None and state.tokens >= 0.95 * asked.max_tokens_spent
        )

    def _end(self, held: Held, part: Part, session: Session) -> str:
        """Why this part must not go on after that point; empty if it may."""
        found = held.point
        refused = sum(found.errors.get(kind, 0) for kind in ("rate_limited", "overloaded"))
        if self._spent():
            return held.why or "as much was asked as is allowed"
        if not session.alive():
            return f"the engine died at {found.load}"
        last = [self._points[run] for run in part.runs[-2:]]
        if len(last) == 2 and all(p.bent for p in last):  # a hiccup bends one
            return f"the client was the limit, not the target: {found.instrument.why[0]}"
        if refused:
            return (
                f"the target's own limit, not its saturation: at {found.load} it refused {refused} "
                f"of {found.counts.offered} requests (429 or 503)"
            )
        return "" if found.counts.ok else f"at {found.load} no request was answered"

    def _beaten(self, part: Part) -> str:
        """The target that is clearly better wherever both were measured; empty if none is."""
        mine = [self._points[run] for run in part.runs]
        for other in self._state.parts:
            theirs = [self._points[run] for run in other.runs]
            rival = other is not part and other.app == part.app and not self._harmful(other)
            if rival and behind(mine, theirs):
                return f"clearly behind {other.name} at every load that both were measured at"
        return ""

    def _harmful(self, part: Part) -> str:
        """How a setting's answers are worse beyond doubt; empty if that is not known."""
        found = self._setting(part) if part.setting else None
        return f"its answers are worse: {found.why}" if found is not None and found.inferior else ""

    def _setting(self, part: Part) -> Setting:
        """What a setting did, as far as it is measured."""
        base = self._base(part)
        ours, theirs = ([self._points[run] for run in p.runs] for p in (part, base))
        return setting_found(
            levers_of(part.setting),
            target=part.name,
            base=part.target,
            ours=ours,
            theirs=theirs,
            answers=self._answers(part),
            base_answers=self._answers(base),
            at=self._advised(base),
            margin=self._asked.quality_margin,
            over=bool(part.stopped),
        )

    def _advised(self, part: Part) -> int | None:
        """How many at a time one would ask of it, of the loads that it was measured at."""
        points = [self._points[run] for run in part.runs]
        advised = advise(part.app, points).point
        return next(
            (p.load.concurrency for p in points if p.id == advised and isinstance(p.load, Closed)),
            None,
        )

    def _answers(self, part: Part) -> dict[int, list[Graded]]:
        """By how many at a time."""
        found = {}
        for run in part.runs:
            load = self._points[run].load
            assert isinstance(load, Closed)
            found[load.concurrency] = self._graded[run]
        return found

    def _map(self, name: str) -> Map:
        """The map of one app from the runs so far."""
        parts = [part for part in self._state.parts if part.app == name]
        points = [self._points[run] for part in parts for run in part.runs]
        settings = tuple(self._setting(part) for part in parts if part.setting and part.runs)
        sound = [point for point in points if point.id not in worse(settings)]
        best = frontier(sound)
        bend = knee(best)
        app = self._asked.profile(name)
        stops = {part.name: part.stopped or "interrupted" for part in parts}
        return Map(
            app=app.name,
            slo=str(app.slo),
            axes=AXES,
            points=tuple(points),
            frontier=tuple(p.id for p in best),
            knee=bend.id if bend else None,
            knee_ci=knee_interval(sound),
            saturation=saturation(sound),
            advice=advise(app.name, points, self._why, settings),
            settings=settings,
            stopped="; ".join(f"{t}: {why}" if len(stops) > 1 else why for t, why in stops.items()),
            notes=(*self._state.notes, *([_IN_A_ROW] if settings else [])),
            command=self._state.command,
            report=str(self._folder / REPORT),
        )

    def _write(self, name: str) -> None:
        """Leaves the map as far as it is known, after every point."""
        write_beside(
            self._folder / _STATE, msgspec.json.format(msgspec.json.encode(self._state), indent=1)
        )
        place = self._folder
        if len({part.app for part in self._state.parts}) > 1:
            place = place / Path(name).stem
            place.mkdir(exist_ok=True)
        write_beside(place / MAP, msgspec.json.encode(self._map(name)))


def _why(point: Point) -> list[Finding]:
    """Where a point's latency goes, if its server tells."""
    if not tells(point, Path(point.run)):
        return []
    found = explained(*read_run(point.run))
    return findings(found[0]) if found else []


def _seen(point: Point, cost: float, answer: float) -> Seen:
    """`answer`: mean tokens of the app's answers. A few requests may be long or short ones by
    chance, so a typical request's time is taken from the tokens per second (Little's law)."""
    assert isinstance(point.load, Closed)
    throughput = point.throughput.output_tokens_per_s or 0.0
    latency = point.load.concurrency * answer / throughput if throughput else cost
    return Seen(
        point.load.concurrency,
        throughput,
        latency,
        point.goodput.attainment,
        stands(point),
        cost,
    )
