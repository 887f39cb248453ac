"""Counters of a server over a window: what they grew by, whatever happens to them meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latok.analysis.counters import NAMES, SERVERS, counted
from latok.analysis.prometheus import Page, key, samples

QUEUE = "vllm:request_queue_time_seconds"
label = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8)


def pages(*values: dict[str, float], every: float = 1.0) -> list[Page]:
    """Looks at a server, one a second from the start."""
    return [
        Page(every * n, {k if "{" in k else f"{k}{{}}": v for k, v in series.items()})
        for n, series in enumerate(values)
    ]


def values(*looks: dict[str, float], window: tuple[float, float] = (0.0, 1e9), **how: Any) -> Any:
    found = counted(pages(*looks), 0.0, window, **how)
    return found.values if found else {}


def queue(total: float, count: float) -> dict[str, float]:
    return {f"{QUEUE}_sum": total, f"{QUEUE}_count": count}


@given(
    st.dictionaries(st.sampled_from(["engine", "model_name", "stage"]), label), st.floats(0, 1e9)
)
def test_what_is_written_as_prometheus_writes_it_is_read(
    labels: dict[str, str], value: float
) -> None:
    escaped = {
        name: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for name, text in labels.items()
    }
    marks = ",".join(f'{name}="{text}"' for name, text in escaped.items())
    line = f"{QUEUE}_sum{{{marks}}} {value!r}" if marks else f"{QUEUE}_sum {value!r}"
    found = samples(f"# TYPE {QUEUE} histogram\n{line} 1700000000000\n", NAMES)
    assert [(key(text), v) for text, v in found.items()] == [
        ((f"{QUEUE}_sum", tuple(sorted(labels.items()))), value)
    ]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_page_of_anything_is_no_error(text: str) -> None:
    samples(text, NAMES)


def test_buckets_strangers_and_nan_are_left_out() -> None:
    page = f'{QUEUE}_bucket{{le="0.3"}} 5\n{QUEUE}_sum NaN\npython_info{{}} 1\n{QUEUE}_count 5\n'
    assert samples(page, NAMES) == {f"{QUEUE}_count{{}}": 5.0}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 9.0), st.integers(1, 50)), min_size=3, max_size=8),
    st.data(),
)
def test_what_came_before_and_after_a_restart_both_count(
    steps: list[tuple[float, int]], data: st.DataObject
) -> None:
    """The server is restarted just after a look; before the next it has done less than in its life
    until then, or else nobody could tell."""
    at = data.draw(st.integers(2, len(steps) - 1))
    steps[0] = 100.0, 1000
    looks, total, count = [queue(0.0, 0.0)], 0.0, 0.0
    for n, (seconds, requests) in enumerate(steps):
        if n == at:
            total = count = 0.0
        total, count = total + seconds, count + requests
        looks.append(queue(total, count))
    found = counted(pages(*looks), 0.0, (0.0, 1e9))
    assert found
    assert found.restarted
    mean = sum(seconds for seconds, _ in steps) / sum(requests for _, requests in steps)
    assert found.values["queue"] == pytest.approx(mean)


def test_a_mean_is_of_the_window_not_of_the_servers_life() -> None:
    looks = [queue(900.0, 10), queue(900.0, 10), queue(901.0, 20), queue(999.0, 21)]
    assert values(*looks, window=(1.0, 2.0))["queue"] == pytest.approx(0.1)


def test_a_series_that_is_not_there_at_first_began_at_nothing() -> None:
    assert values({}, queue(3.0, 30))["queue"] == pytest.approx(0.1)


def test_a_page_that_was_missed_changes_nothing() -> None:
    looks = pages(queue(0.0, 0), queue(1.0, 10), queue(2.0, 20))
    whole, holed = (counted(p, 0.0, (0.0, 2.0)) for p in (looks, [looks[0], looks[2]]))
    assert whole
    assert holed
    assert whole.values == holed.values


def test_no_requests_in_the_window_is_no_mean() -> None:
    assert "queue" not in values(queue(5.0, 50), queue(5.0, 50))


def test_several_series_are_summed_and_shares_averaged() -> None:
    one, two = '{engine="0"}', '{engine="1"}'
    looks: list[dict[str, float]] = [
        {
            f"{QUEUE}_sum{one}": n * 1.0,
            f"{QUEUE}_count{one}": n * 10.0,
            f"{QUEUE}_sum{two}": n * 9.0,
            f"{QUEUE}_count{two}": n * 10.0,
            f"vllm:num_requests_running{one}": 3.0,
            f"vllm:num_requests_running{two}": 5.0,
            f"vllm:kv_cache_usage_perc{one}": 0.2,
            f"vllm:kv_cache_usage_perc{two}": 0.4,
        }
        for n in range(3)
    ]
    found = values(*looks)
    assert found["queue"] == pytest.approx(0.5)
    assert found["running"] == 8.0
    assert found["kv"] == pytest.approx(0.3)


def test_of_several_models_only_ours_counts() -> None:
    ours, theirs = '{model_name="m"}', '{model_name="other"}'
    looks: list[dict[str, float]] = [
        {
            f"{QUEUE}_sum{ours}": n * 1.0,
            f"{QUEUE}_count{ours}": n * 10.0,
            f"{QUEUE}_sum{theirs}": n * 99.0,
            f"{QUEUE}_count{theirs}": n * 10.0,
        }
        for n in range(2)
    ]
    assert values(*looks, model="m")["queue"] == pytest.approx(0.1)
    # under an alias that no series has, all do
    assert values(*looks, model="alias")["queue"] == pytest.approx(5.0)


def test_counters_may_end_in_total_or_not() -> None:
    for end in ("", "_total"):
        looks: list[dict[str, float]] = [
            {f"vllm:prefix_cache_hits{end}": 30.0 * n, f"vllm:prefix_cache_queries{end}": 40.0 * n}
            for n in range(2)
        ]
        assert values(*looks)["prefix_hits"] == 0.75


def test_the_rows_of_each_server_are_told_apart_by_their_names() -> None:
    for server, name in {
        "SGLang": "sglang:queue_time_seconds",
        "TensorRT-LLM": "trtllm_request_queue_time_seconds",
        "LMDeploy": "lmdeploy:request_queue_time_seconds",
        "TGI": "tgi_request_queue_duration",
    }.items():
        looks: list[dict[str, float]] = [
            {f"{name}_sum": n * 1.0, f"{name}_count": n * 10.0} for n in range(2)
        ]
        found = counted(pages(*looks), 0.0, (0.0, 9.0))
        assert found
        assert found.server == server
        assert found.values == {"queue": pytest.approx(0.1)}
    assert {"vLLM", "llama.cpp", "latok"} < SERVERS.keys()


def test_llamacpp_counts_what_it_reads_and_what_it_found_apart() -> None:
    looks: list[dict[str, float]] = [
        {
            "llamacpp:prompt_tokens_total": 300.0 * n,
            "llamacpp:prompt_tokens_cached_total": 100.0 * n,
            "llamacpp:prompt_seconds_total": 0.6 * n,
            "llamacpp:tokens_predicted_total": 50.0 * n,
            "llamacpp:tokens_predicted_seconds_total": 1.0 * n,
        }
        for n in range(2)
    ]
    found = values(*looks)
    assert found["prefix_hits"] == 0.25
    assert found["prefill_token"] == pytest.approx(0.002)
    assert found["decode_token"] == pytest.approx(0.02)
