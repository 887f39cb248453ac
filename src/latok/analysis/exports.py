"""Ours in their terms: a run as other tools would have written it, by their names and formulas.

An export holds the requests of the run's window, as of a tool that asked nothing else and waited
for every answer: so `duration` goes from their first sending to their last end, and requests that
our own end cut off are left out. `jsonl` and `csv` hold every request. Where a server does not say
how many tokens it generated, each of its token events counts as one. docs/crosswalk.md has the
table of names.
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

from latok.analysis.crosswalk import (
    AIPERF,
    FLAT,
    GENAI_BENCH,
    GUIDELLM,
    INFERENCE_PERF,
    MS,
    PERCENTILES,
    Names,
)
from latok.analysis.metrics import (
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
from latok.records import Closed, Load, Manifest, Record


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
    found |= {f"p{p:g}": np.percentile(array, p) for p in PERCENTILES}
    return {name: float(value) for name, value in found.items()}


def _weighted(values: Sequence[tuple[float, float]]) -> dict[str, float]:
    """GuideLLM's statistics of (value, weight): a percentile is a value seen, never between two."""
    pairs = sorted(pair for pair in values if pair[1] > 0)
    if not pairs:
        return {}
    array, weights = np.asarray(pairs).T
    shares = weights / weights.sum()
    mean = float((array * shares).sum())
    reached = np.searchsorted(np.cumsum(shares), np.divide(PERCENTILES, 100))
    reached = np.minimum(reached, len(array) - 1)  # the shares may add up to a little less than 1
    return {
        "mean": mean,
        "std": math.sqrt(float((((array - mean) ** 2) * shares).sum())),
        "min": float(array[0]),
        "max": float(array[-1]),
        "count": round(float(weights.sum())),
    } | {f"p{p:g}": float(array[n]) for p, n in zip(PERCENTILES, reached, strict=True)}


def _named(stats: Mapping[str, float], names: Names) -> dict[str, float]:
    return {theirs: stats[ours] for ours, theirs in names.items() if ours in stats}


def _text(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _flat(name: str, values: Sequence[float | None]) -> dict[str, float]:
    """As vLLM and SGLang print a metric: `mean_ttft_ms`, `median_ttft_ms`, `p99_ttft_ms`."""
    stats = _named(_stats(values, MS), FLAT)
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
        return {"unit": unit, **_named(_stats(known, scale), AIPERF), "count": len(known)}

    def one(unit: str, value: float) -> dict[str, Any]:
        return {"unit": unit, "avg": value}

    result = {
        "schema_version": "1.4",
        "input_config": {
            "models": {"items": [{"name": manifest.target.model}]},
            "phases": [phase],
        },
        "request_throughput": one("requests/sec", asked.rate(len(answered))),
        "request_latency": each("ms", [a.last for a in answered], MS),
        "request_count": one("requests", len(answered)),
        "error_request_count": one("requests", len(asked.failed)),
        "time_to_first_token": each("ms", [a.first for a in answered], MS),
        "time_to_second_token": each(
            "ms", [between[0] for a in answered if (between := gaps(a.record))], MS
        ),
        "time_to_first_output_token": each("ms", [ttfv(a.record) for a in answered], MS),
        "inter_token_latency": each("ms", itl, MS),
        "inter_chunk_latency": each("ms", [g for a in answered for g in gaps(a.record)], MS),
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
                "percentiles": {GUIDELLM[f"p{p:g}"]: stats[f"p{p:g}"] for p in PERCENTILES},
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
        "time_to_first_token_ms": each((MS * a.first, 1) for a in answered),
        "time_per_output_token_ms": each(
            (MS * a.last / a.output, a.output) for a in answered if a.output
        ),
        "inter_token_latency_ms": each(
            (MS * each_token, a.output - 1)
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
        return _named(_stats(values), INFERENCE_PERF) or None

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
                **_named(_stats([a.prompt for a in asked.answered]), INFERENCE_PERF),
            },
            "output_tokens": {
                "total": asked.output,
                **_named(_stats([a.output for a in asked.answered]), INFERENCE_PERF),
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
            name: _named(_stats([row[name] for row in rows]), GENAI_BENCH)
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
