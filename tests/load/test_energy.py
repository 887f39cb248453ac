"""Joules from counters and gauges: a machine's tree of files, and a page that a server shows."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.load.energy import Meter, joules_between, measured, meters_here, prometheus_meter


def zone(tree: Path, place: str, name: str, microjoules: int, most: int = 10_000_000) -> Path:
    folder = tree / f"intel-rapl:{place}"
    folder.mkdir()
    for file, value in (
        ("name", name),
        ("energy_uj", microjoules),
        ("max_energy_range_uj", most),
    ):
        (folder / file).write_text(f"{value}\n")
    return folder


def test_packages_and_memory_are_read_and_nothing_twice(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 2_000_000)
    zone(tmp_path, "0:0", "core", 1_000_000)
    zone(tmp_path, "0:1", "dram", 500_000)
    zone(tmp_path, "1", "package-1", 3_000_000)
    zone(tmp_path, "2", "psys", 9_000_000)
    meters = [meter for meter in meters_here(tmp_path) if meter.source == "RAPL"]
    assert [meter.read() for meter in meters] == [2.0, 0.5, 3.0]
    assert all(meter.wraps_at == 10.0 for meter in meters)


def test_a_counter_that_may_not_be_read_is_no_meter(tmp_path: Path) -> None:
    (zone(tmp_path, "0", "package-0", 0) / "energy_uj").unlink()
    assert not any(meter.source == "RAPL" for meter in meters_here(tmp_path))
    assert not any(meter.source == "RAPL" for meter in meters_here(tmp_path / "none"))


def test_what_a_machine_uses_while_it_is_watched(tmp_path: Path) -> None:
    counter = zone(tmp_path, "0", "package-0", 9_000_000) / "energy_uj"
    with measured([m for m in meters_here(tmp_path) if m.source == "RAPL"]) as found:
        start = time.time()
        counter.write_text("2000000")  # past the end of its range: 9 → 10 = 0 → 2
        end = time.time()
    used = found.used(start, end)
    assert used is not None
    assert used.source == "RAPL"
    assert 0 <= used.joules <= 3.0  # of the 3 J between the readings around it


def test_a_window_that_was_not_watched_has_no_figure() -> None:
    ticks = count()
    with measured([Meter("x", lambda: float(next(ticks)))]) as found:
        pass
    assert found.used(time.time() - 100, time.time() - 50) is None
    with measured([]) as nothing:
        pass
    assert nothing.used(0.0, time.time()) is None


def test_a_meter_that_falls_silent_leaves_no_figure() -> None:
    def silent() -> float:
        raise OSError("gone")

    ticks = count()
    with measured([Meter("x", lambda: float(next(ticks))), Meter("y", silent)]) as found:
        start = time.time()
    assert found.used(start, start) is None


def test_a_counter_that_goes_backwards_without_wrapping_has_no_figure() -> None:
    readings = [(0.0, 5.0), (1.0, 1.0)]
    assert joules_between(readings, 0.0, 1.0) is None
    assert joules_between(readings, 0.0, 1.0, wraps_at=10.0) == pytest.approx(6.0)


def test_of_watts_the_area_is_taken() -> None:
    # 100 W rising to 300 W over 2 s, then steady for 1 s
    readings = [(0.0, 100.0), (2.0, 300.0), (3.0, 300.0)]
    assert joules_between(readings, 0.0, 3.0, watts=True) == pytest.approx(400 + 300)
    assert joules_between(readings, 0.0, 1.0, watts=True) == pytest.approx(150)
    assert joules_between(readings, 1.0, 2.5, watts=True) == pytest.approx(250 + 150)


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 1000)), min_size=2, max_size=20),
    st.tuples(*[st.floats(0, 1)] * 3),
    st.booleans(),
)
def test_the_parts_of_a_window_add_up(
    steps: list[tuple[float, float]], cuts: tuple[float, float, float], watts: bool
) -> None:
    at = total = 0.0
    readings = []
    for seconds, value in steps:
        at, total = at + seconds, total + value
        readings.append((at, value if watts else total))
    first, last = readings[0][0], readings[-1][0]
    a, b, c = (first + cut * (last - first) for cut in sorted(cuts))
    parts = [joules_between(readings, *pair, watts=watts) for pair in ((a, b), (b, c), (a, c))]
    left, right, whole = (part for part in parts if part is not None)
    assert min(left, right) >= -1e-6
    assert left + right == pytest.approx(whole, abs=1e-6)


PAGE = """\
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1"} 250.5
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-2"} 1.5e2
# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0"} 5000
# TYPE kepler_node_package_joules_total counter
kepler_node_package_joules_total 12.5
# TYPE broken_watts gauge
broken_watts NaN
"""


@pytest.fixture
def page() -> Iterator[str]:
    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("metric", "value", "watts"),
    [
        ("DCGM_FI_DEV_POWER_USAGE", 400.5, True),
        ('DCGM_FI_DEV_POWER_USAGE{gpu="1"}', 150.0, True),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 5.0, False),
        ("kepler_node_package_joules_total", 12.5, False),
    ],
)
def test_a_metric_that_the_user_names_is_a_meter(
    page: str, metric: str, value: float, watts: bool
) -> None:
    meter = prometheus_meter(f"{page}#{metric}")
    assert (meter.read(), meter.watts) == (pytest.approx(value), watts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PAGE#nosuch", "no value of nosuch"),
        ('PAGE#DCGM_FI_DEV_POWER_USAGE{gpu="7"}', "no value of DCGM_FI_DEV_POWER_USAGE"),
        ("PAGE#DCGM_FI_DEV_POWER_USAGE{gpu}", "cannot read the labels"),
        ("PAGE#broken_watts", "no value of broken_watts"),
        ("PAGE/more#broken_watts", "answers HTTP 404"),
        ("PAGE", "is not a URL and a metric"),
        ("file:///etc/passwd#x", "is not a URL and a metric"),
        ("http://127.0.0.1:1/metrics#x", "Connection refused"),
    ],
)
def test_a_metric_that_is_not_there_is_said_before_anything_runs(
    page: str, text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        prometheus_meter(text.replace("PAGE", page))
