"""What was tried, from simulated sides: an engine with and without a lever, in turns."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache

import msgspec

from latok.analysis import metrics
from latok.analysis.compare import Stretch, stretch
from latok.analysis.point import Point
from latok.quality.items import Graded
from latok.quality.tried import Answers, Side, Tried, tried
from latok.records import Closed
from latok.report.tried_section import Trial
from tests.report.samples import SLO, drive, manifest_of

TASKS = ("needle", "lookup", "facts", "often")
LENGTHS = (100, 200, 400, 800)


def trial_of(levers: Mapping[str, tuple[float, float]], *, rounds: int = 4) -> Trial:
    """Of one or two levers: by how much each slows the engine, and the share of right answers that
    it makes wrong."""
    names = list(levers)
    settings = [(), *((name,) for name in names if len(names) > 1), tuple(names)]
    sides = [_side(setting, levers, n, rounds) for n, setting in enumerate(settings)]
    found = tried(
        sides,
        target=manifest_of(8).target,
        app="document",
        load=Closed(8),
        margin=0.05,
        quality_margin=0.02,
        capacities={},
        over=True,
        notes=("the times of a round are left out: the client may have moved ttft by 9 ms",),
        command=f"latok try {' '.join(names)} --app document -c 8",
    )
    return Trial(found, [(side.name, side.points) for side in sides])


@cache
def one_lever() -> Tried:
    """One that is faster and harms the answers."""
    return trial_of({"context=bm25:256": (0.7, 0.1)}).found


def _side(
    setting: Sequence[str], levers: Mapping[str, tuple[float, float]], place: int, rounds: int
) -> Side:
    slow, harm = 1.0, 0.0
    for name in setting:
        slow, harm = slow * levers[name][0], harm + levers[name][1]
    held = [_round(place * rounds + n, slow) for n in range(rounds)]
    return Side(
        name=" ".join(setting) or "without",
        levers=dict(name.split("=") for name in setting),
        stretches=[each for each, _ in held],
        points=[point for _, point in held],
        answers=Answers(tuple(_graded(harm, place)), tuple(_graded(0.0, 99)[:40])),
    )


@cache
def _round(number: int, slow: float) -> tuple[Stretch, Point]:
    drift = random.Random(number).lognormvariate(0.0, 0.01)
    manifest = msgspec.structs.replace(manifest_of(8), id=f"round-{number}")
    records = drive(8, slow=slow * drift)
    requests = [metrics.digest(record) for record in records]
    return stretch(manifest, requests, SLO), metrics.point(manifest, records)


def _graded(harm: float, place: int) -> list[Graded]:
    """400 items; the longer the document and the deeper the fact, the harder."""
    return [_one(n, harm, place) for n in range(400)]


def _one(n: int, harm: float, place: int) -> Graded:
    item, chance = random.Random(n), random.Random(f"{n} {place}")
    task = TASKS[n % len(TASKS)]
    length, depth = LENGTHS[n // len(TASKS) % len(LENGTHS)], item.random()
    score = float(item.random() < 0.95 - 0.0004 * length * (0.4 + depth))
    if chance.random() < 0.02:  # what changes by itself
        score = 1.0 - score
    if chance.random() < harm:
        score = 0.0
    return Graded(
        item=f"{task}/0/{n}",
        task=task,
        family=f"{n % 60}",
        score=score,
        text=f"{n} {score}",
        tokens=10 + n % 5,
        finish="stop",
        about={"tokens": float(length), "depth": depth},
    )
