"""One point: hold a load on a target, decode what came, keep it, summarise it."""

from __future__ import annotations

import math
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from latok.analysis.metrics import point
from latok.analysis.point import Point
from latok.errors import TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.runs import LOG, decoded
from latok.jobs.session import EMBEDDED, Say, Session, command_line, new_folder, opened
from latok.load.drive import Driven, Plan, Progress
from latok.load.fleet import hold, logs
from latok.records import Closed, Load, Manifest, Open, Record, write_manifest, written
from latok.version import VERSION
from latok.workload.apps import App
from latok.workload.arrivals import due_times
from latok.workload.prompts import PromptMaker

Watch = Callable[[Progress], None]


class Held(NamedTuple):
    """A load that was held: its point, how the driving ended and why, and all that was asked,
    warm-up included."""

    point: Point
    ended: str
    why: str
    requests: int
    tokens: int


# With neither --requests nor --duration a point is held this long after its warm-up.
_DURATION = 30.0
# What one driver's process bears with its error in the tens of microseconds, and some room: streams
# of 50 tokens a second, and requests a second (benchmarks/driver_error.py).
_STREAMS, _RATE = 500, 2000.0
_SHARE = 0.6  # of a core: a driver that needs more would read late
# An open loop is warm after this many seconds' worth of requests.
_OPEN_WARM_UP = 2.0


def measure(
    asked: Experiment, *, say: Say = lambda _: None, watch: Watch = lambda _: None
) -> tuple[Point, bool]:
    """Measures one point of one target; says whether it ran to its end (else it was interrupted).

    Raises UsageError, TargetError (nothing answered, or nothing but errors).
    """
    word = asked.targets[0] if asked.targets else EMBEDDED
    load: Load = Closed(asked.concurrency or 1)
    app = asked.profile(asked.app)
    if asked.rate is not None:
        load = Open(asked.rate, asked.arrivals or app.arrivals)
    duration = asked.duration
    if duration is None and asked.requests is None:
        duration = _DURATION
    with opened(word, asked, say) as session:
        fitting, note = session.fit(app, asked.scale)
        if note:
            say(note)
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
        )
    if held.why:
        say(f"ended early: {held.why}")
    if not held.point.counts.ok and held.ended != "interrupted":
        raise TargetError(failed(held))
    return held.point, held.ended != "interrupted"


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
    spent: tuple[int, int] = (0, 0),
    cores: float = 0.0,
    warm_up_s: float = _OPEN_WARM_UP,
) -> Held:
    """Holds one load and leaves a run's folder. `spent`: requests and tokens asked before it;
    `cores`: how many the driver is thought to need; `warm_up_s`: an open loop is taken as warm
    after this many seconds' worth of requests."""
    name = f"c{load.concurrency}" if isinstance(load, Closed) else f"r{load.rate:g}"
    folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-{app.name}-{name}")
    site = session.found.site
    # A Poisson process of `rate` over the whole run; the driver stops when the window is done.
    wanted = 0
    warm_up = 0
    if isinstance(load, Closed):
        # every slot's first request, and half of them again, are past before the window opens
        warm_up = max(load.concurrency // 2, 1)
    else:
        warm_up = max(int(load.rate * warm_up_s), 1)
        lasting = (duration or (asked.requests or 0) / load.rate) + warm_up_s + 60.0
        wanted = int(load.rate * lasting) + (asked.requests or 0)
    plan = Plan(
        address=session.address,
        host=site.host,
        tls=site.scheme == "https",
        tunnel=site.tunnel,
        ca=str(site.ca) if site.ca else None,
        load=load,
        due=(
            list(islice(due_times(load.arrivals, load.rate, seed=asked.seed), wanted))
            if isinstance(load, Open)
            else []
        ),
        ramp=ramp,
        warm_up=warm_up,
        duration=duration,
        requests=asked.requests,
        patience=asked.patience(),
        most_requests=_left(asked.max_requests, spent[0]),
        most_tokens=_left(asked.max_tokens_spent, spent[1]),
        limit=limit,
    )
    manifest = Manifest(
        id=folder.name,
        target=session.target,
        app=app.name,
        slo=str(app.slo),
        load=load,
        levers=dict(session.levers),
        workload={
            "input_tokens": str(app.input),
            "output_tokens": str(app.output),
            "text": app.text,
            "exact_counts": maker.exact,
            "template_tokens": session.overhead,
            "first_id": _first_id(load),
            "accepts": sorted(session.found.accepts),
            "note": note,
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
    )
    with _writing(folder):
        write_manifest(folder, manifest)
    processes = asked.processes or _processes(load, cores)
    driven = hold(
        plan,
        lambda: session.prepared(app, maker, seed=asked.seed, first_id=_first_id(load)),
        folder / LOG,
        watch=watch,
        processes=processes,
    )
    manifest = _driven(manifest, driven, processes)
    requests = tokens = 0

    def counted() -> Iterator[Record]:
        nonlocal requests, tokens
        for record in decoded(folder, manifest):
            requests += 1
            tokens += record.prompt_tokens + record.max_tokens
            yield record

    with _writing(folder), _undisturbed() as interrupted:
        found = point(manifest, written(folder, counted()), run=str(folder))
        write_manifest(folder, manifest)
        for log in logs(folder / LOG):  # only now that its Parquet stands
            log.unlink(missing_ok=True)
    ended = "interrupted" if interrupted.is_set() else driven.ended
    return Held(found, ended, driven.why, requests, tokens)


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


def _driven(manifest: Manifest, driven: Driven, processes: int) -> Manifest:
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
    )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raises UsageError for a disk that takes no more."""
    try:
        yield
    except OSError as why:
        raise UsageError(
            f"cannot write to {folder}: {why.strerror}; what was measured so far can be read"
        ) from None


@contextmanager
def _undisturbed() -> Iterator[threading.Event]:
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


def versions() -> dict[str, str]:
    """Of latok, of Python, of what serves the embedded model, and of the system."""
    found: dict[str, Any] = {"latok": VERSION, "python": platform.python_version()}
    for package in ("openvino-genai", "xllamacpp"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    found["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    return found
