"""Reads what the system says of this machine. What it does not say is None; nothing is raised."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latok.analysis.machine import Machine
from latok.load.socket import opened, receive, resolve

_ROOT = Path("/")


def read_machine(root: Path = _ROOT) -> Machine:
    """This machine. `root`: where `proc` and `sys` are."""
    proc, sys_ = root / "proc", root / "sys"
    clock = sys_ / "devices/system/clocksource/clocksource0"
    governors = sys_.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    ports = _numbers(proc / "sys/net/ipv4/ip_local_port_range")
    backlog = _numbers(proc / "sys/net/core/somaxconn")
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        cores=_cores(),
        cores_present=os.cpu_count(),
        cpu_quota=_cpu_quota(proc, sys_),
        governor=", ".join(sorted({text for path in governors if (text := _text(path))})) or None,
        clock_source=_text(clock / "current_clocksource") or None,
        clock_sources=tuple(_text(clock / "available_clocksource").split()),
        clock_read=_clock_read(),
        stamp_error=_stamp_error(),
        open_files=_open_files(),
        ports=int(ports[1] - ports[0] + 1) if len(ports) == 2 else None,
        backlog=int(backlog[0]) if backlog else None,
        nice=_may(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20)),
        realtime=_may(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _numbers(path: Path) -> list[float]:
    """The numbers in a file that holds nothing else; none if it holds something else."""
    try:
        return [float(word) for word in _text(path).split()]
    except ValueError:
        return []


def _cores() -> int:
    with contextlib.suppress(AttributeError):  # only Linux says which are ours
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_quota(proc: Path, sys_: Path) -> float | None:
    """Cores that our control group, and every one above it, may use together (cgroup 2 and 1)."""
    found = []
    for line in _text(proc / "self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            mount = sys_ / "fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = sys_ / "fs/cgroup/cpu"
        else:
            continue
        # In a container the path may be the host's, and its own group the mount itself.
        folder = mount / path.strip("/")
        for group in (folder, *folder.parents):
            if group.is_relative_to(mount):
                found += _quota_of(group)
    return min(found, default=None)


def _quota_of(group: Path) -> list[float]:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    # "max" in the one, -1 in the other: without a limit
    limited = quota.isdigit() and period.isdigit() and int(period) > 0
    return [int(quota) / int(period)] if limited else []


def _open_files() -> tuple[int, int] | None:
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return None
    least = 1 << 20  # "infinity" is -1; no system opens more by default
    return (soft if soft >= 0 else least, hard if hard >= 0 else least)


def _clock_read(count: int = 2_000) -> float:
    before = time.perf_counter()
    for _ in range(count):
        time.time_ns()
    return (time.perf_counter() - before) / count


def _may(action: Callable[[], object]) -> bool | None:
    """Whether we may do this to a thread, tried on one that ends with it; None but on Linux, where
    priorities are a thread's own."""
    if sys.platform != "linux":
        return None
    allowed = []

    def attempt() -> None:
        with contextlib.suppress(OSError):
            action()
            allowed.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(allowed)


def _stamp_error(count: int = 300, settling: int = 50) -> dict[str, float] | None:
    """A packet's kernel stamp less the clock just before its `send`, over loopback: p50 and p99.

    The kernel begins to stamp shortly after the first socket asks for it: the first `settling`
    packets do not count. None where it does not stamp.
    """
    found: list[float] = []
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", 0)) as server:
        ours, _ = opened(resolve(*server.getsockname()))
        with ours, server.accept()[0] as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count):
                before = time.time_ns()
                peer.send(b"x")
                select.select([ours], [], [], 1.0)
                _, stamp = receive(ours)
                if stamp:
                    found.append((stamp - before) * 1e-9)
    if len(found) < count:
        return None
    p50, p99 = np.quantile(found[settling:], (0.5, 0.99))
    return {"p50": float(p50), "p99": float(p99)}


# --- who had the processors ----------------------------------------------------------------------


class CpuTimes(NamedTuple):
    """Since the machine started, seconds of all cores together; `ours`: this process and those of
    its children that have ended. `at`: when."""

    at: float
    programs: float
    all: float
    steal: float
    ours: float


def cpu_times(root: Path = _ROOT) -> CpuTimes | None:
    """Who had the processors so far; None where the system does not say."""
    words = _text(root / "proc/stat").partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:]):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, waiting, irq, softirq, steal = (int(w) / tick for w in words[1:9])
    programs = user + nice + system
    spent = os.times()
    return CpuTimes(
        at=time.monotonic(),
        programs=programs,
        all=programs + idle + waiting + irq + softirq + steal,
        steal=steal,
        ours=spent.user + spent.system + spent.children_user + spent.children_system,
    )


def taken(before: CpuTimes | None, after: CpuTimes | None) -> tuple[float | None, float | None]:
    """Between two looks: the share of time that the host took, and the cores of other programs."""
    if before is None or after is None or after.all <= before.all or after.at <= before.at:
        return None, None
    steal = (after.steal - before.steal) / (after.all - before.all)
    others = (after.programs - before.programs) - (after.ours - before.ours)
    return steal, max(others, 0.0) / (after.at - before.at)
