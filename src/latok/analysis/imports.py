"""Theirs in our terms: other tools' result files as Points.

An import takes what a file says and derives only what follows from it: a speed is 1 ÷ its time per
token. What a file does not say stays unknown. docs/crosswalk.md has the table of names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from latok.analysis.crosswalk import AIPERF, FLAT, GENAI_BENCH, GUIDELLM, INFERENCE_PERF, MS, Names
from latok.analysis.metrics import METRICS
from latok.analysis.point import QUANTILES, Counts, Goodput, Instrument, Point, Summary, Throughput
from latok.analysis.stats import quantile
from latok.errors import UsageError
from latok.records import Closed, Load, Open, Target


def imported(text: str) -> list[Point]:
    """A Point for each result in a file of any tool in `TOOLS`. They have no id, no app and no SLO,
    and nobody knows their client's error. Raises UsageError for anything else."""
    points: list[Point] = []
    for document in _documents(text):
        tool = next((tool for tool in TOOLS if tool.keys <= document.keys()), None)
        if tool is None:
            known = ", ".join(tool.name for tool in TOOLS)
            raise UsageError(f"no result of any tool that latok knows; there are {known}")
        try:
            points += tool.read(document)
        except (TypeError, ValueError) as why:
            raise UsageError(f"looks like a result of {tool.name}, but {why}") from None
    if not any(point.counts.ok for point in points):
        raise UsageError("no answered request in it")
    return points


def _documents(text: str) -> list[dict[str, Any]]:
    """One JSON text, or one a line. Python's reader: SGLang writes an `Infinity`."""
    try:
        found = [json.loads(text)]
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as why:
            raise UsageError(f"neither JSON nor JSON lines: {why}") from None
    if not found or not all(isinstance(each, dict) for each in found):
        raise UsageError("no JSON object, so no tool's result")
    return found


def _at(found: Any, *keys: str) -> Any:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _number(found: Any, *keys: str) -> float | None:
    value = _at(found, *keys)
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _count(found: Any, *keys: str) -> int:
    return int(_number(found, *keys) or 0)


def _summary(n: int, said: Any, names: Names, scale: float = 1.0) -> Summary:
    """What a tool says of a metric. `n`: requests, where it does not say of how many values."""
    found = {
        ours: value * scale
        for ours, theirs in names.items()
        if ours in Summary.__struct_fields__ and (value := _number(said, theirs)) is not None
    }
    return Summary(n=n if found else 0, ci95={}, **found)


def _of_values(values: Sequence[float]) -> Summary:
    """Our own quantiles, of values that a file lists."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return Summary(n=0)
    quantiles = {label: quantile(array, q) for label, q in QUANTILES.items()}
    return Summary(n=len(array), mean=float(array.mean()), ci95={}, **quantiles)


def _speed(each: Summary) -> Summary:
    """Of times per token: a speed's p5 is 1 ÷ the time's p95. Its mean does not follow."""
    pairs = {"p5": each.p95, "p10": each.p90, "p50": each.p50, "p90": each.p10, "p95": each.p5}
    found = {label: 1.0 / value for label, value in pairs.items() if value}
    return Summary(n=each.n, ci95={}, **found)


def _point(
    tool: str,
    *,
    load: Load | None,
    ok: int,
    failed: int,
    metrics: Mapping[str, Summary],
    seconds: float | None,
    requests_per_s: float | None,
    output_per_s: float | None,
    input_per_s: float | None,
    output_tokens: float | None,
    input_tokens: float | None,
    model: Any = "",
    unfinished: int = 0,
) -> Point:
    """`load`: None where the file does not say; then requests came as fast as they came."""
    rate = requests_per_s or (ok / seconds if seconds else 0.0)
    speed = metrics["speed"] if "speed" in metrics else _speed(metrics["tpot"])
    return Point(
        id="",
        target=Target(
            name=tool,
            url="",
            model=model if isinstance(model, str) else "",
            dialect="",
            server=f"imported from {tool}",
        ),
        app="",
        load=load or Open(rate, "unknown"),
        levers={},
        counts=Counts(
            offered=ok + failed + unfinished, ok=ok, failed=failed, unfinished=unfinished
        ),
        errors={"imported": failed} if failed else {},
        metrics={name: Summary(n=0) for name in METRICS} | {"speed": speed} | dict(metrics),
        throughput=Throughput(
            output_tokens_per_s=output_per_s,
            input_tokens_per_s=input_per_s,
            requests_per_s=rate,
            window_s=seconds or 0.0,
            whole_run_output_tokens_per_s=output_per_s,
        ),
        goodput=Goodput(
            slo="",
            met=None,
            clauses=(),
            attainment=None,
            ci95=None,
            requests_per_s=rate,
            output_tokens_per_s=output_per_s,
        ),
        instrument=Instrument(
            verdict="unknown",
            why=(f"imported from {tool}: its client's error is not known",),
            bent=(),
            error_s={},
            lag_s={},
            lateness_s={},
            reads=0,
            chunks=0,
            coalesced=0,
            client_cpu_s=0.0,
            kernel_stamps=False,
        ),
        checks=(),
        tokens={
            "input_asked": None,
            "input": input_tokens,
            "output_asked": None,
            "output": output_tokens,
            "cached": None,
        },
        token_source=tool,
    )


def _over(total: float | None, count: float | None) -> float | None:
    return total / count if total is not None and count else None


def _from_arrays(said: dict[str, Any]) -> dict[str, Summary]:
    """The metrics that the detailed arrays of vLLM and SGLang give; nothing where there are none.

    A request without output failed. A time per token is Σ itl ÷ (N − 1), as vLLM's is.
    """
    firsts, between, made = said.get("ttfts"), said.get("itls"), said.get("output_lens")
    if not (isinstance(firsts, list) and isinstance(between, list) and isinstance(made, list)):
        return {}
    rows = [row for row in zip(firsts, between, made, strict=False) if row[2]]
    each = [sum(itls) / (n - 1) for _, itls, n in rows if n > 1]
    return {
        "ttft": _of_values([first for first, _, _ in rows]),
        "tpot": _of_values(each),
        "gap": _of_values([gap for _, itls, _ in rows for gap in itls]),
        "e2e": _of_values([first + sum(itls) for first, itls, _ in rows]),
        "speed": _of_values([1.0 / value for value in each if value]),
    }


def _flat_point(tool: str, said: dict[str, Any], words: Mapping[str, str]) -> list[Point]:
    """Of vLLM or SGLang. `words`: their name of each metric, by ours."""
    ok, seconds = _count(said, "completed"), _number(said, "duration")
    metrics = {
        ours: _summary(ok, said, {o: f"{t}_{theirs}_ms" for o, t in FLAT.items()}, 1 / MS)
        for ours, theirs in words.items()
    }
    failed = _count(said, "failed") or max(_count(said, "num_prompts") - ok, 0)
    rate, most = _number(said, "request_rate"), _number(said, "max_concurrency")
    load: Load | None = Closed(int(most)) if most else None
    if rate is not None:
        load = Open(rate, "poisson" if _number(said, "burstiness") in (None, 1.0) else "gamma")
    read = _number(said, "total_input_tokens")
    return [
        _point(
            tool,
            model=said.get("model_id"),
            load=load,
            ok=ok,
            failed=failed,
            metrics=metrics | _from_arrays(said),
            seconds=seconds,
            requests_per_s=_number(said, "request_throughput"),
            output_per_s=_number(said, "output_throughput"),
            input_per_s=_over(read, seconds),
            output_tokens=_over(_number(said, "total_output_tokens"), ok),
            input_tokens=_over(read, ok),
        )
    ]


def _of_vllm(said: dict[str, Any]) -> list[Point]:
    words = {"ttft": "ttft", "tpot": "tpot", "gap": "itl", "e2e": "e2el"}
    return _flat_point("vllm", said, words)


def _of_sglang(said: dict[str, Any]) -> list[Point]:
    words = {"ttft": "ttft", "tpot": "tpot", "gap": "itl", "e2e_close": "e2e_latency"}
    return _flat_point("sglang", said, words)


def _of_aiperf(said: dict[str, Any]) -> list[Point]:
    ok, seconds = _count(said, "request_count", "avg"), _number(said, "benchmark_duration", "avg")

    def read(name: str, scale: float = 1 / MS) -> Summary:
        return _summary(_count(said, name, "count") or ok, said.get(name), AIPERF, scale)

    phases = _at(said, "input_config", "phases")
    phase = next((p for p in phases or () if _at(p, "name") == "profiling"), None)
    most, rate = _number(phase, "concurrency"), _number(phase, "rate")
    load: Load | None = Closed(int(most)) if most else None
    if rate:
        load = Open(rate, str(_at(phase, "type")))
    models = _at(said, "input_config", "models", "items")
    read_tokens = _number(said, "total_isl", "avg")
    return [
        _point(
            "aiperf",
            model=_at(models[0], "name") if models else "",
            load=load,
            ok=ok,
            failed=_count(said, "error_request_count", "avg"),
            metrics={
                "ttft": read("time_to_first_token"),
                "ttfv": read("time_to_first_output_token"),
                "tpot": read("inter_token_latency"),
                "gap": read("inter_chunk_latency"),
                "e2e": read("request_latency"),
                "speed": read("output_token_throughput_per_user", 1.0),
            },
            seconds=seconds,
            requests_per_s=_number(said, "request_throughput", "avg"),
            output_per_s=_number(said, "output_token_throughput", "avg"),
            input_per_s=_over(read_tokens, seconds),
            output_tokens=_number(said, "output_sequence_length", "avg"),
            input_tokens=_number(said, "input_sequence_length", "avg"),
        )
    ]


def _of_guidellm(said: dict[str, Any]) -> list[Point]:
    """A Point for each benchmark; of its metrics those of the successful requests."""
    model = _at(said, "config", "spec", "backend", "model")
    points = []
    for each in said["benchmarks"]:
        metrics, totals = _at(each, "metrics"), _at(each, "metrics", "request_totals")
        ok = _count(totals, "successful")

        def read(name: str, scale: float, of: Any = metrics, n: int = ok) -> Summary:
            found = _at(of, name, "successful") or {}
            flat = {"mean": found.get("mean"), **(found.get("percentiles") or {})}
            return _summary(n, flat, GUIDELLM, scale)

        strategy = _at(each, "config", "strategy")
        streams, rate = _number(strategy, "streams"), _number(strategy, "rate")
        load: Load | None = Closed(int(streams)) if streams else None
        if rate:
            load = Open(rate, str(_at(strategy, "type_")))
        points.append(
            _point(
                "guidellm",
                model=model,
                load=load,
                ok=ok,
                failed=_count(totals, "errored"),
                unfinished=_count(totals, "incomplete"),
                metrics={
                    "ttft": read("time_to_first_token_ms", 1 / MS),
                    "tpot": read("inter_token_latency_ms", 1 / MS),
                    "e2e_close": read("request_latency", 1.0),
                },
                seconds=_number(each, "duration"),
                requests_per_s=_number(metrics, "requests_per_second", "successful", "mean"),
                output_per_s=_number(metrics, "output_tokens_per_second", "successful", "mean"),
                input_per_s=_number(metrics, "prompt_tokens_per_second", "successful", "mean"),
                output_tokens=_number(metrics, "output_token_count", "successful", "mean"),
                input_tokens=_number(metrics, "prompt_token_count", "successful", "mean"),
            )
        )
    return points


def _of_inference_perf(said: dict[str, Any]) -> list[Point]:
    """Its first token is the first of content, so our `ttfv`. Only a stage's file says its load."""
    ok, per_s = _count(said, "successes", "count"), _at(said, "successes", "throughput")
    latency = _at(said, "successes", "latency")
    most = _number(said, "load_summary", "concurrency")
    rate = _number(said, "load_summary", "requested_rate")
    return [
        _point(
            "inference-perf",
            load=Closed(int(most)) if most else Open(rate, "unknown") if rate else None,
            ok=ok,
            failed=_count(said, "failures", "count"),
            metrics={
                ours: _summary(ok, _at(latency, theirs), INFERENCE_PERF)
                for ours, theirs in {
                    "ttfv": "time_to_first_token",
                    "tpot": "time_per_output_token",
                    "e2e_close": "request_latency",
                }.items()
            },
            seconds=_number(said, "benchmark_time_seconds"),
            requests_per_s=_number(per_s, "requests_per_sec"),
            output_per_s=_number(per_s, "output_tokens_per_sec"),
            input_per_s=_number(per_s, "input_tokens_per_sec"),
            output_tokens=_over(_number(said, "successes", "output_tokens", "total"), ok),
            input_tokens=_over(_number(said, "successes", "prompt_tokens", "total"), ok),
        )
    ]


def _of_genai_bench(said: dict[str, Any]) -> list[Point]:
    found = said["aggregated_metrics"]
    ok, stats = _count(found, "num_completed_requests"), _at(found, "stats")
    scale = 1 / MS if said.get("_time_unit") == "ms" else 1.0
    most = _number(found, "num_concurrency")
    return [
        _point(
            "genai-bench",
            load=Closed(int(most)) if most else None,
            ok=ok,
            failed=_count(found, "num_error_requests"),
            metrics={
                "ttft": _summary(ok, _at(stats, "ttft"), GENAI_BENCH, scale),
                "tpot": _summary(ok, _at(stats, "tpot"), GENAI_BENCH, scale),
                "e2e_close": _summary(ok, _at(stats, "e2e_latency"), GENAI_BENCH, scale),
            },
            seconds=_number(found, "run_duration"),
            requests_per_s=_number(found, "requests_per_second"),
            output_per_s=_number(found, "mean_output_throughput_tokens_per_s"),
            input_per_s=_number(found, "mean_input_throughput_tokens_per_s"),
            output_tokens=_number(stats, "num_output_tokens", "mean"),
            input_tokens=_number(stats, "num_input_tokens", "mean"),
        )
    ]


class _Tool(NamedTuple):
    """`keys`: at the top of every result of it, and all together in no other tool's."""

    name: str
    keys: frozenset[str]
    read: Callable[[dict[str, Any]], list[Point]]


TOOLS = (
    _Tool("vllm", frozenset({"completed", "total_token_throughput"}), _of_vllm),
    _Tool("sglang", frozenset({"completed", "mean_e2e_latency_ms"}), _of_sglang),
    _Tool("aiperf", frozenset({"request_count", "request_latency"}), _of_aiperf),
    _Tool("guidellm", frozenset({"benchmarks"}), _of_guidellm),
    _Tool("inference-perf", frozenset({"successes", "load_summary"}), _of_inference_perf),
    _Tool("genai-bench", frozenset({"aggregated_metrics"}), _of_genai_bench),
)
