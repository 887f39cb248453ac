"""Maps to render, from a small batch engine in virtual time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from latok.analysis import metrics
from latok.analysis.compare import compare, stretch
from latok.analysis.course import course, spread
from latok.analysis.frontier import AXES, Map, frontier, knee
from latok.analysis.point import Point
from latok.decide.advise import advise
from latok.records import Chunk, Closed, Failure, Manifest, Record, Target, Usage
from latok.report.charts.streams import slice_of
from latok.report.sections import Run, Versus

SLO = "ttft.p95<400ms, tpot.p95<36ms"
LEVELS = (1, 2, 4, 8, 12, 16, 32)


@dataclass
class _Stream:
    id: int
    sent: float
    prompt: int
    answer: int
    broken: bool
    chunks: list[Chunk] = field(default_factory=list)


def drive(concurrency: int, *, seconds: float = 24.0, slow: float = 1.0) -> list[Record]:
    """A closed loop: as many streams as slots, each answered one token per step of the batch."""
    rng, now, records, serial = random.Random(concurrency), 0.0, [], 0
    running: list[_Stream] = []
    while now < seconds:
        while len(running) < concurrency:
            prompt, answer = int(rng.lognormvariate(5.3, 0.4)), int(rng.lognormvariate(3.6, 0.4))
            running.append(_Stream(serial, now, prompt, max(answer, 4), rng.random() < 0.004))
            serial += 1
        reading = [stream for stream in running if not stream.chunks][:2]
        writing = [stream for stream in running if stream.chunks]
        work = 0.005 + 0.0009 * len(writing) + sum(s.prompt for s in reading) / 6000
        now += slow * work * rng.lognormvariate(0.0, 0.08)
        for stream in reading + writing:
            together = rng.random() < 0.02
            doubt = rng.uniform(0, 4e-5) if together else 0.0
            lag = rng.lognormvariate(-9.5, 0.6)
            stream.chunks.append(Chunk(now, 1, "content", together, doubt, lag))
        for stream in [s for s in running if len(s.chunks) == s.answer or _breaks(s)]:
            running.remove(stream)
            records.append(_record(stream, now))
    return sorted(records, key=lambda record: record.id)


def _breaks(stream: _Stream) -> bool:
    return stream.broken and len(stream.chunks) >= 3


def _record(stream: _Stream, now: float) -> Record:
    failed = _breaks(stream)
    return Record(
        id=stream.id,
        app="chat",
        prompt_tokens=stream.prompt,
        max_tokens=stream.answer,
        due=stream.sent,
        sent_first=stream.sent,
        sent_last=stream.sent + 2e-5,
        headers_at=stream.chunks[0].at,
        closed_at=now,
        status=200,
        error=Failure("reset", "connection reset by peer") if failed else None,
        finish_reason=None if failed else "length",
        usage=None if failed else Usage(stream.prompt, stream.answer, 0),
        token_source="usage",
        chunks=tuple(stream.chunks),
    )


def manifest_of(
    concurrency: int, *, target: str = "openvino", model: str = "SmolLM2-135M-Instruct"
) -> Manifest:
    return Manifest(
        id=f"{target}-{concurrency}",
        target=Target(
            name=target,
            url="http://127.0.0.1:8100",
            model=model,
            dialect="openai-chat",
            server=f"latok engine {target}",
        ),
        app="chat",
        slo=SLO,
        load=Closed(concurrency),
        levers={"batch_limit": 64, "kv_cache": "u8"},
        workload={"input": "quantiles(5:36,50:204,95:816)", "output": "lognormal(40,0.4)"},
        seed=1,
        started_at=1_764_000_000.0,
        window=(2.0, 22.0),
        ended="complete",
        clock_step=0.0,
        kernel_stamps=True,
        client_cpu_s=0.61,
        command="latok map openvino --app chat --budget 2m",
        versions={"latok": "0.1.0", "python": "3.11.7", "openvino-genai": "2026.4.1"},
    )


def map_of(points: Sequence[Point], **changed: object) -> Map:
    """What `latok map` would have made of the points, but for what is changed."""
    best = frontier(points)
    bend = knee(best)
    found = Map(
        app="chat",
        slo=SLO,
        axes=AXES,
        points=tuple(points),
        frontier=tuple(point.id for point in best),
        knee=bend.id if bend else None,
        advice=advise("chat", points),
        stopped="throughput stopped growing (478 to 497 tokens/s from 16 to 32 at a time)",
        notes=("lengths are 1/5 of the profile's; the SLO is not scaled",),
        command="latok map openvino --app chat --budget 2m",
        report="runs/map-1/report.html",
    )
    return msgspec.structs.replace(found, **changed)


@dataclass(frozen=True)
class Measured:
    """A map and what it was made from. `runs`: as a report reads them, with the streams of 12 at a
    time."""

    map: Map
    records: Mapping[str, Sequence[Record]]
    manifests: Mapping[str, Manifest]
    runs: Mapping[str, Run] = field(default_factory=dict)


def measured(*targets: str) -> Measured:
    """A map of one target or several, the later ones slower."""
    records, manifests, points = {}, {}, []
    for place, target in enumerate(targets):
        for level in LEVELS:
            manifest = manifest_of(level, target=target)
            records[manifest.id] = drive(level, slow=1.0 + 0.5 * place)
            manifests[manifest.id] = manifest
            points.append(metrics.point(manifest, records[manifest.id], run=f"runs/{manifest.id}"))
    runs = {id: run_of(manifests[id], records[id]) for id in records}
    return Measured(map_of(points), records, manifests, runs)


def run_of(manifest: Manifest, records: Sequence[Record]) -> Run:
    """What a report reads of a run."""
    requests = [metrics.digest(record) for record in records]
    streams = slice_of(requests, manifest.window) if manifest.load == Closed(12) else None
    return Run(manifest, course(manifest, requests), streams)


def versus_of(slow: float) -> Versus:
    """8 at a time against the same, slower."""
    sides, spreads, points = [], [], []
    for factor in (1.0, slow):
        manifest = manifest_of(8)
        records = drive(8, slow=factor)
        requests = [metrics.digest(record) for record in records]
        window = [each for each in requests if metrics.in_window(each.record, manifest)]
        sides.append([stretch(manifest, requests, SLO)])
        spreads.append(spread(SLO, False, window))
        points.append(metrics.point(manifest, records))
    found = compare(
        {"": (sides[0], sides[1])}, a="A", b="B", margin=0.05, interleaved=False, seed=0
    )
    return Versus(
        "before",
        "after",
        SLO,
        found,
        "",
        {"8 at a time": (spreads[0], spreads[1])},
        [(points[0], points[1])],
    )
