"""How wrong is the driver? Against a server that knows when it sent, in one run.

    python benchmarks/driver_error.py [--streams 200,1000] [--rate 50] [--seconds 6]

The truth of a token is the server's clock just before its `send`; what is shown is the driver's
time for it less the truth, and the same for first tokens and gaps. `lag` is by how much a client
without the kernel's stamps would have been late. The driver is one process on one core.

The bars are for the distance between the quantiles as we would print them and those of the truth:
first tokens p50 0.1 ms and p99 0.5 ms, gaps p99 0.5 ms at 200 streams; 0.5 and 3 ms at 1,000, or
else the verdict has to be `invalid`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from cores import CLIENT, SERVER, WHERE, on
from latok.load.calibrate import Judged, judge_at
from latok.load.golden import golden
from latok.records import Closed
from truth import manifest_of, metrics_point, truth_of

TOKENS = 100


def show(found: Judged) -> None:
    """Errors of the single events, in ms."""
    print(f"{'':16}{'p50':>9}{'p99':>9}{'max':>9}")
    rows = (
        ("ttft error", found.ttft),
        ("gap error", found.gap),
        ("lag", found.lag),
        ("server late by", found.served),
    )
    for name, values in rows:
        row = np.quantile(values, (0.5, 0.99, 1.0)) * 1e3
        print(f"{name:16}" + "".join(f"{value:9.3f}" for value in row))
    print(f"{found.chunks} chunks in the window, {found.cpu * 1e6:.1f} µs of CPU each")
    print(f"{found.coalesced} of them shared a read")
