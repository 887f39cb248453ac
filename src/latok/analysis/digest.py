"""What a point needs of a record: its metrics, and its events as flat arrays instead of objects.

A run of ten million chunks is some 200 MB this way; as Chunk objects it would be gigabytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latok.analysis.stats import Floats, Small
from latok.records import Record


class Digest(NamedTuple):
    """One request. `record` is without its chunks.

    `metrics`: each metric of METRICS that it has, seconds (speed: tokens per second). `tokens`:
    generated, None where nobody says. Of each token event `at` (seconds from the run's start),
    `doubt` (seconds) and `weight` (tokens in it; where chunks do not say, its even share). `lags`:
    of all chunks, seconds. `first_tokens`: in the first token event, if said.
    """

    record: Record
    metrics: dict[str, float | None]
    tokens: int | None
    at: Floats
    doubt: Small
    weight: Small
    lags: Small
    first_tokens: int | None
    reads: int
    coalesced: int

    @property
    def ok(self) -> bool:
        return self.record.ok

    @property
    def gaps(self) -> Small:
        """Times between consecutive token events, seconds."""
        return np.diff(self.at).astype(np.float32)
