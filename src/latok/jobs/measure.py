"""One point: hold a load on a target, decode what came, keep it, summarise it."""

from __future__ import annotations

import math
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.errors import TargetError, UsageError
from latok.jobs.experiment import DURATION, OPEN_WARM_UP, Experiment
from latok.jobs.graded import Paper, exam_asked
from latok.jobs.look import Look
from latok.jobs.outlook import session_line
from latok.jobs.prices import spent_on
from latok.jobs.runs import LOG, decoded, read_point
from latok.jobs.session import EMBEDDED, Say, Session, command_line, new_folder, opened
from latok.levers.client import PLAIN
from latok.levers.requests import Change
from latok.load.energy import Measured, measured
from latok.load.fleet import hold, logs
from latok.load.plan import Driven, Plan, Progress, Spending
from latok.load.scrape import scraped
from latok.quality.suite import Exam
from latok.records import Closed, Hosted, Load, Manifest, Open, Record, write_manifest, written
from latok.version import VERSION
from latok.workload.apps import App
from latok.workload.arrivals import TRACE, due_times
from latok.workload.ask import Workload
from latok.workload.prompts import PromptMaker, estimate
from latok.workload.repeats import Repeats
from latok.workload.traces import Trace

Watch = Callable[[Progress], None]


class Held(NamedTuple):
    """A load that was held: its point, how the driving ended and why, and all that was asked,
    warm-up included: requests, tokens, and US dollars that they may have cost."""

    point: Point
    ended: str
    why: str
    requests: int
    tokens: int
    usd: float


# What one driver's process bears with its error in the tens of microseconds, and some room: streams
# of 50 tokens a second, and requests a second (benchmarks/driver_error.py).
_STREAMS, _RATE = 500, 2000.0
# With --precision it may take so long to know enough.
_PATIENCE = 300.0
_SHARE = 0.6  # of a core: a driver that needs more would read late


def measure(
    asked: Experiment, *, say: Say = lambda _: None, watch: Watch = lambda _: None
) -> tuple[Point, bool]:
    """Measures one point of one target; says whether it ran to its end (else it was interrupted).

    Raises UsageError, TargetError (nothing answered, or nothing but errors).
    """
    word = asked.targets[0] if asked.targets else EMBEDDED
    app = asked.profile(asked.app)
    duration = asked.duration
    if duration is None and asked.requests is None:
        duration = DURATION if asked.precision is None else _PATIENCE
    with opened(word, asked, say) as session:
        load = load_of(asked, app, session.trace)
        fitting, note = session.fit(app, asked.scale)
        if note:
            say(note)
        if line := session_line(asked, "measure", fitting, session):
            say(line)
        maker = session.maker(fitting, asked.seed)
        held = hold_point(
            session,
            fitting,
            maker,
            load,
            asked=asked,
            duration=duration,
            ramp=session.found.seconds if isinstance(load, Closed) and load.concurrency > 1 else 0,
            note=note,
            watch=watch,
            precision=asked.precision,
        )
    if held.why:
        say(f"ended early: {held.why}")
    if not held.requests and held.why:
        raise UsageError(f"nothing may be sent: {held.why}")
    if not held.point.counts.ok and held.ended != "interrupted":
        raise TargetError(failed(held))
    return held.point, held.ended != "interrupted"


def load_of(asked: Experiment, app: App, trace: Trace | None) -> Load:
    """The load that is asked for: a trace brings its own, unless a concurrency is given."""
    if asked.concurrency is None and trace is not None:
        rate = trace.rate if asked.rate is None else asked.rate
        if not math.isfinite(rate):
            raise UsageError(f"all requests of {trace.name} came at once; give --rate or -c")
        return Open(rate, TRACE)
    if asked.rate is not None:
        return Open(asked.rate, asked.arrivals or app.arrivals)
    return Closed(asked.concurrency or 1)


def failed(held: Held) -> str:
    """One line for a point of which no request was answered."""
    point = held.point
    kinds = ", ".join(f"{n} × {kind}" for kind, n in point.errors.items())
    return f"every request to {point.target.url} failed: {kinds or held.why or 'no answer in time'}"


def hold_point(
    session: Session,
    app: App,
    maker: PromptMaker,
    load: Load,
    *,
    asked: Experiment,
    duration: float | None,
    ramp: float,
    note: str,
    watch: Watch,
    limit: float | None = None,
    spent: tuple[int, int, float] | None = None,
    cores: float = 0.0,
    precision: float | None = None,
    ids: int = 0,
    warm_up_s: float = OPEN_WARM_UP,
    exam: Exam | None = None,
    change: Change | None = None,
    cold: bool = False,
) -> Held:
    """Holds one load and leaves a run's folder. `spent`: requests, tokens and dollars before it;
    `cores`: how many the driver is thought to need. `precision`: its window closes before
    `duration` or `requests` once the SLO is decided, or the app's first metric known so well.
    `ids`: of the level's requests, from which one it begins. `exam`: what is graded in it, by
    default what was asked for; `change`: what levers make of its requests. `warm_up_s`: an open
    loop is taken as warm after this many seconds' worth of requests; `cold`: no load is, all of it
    is measured from its first request on."""
    name = f"c{load.concurrency}" if isinstance(load, Closed) else f"r{load.rate:g}"
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-{app.name}-{name}")
    site = session.found.site
    spent = spent or (0, 0, session.probed())
    workload = session.workload(app, maker, asked)
    first_id = _first_id(load) + ids
    exam = exam or exam_asked(asked, app.name, first_id, change)
    if exam is not None:
        count = session.count or estimate
        workload = exam.into(workload, count, overhead=session.overhead, app=app.name)
    repeats = Repeats(asked.repeats or 0.0, seed=asked.seed)
    if repeats.share:
        workload = repeats.of(workload)
    due, warm_up = _schedule(load, workload, asked, duration, warm_up_s)
    if cold:
        warm_up = 0
    plan = msgspec.structs.replace(
        plan_of(session, load, asked, spent),
        due=due,
        ramp=ramp,
        warm_up=warm_up,
        duration=duration,
        requests=None if isinstance(load, Open) and load.arrivals == TRACE else asked.requests,
        limit=limit,
        cancel=asked.cancelling(),
        talk=session.talk() if session.client.cache or app.turns.quantile(1) > 1 else None,
        client=session.client,
    )
    manifest = begun(
        folder,
        session,
        asked,
        app=app.name,
        slo=str(app.slo),
        load=load,
        texts=exam is not None,
        workload={
            **workload.manifest,
            "cancel": asked.cancel,
            "text": app.text,
            "exact_counts": maker.exact,
            "first_id": first_id,
            "note": note,
        },
    )
    with writing(folder):
        write_manifest(folder, manifest)
    # what stands in front of the load is one thing, so all of it comes from one process
    alone = session.client != PLAIN
    processes = 1 if alone else asked.processes or _processes(load, cores)
    look = None
    if precision is not None:
        look = Look(folder / LOG, session.found.dialect, load, app, precision=precision)
    with measured(session.meters) as energy, scraped(site, session.counters, folder):
        driven = hold(
            plan,
            lambda: session.prepared(workload, first_id),
            folder / LOG,
            watch=watch,
            enough=look or (lambda _: False),
            processes=processes,
        )
    manifest = _driven(manifest, driven, processes, energy)
    if look is not None:
        over = "the time is over" if asked.requests is None else "the requests are sent"
        by = look.why or driven.why or f"{over}, and neither the SLO nor {look.metric} is known"
        manifest = msgspec.structs.replace(manifest, ended_by=by)
    requests = tokens = 0
    usd = 0.0
    paper = Paper(lambda id: None if exam is None else exam.item(repeats.origin(id - first_id)))

    def counted() -> Iterator[Record]:
        nonlocal requests, tokens, usd
        for record in paper.keep(decoded(folder, manifest)):
            requests += 1
            tokens += record.prompt_tokens + record.max_tokens
            usd += spent_on(record, session.prices, margin=session.margin)
            yield record

    with writing(folder), undisturbed() as interrupted:
        found = point(manifest, written(folder, counted()), run=str(folder))
        write_manifest(folder, manifest)
        for log in logs(folder / LOG):  # only now that its Parquet stands
            log.unlink(missing_ok=True)
        if exam is not None:
            paper.grade(folder, session.judge, interrupted.is_set)
            found = read_point(folder)
    ended = "interrupted" if interrupted.is_set() else driven.ended
    return Held(found, ended, driven.why, requests, tokens, usd)


def plan_of(session: Session, load: Load, asked: Experiment, spent: tuple[int, int, float]) -> Plan:
    """A load on a session's target, with what may be waited for and spent: all that there is to
    ask, without a warm-up. `spent`: requests, tokens and dollars before it."""
    site = session.found.site
    return Plan(
        address=session.address,
        host=site.host,
        tls=site.scheme == "https",
        tunnel=site.tunnel,
        ca=str(site.ca) if site.ca else None,
        load=load,
        patience=asked.patience(),
        most_requests=_left(asked.max_requests, spent[0]),
        most_tokens=_left(asked.max_tokens_spent, spent[1]),
        spending=spending_of(asked.max_cost, spent[2], session),
    )


def spending_of(most: float | None, spent: float, session: Session) -> Spending | None:
    if most is None or not isinstance(session.prices, Hosted):
        return None
    return Spending(most_usd=max(most - spent, 0.0), prices=session.prices, margin=session.margin)


def _schedule(
    load: Load, workload: Workload, asked: Experiment, duration: float | None, warm_up_s: float
) -> tuple[list[float], int]:
    """When requests are wanted (open loop), and how many end before the window opens."""
    if isinstance(load, Closed):
        # every slot's first request, and half of them again, are past before the window opens
        return [], max(load.concurrency // 2, 1) + workload.warm_up
    if load.arrivals == TRACE:  # all of it is measured, its first request too
        assert workload.trace is not None
        return workload.trace.due(load.rate), 0
    # A process of `rate` over the whole run; the driver stops when the window is done.
    lasting = (duration or (asked.requests or 0) / load.rate) + warm_up_s
    wanted = int(load.rate * (lasting + 60.0)) + (asked.requests or 0) + workload.warm_up
    due = due_times(load.arrivals, load.rate, seed=asked.seed, seconds=lasting)
    return list(islice(due, wanted)), max(int(load.rate * warm_up_s), 1) + workload.warm_up


def _first_id(load: Load) -> int:
    """Each load has prompts of its own, the same ones whenever it is held with the same seed: what
    one level leaves in a prefix cache helps no other."""
    level = load.concurrency if isinstance(load, Closed) else 1_000_000 + round(load.rate * 1000)
    return level * 1_000_000


def _processes(load: Load, cores: float) -> int:
    """One driver, until one would not do and there are cores for more."""
    much = load.concurrency / _STREAMS if isinstance(load, Closed) else load.rate / _RATE
    return max(1, min(math.ceil(max(much, cores / _SHARE)), os.cpu_count() or 1))


def _left(most: int | None, spent: int) -> int | None:
    return None if most is None else max(most - spent, 0)


def _driven(manifest: Manifest, driven: Driven, processes: int, energy: Measured) -> Manifest:
    used = None
    if driven.window is not None:
        used = energy.used(*(driven.started_at + edge for edge in driven.window))
    return msgspec.structs.replace(
        manifest,
        started_at=driven.started_at,
        window=driven.window,
        ended=driven.ended,
        clock_step=driven.clock_step,
        kernel_stamps=driven.kernel_stamps,
        client_cpu_s=driven.client_cpu_s,
        client_stall_s=driven.stall_s,
        processes=processes,
        energy=used,
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises UsageError for a disk that takes no more."""
    try:
        yield
    except OSError as why:
        raise UsageError(
            f"cannot write to {folder}: {why.strerror}; what was measured so far can be read"
        ) from None


@contextmanager
def undisturbed() -> Iterator[threading.Event]:
    """While it lasts Ctrl-C only sets the event: what was measured is summarised and kept first."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals go to the main thread alone
        return
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def begun(
    folder: Path,
    session: Session,
    asked: Experiment,
    *,
    app: str,
    slo: str,
    load: Load,
    workload: Mapping[str, Any],
    texts: bool = False,
) -> Manifest:
    """The manifest of a run that begins now: `unfinished` until its end is known. `texts`: its
    records are to keep what was answered, for who grades it."""
    return Manifest(
        id=folder.name,
        target=session.target,
        app=app,
        slo=slo,
        load=load,
        levers=dict(session.levers),
        workload={
            **workload,
            "template_tokens": session.overhead,
            "accepts": sorted(session.found.accepts),
        },
        seed=asked.seed,
        started_at=time.time(),
        window=None,
        ended="unfinished",
        clock_step=0.0,
        kernel_stamps=True,
        client_cpu_s=0.0,
        command=command_line(),
        versions=versions(),
        prices=session.prices,
        texts=texts,
    )


def versions() -> dict[str, str]:
    """Of latok, of Python, of what serves the embedded model, and of the system."""
    found: dict[str, Any] = {"latok": VERSION, "python": platform.python_version()}
    for package in ("openvino-genai", "xllamacpp"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    found["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    return found
