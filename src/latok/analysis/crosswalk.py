"""Other tools' results: ours in their names and by their formulas, and theirs as Points.

An export holds the requests of the run's window, as of a tool that asked nothing else and waited
for every answer: so `duration` goes from their first sending to their last end, and requests that
our own end cut off are left out. `jsonl` and `csv` hold every request. Where a server does not say
how many tokens it generated, each of its token events counts as one.

An import takes what a file says and derives only what follows from it: a speed is 1 ÷ its time per
token. What a file does not say stays unknown. docs/crosswalk.md has the table of names.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from latok.analysis.metrics import (
    METRICS,
    e2e,
    e2e_close,
    gaps,
    in_window,
    output_tokens,
    token_events,
    tpot,
    ttft,
    ttfv,
)
from latok.analysis.point import QUANTILES, Counts, Goodput, Instrument, Point, Summary, Throughput
from latok.analysis.stats import quantile
from latok.errors import UsageError
from latok.records import Closed, Load, Manifest, Open, Record, Target

_PERCENTILES = (0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)
_MS = 1000.0

# What each tool calls a statistic, by our name for it.
_Names = dict[str, str]
_OURS: _Names = {name: name for name in ("mean", "min", "max", *(f"p{p:g}" for p in _PERCENTILES))}
_FLAT: _Names = {"mean": "mean", "p50": "median", "std": "std"} | {
    name: name for name in ("p90", "p95", "p99")
}
_AIPERF: _Names = {"mean": "avg", "std": "std", "sum": "sum"} | {
    name: name for name in _OURS if name not in ("mean", "p0.1", "p99.9")
}
_GUIDELLM: _Names = _OURS | {"p0.1": "p001", "p1": "p01", "p5": "p05", "p99.9": "p999"}
_INFERENCE_PERF: _Names = _OURS | {"p50": "median"}
_GENAI_BENCH: _Names = {"std": "stddev", "sum": "sum"} | {
    name: name for name in ("min", "max", "mean", "p25", "p50", "p75", "p90", "p95", "p99")
}


# --- ours in their terms -------------------------------------------------------------------------


class _Answer(NamedTuple):
    """An answered request: tokens, and seconds from its sending."""

    record: Record
    prompt: int
    output: int
    first: float
    last: float
    closed: float

    def per_token(self, seconds: float) -> float | None:
        """Over the tokens after the first event, which counts as one token with all of them."""
        return seconds / (self.output - 1) if self.output > 1 else None


class _Asked(NamedTuple):
    """The requests of a window that came to an end, and what was answered; None if it failed."""

    rows: list[tuple[Record, _Answer | None]]
    seconds: float

    @property
    def answered(self) -> list[_Answer]:
        return [answer for _, answer in self.rows if answer is not None]

    @property
    def failed(self) -> list[Record]:
        return [record for record, answer in self.rows if answer is None]

    @property
    def prompt(self) -> int:
        return sum(answer.prompt for answer in self.answered)

    @property
    def output(self) -> int:
        return sum(answer.output for answer in self.answered)

    def rate(self, total: float) -> float:
        return total / self.seconds if self.seconds else 0.0


def _answer(record: Record) -> _Answer | None:
    first, last, closed = ttft(record), e2e(record), e2e_close(record)
    if not record.ok or first is None or last is None:
        return None
    told = record.usage.prompt_tokens if record.usage is not None else None
    made = output_tokens(record)
    return _Answer(
        record,
        prompt=record.prompt_tokens if told is None else told,
        output=len(token_events(record)) if made is None else made,
        first=first,
        last=last,
        closed=last if closed is None else closed,
    )


def _asked(manifest: Manifest, records: Iterable[Record]) -> _Asked:
    rows = [
        (record, _answer(record))
        for record in records
        if in_window(record, manifest) and not _cut(record)
    ]
    spans = [(r.sent_first or 0.0, a.closed) for r, a in rows if a is not None]
    end = max((start + lasted for start, lasted in spans), default=0.0)
    return _Asked(rows, seconds=end - min((start for start, _ in spans), default=0.0))


def _cut(record: Record) -> bool:
    return record.error is not None and record.error.kind == "cut"


def _stats(values: Sequence[float | None], scale: float = 1.0) -> dict[str, float]:
    """The statistics of the known values, by our names; none of nothing."""
    array = np.asarray([value for value in values if value is not None], dtype=np.float64) * scale
    if not len(array):
        return {}
    found = {
        "mean": array.mean(),
        "std": array.std(),
        "min": array.min(),
        "max": array.max(),
        "sum": array.sum(),
    }
    found |= {f"p{p:g}": np.percentile(array, p) for p in _PERCENTILES}
    return {name: float(value) for name, value in found.items()}


def _weighted(values: Sequence[tuple[float, float]]) -> dict[str, float]:
    """GuideLLM's statistics of (value, weight): a percentile is a value seen, never between two."""
    pairs = sorted(pair for pair in values if pair[1] > 0)
    if not pairs:
        return {}
    array, weights = np.asarray(pairs).T
    shares = weights / weights.sum()
    mean = float((array * shares).sum())
    reached = np.searchsorted(np.cumsum(shares), np.divide(_PERCENTILES, 100))
    reached = np.minimum(reached, len(array) - 1)  # the shares may add up to a little less than 1
    return {
        "mean": mean,
        "std": math.sqrt(float((((array - mean) ** 2) * shares).sum())),
        "min": float(array[0]),
        "max": float(array[-1]),
        "count": round(float(weights.sum())),
    } | {f"p{p:g}": float(array[n]) for p, n in zip(_PERCENTILES, reached, strict=True)}


def _named(stats: Mapping[str, float], names: _Names) -> dict[str, float]:
    return {theirs: stats[ours] for ours, theirs in names.items() if ours in stats}


def _text(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _flat(name: str, values: Sequence[float | None]) -> dict[str, float]:
    """As vLLM and SGLang print a metric: `mean_ttft_ms`, `median_ttft_ms`, `p99_ttft_ms`."""
    stats = _named(_stats(values, _MS), _FLAT)
    return {f"{statistic}_{name}_ms": value for statistic, value in stats.items()}


def _traffic(load: Load) -> dict[str, Any]:
    if isinstance(load, Closed):
        return {"request_rate": math.inf, "max_concurrency": load.concurrency}
    return {"request_rate": load.rate, "max_concurrency": None}


def _arrays(asked: _Asked) -> dict[str, list[Any]]:
    """An entry for each request, in the order in which they were due; zeros where it failed."""
    return {
        "input_lens": [a.prompt if a else r.prompt_tokens for r, a in asked.rows],
        "output_lens": [a.output if a else 0 for _, a in asked.rows],
        "ttfts": [a.first if a else 0.0 for _, a in asked.rows],
        "itls": [gaps(r) if a else [] for r, a in asked.rows],
        "errors": [_error(r) for r, _ in asked.rows],
    }


def _error(record: Record) -> str:
    return f"{record.error.kind}: {record.error.text}" if record.error else ""


def vllm(manifest: Manifest, records: Sequence[Record]) -> str:
    """`vllm bench serve --save-result --save-detailed`. Its E2EL ends at the last token, its TPOT
    takes the first chunk for one token, its ITL is our `gap`."""
    asked = _asked(manifest, records)
    traffic = _traffic(manifest.load)
    result = {
        "model_id": manifest.target.model,
        "num_prompts": len(asked.rows),
        **traffic,
        "request_rate": "inf" if math.isinf(traffic["request_rate"]) else traffic["request_rate"],
        "duration": asked.seconds,
        "completed": len(asked.answered),
        "failed": len(asked.failed),
        "total_input_tokens": asked.prompt,
        "total_output_tokens": asked.output,
        "request_throughput": asked.rate(len(asked.answered)),
        "request_goodput": None,
        "output_throughput": asked.rate(asked.output),
        "total_token_throughput": asked.rate(asked.prompt + asked.output),
        **_arrays(asked),
        **_flat("ttft", [a.first for a in asked.answered]),
        **_flat("tpot", [a.per_token(a.last - a.first) for a in asked.answered]),
        **_flat("itl", [gap for a in asked.answered for gap in gaps(a.record)]),
        **_flat("e2el", [a.last for a in asked.answered]),
    }
    return json.dumps(result) + "\n"


def sglang(manifest: Manifest, records: Sequence[Record]) -> str:
    """A line of `sglang.bench_serving --output-details`. Its latency ends at the last event of the
    stream, usage and [DONE] too, and so does its TPOT."""
    asked = _asked(manifest, records)
    ends = [a.record.chunks[-1].at - (a.record.sent_first or 0.0) for a in asked.answered]
    result = {
        **_traffic(manifest.load),
        "duration": asked.seconds,
        "completed": len(asked.answered),
        "total_input_tokens": asked.prompt,
        "total_output_tokens": asked.output,
        "request_throughput": asked.rate(len(asked.answered)),
        "input_throughput": asked.rate(asked.prompt),
        "output_throughput": asked.rate(asked.output),
        "total_throughput": asked.rate(asked.prompt + asked.output),
        **_flat("e2e_latency", ends),
        **_flat("ttft", [a.first for a in asked.answered]),
        **_flat(
            "tpot",
            [a.per_token(end - a.first) for a, end in zip(asked.answered, ends, strict=True)],
        ),
        **_flat("itl", [gap for a in asked.answered for gap in gaps(a.record)]),
        "concurrency": asked.rate(sum(ends)),
        **_arrays(asked),
    }
    return json.dumps(result) + "\n"


def aiperf(manifest: Manifest, records: Sequence[Record]) -> str:
    """`profile_export_aiperf.json`. Its "inter token latency" is a request's time per token after
    the first (by default taking the first chunk for one); our `gap` is its "inter chunk latency".
    """
    asked = _asked(manifest, records)
    answered = asked.answered
    itl = [a.per_token(a.last - a.first) for a in answered]
    load = manifest.load
    phase: dict[str, Any] = {"name": "profiling"}
    if isinstance(load, Closed):
        phase |= {"type": "concurrency", "concurrency": load.concurrency}
    else:
        phase |= {"type": load.arrivals, "rate": load.rate}

    def each(unit: str, values: Sequence[float | None], scale: float = 1.0) -> dict[str, Any]:
        known = [value for value in values if value is not None]
        return {"unit": unit, **_named(_stats(known, scale), _AIPERF), "count": len(known)}

    def one(unit: str, value: float) -> dict[str, Any]:
        return {"unit": unit, "avg": value}

    result = {
        "schema_version": "1.4",
        "input_config": {
            "models": {"items": [{"name": manifest.target.model}]},
            "phases": [phase],
        },
        "request_throughput": one("requests/sec", asked.rate(len(answered))),
        "request_latency": each("ms", [a.last for a in answered], _MS),
        "request_count": one("requests", len(answered)),
        "error_request_count": one("requests", len(asked.failed)),
        "time_to_first_token": each("ms", [a.first for a in answered], _MS),
        "time_to_second_token": each(
            "ms", [between[0] for a in answered if (between := gaps(a.record))], _MS
        ),
        "time_to_first_output_token": each("ms", [ttfv(a.record) for a in answered], _MS),
        "inter_token_latency": each("ms", itl, _MS),
        "inter_chunk_latency": each("ms", [g for a in answered for g in gaps(a.record)], _MS),
        "output_token_throughput": one("tokens/sec", asked.rate(asked.output)),
        "output_token_throughput_per_user": each(
            "tokens/sec/user", [1.0 / value for value in itl if value]
        ),
        "output_sequence_length": each("tokens", [a.output for a in answered]),
        "input_sequence_length": each("tokens", [a.prompt for a in answered]),
        "total_osl": one("tokens", asked.output),
        "total_isl": one("tokens", asked.prompt),
        "benchmark_duration": one("sec", asked.seconds),
    }
    return _text(result)


def guidellm(manifest: Manifest, records: Sequence[Record]) -> str:
    """`benchmarks.json`: the metrics of its one benchmark. Its TPOT is the whole latency ÷ N, the
    first token included, and its ITL our `tpot` with a first event of one token; both are weighted
    by tokens. Its request latency, in seconds, ends with the stream. A rate has a mean only."""
    asked = _asked(manifest, records)
    answered, load = asked.answered, manifest.load

    def each(values: Iterable[tuple[float, float]]) -> dict[str, Any]:
        stats = _weighted(list(values))
        if not stats:
            return {"successful": None}
        return {
            "successful": {
                "mean": stats["mean"],
                "median": stats["p50"],
                "std_dev": stats["std"],
                "variance": stats["std"] ** 2,
                "min": stats["min"],
                "max": stats["max"],
                "count": stats["count"],
                "total_sum": stats["mean"] * stats["count"],
                "percentiles": {_GUIDELLM[f"p{p:g}"]: stats[f"p{p:g}"] for p in _PERCENTILES},
            }
        }

    def rate(total: float) -> dict[str, Any]:
        return {"successful": {"mean": asked.rate(total)}}

    strategy: dict[str, Any] = (
        {"type_": "concurrent", "streams": load.concurrency}
        if isinstance(load, Closed)
        else {"type_": load.arrivals, "rate": load.rate}
    )
    unfinished = sum(in_window(record, manifest) and _cut(record) for record in records)
    metrics = {
        "request_totals": {
            "successful": len(answered),
            "errored": len(asked.failed),
            "incomplete": unfinished,
            "total": len(asked.rows) + unfinished,
        },
        "requests_per_second": rate(len(answered)),
        "request_latency": each((a.closed, 1) for a in answered),
        "prompt_token_count": each((a.prompt, 1) for a in answered),
        "output_token_count": each((a.output, 1) for a in answered),
        "time_to_first_token_ms": each((_MS * a.first, 1) for a in answered),
        "time_per_output_token_ms": each(
            (_MS * a.last / a.output, a.output) for a in answered if a.output
        ),
        "inter_token_latency_ms": each(
            (_MS * each_token, a.output - 1)
            for a in answered
            if (each_token := a.per_token(a.last - a.first)) is not None
        ),
        "prompt_tokens_per_second": rate(asked.prompt),
        "output_tokens_per_second": rate(asked.output),
        "tokens_per_second": rate(asked.prompt + asked.output),
    }
    benchmark = {
        "type_": "generative_benchmark",
        "config": {"strategy": strategy},
        "duration": asked.seconds,
        "metrics": metrics,
    }
    config = {"spec": {"backend": {"model": manifest.target.model, "target": manifest.target.url}}}
    return _text({"metadata": {"version": 2}, "config": config, "benchmarks": [benchmark]})


def inference_perf(manifest: Manifest, records: Sequence[Record]) -> str:
    """`summary_lifecycle_metrics.json`, in seconds. It sees content alone: reasoning and tool calls
    are no tokens to its TTFT, TPOT and ITL. The k tokens of a chunk are k − 1 ITLs of zero."""
    asked = _asked(manifest, records)
    first: list[float] = []
    per_token: list[float | None] = []
    between: list[float] = []
    for answer in asked.answered:
        times = [
            chunk.at
            for chunk in token_events(answer.record)
            if chunk.kind == "content"
            for _ in range(chunk.tokens or 1)
        ]
        if len(times) > 1:
            first.append(times[0] - (answer.record.sent_first or 0.0))
            per_token.append(answer.per_token(times[-1] - times[0]))
            between += np.diff(times).tolist()
    late = [r.sent_first - r.due for r, _ in asked.rows if r.sent_first is not None]

    def each(values: Sequence[float | None]) -> dict[str, float] | None:
        return _named(_stats(values), _INFERENCE_PERF) or None

    count = len(asked.answered)
    result = {
        "benchmark_time_seconds": asked.seconds,
        "load_summary": {"count": len(asked.rows), "schedule_delay": each(late)},
        "successes": {
            "count": count,
            "latency": {
                "request_latency": each([a.closed for a in asked.answered]),
                "normalized_time_per_output_token": each(
                    [a.closed / a.output if a.output else 0.0 for a in asked.answered]
                ),
                "time_per_output_token": each(per_token),
                "time_to_first_token": each(first),
                "inter_token_latency": each(between),
            },
            "throughput": {
                "input_tokens_per_sec": asked.rate(asked.prompt),
                "output_tokens_per_sec": asked.rate(asked.output),
                "total_tokens_per_sec": asked.rate(asked.prompt + asked.output),
                "requests_per_sec": asked.rate(count),
            },
            "prompt_tokens": {
                "total": asked.prompt,
                **_named(_stats([a.prompt for a in asked.answered]), _INFERENCE_PERF),
            },
            "output_tokens": {
                "total": asked.output,
                **_named(_stats([a.output for a in asked.answered]), _INFERENCE_PERF),
            },
        },
        "failures": {"count": len(asked.failed)},
    }
    return _text(result)


def genai_bench(manifest: Manifest, records: Sequence[Record]) -> str:
    """A run's JSON, in seconds. Its end-to-end latency, and with it its TPOT, ends with the stream;
    a TPOT from less than a millisecond of output is dropped, as it drops it."""
    asked = _asked(manifest, records)
    rows = [_genai_row(answer) for answer in asked.answered]
    codes = Counter(record.status or 0 for record in asked.failed)
    count = len(asked.rows)
    aggregated: dict[str, Any] = {
        "iteration_type": "num_concurrency",
        "run_duration": asked.seconds,
        "mean_output_throughput_tokens_per_s": asked.rate(asked.output),
        "mean_input_throughput_tokens_per_s": asked.rate(asked.prompt),
        "mean_total_tokens_throughput_tokens_per_s": asked.rate(asked.prompt + asked.output),
        "requests_per_second": asked.rate(len(rows)),
        "error_codes_frequency": dict(codes),
        "error_rate": len(asked.failed) / count if count else 0.0,
        "num_error_requests": len(asked.failed),
        "num_completed_requests": len(rows),
        "num_requests": count,
        "stats": {
            name: _named(_stats([row[name] for row in rows]), _GENAI_BENCH)
            for name in (rows[0] if rows else ())
        },
    }
    if isinstance(manifest.load, Closed):
        aggregated["num_concurrency"] = manifest.load.concurrency
    return _text(
        {"aggregated_metrics": aggregated, "individual_request_metrics": rows, "_time_unit": "s"}
    )


def _genai_row(answer: _Answer) -> dict[str, float | None]:
    generating = answer.closed - answer.first
    each = answer.per_token(generating) if generating >= 0.001 else None
    return {
        "ttft": answer.first,
        "tpot": each,
        "e2e_latency": answer.closed,
        "output_latency": generating,
        "output_inference_speed": 1.0 / each if each else None,
        "num_input_tokens": answer.prompt,
        "num_output_tokens": answer.output,
        "total_tokens": answer.prompt + answer.output,
        "input_throughput": answer.prompt / answer.first if answer.first else 0.0,
        "output_throughput": (answer.output - 1) / generating if generating else 0.0,
    }


def jsonl(_: Manifest, records: Sequence[Record]) -> str:
    """Our Records, one a line, with every field."""
    return "".join(msgspec.json.encode(record).decode() + "\n" for record in records)


def table(_: Manifest, records: Sequence[Record]) -> str:
    """A row for each request, in our names; seconds, and empty where there is no value."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("id", "due", "sent", "ttft", "tpot", "e2e", "tokens", "status", "error"))
    for r in records:
        values = (ttft(r), tpot(r), e2e(r), output_tokens(r), r.status, _error(r))
        rows.writerow((r.id, r.due, r.sent_first, *values))
    return out.getvalue()


FORMATS: dict[str, Callable[[Manifest, Sequence[Record]], str]] = {
    "vllm": vllm,
    "sglang": sglang,
    "aiperf": aiperf,
    "guidellm": guidellm,
    "inference-perf": inference_perf,
    "genai-bench": genai_bench,
    "jsonl": jsonl,
    "csv": table,
}


# --- theirs in our terms -------------------------------------------------------------------------


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


def _summary(n: int, said: Any, names: _Names, scale: float = 1.0) -> Summary:
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
        ours: _summary(ok, said, {o: f"{t}_{theirs}_ms" for o, t in _FLAT.items()}, 1 / _MS)
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

    def read(name: str, scale: float = 1 / _MS) -> Summary:
        return _summary(_count(said, name, "count") or ok, said.get(name), _AIPERF, scale)

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
            return _summary(n, flat, _GUIDELLM, scale)

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
                    "ttft": read("time_to_first_token_ms", 1 / _MS),
                    "tpot": read("inter_token_latency_ms", 1 / _MS),
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
                ours: _summary(ok, _at(latency, theirs), _INFERENCE_PERF)
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
    scale = 1 / _MS if said.get("_time_unit") == "ms" else 1.0
    most = _number(found, "num_concurrency")
    return [
        _point(
            "genai-bench",
            load=Closed(int(most)) if most else None,
            ok=ok,
            failed=_count(found, "num_error_requests"),
            metrics={
                "ttft": _summary(ok, _at(stats, "ttft"), _GENAI_BENCH, scale),
                "tpot": _summary(ok, _at(stats, "tpot"), _GENAI_BENCH, scale),
                "e2e_close": _summary(ok, _at(stats, "e2e_latency"), _GENAI_BENCH, scale),
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
