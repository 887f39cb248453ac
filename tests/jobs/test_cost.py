"""Cost from the command line: what is spent, what would be, and what stored runs cost."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import latok
from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.cli import main
from latok.jobs.experiment import Experiment
from latok.jobs.outlook import outlooks
from latok.jobs.runs import MAP
from latok.load.golden import golden
from latok.records import Hosted, Owned, write_manifest, write_records
from tests.report.samples import drive, manifest_of, map_of

LATOK = [sys.executable, "-m", "latok"]
OWN = Owned(usd_per_hour=2.5)
# what a request is at the most: 20 × $1 × 1.25 and 20 × $4 a million
PRICE, MOST_EACH = "input=1,cached=0.5,output=4", 105e-6
FIXED = ["--model", "steady:ttft=0.02,gap=0.005", "--input-tokens", "20", "--output-tokens", "20"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LATOK, *words], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Map, Path]:
    """A stored map, with its runs, of own hardware at $2.50 an hour."""
    runs = tmp_path_factory.mktemp("runs")
    points = []
    for level in (1, 4, 16):
        manifest = msgspec.structs.replace(manifest_of(level), prices=OWN)
        folder = runs / manifest.id
        folder.mkdir()
        write_manifest(folder, manifest)
        write_records(folder, drive(level))
        points.append(latok.read_point(folder))
    found = map_of(points)
    (runs / "a-map").mkdir()
    (runs / "a-map" / MAP).write_bytes(msgspec.json.encode(found))
    return found, runs


def test_each_point_of_a_map_says_its_cost(
    priced: tuple[Map, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, runs = priced
    for point in found.points:
        assert point.cost is not None
        each = 2.5 / 3600 / point.goodput.requests_per_s
        assert point.cost.usd_per_good_request == pytest.approx(each)
    assert "1,000 good requests cost $" in found.advice.text
    assert main(["show", "last", "--runs", str(runs)]) == 0
    assert "$ per 1,000" in capsys.readouterr().out


def test_the_price_is_in_the_run_and_is_read_again(priced: tuple[Map, Path]) -> None:
    for point in priced[0].points:
        assert latok.read_run(point.run)[0].prices == OWN
        assert latok.read_point(point.run) == point


def test_a_stored_map_and_its_runs_can_be_priced_anew(
    priced: tuple[Map, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, runs = priced
    main(["show", "last", "--runs", str(runs), "--price-per-hour", "5", "--json"])
    dearer = msgspec.json.decode(capsys.readouterr().out, type=Map)
    for before, after in zip(found.points, dearer.points, strict=True):
        assert before.cost is not None
        assert after.cost is not None
        assert after.cost.usd_per_request == pytest.approx(2 * (before.cost.usd_per_request or 0))
    assert dearer.advice.point == found.advice.point
    main(["show", found.points[0].run, "--price", PRICE, "--json"])
    cost = msgspec.json.decode(capsys.readouterr().out, type=Point).cost
    assert cost is not None
    assert isinstance(cost.prices, Hosted)
    main(["show", found.points[0].run, "--price", PRICE])
    assert "$1.00 in, $0.50 cached, $4.00 out per million" in capsys.readouterr().out


def test_a_month_and_the_break_even_of_a_stored_map(
    priced: tuple[Map, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, runs = priced
    words = ["cost", "last", "--runs", str(runs), "--against", "gpt-4o-mini"]
    assert main([*words, "--traffic", "1M requests/month", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs["schema"] == "latok.cost/1"
    assert costs["own"]["usd_per_hour"] == 2.5
    assert "openai gpt-4o-mini" in costs["hosted"]["source"]
    for point, row in zip(found.points, costs["points"], strict=True):
        sums = point.billed[0]
        each = (sums.input_tokens * 0.15 + sums.output_tokens * 0.60) / 1e6 / sums.requests
        assert row["hosted"]["usd_per_request"] == pytest.approx(each)
        assert row["hosted_month"]["usd"] == pytest.approx(1e6 * each)
        assert row["own_month"]["usd"] == pytest.approx(2.5 * 730)  # one machine bears it
        assert row["break_even"]["requests_per_s"] == pytest.approx(2.5 / 3600 / each)
    assert main([*words, "--price-per-hour", "0.01"]) == 0
    text = capsys.readouterr().out
    assert "$0.15 in, $0.075 cached, $0.60 out" in text
    assert "is cheaper above" in text
    assert main(words) == 0
    assert "Hosted is cheaper at any load" in capsys.readouterr().out


def test_the_charts_and_the_report_of_a_priced_map_show_it(
    priced: tuple[Map, Path], tmp_path: Path
) -> None:
    folder, out = priced[1] / "a-map", tmp_path / "report.html"
    words = ["report", str(folder), "--out", str(out), "--charts", str(tmp_path)]
    assert main(words) == 0
    assert "1,000 good requests" in out.read_text("utf-8")
    assert "$2.50 an hour for own hardware" in out.read_text("utf-8")
    assert (tmp_path / "cost.svg").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "nosuch"], "the price sheet does not know 'nosuch'"),
        (["--against", "gpt-4o-mini", "--price", PRICE], "exclude each other"),
        (["--tier", "batch"], "--tier is that of the model that --against names"),
        (["--traffic", "much"], "cannot read the traffic 'much'"),
        (["--price-per-hour", "-1"], "--price-per-hour -1 is not above 0"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    priced: tuple[Map, Path], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", "last", "--runs", str(priced[1]), *words]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_run_without_a_price_asks_for_one(url: str, tmp_path: Path) -> None:
    words = ["--requests", "4", "--runs", str(tmp_path)]
    done = run("measure", url, *FIXED, *words, "--json")
    assert json.loads(done.stdout)["cost"] is None
    assert latok.read_run(json.loads(done.stdout)["run"])[0].prices is None
    done = run("cost", "last", "--runs", str(tmp_path))
    assert done.returncode == 2
    assert "give --price-per-hour for own hardware" in done.stderr


def spent_at_most(runs: Path) -> float:
    """What all requests in a folder may have cost, the probe's aside."""
    records = [r for run in runs.glob("*/records.parquet") for r in latok.read_run(run.parent)[1]]
    return sum(MOST_EACH for r in records if r.sent_first is not None)


def spent_by_usage(runs: Path) -> float:
    """By what the server says of each: 1 token in, 20 out."""
    records = [r for run in runs.glob("*/records.parquet") for r in latok.read_run(run.parent)[1]]
    return sum((1 * 1.0 + 20 * 4.0) / 1e6 for r in records if r.usage)


def test_a_measurement_spends_no_more_than_it_may(url: str, tmp_path: Path) -> None:
    words = ["-c", "4", "--duration", "20s", "--price", PRICE, "--max-cost", "0.002"]
    done = run("measure", url, *FIXED, *words, "--runs", str(tmp_path))
    assert "ended early: the next request might pass --max-cost" in done.stderr
    assert "about $" in done.stderr  # what it would be, before it was
    assert 0.0015 < spent_at_most(tmp_path) <= 0.002
    assert "for 1,000 good requests" in done.stdout


def test_a_map_stops_at_its_cost_and_says_so(url: str, tmp_path: Path) -> None:
    words = ["--budget", "20s", "--price", PRICE, "--max-cost", "0.006", "--runs", str(tmp_path)]
    run("map", url, *FIXED, *words)  # on a busy machine its points may be invalid
    (found,) = latok.read_maps(next(tmp_path.glob("*-map-*")))
    assert "of $0.0060 is spent" in found.stopped
    assert 0 < spent_by_usage(tmp_path) <= 0.006


def test_a_budget_that_holds_not_even_one_request_is_refused(url: str, tmp_path: Path) -> None:
    words = ["--price", PRICE, "--max-cost", "0.0001", "--runs", str(tmp_path)]
    for command in ("map", "measure"):
        done = run(command, url, *FIXED, *words)
        assert done.returncode == 2
        assert "--max-cost" in done.stderr.splitlines()[-1]


@pytest.fixture
def counting() -> Iterator[tuple[str, list[str]]]:
    """A server that lists a model, and what it was asked."""
    asked: list[str] = []

    class Listing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "some-model"}]}')

        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")
            self.send_error(500)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listing) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("command", ["map", "measure"])
def test_a_dry_run_sends_nothing_that_costs(
    counting: tuple[str, list[str]], command: str, tmp_path: Path
) -> None:
    url, asked = counting
    words = [command, url, "--price", PRICE, "--max-cost", "0.5", "--runs", str(tmp_path / "runs")]
    done = run(*words, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["outlooks"]
    assert found["model"] == "some-model"
    assert 0 < found["usd"] <= found["most_usd"] == 0.5
    assert asked == ["GET /v1/models"]
    assert not (tmp_path / "runs").exists()
    said = run(*words, "--dry-run", "--model", "m")
    assert "at most $0.50" in said.stdout
    assert asked == ["GET /v1/models"]  # a model that is named need not be asked for


def test_what_would_be_spent_follows_what_is_asked() -> None:
    def outlook(command: Any = "measure", **words: Any) -> Any:
        asked = Experiment(
            targets=("https://api.openai.com",),
            model="gpt-4o-mini",
            input_tokens="1000",
            output_tokens="100",
            **words,
        )
        return outlooks(asked, command)[0]

    # a request is 1,000 × $0.15 + 100 × $0.60 a million = $0.00021; at 10 a second for 60 s, and
    # 2 s of warm-up, and the 0.5 s + 100 ÷ 100 s that the last takes, there are 635 of them
    found = outlook(rate=10.0, duration=60.0)
    assert found.requests == pytest.approx(635)
    assert found.usd == pytest.approx(635 * 0.00021)
    assert found.most_usd is None
    # no more than 100 requests, each of which may have a quarter more tokens in than we think
    assert outlook(rate=10.0, duration=60.0, max_requests=100).most_usd == pytest.approx(
        100 * (1250 * 0.15e-6 + 100 * 0.60e-6)
    )
    # no more than 50,000 tokens, at the worst all of them written
    assert outlook(max_tokens_spent=50_000).most_usd == pytest.approx(50_000 * 0.60e-6)
    assert outlook(max_cost=0.01, max_requests=10**6).most_usd == 0.01
    assert outlook("map", budget=60.0).usd < outlook("map", budget=600.0).usd


def test_energy_by_a_metric_of_the_users_is_on_the_point(url: str, tmp_path: Path) -> None:
    class Power(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"# TYPE node_watts gauge\nnode_watts 50\n")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Power) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        metric = f"http://127.0.0.1:{server.server_port}/metrics#node_watts"
        words = ["--duration", "1s", "--runs", str(tmp_path), "--json", "--energy-metric", metric]
        done = run("measure", url, *FIXED, *words)
        server.shutdown()
        thread.join()
    point = msgspec.json.decode(done.stdout, type=Point)
    assert point.energy is not None
    assert point.energy.source == "node_watts"
    assert point.energy.mean_w == pytest.approx(50)
    assert point.energy.joules_per_good_request == pytest.approx(50 / point.goodput.requests_per_s)
    assert latok.read_point(point.run) == point
