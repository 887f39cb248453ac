"""The driver in a process of its own (or several), so that nothing else of latok is in its way.

Down its stdin go the plan and the requests (a bounded pipe: the parent builds them ahead, the
worker takes them in quiet moments); up its stdout come progress and, at the end, how it went. The
captures go straight to the log on disk. The end of stdin means that the parent is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, Any

import msgspec

from latok.errors import LatokError, UsageError
from latok.load.drive import Driver
from latok.load.plan import Driven, Plan, Prepared, Progress
from latok.load.sessions import Sessions
from latok.wire.capture import Capture, frame

_LENGTH = struct.Struct("<I")
_NO_MORE = _LENGTH.pack(0)
_AHEAD = 512  # requests in stock before the clock starts, and at the most afterwards


def hold(
    plan: Plan,
    requests: Callable[[], Iterable[Prepared]],
    log: Path,
    *,
    watch: Callable[[Progress], None],
    enough: Callable[[Progress], bool] = lambda _: False,
    processes: int = 1,
) -> Driven:
    """Holds the load of `plan` and leaves its captures in `log` (and `log` with `.1`, `.2`, …).

    `requests` gives the same requests whenever it is called: of several processes each takes its
    share of them. The window closes early once `enough` says so, which is asked ten times a second
    while all measure, and may take a quarter of a second for its answer. Ctrl-C ends the run early:
    what was measured is in the log and `ended` is "interrupted"; a second Ctrl-C kills the workers.
    Raises UsageError if a log cannot be written.
    """
    if processes > 1:  # time enough to start, to build requests and to connect
        zero = time.time() + 2.0
        plan = msgspec.structs.replace(plan, parts=processes, zero=zero)
    workers = [_worker(plan, part, requests, log) for part in range(processes)]
    try:
        with _interrupts_to(workers) as interrupted:
            try:
                driven = _follow(workers, watch, enough)
            except LatokError:
                if interrupted.is_set():  # it was told to end before it had begun
                    raise KeyboardInterrupt from None
                raise
    finally:
        for worker in workers:
            _end(worker)
    whole = _together(driven)
    if whole.why.startswith("cannot write"):
        raise UsageError(whole.why)
    return whole


def logs(log: Path) -> list[Path]:
    """The logs that a run may have left, one for each process."""
    return [log, *sorted(log.parent.glob(log.name + ".*"))]


def _worker(
    plan: Plan, part: int, requests: Callable[[], Iterable[Prepared]], log: Path
) -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "latok.load.fleet", f"{log}.{part}" if part else str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # the terminal's Ctrl-C is for us; we tell the worker
    )
    assert worker.stdin is not None
    plan = msgspec.structs.replace(plan, part=part)
    mine = (prepared for prepared in islice(requests(), part, None, plan.parts))
    threading.Thread(target=_feed, args=(worker.stdin, plan, mine), daemon=True).start()
    return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    for pipe in (worker.stdout, worker.stdin):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    try:
        worker.wait(timeout=2)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _together(driven: Sequence[Driven]) -> Driven:
    """What several workers did, as one: the window is where all of them held their load."""
    first = driven[0]
    windows = [each.window for each in driven if each.window is not None]
    window = None
    if len(windows) == len(driven):
        window = max(start for start, _ in windows), min(end for _, end in windows)
    ends = {each.ended for each in driven}
    return Driven(
        started_at=first.started_at,
        window=window if window and window[0] < window[1] else None,
        ended="interrupted"
        if "interrupted" in ends
        else "unfinished"
        if "unfinished" in ends
        else "complete",
        clock_step=max(each.clock_step for each in driven),
        kernel_stamps=all(each.kernel_stamps for each in driven),
        client_cpu_s=sum(each.client_cpu_s for each in driven),
        stall_s=max(each.stall_s for each in driven),
        why=next((each.why for each in driven if each.why), ""),
    )


@contextlib.contextmanager
def _interrupts_to(
    workers: Sequence[subprocess.Popen[bytes]],
) -> Iterator[threading.Event]:
    """While it lasts Ctrl-C asks the workers to end, and a second one kills them.

    A handler, not the exception: that would cut what a worker is just saying in two.
    """
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event()  # signals go to the main thread alone
        return

    asked = threading.Event()
    ways = chain((signal.SIGTERM,), repeat(signal.SIGKILL))

    def interrupt(*_: object) -> None:
        asked.set()
        way = next(ways)
        for worker in workers:
            worker.send_signal(way)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _feed(pipe: IO[bytes], plan: Plan, requests: Iterable[Prepared]) -> None:
    encode = msgspec.msgpack.Encoder().encode
    try:
        for value in chain((plan,), requests):
            body = encode(value)
            pipe.write(_LENGTH.pack(len(body)) + body)
        pipe.write(_NO_MORE)
        pipe.flush()
    except (OSError, ValueError):  # the worker has all that it needs and is gone
        pass


def _follow(
    workers: Sequence[subprocess.Popen[bytes]],
    watch: Callable[[Progress], None],
    enough: Callable[[Progress], bool],
) -> list[Driven]:
    """Hears the workers until each has said how it went; frees them when all have their windows."""
    decoder = msgspec.msgpack.Decoder(Progress | dict)
    latest: dict[int, Progress] = {}
    found: dict[int, Driven] = {}
    with selectors.DefaultSelector() as ready:
        for part, worker in enumerate(workers):
            assert worker.stdout is not None
            ready.register(worker.stdout, selectors.EVENT_READ, part)
        while len(found) < len(workers):
            for key, _ in ready.select():
                part, pipe = key.data, key.fileobj
                said = _said(pipe, decoder)  # type: ignore[arg-type]  # what was registered
                if isinstance(said, Progress):
                    latest[part] = said
                    if len(latest) == len(workers):
                        whole = _summed(list(latest.values()))
                        watch(whole)
                        if whole.phase == "measuring" and enough(whole):
                            for worker in workers:
                                worker.send_signal(signal.SIGUSR2)
                    if all(each.phase == "done" for each in latest.values()):
                        _signal(workers, signal.SIGUSR1)
                else:
                    found[part] = msgspec.convert(said, Driven)
                    ready.unregister(pipe)
                    if found[part].ended == "unfinished":  # the others' load alone is another load
                        _signal(workers, signal.SIGTERM)
    return [found[part] for part in range(len(workers))]


def _signal(workers: Sequence[subprocess.Popen[bytes]], way: signal.Signals) -> None:
    if len(workers) > 1:
        for worker in workers:
            worker.send_signal(way)


def _said(pipe: IO[bytes], decoder: msgspec.msgpack.Decoder[Any]) -> Any:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise LatokError("the load driver died; what it measured is in the run's folder")
    return decoder.decode(pipe.read(_LENGTH.unpack(head)[0]))


def _summed(parts: Sequence[Progress]) -> Progress:
    order = ("warming up", "measuring", "finishing", "done")
    return Progress(
        max(part.at for part in parts),
        min((part.phase for part in parts), key=order.index),
        *(
            sum(getattr(part, name) for part in parts)
            for name in ("in_flight", "sent", "ended", "failed", "reads")
        ),
    )


# --- the worker ----------------------------------------------------------------------------------


class _Stock:
    """The requests that have come down the pipe: an iterator that blocks only when it is empty."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._decode = msgspec.msgpack.Decoder(Prepared).decode
        self.complete = False
        self.orphaned = False
        os.set_blocking(fd, False)

    def plan(self) -> Plan:
        self._fill(1)
        return msgspec.msgpack.decode(self._frames.popleft(), type=Plan)

    def _fill(self, count: int) -> None:
        while len(self._frames) < count and not (self.complete or self.orphaned):
            select.select([self._fd], [], [])
            self.take()

    def fill(self) -> None:
        """Blocks until the stock is full or everything is here."""
        self._fill(_AHEAD)

    def take(self) -> None:
        """Takes what has come, without waiting."""
        while len(self._frames) < _AHEAD:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self.orphaned = True
                return
            self._buffer += data
            self._split()

    def _split(self) -> None:
        start, buffer = 0, self._buffer
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + size
            if end > len(buffer):
                break
            if size:
                self._frames.append(bytes(buffer[start + _LENGTH.size : end]))
            else:
                self.complete = True
            start = end
        del buffer[:start]

    def __iter__(self) -> Iterator[Prepared]:
        return self

    def __next__(self) -> Prepared:
        if not self._frames:
            self._fill(1)
        if not self._frames:
            raise StopIteration
        return self._decode(self._frames.popleft())


def go_first() -> None:
    """Where we may: this process is woken at once although every core is busy.

    A nice value gives us the core only when its turn is over, milliseconds later; with the lowest
    real-time priority 2,000 sends a second were late by 0.1 ms instead of 5 (p99, both cores busy;
    benchmarks/schedule.py). Only Linux has it, and containers seldom allow it.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _work(log: Path) -> None:
    stock = _Stock(sys.stdin.fileno())
    out = sys.stdout.buffer
    trouble = ""

    def say(value: msgspec.Struct) -> None:
        body = msgspec.msgpack.encode(value)
        with contextlib.suppress(BrokenPipeError):
            out.write(_LENGTH.pack(len(body)) + body)
            out.flush()

    def ended(capture: Capture) -> None:
        nonlocal trouble
        try:
            file.write(frame(capture))
        except OSError as why:
            trouble = f"cannot write {log}: {why.strerror}"
            driver.stop()

    def idle(progress: Progress) -> None:
        nonlocal trouble
        stock.take()
        if stock.orphaned or os.getppid() != parent:  # a full stock reads nothing, and no end
            driver.stop()
        try:
            file.flush()
        except OSError as why:
            trouble = f"cannot write {log}: {why.strerror}"
            driver.stop()
        say(progress)

    parent = os.getppid()
    plan = stock.plan()
    stock.fill()
    file = log.open("ab", buffering=1 << 20)
    driver = _driver(plan, stock, ended, idle)
    signal.signal(signal.SIGTERM, driver.stop)
    signal.signal(signal.SIGUSR1, driver.release)
    signal.signal(signal.SIGUSR2, driver.close_window)
    _prepare()
    driven = driver.run()
    try:
        file.close()
    except OSError as why:
        trouble = f"cannot write {log}: {why.strerror}"
    if trouble:
        driven = msgspec.structs.replace(driven, ended="unfinished", why=trouble)
    say(driven)


def _driver(
    plan: Plan,
    stock: _Stock,
    ended: Callable[[Capture], None],
    idle: Callable[[Progress], None],
) -> Driver:
    """The driver, with what is between it and the requests."""
    if plan.talk is None:
        return Driver(plan, stock, ended, idle)
    sessions = Sessions(plan.talk)
    front = None
    if plan.client.cache:
        from latok.load.front import Front  # no other load shall wait for what it imports

        front = Front(plan.talk, plan.client.likeness)
    return Driver(plan, sessions.begun(stock), ended, idle, sessions.follow, front)


def _prepare() -> None:
    """What a process that measures needs: a core at once, many files, no garbage collection."""
    go_first()
    with contextlib.suppress(OSError, ValueError):  # a connection is a file
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.collect()
    gc.freeze()
    gc.disable()


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
