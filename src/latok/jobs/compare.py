"""B against A: two stored runs or maps, or two targets that are measured in turns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from latok.analysis.comparable import differences
from latok.analysis.compare import Comparison, Stretch, stretch
from latok.analysis.compare import compare as judge
from latok.analysis.digest import Digest
from latok.analysis.metrics import digest, in_window, point
from latok.engines.table import ENGINES
from latok.errors import InvalidError, TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.map import Watcher, read_maps
from latok.jobs.measure import Held, failed, hold_point, load_of
from latok.jobs.outlook import session_line
from latok.jobs.runs import COMPARISON, POINT, folder_named, home, kind, opened_run, write_beside
from latok.jobs.session import Session, new_folder, opened, target_url
from latok.records import MANIFEST, Closed, Load, Manifest, Record
from latok.workload.apps import App
from latok.workload.prompts import PromptMaker

_SEED = 0  # of the drawing of blocks: the same runs give the same verdict

# A budget is cut into so many pairs: fewer leave much doubt of their own spread (Student's t has a
# factor of 2.4 for 8 of them, 3.2 for 4), more lose their time at their edges.
_PAIRS, _FEWEST = 8, 4
# Before the end a difference must be this clear: so the looks do not raise the chance of a false
# one (Haybittle & Peto).
_EARLY = 0.001
# Ids of a stretch's requests: each has prompts of its own, so that no cache knows them.
_IDS = 50_000


class Side(NamedTuple):
    """A target of a live comparison."""

    name: str
    session: Session
    app: App
    maker: PromptMaker
    note: str


def compare(
    a: str, b: str, asked: Experiment, watcher: Watcher | None = None
) -> tuple[Comparison, bool]:
    """Judges B against A; says whether it ran to its end (else it was interrupted).

    Each is a stored run or map, or a target: a URL, or an engine with its levers in one word
    (`"openvino kv_cache=u4"`). Raises UsageError (what cannot be compared, and why), TargetError,
    InvalidError (nothing that can be trusted), KeyboardInterrupt (before there was anything).
    """
    stored = [_stored(word, asked.runs) for word in (a, b)]
    if None not in stored:
        given = [name for name in ("rate", "concurrency") if getattr(asked, name) is not None]
        if given:
            raise UsageError(f"--{given[0]}: stored runs have had their load")
        return of_stored([folder for folder in stored if folder is not None], asked), True
    if any(stored):
        raise UsageError("a stored run and a target: compare two runs, or two targets")
    return _of_targets(a, b, asked, watcher or Watcher())


def _stored(word: str, runs: str) -> Path | None:
    """The folder of a run or a map; None for a target. Raises UsageError for neither."""
    if not word.split() or word.split(maxsplit=1)[0] in ENGINES or "://" in word:
        return None
    try:
        return folder_named(word, runs)
    except UsageError as why:
        try:
            target_url(word)
        except UsageError:
            raise UsageError(f"{why}; nor is '{word}' an engine or a URL") from None
        return None


# --- stored --------------------------------------------------------------------------------------


class _Run(NamedTuple):
    """A run read back. `trouble`: why it must not be compared; empty if it may."""

    folder: Path
    manifest: Manifest
    requests: list[Digest]
    trouble: tuple[str, ...]

    @property
    def window(self) -> list[Digest]:
        return [each for each in self.requests if in_window(each.record, self.manifest)]


def of_stored(folders: Sequence[Path], asked: Experiment) -> Comparison:
    """The second of two runs or maps against the first. Raises UsageError (what cannot be compared,
    and why) and InvalidError (nothing that can be trusted)."""
    sides = [_runs(folder) for folder in folders]
    shared = [load for load in sides[0] if load in sides[1]]
    if kind(folders[0]) == "run" == kind(folders[1]):
        pairs = {"": tuple(next(iter(side.values())) for side in sides)}
    elif shared:
        pairs = {load: (sides[0][load], sides[1][load]) for load in shared}
    else:
        raise UsageError(f"{folders[0]} and {folders[1]} have no load in common")
    notes: list[str] = []
    compared: dict[str, tuple[list[Stretch], list[Stretch]]] = {}
    used: list[tuple[str, ...]] = []
    for load, (one, other) in pairs.items():
        if trouble := [*one.trouble, *other.trouble]:
            notes.append(f"{load or 'a run'} is invalid and left out: {trouble[0]}")
            continue
        _refuse(one, other, asked)
        slo = one.manifest.slo
        compared[load] = (
            [stretch(one.manifest, one.requests, slo)],
            [stretch(other.manifest, other.requests, slo)],
        )
        used.append((str(one.folder), str(other.folder)))
    if not compared:
        raise InvalidError("; ".join(notes))
    return judge(
        compared,
        a=str(folders[0]),
        b=str(folders[1]),
        margin=asked.margin,
        interleaved=False,
        seed=_SEED,
        notes=tuple(notes),
        runs=tuple(zip(*used, strict=True)),
    )


def _runs(folder: Path) -> dict[str, _Run]:
    """The runs of a folder, by their load."""
    places = [folder]
    if kind(folder) == "map":
        points = [p for each in read_maps(folder) for p in each.points]
        places = [place for p in points if (place := home(p, [folder])) is not None]
    found = {}
    for place in places:
        if (place / POINT).exists() or not (place / MANIFEST).exists():
            raise UsageError(f"{place} has no requests of its own; another tool measured it")
        run = _read(place)
        found[_load_name(run.manifest.load)] = run
    return found


def _load_name(load: Load) -> str:
    return f"c{load.concurrency}" if isinstance(load, Closed) else f"r{load.rate:g}"


def read_side(folder: Path) -> tuple[Manifest, list[Digest]]:
    """A run's manifest, and its requests as far as they are compared."""
    run = _read(folder)
    return run.manifest, run.requests


def _read(folder: Path) -> _Run:
    manifest, records = opened_run(folder)
    requests: list[Digest] = []

    def passing() -> Iterator[Record]:
        for record in records:
            requests.append(digest(record))
            yield record

    found = point(manifest, passing())  # the records themselves may be larger than memory
    trouble = found.instrument.why
    if not found.counts.ok:
        trouble = (*trouble, f"no request of {folder} was answered")
    return _Run(folder, manifest, requests, trouble)


def _refuse(one: _Run, other: _Run, asked: Experiment) -> None:
    """Raises UsageError where the two are no comparison."""
    found = differences(
        (one.manifest, one.window), (other.manifest, other.window), any_model=asked.any_model
    )
    if found:
        raise UsageError("not comparable: " + "; ".join(found))


# --- live ----------------------------------------------------------------------------------------


def _of_targets(a: str, b: str, asked: Experiment, watcher: Watcher) -> tuple[Comparison, bool]:
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-compare")
    asked = replace(asked, runs=str(folder))
    with ExitStack() as stack:
        sides = [_side(stack, word, asked, watcher) for word in (a, b)]
        work = _Turns(sides, asked, watcher)
        work.warm_up()
        complete = work.run()
    found = work.verdict(0.05)
    write_beside(folder / COMPARISON, msgspec.json.format(msgspec.json.encode(found), indent=1))
    return found, complete


def _side(stack: ExitStack, word: str, asked: Experiment, watcher: Watcher) -> Side:
    name, *levers = word.split() if word.split(maxsplit=1)[0] in ENGINES else [word]
    own = replace(asked, levers=tuple(levers))
    session = stack.enter_context(opened(name, own, watcher.say))
    app, note = session.fit(asked.profile(asked.app), asked.scale)
    each = replace(own, duration=asked.budget / 2)
    if line := session_line(each, "measure", app, session):
        watcher.say(line)
    return Side(word, session, app, session.maker(app, asked.seed), note)


class _Turns:
    """Two targets measured in turns, A B B A, so that what drifts does so for both."""

    def __init__(self, sides: Sequence[Side], asked: Experiment, watcher: Watcher) -> None:
        self._sides, self._asked, self._watcher = sides, asked, watcher
        first, second = sides
        if (first.app.input, first.app.output) != (second.app.input, second.app.output):
            raise UsageError(
                f"not comparable: {first.name} and {second.name} bear different lengths; "
                "give --scale, or --input-tokens and --output-tokens"
            )
        models = [side.session.target.model for side in sides]
        levers = [*first.session.levers, *second.session.levers]
        if models[0] != models[1] and "model" not in levers and not asked.any_model:
            raise UsageError(
                f"not comparable: the model differs: {models[0]}, and {models[1]} (--any-model "
                "compares them all the same)"
            )
        self._load = load_of(asked, first.app, first.session.trace)
        self._stretches: tuple[list[Stretch], list[Stretch]] = ([], [])
        self._runs: tuple[list[str], list[str]] = ([], [])
        self._notes: list[str] = []
        self._held = 0
        self._requests = self._tokens = 0
        self._usd = sum(side.session.probed() for side in sides)
        self._overhead = self._longest = 0.0

    def warm_up(self) -> None:
        """A short stretch of each, which is not compared: it warms both, and shows how long the
        ends of a stretch take."""
        for side in self._sides:
            began = time.monotonic()
            held = self._hold(side, 1.0)
            if not held.point.counts.ok and held.ended != "interrupted":
                raise TargetError(failed(held))
            if held.ended == "interrupted":
                raise KeyboardInterrupt
            self._overhead = max(self._overhead, time.monotonic() - began - 1.0)
            self._longest = max(self._longest, held.point.metrics["e2e_close"].p50 or 0.0)

    def run(self) -> bool:
        """Pairs until the verdict is clear or the budget is spent; False if it was interrupted."""
        asked, began = self._asked, time.monotonic()
        each = asked.budget / (2 * _PAIRS)
        # a stretch holds a few requests of every user, even where fewer stretches fit then
        seconds = max(each - self._overhead, 2.0 * self._longest, 1.0)
        pair, longest = 0, 0.0
        while True:
            started = time.monotonic()
            left = asked.budget - (started - began)
            if left < longest and (pair >= _FEWEST or left < -asked.budget):
                return True
            order = self._sides if pair % 2 == 0 else self._sides[::-1]
            self._watcher.say(f"pair {pair + 1}: {order[0].name}, then {order[1].name}")
            helds = [self._hold(side, seconds) for side in order]
            if any(held.ended == "interrupted" for held in helds):
                if len(self._stretches[0]) < 2:
                    raise KeyboardInterrupt
                self._notes.append("interrupted before the budget was spent")
                return False
            self._keep(helds if pair % 2 == 0 else helds[::-1])
            if why := next((held.why for held in helds if held.why), ""):
                self._notes.append(why)
                return True
            pair += 1
            longest = max(longest, time.monotonic() - started)
            if pair >= _FEWEST and pair % 2 == 0 and self._clear():
                return True

    def _hold(self, side: Side, seconds: float) -> Held:
        number, self._held = self._held, self._held + 1
        held = hold_point(
            side.session,
            side.app,
            side.maker,
            self._load,
            asked=self._asked,
            duration=seconds,
            ramp=side.session.found.seconds
            if isinstance(self._load, Closed) and self._load.concurrency > 1
            else 0.0,
            note=side.note,
            watch=self._watcher.progress,
            spent=(self._requests, self._tokens, self._usd),
            ids=number * _IDS,
        )
        self._requests += held.requests
        self._tokens += held.tokens
        self._usd += held.usd
        return held

    def _keep(self, pair: Sequence[Held]) -> None:
        """Takes a pair, if both can be trusted and are the same question."""
        trouble = [why for held in pair for why in held.point.instrument.why]
        trouble += [f"no request to {h.point.target.name}" for h in pair if not h.point.counts.ok]
        if trouble:
            self._notes.append(f"a pair is left out: {trouble[0]}")
            return
        runs = [_read(Path(held.point.run)) for held in pair]
        _refuse(runs[0], runs[1], self._asked)
        for place, run in enumerate(runs):
            self._stretches[place].append(stretch(run.manifest, run.requests, runs[0].manifest.slo))
            self._runs[place].append(str(run.folder))

    def _clear(self) -> bool:
        return len(self._stretches[0]) >= _FEWEST and self.verdict(_EARLY).verdict != "undecided"

    def verdict(self, alpha: float) -> Comparison:
        """Of the pairs so far. Raises InvalidError where none could be trusted."""
        if len(self._stretches[0]) < 2:
            raise InvalidError("; ".join(self._notes) or "fewer than two pairs were measured")
        return judge(
            {"": self._stretches},
            a=self._sides[0].name,
            b=self._sides[1].name,
            margin=self._asked.margin,
            interleaved=True,
            seed=_SEED,
            alpha=alpha,
            notes=tuple(self._notes),
            runs=tuple(map(tuple, self._runs)),
        )
