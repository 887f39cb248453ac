"""The driver in a process of its own, so that nothing else of latok is in its way.

Down its stdin go the plan and the requests (a bounded pipe: the parent builds them ahead, the
worker takes them in quiet moments); up its stdout come progress and, at the end, how it went. The
captures go straight to the log on disk. The end of stdin means that the parent is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

import msgspec

from latok.errors import LatokError, UsageError
from latok.load.drive import Driven, Driver, Plan, Prepared, Progress
from latok.wire.capture import Capture, frame

_LENGTH = struct.Struct("<I")
_NO_MORE = _LENGTH.pack(0)
_AHEAD = 512  # requests in stock before the clock starts, and at the most afterwards


def hold(
    plan: Plan, requests: Iterable[Prepared], log: Path, *, watch: Callable[[Progress], None]
) -> Driven:
    """Holds the load of `plan` and leaves its captures in `log`.

    Ctrl-C ends the run early: what was measured is in the log and `ended` is "interrupted"; a
    second Ctrl-C kills the worker. Raises UsageError if the log cannot be written.
    """
    worker = subprocess.Popen(
        [sys.executable, "-m", "latok.load.fleet", str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # the terminal's Ctrl-C is for us; we tell the worker
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    feeder = threading.Thread(target=_feed, args=(worker.stdin, plan, requests), daemon=True)
    feeder.start()
    try:
        with _interrupts_to(worker):
            driven = _follow(worker.stdout, watch)
    finally:
        with contextlib.suppress(OSError):
            worker.stdout.close()
        try:
            worker.wait(timeout=2)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        with contextlib.suppress(OSError):
            worker.stdin.close()
    if driven.why.startswith("cannot write"):
        raise UsageError(driven.why)
    return driven


@contextlib.contextmanager
def _interrupts_to(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    """While it lasts Ctrl-C asks the worker to end, and a second one kills it.

    A handler, not the exception: that would cut what the worker is just saying in two.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread; who holds loads from others stops them otherwise
        return

    ways = iter((worker.terminate, worker.kill))

    def interrupt(*_: object) -> None:
        next(ways, worker.kill)()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
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


def _follow(pipe: IO[bytes], watch: Callable[[Progress], None]) -> Driven:
    """Reads what the worker says until it says how it went."""
    decoder = msgspec.msgpack.Decoder(Progress | dict)
    while len(head := pipe.read(_LENGTH.size)) == _LENGTH.size:
        said = decoder.decode(pipe.read(_LENGTH.unpack(head)[0]))
        if isinstance(said, Progress):
            watch(said)
        else:
            return msgspec.convert(said, Driven)
    raise LatokError("the load driver died; what it measured is in the run's folder")


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
        if stock.orphaned:
            driver.stop()
        try:
            file.flush()
        except OSError as why:
            trouble = f"cannot write {log}: {why.strerror}"
            driver.stop()
        say(progress)

    plan = stock.plan()
    stock.fill()
    file = log.open("ab", buffering=1 << 20)
    driver = Driver(plan, stock, ended, idle)
    signal.signal(signal.SIGTERM, driver.stop)
    with contextlib.suppress(OSError):  # where we may: read at once although every core is busy
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.collect()
    gc.freeze()
    gc.disable()
    driven = driver.run()
    try:
        file.close()
    except OSError as why:
        trouble = f"cannot write {log}: {why.strerror}"
    if trouble:
        driven = msgspec.structs.replace(driven, ended="unfinished", why=trouble)
    say(driven)


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
