"""How wrong is the driver? Against a server that knows when it sent, in one run.

    python benchmarks/driver_error.py [--streams 100] [--rate 50] [--seconds 6]

The truth of a token is the server's clock just before its `send`; what is shown is the driver's
time for it less the truth, and the same for first tokens and gaps. `lag` is by how much a client
without the kernel's stamps would have been late. Server and client share this machine's cores.
"""

from __future__ import annotations

import argparse

import numpy as np

from latok.load.calibrate import judge
from latok.records import Closed


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--streams", type=int, default=100)
    words.add_argument("--rate", type=float, default=50.0, help="tokens per second and stream")
    words.add_argument("--seconds", type=float, default=6.0)
    words.add_argument("--processes", type=int, default=1)
    asked = words.parse_args()
    found = judge(
        Closed(asked.streams),
        rate=asked.rate,
        tokens=100,
        seconds=asked.seconds,
        processes=asked.processes,
    )
    print(f"{asked.streams} streams × {asked.rate:g} tokens/s, {len(found.ttft)} requests, ms")
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


if __name__ == "__main__":
    main()
