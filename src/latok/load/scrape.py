"""A server's own counters, looked at once a second while a load is held; kept beside its records.

It asks from the parent's process, on a connection of its own; the driver knows nothing of it. A
server that does not answer in time is asked again a second later, and the page is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from latok.analysis.counters import NAMES
from latok.analysis.prometheus import Page, samples
from latok.errors import TargetError, UsageError
from latok.load.probe import Conversation, Site

PAGES = "counters.jsonl"  # in a run's folder, a page a line
_PATHS = ("/metrics", "/prometheus/metrics")  # the second is TensorRT-LLM's
_EVERY = 1.0  # seconds
_PATIENCE = 2.0


def metrics_path(where: Site) -> str:
    """Where a site tells counters that we can read; empty if nowhere."""
    with closing(Conversation(where)) as talk:
        return next((path for path in _PATHS if _series(talk, where, path)), "")


def _series(talk: Conversation, where: Site, path: str) -> dict[str, float]:
    with suppress(TargetError):
        status, _, body = talk.ask("GET", where.base + path, patience=_PATIENCE)
        return samples(body.decode("utf-8", "replace"), NAMES) if status == 200 else {}
    return {}


@contextmanager
def scraped(where: Site, path: str, folder: Path) -> Iterator[None]:
    """Keeps the pages of a site in a run's folder as long as the block lasts, the first and the
    last at its ends. Does nothing where `path` is empty."""
    if not path:
        yield
        return
    done = threading.Event()
    with closing(Conversation(where)) as talk, (folder / PAGES).open("ab", buffering=0) as file:

        def look() -> None:
            before = time.time()
            series = _series(talk, where, path)
            if series:
                with suppress(OSError):  # a full disk ends the run elsewhere
                    page = Page((before + time.time()) / 2, series)
                    file.write(msgspec.json.encode(page) + b"\n")

        def watch() -> None:
            while not done.wait(_EVERY):
                look()

        thread = threading.Thread(target=watch, daemon=True)
        look()
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            look()


def read_pages(folder: Path) -> list[Page]:
    """The pages that were kept with a run, as far as they are whole; none where there are none."""
    try:
        lines = (folder / PAGES).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as why:
        raise UsageError(f"cannot read {folder / PAGES}: {why.strerror}") from None
    found = []
    for line in lines:
        with suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(line, type=Page))
    return found
