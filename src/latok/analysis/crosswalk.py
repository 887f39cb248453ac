"""What other tools call a statistic, by our name for it. docs/crosswalk.md has the whole table."""

from __future__ import annotations

PERCENTILES = (0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)
MS = 1000.0  # milliseconds in a second

# What each tool calls a statistic, by our name for it.
Names = dict[str, str]
OURS: Names = {name: name for name in ("mean", "min", "max", *(f"p{p:g}" for p in PERCENTILES))}
FLAT: Names = {"mean": "mean", "p50": "median", "std": "std"} | {
    name: name for name in ("p90", "p95", "p99")
}
AIPERF: Names = {"mean": "avg", "std": "std", "sum": "sum"} | {
    name: name for name in OURS if name not in ("mean", "p0.1", "p99.9")
}
GUIDELLM: Names = OURS | {"p0.1": "p001", "p1": "p01", "p5": "p05", "p99.9": "p999"}
INFERENCE_PERF: Names = OURS | {"p50": "median"}
GENAI_BENCH: Names = {"std": "stddev", "sum": "sum"} | {
    name: name for name in ("min", "max", "mean", "p25", "p50", "p75", "p90", "p95", "p99")
}
