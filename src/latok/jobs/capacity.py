"""The highest load within the SLO: searched on each target, in closed and in open loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from latok.analysis.capacity import Capacity, Rate, Slots, headroom, spread_of
from latok.analysis.metrics import clause_hits
from latok.analysis.point import Point
from latok.decide.capacity import Bracket, Hold, Search, Seen, Stop, bracket, next_hold, spent
from latok.errors import InvalidError, TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.map import Watcher
from latok.jobs.measure import Held, failed, hold_point
from latok.jobs.runs import CAPACITY, read_run, write_beside
from latok.jobs.session import EMBEDDED, Session, command_line, new_folder, opened
from latok.records import Closed, Load, Open
from latok.workload.apps import App
from latok.workload.slo import Clause

# An open loop begins at half of what one request after another would be.
_PRECISION = 0.1  # of a capacity: half of its interval as a share of it
_FIRST = 0.5
# Standard deviation ÷ mean of the gaps of the arrivals that latok makes.
_SPREAD = {"constant": 0.0, "poisson": 1.0}
# Latencies to which waiting for one's turn adds, second by second. The others (per token) suffer
# from who is served beside them, and that changes as requests come and go.
_WAITING = ("ttft", "ttft_user", "ttfv", "ttfb", "e2e", "e2e_close")


class Found(NamedTuple):
    """The answers (one for each target), their folder, and whether all was searched."""

    capacities: list[Capacity]
    folder: Path
    complete: bool


def capacity(asked: Experiment, watcher: Watcher | None = None) -> Found:
    """Searches each target. Ctrl-C ends it with what was measured.

    Raises UsageError, TargetError (a target that cannot be reached, or that failed every request),
    InvalidError (no point that can be trusted), KeyboardInterrupt (before there is any point).
    """
    watcher = watcher or Watcher()
    app = asked.profile(asked.app)
    if not app.slo.clauses:
        raise UsageError(f"{app.name} asks nothing of latency; give --slo")
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-capacity-{app.name}")
    with ExitStack() as stack:
        # all stand ready at once, so that they can be measured in turns; who waits is idle
        sessions = [
            stack.enter_context(opened(target, asked, watcher.say))
            for target in asked.targets or (EMBEDDED,)
        ]
        parts = [_part(s, loop, asked, watcher) for s in sessions for loop in asked.loops]
        complete = _search(parts, asked, watcher, folder)
    found = _answers(parts, asked)
    points = [point for each in found for point in each.points]
    if not points and not complete:
        raise KeyboardInterrupt
    if points:
        _write(folder, found)  # with why each search ended
    if complete and not any(point.valid for point in points):
        raise InvalidError("no point is valid: " + "; ".join(points[0].instrument.why))
    return Found(found, folder, complete)


def highest(
    sessions: Sequence[Session], asked: Experiment, watcher: Watcher, folder: Path
) -> tuple[list[Capacity], bool]:
    """How many at a time each target bears, within one budget; and whether all was searched."""
    asked = replace(asked, loops=("closed",))
    parts = [_part(session, "closed", asked, watcher) for session in sessions]
    complete = _search(parts, asked, watcher, folder)
    return _answers(parts, asked), complete


def read_capacities(folder: Path) -> list[Capacity]:
    """The answers in a folder. Raises UsageError if there are none."""
    try:
        return msgspec.json.decode((folder / CAPACITY).read_bytes(), type=list[Capacity])
    except OSError as why:
        raise UsageError(f"no capacity in {folder}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / CAPACITY} is not of latok: {why}") from None


@dataclass(kw_only=True)
class _Part:
    """One loop on one target: what is searched, and what was seen."""

    session: Session
    app: App
    note: str
    search: Search
    seen: list[Seen] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    spent: float = 0.0
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    stopped: str = ""

    @property
    def loop(self) -> str:
        return "closed" if self.search.whole else "open"

    @property
    def found(self) -> Bracket | None:
        return bracket(self.search, self.seen) if self.seen else None

    def load(self, level: float) -> Load:
        return Closed(round(level)) if self.search.whole else Open(level, self.app.arrivals)


def _part(session: Session, loop: str, asked: Experiment, watcher: Watcher) -> _Part:
    app, note = session.fit(asked.profile(asked.app), asked.scale)
    if note and loop == asked.loops[0]:
        watcher.say(note)
    whole, alone = loop == "closed", max(session.found.seconds, 1e-3)
    search = Search(
        quantiles=tuple(clause.quantile for clause in app.slo.clauses),
        slacks=tuple(clause.limit for clause in app.slo.clauses),
        whole=whole,
        first=1.0 if whole else _FIRST / alone,
        # Little's law: in both loops no more are in flight
        highest=float(asked.highest) if whole else asked.highest / alone,
        alone=alone,
        budget=asked.budget,
        precision=asked.precision or _PRECISION,
    )
    return _Part(session=session, app=app, note=note, search=search)


def _search(parts: Sequence[_Part], asked: Experiment, watcher: Watcher, folder: Path) -> bool:
    """Measures in turns until every search has stopped; False if it was interrupted."""
    while waiting := [part for part in parts if not part.stopped]:
        part = min(waiting, key=lambda each: each.spent)
        left = asked.budget - sum(each.spent for each in parts)
        share = max(left, 0.0) / len(waiting)
        so_far = sum(row.cost for row in part.seen)  # part.spent is also what was not valid
        step = next_hold(part.search._replace(budget=so_far + share), part.seen)
        if isinstance(step, Stop) or (part.points and not share):
            part.stopped = (step if isinstance(step, Stop) else spent(part.search, part.seen)).why
            continue
        try:
            if not _measured(part, step, asked, watcher, left, parts):
                return False
        except KeyboardInterrupt:
            return False
        finally:
            if any(each.points for each in parts):
                _write(folder, _answers(parts, asked))
        _drop_losers(parts, watcher)
    return True


def _measured(
    part: _Part,
    step: Hold,
    asked: Experiment,
    watcher: Watcher,
    left: float,
    parts: Sequence[_Part],
) -> bool:
    """Holds one load and takes in what it showed; False if it was interrupted."""
    session, load, began = part.session, part.load(step.load), time.monotonic()
    title = f"{part.app.name} on {session.target.name}: {load}"
    watcher.level(title, step.why, step.seconds + step.warm_up, left)
    # other arrivals and other prompts each time: what two windows share they cannot both tell
    seed = asked.seed + len(part.points)
    held = hold_point(
        session,
        part.app,
        session.maker(part.app, seed),
        load,
        asked=replace(asked, seed=seed, concurrency=None, rate=None, requests=None),
        duration=step.seconds,
        ramp=step.warm_up if part.search.whole and step.load > 1 else 0.0,
        note=part.note,
        watch=watcher.progress,
        limit=max(2.0 * left, 3.0 * (step.seconds + step.warm_up)),
        spent=(
            sum(p.requests for p in parts),
            sum(p.tokens for p in parts),
            sum(p.usd for p in parts) + session.probed(),
        ),
        warm_up_s=step.warm_up,
    )
    cost = time.monotonic() - began
    part.spent += cost
    part.requests += held.requests
    part.tokens += held.tokens
    part.usd += held.usd
    found = held.point
    if held.ended == "interrupted" and not found.counts.ok:
        return False
    if not found.counts.ok and not part.points:
        raise TargetError(failed(held))
    part.points.append(found)
    hits = clause_hits(*read_run(found.run))
    if found.valid and all(len(each) for each in hits):
        latency = found.metrics["e2e_close"].p50 or step.seconds
        seconds = found.throughput.window_s
        part.seen.append(Seen(step.load, hits, latency, seconds + step.warm_up, cost))
        _learn(part)
    part.stopped = _end(held, part, asked)
    watcher.done(found)
    if held.ended == "interrupted":
        return False
    _rest(found, part, left - cost)
    return True


def _rest(found: Point, part: _Part, left: float) -> None:
    """Lets a queue drain that an overload left: not every server forgets a client that is gone. Its
    last request would have waited about as long as those of the window did."""
    waited = (found.metrics["e2e_close"].p50 or 0.0) - part.search.alone
    if isinstance(found.load, Open) and waited > part.search.alone and left > 0.0:
        pause = min(waited, left / 4.0)
        part.spent += pause
        time.sleep(pause)


def _learn(part: _Part) -> None:
    """What the lightest load so far tells of a request that is alone."""
    lightest = min(
        (point for point in part.points if point.valid),
        key=lambda p: p.load.concurrency if isinstance(p.load, Closed) else p.load.rate,
    )

    def slack(clause: Clause) -> float:
        name = clause.metric if clause.metric in _WAITING else "e2e_close"
        alone = lightest.metrics[name].p50
        if alone is None or clause.metric not in _WAITING:
            return part.search.alone if alone is None else alone
        return max(clause.limit - alone, 1e-3)

    part.search = part.search._replace(slacks=tuple(map(slack, part.app.slo.clauses)))


def _end(held: Held, part: _Part, asked: Experiment) -> str:
    """Why this search must not go on after that point; empty if it may."""
    found = held.point
    refused = sum(found.errors.get(kind, 0) for kind in ("rate_limited", "overloaded"))
    if not part.session.alive():
        return f"the engine died at {found.load}"
    if held.ended == "unfinished" and held.why and not found.counts.ok:
        return held.why
    if len(part.points) > 2 and all(point.bent for point in part.points[-3:]):
        return f"the client was the limit, not the target: {found.instrument.why[0]}"
    if refused == found.counts.offered > 0:
        return f"at {found.load} the target refused every request (429 or 503)"
    # a window that took longer than was thought does not end a search; what may be spent does
    capped = asked.max_requests or asked.max_tokens_spent or asked.max_cost
    return held.why if capped or not found.counts.ok else ""


def _drop_losers(parts: Sequence[_Part], watcher: Watcher) -> None:
    """Who is wholly below another target in the same loop is searched no further."""
    for part in parts:
        mine = part.found
        if part.stopped or mine is None or mine.high is None:
            continue
        for other in parts:
            theirs = other.found
            if other.loop == part.loop and theirs is not None and mine.high < theirs.low:
                name = other.session.target.name
                part.stopped = f"clearly below {name}, which has the rest of the budget"
                watcher.say(f"{part.session.target.name}, {part.loop} loop: {part.stopped}")
                break


# --- the answers ---------------------------------------------------------------------------------


def _answers(parts: Sequence[_Part], asked: Experiment) -> list[Capacity]:
    sessions = {id(part.session): part.session for part in parts}
    return [
        _answer([part for part in parts if part.session is session], asked)
        for session in sessions.values()
    ]


def _answer(parts: Sequence[_Part], asked: Experiment) -> Capacity:
    app = parts[0].app
    closed = next((_slots(part) for part in parts if part.loop == "closed" and part.seen), None)
    rate = next((_rate(part) for part in parts if part.loop == "open" and part.seen), None)
    points = tuple(point for part in parts for point in part.points)
    most = max((p.throughput.requests_per_s for p in points if p.valid), default=0.0)
    free = None
    if rate is not None:
        measured = _SPREAD[app.arrivals]
        free = headroom(rate.rate, most, measured=measured, real=app.cv, work=spread_of(app.output))
    decisive = rate or closed
    return Capacity(
        app=app.name,
        target=parts[0].session.target.name,
        slo=str(app.slo),
        closed=closed,
        open=rate,
        tightest=decisive.tightest if decisive else None,
        headroom=free,
        points=points,
        notes=tuple(dict.fromkeys(part.note for part in parts if part.note)),
        command=command_line(),
    )


def _slots(part: _Part) -> Slots:
    found = bracket(part.search, part.seen)
    return Slots(
        concurrency=int(found.value),
        ci95=(int(found.low), None if found.high is None else int(found.high)),
        tightest=str(part.app.slo.clauses[found.clause]),
        stopped=part.stopped or "interrupted",
    )


def _rate(part: _Part) -> Rate:
    found = bracket(part.search, part.seen)
    return Rate(
        rate=found.value,
        ci95=(found.low, found.high),
        arrivals=part.app.arrivals,
        tightest=str(part.app.slo.clauses[found.clause]),
        stopped=part.stopped or "interrupted",
    )


def _write(folder: Path, found: list[Capacity]) -> None:
    write_beside(folder / CAPACITY, msgspec.json.encode(found))
