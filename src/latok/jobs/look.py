"""Looks at a run while it is driven: is what was asked already known?"""

from __future__ import annotations

import math
import time
from pathlib import Path

from latok.analysis.digest import Digest
from latok.analysis.metrics import METRICS, digest
from latok.decide.stop import decided, precise
from latok.load.fleet import logs
from latok.load.plan import Progress
from latok.records import Load, Open
from latok.wire.capture import read_log, record_of
from latok.wire.dialects import Dialect
from latok.workload.apps import App

_EVERY = 2.0  # seconds
# Of that, seconds of decoding at the most: what is not read is read at the next look.
_DECODING = 0.2


class Look:
    """Called with the driver's progress in the window; true once it may close. `why` says why,
    `metric` is the one that is to be exact."""

    def __init__(
        self, log: Path, dialect: Dialect, load: Load, app: App, *, precision: float
    ) -> None:
        """`precision`: of the first metric that matters to the app, as a share of it."""
        self._log = log
        self._dialect = dialect
        self._open_loop = isinstance(load, Open)
        self._slo = app.slo
        named = ("throughput", *METRICS)
        self.metric = next((name for name in app.matters if name in named), "e2e")
        self._precision = precision
        self._places: dict[Path, int] = {}
        self._seen: list[Digest] = []
        self._start = math.inf
        self._next = 0.0
        self.why = ""

    def __call__(self, progress: Progress) -> bool:
        self._start = min(self._start, progress.at)
        if progress.at < self._next:
            return False
        self._next = progress.at + _EVERY
        self._read()
        requests, horizon = self._settled()
        inside = [each for each in requests if each.record.due >= self._start]
        if not inside:
            return False
        self.why = decided(self._slo, inside, self._open_loop) or precise(
            self.metric, requests, (self._start, horizon), self._precision
        )
        return bool(self.why)

    def _read(self) -> None:
        """Takes what was written since the last look."""
        until = time.monotonic() + _DECODING
        for log in logs(self._log):
            if not log.exists():
                continue
            with log.open("rb") as file:
                file.seek(self._places.get(log, 0))
                for capture in read_log(file):
                    self._places[log] = file.tell()
                    self._seen.append(digest(record_of(capture, self._dialect)))
                    if time.monotonic() > until:
                        break

    def _settled(self) -> tuple[list[Digest], float]:
        """The requests that were due so long ago that their like have all ended, in order, and that
        time: of later ones only the quick are known yet."""
        closed = [each.record.closed_at for each in self._seen if each.record.closed_at is not None]
        lasted = [
            each.record.closed_at - each.record.due
            for each in self._seen
            if each.record.closed_at is not None
        ]
        horizon = max(closed, default=0.0) - max(lasted, default=0.0)
        known = [each for each in self._seen if each.record.due < horizon]
        return sorted(known, key=lambda each: each.record.due), horizon
