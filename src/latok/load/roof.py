"""What this machine's processor does at its best: bytes from memory and FLOPs, a second."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from latok.analysis.floor import Roof

_ARRAY = 8 << 20  # numbers of 4 bytes for each thread: far more than its share of a cache
_SIZE = 1024  # of the square matrices
_SECONDS = 0.3  # for each of the three, after a first round
_CACHE = "roof.json"


def roof(*more: Callable[[], float], folder: Path | None = None) -> Roof:
    """Measures for about a second, and keeps the best of what was ever seen on this machine: what
    else runs here can only make it slower.

    `more`: other ways to measure FLOPs a second, in arithmetic that numpy does not have. `folder`:
    where the best is kept, the user's cache folder by default.
    """
    if folder is None:
        from platformdirs import user_cache_path

        folder = user_cache_path("latok")
    threads = os.cpu_count() or 1
    machine = f"{platform.machine()} {_processor()} {threads}"
    known: dict[str, Roof] = {}
    with suppress(OSError, msgspec.DecodeError):
        known = msgspec.json.decode((folder / _CACHE).read_bytes(), type=dict[str, Roof])
    moved, computed = bandwidth(threads), max(way() for way in (matmul, *more))
    if before := known.get(machine):
        moved, computed = max(moved, before.bytes_per_s), max(computed, before.flops_per_s)
    found = Roof(moved, computed, threads)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f"{_CACHE}.{os.getpid()}"
        beside.write_bytes(msgspec.json.encode({**known, machine: found}))
        beside.replace(folder / _CACHE)
    return found


def bandwidth(threads: int) -> float:
    """Bytes a second: the better of reading (a dot product) and of STREAM's triad without its
    factor (two arrays read, one written), on all threads at once."""
    arrays = [[np.ones(_ARRAY, np.float32) for _ in range(3)] for _ in range(threads)]

    def add(n: int) -> None:
        a, b, c = arrays[n]
        np.add(b, c, out=a)

    def read(n: int) -> None:
        np.dot(arrays[n][0], arrays[n][0])

    with ThreadPoolExecutor(threads) as pool:
        added = best_time(lambda: list(pool.map(add, range(threads))))
        seen = best_time(lambda: list(pool.map(read, range(threads))))
    return threads * _ARRAY * 4.0 * max(3.0 / added, 1.0 / seen)


def matmul() -> float:
    """FLOPs a second of a product of 32-bit matrices, as numpy's library does it on all cores."""
    a = np.ones((_SIZE, _SIZE), np.float32)
    b, c = a.copy(), a.copy()
    return 2.0 * _SIZE**3 / best_time(lambda: np.matmul(a, b, out=c))


def best_time(work: Callable[[], object]) -> float:
    """Seconds that it takes at its quickest."""
    work()
    best, until = float("inf"), time.perf_counter() + _SECONDS
    while (began := time.perf_counter()) < until:
        work()
        best = min(best, time.perf_counter() - began)
    return best


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
