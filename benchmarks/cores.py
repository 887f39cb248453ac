"""A core for the server, another for the client, where there are two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = sorted(os.sched_getaffinity(0))
SERVER, CLIENT = _ALL[0], _ALL[-1]
WHERE = (
    f"server on core {SERVER}, client on core {CLIENT}"
    if SERVER != CLIENT
    else "server and client share the one core that there is"
)


@contextmanager
def on(core: int) -> Iterator[None]:
    """What is started meanwhile stays on `core`, with all that it starts itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
