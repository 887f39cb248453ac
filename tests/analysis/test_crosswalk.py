"""Three chunks by hand through every tool's formulas, and round trips through every tool's file."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import msgspec
import pytest

from latok.analysis.exports import FORMATS
from latok.analysis.imports import TOOLS, imported
from latok.analysis.metrics import in_window, point
from latok.analysis.point import Point
from latok.errors import UsageError
from latok.records import Chunk, Closed, Failure, Manifest, Open, Record, Usage
from tests.simulated import closed, manifest, record

# Sent at 10.0. A role chunk, 2 tokens after 1.0 s, 3 more after 1.4, 1 more after 2.0; the usage
# after 2.1, [DONE] after 2.2, the end of the stream after 2.5. So 6 tokens.
THREE = Record(
    id=0,
    app="chat",
    prompt_tokens=100,
    max_tokens=6,
    due=9.0,
    sent_first=10.0,
    sent_last=10.0,
    closed_at=12.5,
    status=200,
    usage=Usage(100, 6),
    chunks=(
        Chunk(10.5, 0, "role"),
        Chunk(11.0, 2, "content"),
        Chunk(11.4, 3, "content"),
        Chunk(12.0, 1, "content"),
        Chunk(12.1, None, "usage"),
        Chunk(12.2, None, "done"),
    ),
)
FAILED = Record(
    id=1,
    app="chat",
    prompt_tokens=100,
    max_tokens=6,
    due=10.0,
    sent_first=10.0,
    closed_at=10.1,
    status=503,
    error=Failure("http", "503 busy"),
)
CUT = msgspec.structs.replace(FAILED, id=2, error=Failure("cut", "the run ended"))
RUN = manifest(Closed(2), (0.0, 20.0))


def told(name: str, run: Manifest = RUN, records: tuple[Record, ...] = (THREE, FAILED, CUT)) -> Any:
    return json.loads(FORMATS[name](run, records))


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9)


def test_vllm_counts_the_first_chunk_as_one_token_and_stops_at_the_last() -> None:
    found = told("vllm")
    assert found["mean_ttft_ms"] == near(1000)
    assert found["mean_tpot_ms"] == near(1000 * 1.0 / 5)
    assert found["mean_itl_ms"] == near(500)
    assert found["median_e2el_ms"] == near(2000)
    assert found["duration"] == near(2.5)
    assert found["output_throughput"] == near(6 / 2.5)
    assert found["total_token_throughput"] == near(106 / 2.5)
    assert (found["completed"], found["failed"], found["num_prompts"]) == (1, 1, 2)
    assert found["ttfts"] == [near(1.0), 0.0]
    assert found["itls"] == [[near(0.4), near(0.6)], []]
    assert found["output_lens"] == [6, 0]
    assert found["errors"] == ["", "http: 503 busy"]
    assert (found["request_rate"], found["max_concurrency"]) == ("inf", 2)


def test_sglang_times_a_request_to_the_last_line_of_its_stream() -> None:
    found = told("sglang")
    assert found["mean_e2e_latency_ms"] == near(2200)
    assert found["mean_tpot_ms"] == near(1000 * 1.2 / 5)
    assert found["mean_itl_ms"] == near(500)
    assert found["concurrency"] == near(2.2 / 2.5)


def test_aiperf_calls_the_time_per_token_itl_and_the_gap_icl() -> None:
    found = told("aiperf")
    assert found["inter_token_latency"] == {
        "unit": "ms",
        "count": 1,
        "std": 0.0,
        "sum": near(200),
        **{name: near(200) for name in ("avg", "min", "max")},
        **{f"p{p}": near(200) for p in (1, 5, 10, 25, 50, 75, 90, 95, 99)},
    }
    assert found["inter_chunk_latency"]["avg"] == near(500)
    assert found["time_to_second_token"]["avg"] == near(400)
    assert found["request_latency"]["avg"] == near(2000)
    assert found["output_token_throughput_per_user"]["avg"] == near(5)
    assert found["benchmark_duration"] == {"unit": "sec", "avg": near(2.5)}
    assert found["error_request_count"] == {"unit": "requests", "avg": 1}


def test_guidellm_has_the_first_token_in_its_tpot() -> None:
    metrics = told("guidellm")["benchmarks"][0]["metrics"]
    assert metrics["time_per_output_token_ms"]["successful"]["mean"] == near(2000 / 6)
    assert metrics["inter_token_latency_ms"]["successful"]["mean"] == near(200)
    assert metrics["request_latency"]["successful"]["mean"] == near(2.5)
    assert metrics["request_totals"] == {
        "successful": 1,
        "errored": 1,
        "incomplete": 1,
        "total": 3,
    }


def test_guidellm_weighs_a_request_by_its_tokens_and_never_interpolates() -> None:
    short = record(3, 10.0, ttft=0.5, gap=0.1, tokens=2)
    long = record(4, 10.0, ttft=0.5, gap=0.3, tokens=4)
    metrics = told("guidellm", records=(short, long))["benchmarks"][0]["metrics"]
    itl = metrics["inter_token_latency_ms"]["successful"]
    assert itl["mean"] == near((1 * 100 + 3 * 300) / 4)
    assert itl["count"] == 4
    assert itl["percentiles"]["p25"] == near(100)
    assert itl["median"] == near(300)


def test_inference_perf_repeats_a_chunks_time_for_each_of_its_tokens() -> None:
    latency = told("inference-perf")["successes"]["latency"]
    assert latency["time_to_first_token"]["mean"] == near(1.0)
    assert latency["inter_token_latency"]["mean"] == near(1.0 / 5)
    assert latency["inter_token_latency"]["median"] == 0.0  # the gaps are 0, 0.4, 0, 0 and 0.6
    assert latency["time_per_output_token"]["mean"] == near(0.2)
    assert latency["normalized_time_per_output_token"]["mean"] == near(2.5 / 6)
    assert latency["request_latency"]["mean"] == near(2.5)
    assert told("inference-perf")["load_summary"]["schedule_delay"]["max"] == near(1.0)


def test_inference_perf_does_not_see_reasoning() -> None:
    thinking = msgspec.structs.replace(
        THREE,
        chunks=(
            Chunk(11.0, 1, "reasoning"),
            *(Chunk(11.4 + n / 10, 1, "content") for n in range(5)),
        ),
    )
    assert told("vllm", records=(thinking,))["mean_ttft_ms"] == near(1000)
    latency = told("inference-perf", records=(thinking,))["successes"]["latency"]
    assert latency["time_to_first_token"]["mean"] == near(1.4)


def test_genai_bench_times_the_output_to_the_end_of_the_stream() -> None:
    found = told("genai-bench")
    stats = found["aggregated_metrics"]["stats"]
    assert stats["e2e_latency"]["mean"] == near(2.5)
    assert stats["tpot"]["mean"] == near(1.5 / 5)
    assert stats["output_inference_speed"]["mean"] == near(5 / 1.5)
    assert found["aggregated_metrics"]["error_codes_frequency"] == {"503": 1}
    assert found["_time_unit"] == "s"


def test_a_chunk_of_unknown_size_is_one_token_where_the_server_never_counts() -> None:
    silent = msgspec.structs.replace(
        THREE, usage=None, chunks=tuple(Chunk(11.0 + n, None, "content") for n in range(3))
    )
    found = told("vllm", records=(silent,))
    assert found["output_lens"] == [3]
    assert found["mean_tpot_ms"] == near(1000)


def test_jsonl_is_every_record_whole() -> None:
    lines = FORMATS["jsonl"](RUN, (THREE, FAILED, CUT)).splitlines()
    assert [msgspec.json.decode(line, type=Record) for line in lines] == [THREE, FAILED, CUT]


def test_csv_is_a_row_for_each_request_empty_where_there_is_no_value() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](RUN, (THREE, FAILED)))))
    assert rows[0] | {"e2e": ""} == {
        "id": "0",
        "due": "9.0",
        "sent": "10.0",
        "ttft": "1.0",
        "tpot": "0.25",  # ours: of the 4 tokens after the first event
        "e2e": "",
        "tokens": "6",
        "status": "200",
        "error": "",
    }
    assert (rows[1]["ttft"], rows[1]["error"]) == ("", "http: 503 busy")


# Every request is in the window, so that every tool divides by the same seconds.
MANIFEST, RECORDS = closed(4, 30.0)
RECORDS = [record for record in RECORDS if in_window(record, MANIFEST)]
OURS = point(MANIFEST, RECORDS)
SAME = {  # what of ours a tool's file holds, by its own definitions of one token in a chunk
    "vllm": ("ttft", "tpot", "gap", "e2e", "speed"),
    "sglang": ("ttft", "tpot", "gap", "e2e", "speed"),
    "aiperf": ("ttft", "ttfv", "tpot", "gap", "e2e", "speed"),
    "guidellm": ("ttft", "e2e_close"),
    "inference-perf": ("ttfv", "tpot", "e2e_close"),
    "genai-bench": ("ttft", "e2e_close"),
}


def back(name: str, run: Manifest = MANIFEST) -> Point:
    (found,) = imported(FORMATS[name](run, RECORDS))
    return found


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_what_went_out_comes_back(name: str) -> None:
    found = back(name)
    loose = 0.02 if name == "guidellm" else 1e-6  # its percentiles are values seen
    for metric in SAME[name]:
        for statistic in ("p50", "p90", "p95", "p99"):
            value = getattr(found.metrics[metric], statistic)
            if value is not None:
                ours = getattr(OURS.metrics[metric], statistic)
                assert value == pytest.approx(ours, rel=loose), (metric, statistic)
        assert found.metrics[metric].p50 is not None
    assert found.counts.ok == OURS.counts.ok
    assert found.tokens["output"] == pytest.approx(OURS.tokens["output"])
    assert found.tokens["input"] == pytest.approx(100)
    ended = max(r.closed_at or 0.0 for r in RECORDS) - min(r.due for r in RECORDS)
    assert found.throughput.window_s == pytest.approx(ended)
    assert found.throughput.requests_per_s == pytest.approx(len(RECORDS) / ended)
    assert found.throughput.input_tokens_per_s == pytest.approx(100 * len(RECORDS) / ended)


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_an_import_is_marked_as_theirs_and_never_valid(name: str) -> None:
    found = back(name)
    assert found.target.server == f"imported from {name}"
    assert found.instrument.verdict == "unknown"
    assert not found.valid
    assert found.instrument.error_s == {}
    assert set(found.metrics) == set(OURS.metrics)
    assert set(found.tokens) == set(OURS.tokens)


@pytest.mark.parametrize("name", ["vllm", "sglang", "aiperf", "guidellm", "genai-bench"])
def test_the_concurrency_comes_back(name: str) -> None:
    assert back(name).load == Closed(4)


@pytest.mark.parametrize("name", ["vllm", "sglang", "aiperf", "guidellm"])
def test_the_rate_comes_back(name: str) -> None:
    assert back(name, msgspec.structs.replace(MANIFEST, load=Open(5.0))).load == Open(5.0)


def test_a_load_that_a_file_does_not_say_is_the_rate_at_which_requests_came() -> None:
    found = back("inference-perf")
    assert found.load == Open(found.throughput.requests_per_s, "unknown")


def test_without_the_detailed_arrays_vllms_own_percentiles_count() -> None:
    bare = {
        "model_id": "m",
        "num_prompts": 10,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 2,
        "duration": 5.0,
        "completed": 9,
        "total_input_tokens": 900,
        "total_output_tokens": 450,
        "request_throughput": 1.8,
        "output_throughput": 90.0,
        "total_token_throughput": 270.0,
        "mean_ttft_ms": 120.0,
        "median_ttft_ms": 100.0,
        "std_ttft_ms": 5.0,
        "p99_ttft_ms": 400.0,
        "mean_tpot_ms": 21.0,
        "median_tpot_ms": 20.0,
        "p99_tpot_ms": 50.0,
    }
    (found,) = imported(json.dumps(bare))
    ttft = found.metrics["ttft"]
    assert (ttft.n, ttft.mean, ttft.p50, ttft.p90, ttft.p99) == (9, 0.12, 0.1, None, 0.4)
    assert found.metrics["speed"].p50 == near(50)
    assert found.metrics["speed"].mean is None
    assert found.metrics["e2e"].n == 0
    assert (found.counts.offered, found.counts.failed) == (10, 1)
    assert found.throughput.input_tokens_per_s == near(180)


def test_sglangs_infinity_and_a_line_for_each_run_are_read() -> None:
    line = '{"request_rate": Infinity, "max_concurrency": %d, "completed": 3, "duration": 1.0,'
    line += ' "mean_e2e_latency_ms": 10.0, "median_ttft_ms": 4.0}'
    found = imported(line % 1 + "\n" + line % 8 + "\n")
    assert [each.load for each in found] == [Closed(1), Closed(8)]
    assert found[0].metrics["e2e_close"].mean == near(0.01)


def test_each_benchmark_of_guidellm_is_a_point() -> None:
    whole = json.loads(FORMATS["guidellm"](MANIFEST, RECORDS))
    whole["benchmarks"] *= 3
    assert len(imported(json.dumps(whole))) == 3


def test_genai_bench_in_milliseconds_is_read_as_such() -> None:
    stats = {"ttft": {"mean": 100.0, "p50": 90.0}}
    found = {
        "aggregated_metrics": {"num_completed_requests": 4, "num_concurrency": 2, "stats": stats},
        "_time_unit": "ms",
    }
    assert imported(json.dumps(found))[0].metrics["ttft"].p50 == near(0.09)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object"),
        ("not json", "neither JSON"),
        ("[1, 2]", "no JSON object"),
        ('{"hello": 1}', "there are vllm, sglang, aiperf, guidellm, inference-perf, genai-bench"),
        ('{"benchmarks": [{"name": "BM_sort"}]}', "no answered request"),
        ('{"benchmarks": 3}', "looks like a result of guidellm"),
        ('{"completed": 0, "total_token_throughput": 0}', "no answered request"),
    ],
)
def test_what_is_no_tools_result_is_refused_in_a_line(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        imported(text)
