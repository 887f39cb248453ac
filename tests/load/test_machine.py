"""What the system says, read from a tree that says it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latok.load.machine import CpuTimes, cpu_times, read_machine, taken

CLOCK = "sys/devices/system/clocksource/clocksource0"
GOVERNOR = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"


def tree(root: Path, **files: str) -> Path:
    """`root` with these files below it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_a_system_that_says_nothing_is_read_without_complaint(tmp_path: Path) -> None:
    found = read_machine(tmp_path)
    assert found.cores >= 1
    assert found.governor is found.clock_source is found.ports is found.backlog is None
    assert found.cpu_quota is None
    assert cpu_times(tmp_path) is None


def test_what_the_files_say_is_what_is_found(tmp_path: Path) -> None:
    tree(
        tmp_path,
        **{
            "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
            "proc/sys/net/core/somaxconn": "128",
            f"{CLOCK}/current_clocksource": "hpet",
            f"{CLOCK}/available_clocksource": "tsc hpet acpi_pm ",
            GOVERNOR.format(0): "powersave",
            GOVERNOR.format(1): "performance",
            GOVERNOR.format(11): "powersave",
        },
    )
    found = read_machine(tmp_path)
    assert found.ports == 28_232
    assert found.backlog == 128
    assert found.clock_source == "hpet"
    assert found.clock_sources == ("tsc", "hpet", "acpi_pm")
    assert found.governor == "performance, powersave"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        (  # the tightest on the way up
            {
                "proc/self/cgroup": "0::/pods/mine",
                "sys/fs/cgroup/pods/mine/cpu.max": "400000 100000",
                "sys/fs/cgroup/pods/cpu.max": "200000 100000",
                "sys/fs/cgroup/cpu.max": "max 100000",
            },
            2.0,
        ),
        (  # a container sees its group as the root, and its path as the host's
            {"proc/self/cgroup": "0::/docker/abc", "sys/fs/cgroup/cpu.max": "50000 100000"},
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/box\n0::/",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "a b"}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 0"}, None),
    ],
)
def test_a_containers_quota_is_the_tightest_above_us(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    assert read_machine(tree(tmp_path, **files)).cpu_quota == quota


def test_garbage_is_as_good_as_nothing(tmp_path: Path) -> None:
    tree(
        tmp_path,
        **{
            "proc/sys/net/ipv4/ip_local_port_range": "many",
            "proc/sys/net/core/somaxconn": "",
            "proc/stat": "cpu 1 2 3 4 five 6 7 8 9",
        },
    )
    found = read_machine(tmp_path)
    assert found.ports is found.backlog is None
    assert cpu_times(tmp_path) is None


def test_this_machine_stamps_packets_and_has_limits() -> None:
    found = read_machine()
    assert found.stamp_error is not None
    assert -1e-4 < found.stamp_error["p50"] < 1e-3
    assert found.open_files is not None
    assert found.clock_read is not None
    assert 0 < found.clock_read < 1e-4


def test_finding_out_whether_a_priority_is_allowed_does_not_take_it() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    read_machine()
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)) == before


def test_what_others_took_is_what_we_did_not(tmp_path: Path) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    line = " ".join(str(n * tick) for n in (10, 5, 5, 100, 10, 1, 1, 8))
    found = cpu_times(tree(tmp_path, **{"proc/stat": f"cpu  {line} 0 0\ncpu0 1"}))
    assert found is not None
    assert (found.programs, found.steal, found.all) == (20, 8, 140)
    later = CpuTimes(found.at + 10, programs=35, all=180, steal=10, ours=found.ours + 6)
    steal, elsewhere = taken(found, later)
    assert steal == pytest.approx(2 / 40)
    assert elsewhere == pytest.approx(9 / 10)
    assert taken(None, later) == taken(found, found) == (None, None)
