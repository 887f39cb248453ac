"""A process that wants the same core as the driver, when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def busy_neighbour() -> Iterator[Callable[[bool], AbstractContextManager[None]]]:
    """Gives `neighbour(busy)`: while it lasts this process is on its last core, with company."""
    cores = os.sched_getaffinity(0)
    core = max(cores)
    os.sched_setaffinity(0, {core})
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        os.sched_setaffinity(0, cores)
        other.send_signal(signal.SIGSTOP)

        @contextmanager
        def neighbour(busy: bool) -> Iterator[None]:
            if busy:
                os.sched_setaffinity(0, {core})
                other.send_signal(signal.SIGCONT)
            try:
                yield
            finally:
                other.send_signal(signal.SIGSTOP)
                os.sched_setaffinity(0, cores)

        try:
            yield neighbour
        finally:
            other.kill()
