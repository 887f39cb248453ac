"""Starts an engine in a process of its own, and sees to it that nothing of it is left.

The child ends when its standard input does, so it goes with us even if we are killed. It has its
own session, so a terminal's Ctrl-C reaches us only, and all it starts can be ended as one group.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from latok.engines.table import effective, engine_named, require
from latok.engines.variants import model_file
from latok.errors import LatokError, TargetError, UsageError

_PATIENCE = 120.0  # seconds for a start: 6 to 8 on two cores, far more if those are busy
_PATIENCE_EXTERNAL = 1800.0  # those fetch a model of many GB and compile it for the hardware
_GRACE = 2.0  # seconds for an engine to end by itself
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An engine that answers at `url`. `levers` are all of its levers, as they act."""

    url: str
    model: str
    engine: str
    levers: Mapping[str, Any]
    pid: int
    _process: subprocess.Popen[bytes] = field(repr=False)
    _log: IO[bytes] = field(repr=False)

    def alive(self) -> bool:
        return self._process.poll() is None

    def log_tail(self, lines: int = 10) -> str:
        """The end of what the engine wrote to its standard error."""
        return tail(self._log, lines)


@contextmanager
def launched(
    engine: str, levers: Mapping[str, Any], *, say: Callable[[str], None]
) -> Iterator[Running]:
    """The engine, for as long as the block lasts; `say` hears what takes time.

    Raises UsageError for what is not installed or does not fit together, TargetError with the
    engine's last line if it does not start.
    """
    row = engine_named(engine)
    values = effective(engine, levers)
    require(row)
    if row.embedded:
        model_file(values, say)
    say(f"starting {engine}")
    # Its parent's death ends the child only if that was its main thread's: Linux watches threads.
    tied = threading.current_thread() is threading.main_thread()
    order = {"engine": engine, "levers": dict(levers), "parent": os.getpid(), "tied": tied}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            # -P: a file random.py in the user's folder is not Python's.
            [sys.executable, "-P", "-m", "latok.engines.launch", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            patience = _PATIENCE if row.embedded else _PATIENCE_EXTERNAL
            ready = _ready(process, log, engine, patience)
            yield Running(
                url=ready["url"],
                model=ready["model"],
                engine=engine,
                levers=values,
                pid=process.pid,
                _process=process,
                _log=log,
            )
        finally:
            _end(process)


def _ready(
    process: subprocess.Popen[bytes], log: IO[bytes], engine: str, patience: float
) -> dict[str, Any]:
    """The one line that an engine prints when it answers."""
    assert process.stdout
    line, until = b"", time.monotonic() + patience
    while not line.endswith(b"\n"):
        left = max(0.0, until - time.monotonic())
        if not select.select([process.stdout], [], [], left)[0]:
            raise TargetError(f"{engine} did not start within {patience:.0f} s")
        if not (more := os.read(process.stdout.fileno(), 4096)):
            why = tail(log, 1) or f"exit code {process.wait()}"
            raise TargetError(f"{engine} did not start: {why}")
        line += more
    said: dict[str, Any] = json.loads(line)
    return said


def tail(log: IO[bytes], lines: int) -> str:
    """The last lines of a file that a process may still be writing."""
    # pread: the child writes through the same open file, whose place must not move
    size = os.fstat(log.fileno()).st_size
    end = os.pread(log.fileno(), 16_384, max(0, size - 16_384)).decode("utf-8", "replace")
    return "\n".join(end.strip().splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks, insists, then ends the whole group. A second Ctrl-C meanwhile skips to the last."""
    try:
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
    finally:
        with suppress(ProcessLookupError):  # the group is there as long as anyone is in it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- in the child --------------------------------------------------------------------------------


def die_with_parent() -> None:
    """Linux ends this process when the thread that started it is gone; elsewhere: no effect."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def when_stdin_closes(do: Callable[[], object]) -> None:
    """Calls `do`, from a thread, when our parent closes our standard input or is gone itself.

    What has not ended a moment after that ends at once.
    """
    parent = os.getppid()

    def watch() -> None:
        # Looking at the parent too: a process that it forked may hold the pipe open.
        while os.getppid() == parent:
            if select.select([0], [], [], 0.5)[0] and not os.read(0, 4096):
                break
        do()
        time.sleep(_GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cannot_listen(host: str, port: int, why: OSError) -> UsageError:
    """One line, and the same one, for what asyncio and the socket module word differently."""
    known = why.errno if why.errno and why.errno > 0 else None  # names that resolve to nothing: < 0
    text = os.strerror(known) if known else why.strerror
    return UsageError(f"cannot listen on {host}:{port}: {text}")


def announce_ready(
    url: str, model: str, to_launcher: bool, announce: Callable[[str], None]
) -> None:
    """Says that an engine answers: one line of JSON for `launched`, an example for a person."""
    if to_launcher:
        print(json.dumps({"url": url, "model": model, "pid": os.getpid()}), flush=True)
        return
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    announce(
        f"{model} answers at {url} (Ctrl-C stops it). For example:\n"
        f"  curl -N {url}/v1/chat/completions -d '{json.dumps(body)}'"
    )


def _child(order: str) -> int:
    asked: dict[str, Any] = json.loads(order)
    if asked["tied"]:
        die_with_parent()
    if os.getppid() != asked["parent"]:
        return 1  # it went before we could be told
    row = engine_named(asked["engine"])
    try:
        row.server()(
            host="127.0.0.1",
            port=0,
            levers=asked["levers"],
            until_stdin_closes=True,
            announce=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except LatokError as why:
        print(why, file=sys.stderr)
        return why.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1]))
