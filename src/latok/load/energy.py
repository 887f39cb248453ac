"""Joules while a load is held: by the machine's own counters, or a metric that the user names.

Intel's and AMD's processors count theirs (RAPL, /sys/class/powercap), NVIDIA's cards too (NVML).
Both tell of the whole machine: of the engine, of the system, and of latok itself. A page in
Prometheus' format may tell of any machine. Where nothing tells, there is no figure.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import re
import threading
import time
import urllib.error
import urllib.request
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from latok.errors import UsageError
from latok.records import EnergyUse

POWERCAP = Path("/sys/class/powercap")
_EVERY = 0.5  # seconds between readings; RAPL's counters wrap after minutes
_PATIENCE = 2.0  # seconds for a page of metrics


class Meter(NamedTuple):
    """Something that tells. `read`: joules so far, or watts now where `watts`; raises OSError or
    ValueError when it cannot. A counter of joules begins anew at 0 after `wraps_at`."""

    source: str
    read: Callable[[], float]
    watts: bool = False
    wraps_at: float | None = None


Readings = list[tuple[float, float]]  # wall-clock seconds, joules or watts


class Measured:
    """The readings of some meters; `used` tells what was used between two times."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self._readings: list[Readings] = [[] for _ in meters]

    def look(self) -> None:
        """Reads each meter once; one that does not answer is left out this time."""
        for meter, readings in zip(self._meters, self._readings, strict=True):
            before = time.time()
            with contextlib.suppress(OSError, ValueError):
                value = meter.read()
                readings.append(((before + time.time()) / 2, value))

    def used(self, start: float, end: float) -> EnergyUse | None:
        """Joules of all meters between two wall-clock times; None where one cannot tell."""
        found = [
            joules_between(readings, start, end, watts=meter.watts, wraps_at=meter.wraps_at)
            for meter, readings in zip(self._meters, self._readings, strict=True)
        ]
        known = [joules for joules in found if joules is not None]
        if not found or len(known) < len(found):
            return None
        sources = dict.fromkeys(meter.source for meter in self._meters)
        return EnergyUse(joules=sum(known), source=" + ".join(sources))


@contextmanager
def measured(meters: Sequence[Meter]) -> Iterator[Measured]:
    """Reads the meters on a thread as long as the block lasts."""
    found, done = Measured(meters), threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            found.look()

    thread = threading.Thread(target=watch, daemon=True)
    if meters:
        found.look()
        thread.start()
    try:
        yield found
    finally:
        done.set()
        if meters:
            thread.join()
            found.look()


def joules_between(
    readings: Sequence[tuple[float, float]],
    start: float,
    end: float,
    *,
    watts: bool = False,
    wraps_at: float | None = None,
) -> float | None:
    """Joules between two times, by straight lines between the readings (of watts: trapezoids).

    None where the readings do not reach from `start` to `end`, or where a counter went backwards
    that does not wrap (its machine was restarted).
    """
    times = [at for at, _ in readings]
    if len(times) < 2 or end < start or times[0] > start or times[-1] < end:
        return None
    so_far = [0.0]
    for (a, before), (b, after) in pairwise(readings):
        if watts:
            step = (b - a) * (before + after) / 2
        else:
            step = after - before
            if step < 0 and wraps_at is not None:
                step += wraps_at
            if step < 0:
                return None
        so_far.append(so_far[-1] + step)

    def at(moment: float) -> float:
        n = min(max(bisect_right(times, moment), 1), len(times) - 1)
        (a, before), (b, after) = readings[n - 1], readings[n]
        part = (moment - a) / (b - a) if b > a else 1.0
        if not watts:
            return so_far[n - 1] + part * (so_far[n] - so_far[n - 1])
        return so_far[n - 1] + (moment - a) * (before + before + part * (after - before)) / 2

    return at(end) - at(start)


# --- what there is -------------------------------------------------------------------------------


def meters_here(powercap: Path = POWERCAP) -> list[Meter]:
    """Those of this machine that may be read; few virtual machines have any, and RAPL asks for
    root."""
    return [meter for meter in (*_rapl(powercap), *_nvml()) if _answers(meter)]


def _answers(meter: Meter) -> bool:
    try:
        return meter.read() >= 0
    except (OSError, ValueError):
        return False


def _rapl(powercap: Path) -> Iterator[Meter]:
    """Packages (cores and caches are inside) and, beside them, memory. `psys` would count twice."""
    for zone in sorted(powercap.glob("*-rapl:*")):
        with contextlib.suppress(OSError, ValueError):
            name = (zone / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                most = float((zone / "max_energy_range_uj").read_text()) * 1e-6
                yield Meter("RAPL", _reader(zone / "energy_uj"), wraps_at=most)


def _reader(counter: Path) -> Callable[[], float]:
    return lambda: float(counter.read_text()) * 1e-6


def _nvml() -> Iterator[Meter]:
    """Each card's counter (Volta and later), where the package nvidia-ml-py is installed."""
    try:
        pynvml = import_module("pynvml")
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        cards = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return

    def reader(card: Any) -> Callable[[], float]:
        def read() -> float:
            try:
                return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card)) * 1e-3  # from mJ
            except pynvml.NVMLError as why:
                raise OSError(str(why)) from None

        return read

    for card in cards:
        yield Meter("NVML", reader(card))


# --- Prometheus ----------------------------------------------------------------------------------

_NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+|Inf|NaN)"


def prometheus_meter(text: str) -> Meter:
    """The meter of `URL#METRIC`, or `URL#METRIC{label="value"}`: a gauge of watts or a counter of
    joules (of millijoules where its help says "in mJ", as DCGM's does); several series are summed.

    Raises UsageError where no such metric is there.
    """
    url, _, metric = text.partition("#")
    name, brace, labels = metric.partition("{")
    if not url.startswith(("http://", "https://")) or not name:
        raise UsageError(
            f"--energy-metric '{text}' is not a URL and a metric; it would look like "
            "http://127.0.0.1:9400/metrics#DCGM_FI_DEV_POWER_USAGE"
        )
    wanted = re.findall(r'(\w+)\s*=\s*"([^"]*)"', labels)
    if brace and not wanted:
        raise UsageError(f"cannot read the labels in --energy-metric '{text}'")
    try:
        page = _page(url)
        _sum(page, name, wanted)
    except (OSError, ValueError) as why:
        raise UsageError(f"--energy-metric: {getattr(why, 'reason', None) or why}") from None
    scale = 1e-3 if re.search(rf"^# HELP {name} .*\bmJ\b", page, re.M) else 1.0
    counter = re.search(rf"^# TYPE {name} counter", page, re.M) is not None
    return Meter(name, lambda: _sum(_page(url), name, wanted) * scale, watts=not counter)


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
            return str(answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as why:
        raise OSError(f"{url} answers HTTP {why.code}") from None
    except http.client.HTTPException as why:
        raise OSError(f"{url} does not speak HTTP: {type(why).__name__}") from None


def _sum(page: str, name: str, wanted: Sequence[tuple[str, str]]) -> float:
    """The sum of a metric's series that have these labels. Raises ValueError if there is none."""
    series = re.findall(rf"^{re.escape(name)}(?:\{{(.*)\}})?\s+({_NUMBER})", page, re.M)
    values = [
        float(value)
        for labels, value in series
        if set(wanted) <= set(re.findall(r'(\w+)="([^"]*)"', labels))
    ]
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"no value of {name} there")
    return sum(values)
