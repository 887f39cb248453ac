"""What is asked, through to the point: a server whose tokens are words, and which says what its
prefix cache knew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import latok
from latok.analysis.point import Check, Point
from latok.jobs.experiment import Experiment
from latok.jobs.session import estimated
from latok.load.golden import golden
from latok.records import Closed, Open, read_manifest
from latok.workload.apps import APPS


@pytest.fixture
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def measured(url: str, runs: Path, **options: Any) -> Point:
    words = {"model": "caching", "input_tokens": "uniform(150,250)", "output_tokens": "6"}
    if "prompts" in options or "trace" in options:
        words = {"model": "caching"}
    return latok.measure(url, runs=str(runs), **(words | options))


def regime(point: Point) -> Check:
    return next(check for check in point.checks if check.name == "cache_regime")


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"cache": "cold"}, 0.0),
        ({"cache": "0.5"}, 0.5),
        ({"cache": "warm"}, 0.97),
        ({"prefix": "tree(2:100,2:60)"}, 160 / 360),
    ],
    ids=str,
)
@pytest.mark.parametrize("load", [{"concurrency": 3}, {"rate": 60.0}], ids=["closed", "open"])
def test_a_regime_is_what_the_server_finds_in_its_cache(
    url: str, tmp_path: Path, options: dict[str, str], known: float, load: dict[str, Any]
) -> None:
    point = measured(url, tmp_path, requests=60, **options, **load)
    tokens = point.tokens
    assert tokens["cached"] is not None
    assert tokens["input"] == pytest.approx(tokens["input_asked"], rel=0.02)
    assert tokens["cached"] / (tokens["input"] or 1) == pytest.approx(known, abs=0.06)
    assert regime(point).ok, regime(point)
    assert read_manifest(Path(point.run)).workload["cache"] == next(iter(options.values()))


def test_sessions_find_their_own_history_in_the_cache(url: str, tmp_path: Path) -> None:
    point = measured(url, tmp_path, turns="4", think="0.01", requests=60, concurrency=3)
    assert point.counts.ok == point.counts.offered
    assert point.tokens["cached"] is not None
    assert point.tokens["cached"] > 100
    _, records = latok.read_run(point.run)
    assert {record.turn for record in records} == {0, 1, 2, 3}
    assert all((record.built is not None) == (record.turn > 0) for record in records)


MOONCAKE = [
    {
        "timestamp": 20 * n,
        "input_length": 512 * 3 + 100,
        "output_length": 32,
        "hash_ids": [0, 1 + n % 2, 3 + n % 4, 100 + n],
    }
    for n in range(60)
]


def test_a_trace_is_replayed_at_its_times_with_what_it_shares(url: str, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(map(json.dumps, MOONCAKE)))
    point = measured(url, tmp_path, trace=str(file), requests=50, scale=1 / 16)
    assert point.counts.offered == point.counts.ok
    assert point.load == Open(pytest.approx(50.0), "trace")
    _, records = latok.read_run(point.run)
    start = records[0].due
    assert [r.due - start for r in records] == pytest.approx([0.02 * n for n in range(50)])
    assert {(r.prompt_tokens, r.max_tokens) for r in records} == {(96 + 7, 2)}
    assert all(r.usage and r.usage.prompt_tokens == r.prompt_tokens for r in records)
    cached = [r.usage.cached_tokens if r.usage else 0 for r in records]
    assert cached == [0, 32, 64, 64, *[96] * 46]
    assert regime(point).ok
    manifest = read_manifest(Path(point.run))
    assert (manifest.workload["cache"], manifest.workload["block_tokens"]) == ("trace", 32)
    assert manifest.workload["trace"] == "t.jsonl"


def test_a_trace_may_be_replayed_at_another_rate_or_by_slots(url: str, tmp_path: Path) -> None:
    file = tmp_path / "azure.csv"
    rows = [f"2023-11-16 18:17:{n:02}.0000000,{100 + n},5" for n in range(40)]
    file.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    point = measured(url, tmp_path, trace=str(file), rate=50.0, requests=40)
    assert point.load == Open(50.0, "trace")
    _, records = latok.read_run(point.run)  # all of them: the steady part may be shorter
    assert [(r.ok, r.prompt_tokens) for r in records] == [(True, 100 + n) for n in range(40)]
    assert regime(point).ok  # unique, as Azure's trace says nothing of prefixes
    point = measured(url, tmp_path, trace=str(file), concurrency=2, requests=20)
    assert point.load == Closed(2)
    _, records = latok.read_run(point.run)
    assert sum(r.ok for r in records) >= 20  # the steady part may be shorter


def test_prompts_of_a_file_are_asked_as_they_are(url: str, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    rows = [
        {"prompt": f"tell me of {n} " + "river " * n, "answer": "one two three"} for n in range(50)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    point = measured(url, tmp_path, prompts=str(file), concurrency=2, requests=30)
    _, records = latok.read_run(point.run)
    assert {r.prompt_tokens for r in records} <= {4 + n for n in range(50)}
    assert {r.max_tokens for r in records} == {3}  # as long as the file's answers
    assert all(r.usage and r.usage.prompt_tokens == r.prompt_tokens for r in records if r.ok)
    assert read_manifest(Path(point.run)).workload["prompts"] == "p.jsonl"


def test_clients_that_go_away_are_told_apart(url: str, tmp_path: Path) -> None:
    point = measured(
        url, tmp_path, output_tokens="400", cancel="after=100ms, share=0.25",
        concurrency=4, requests=40,
    )  # fmt: skip
    assert point.counts.cancelled == pytest.approx(10, abs=4)
    assert point.counts.failed == 0
    assert read_manifest(Path(point.run)).workload["cancel"] == "after=100ms, share=0.25"


def test_what_a_file_asks_is_what_a_dry_run_counts(tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    trace.write_text("\n".join(map(json.dumps, MOONCAKE)))
    asked = Experiment(targets=("http://x",), trace=str(trace), scale=1 / 16, requests=50)
    app = estimated(asked, asked.profile("chat"))
    assert (app.input.mean(), app.output.mean()) == (103, 2)
    prompts = tmp_path / "p.jsonl"
    prompts.write_text(json.dumps({"prompt": "word " * 40, "output_tokens": 7}))
    asked = Experiment(targets=("http://x",), prompts=str(prompts))
    app = estimated(asked, asked.profile("chat"))
    assert app.input.mean() == pytest.approx(41, abs=2)
    assert app.output.mean() == 7
    assert estimated(Experiment(), APPS["chat"]) is APPS["chat"]
