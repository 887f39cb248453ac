"""A run as OpenTelemetry metrics, by the names of the GenAI semantic conventions. Pure.

The JSON encoding of OTLP (an ExportMetricsServiceRequest), to be posted to a collector's
`/v1/metrics`. What the client saw has client metrics: the conventions keep `gen_ai.server.*` for
what a server itself measures. Names, units and bucket boundaries: semantic-conventions-genai of
June 2026 (v1.42), stability Development.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from latok.analysis.digest import Digest
from latok.analysis.metrics import digest, in_window
from latok.records import Manifest, Record
from latok.version import VERSION

_SECONDS = [0.01 * 2**n for n in range(14)]
_TOKENS = [4**n for n in range(14)]
_OPERATIONS = {"openai-completions": "text_completion"}  # every other dialect chats
# Well-known values of gen_ai.provider.name, by what the host's name ends in; else "custom".
_PROVIDERS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.deepseek.com": "deepseek",
    "api.cohere.com": "cohere",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}


def otel(manifest: Manifest, records: Iterable[Record]) -> str:
    """The requests of the run's window as histograms of OTLP's JSON."""
    window = [digest(record) for record in records if in_window(record, manifest)]
    good = [each for each in window if each.ok]
    common = _common(manifest)
    metrics = [
        _metric(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            [
                _histogram(manifest, values, _SECONDS, {**common, **attributes})
                for attributes, values in _durations(window)
            ],
        ),
        _metric(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to receive the first chunk.",
            [_histogram(manifest, _known(good, "ttft"), _SECONDS, common)],
        ),
        _metric(
            "gen_ai.client.operation.time_per_output_chunk",
            "s",
            "Time per output chunk after the first.",
            [_histogram(manifest, [g for e in good for g in e.gaps], _SECONDS, common)],
        ),
        _metric(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            [
                _histogram(manifest, counted(good), _TOKENS, {**common, "gen_ai.token.type": kind})
                for kind, counted in _USAGE.items()
            ],
        ),
    ]
    scope = {"scope": {"name": "latok", "version": VERSION}, "metrics": metrics}
    resource = {"attributes": _attributes({"service.name": "latok"})}
    request = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}
    return msgspec.json.encode(request).decode() + "\n"


def _common(manifest: Manifest) -> dict[str, str | int]:
    target = manifest.target
    place = urlsplit(target.url)
    host = place.hostname or ""
    found = (name for end, name in _PROVIDERS.items() if host == end or host.endswith("." + end))
    return {
        "gen_ai.operation.name": _OPERATIONS.get(target.dialect, "chat"),
        "gen_ai.provider.name": next(found, "custom"),
        "gen_ai.request.model": target.model,
        "server.address": host,
        "server.port": place.port or (443 if place.scheme == "https" else 80),
    }


def _durations(window: Sequence[Digest]) -> list[tuple[dict[str, str], list[float]]]:
    """Those that succeeded, and those that failed by the kind of their error."""
    series: list[tuple[dict[str, str], list[float]]] = [
        ({}, _known([each for each in window if each.ok], "e2e_close"))
    ]
    kinds = sorted({each.record.error.kind for each in window if each.record.error})
    for kind in kinds:
        failed = [e for e in window if e.record.error and e.record.error.kind == kind]
        series.append(({"error.type": kind}, _known(failed, "e2e_close")))
    return series


def _known(requests: Sequence[Digest], metric: str) -> list[float]:
    return [value for each in requests if (value := each.metrics[metric]) is not None]


def _input(requests: Sequence[Digest]) -> list[float]:
    counts = (each.record.usage.prompt_tokens if each.record.usage else None for each in requests)
    return [float(count) for count in counts if count is not None]


def _output(requests: Sequence[Digest]) -> list[float]:
    return [float(each.tokens) for each in requests if each.tokens is not None]


_USAGE: dict[str, Callable[[Sequence[Digest]], list[float]]] = {"input": _input, "output": _output}


def _metric(name: str, unit: str, what: str, points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # 1: delta, for a run is over when it is exported
    histogram = {"aggregationTemporality": 1, "dataPoints": [p for p in points if p["sum"]]}
    return {"name": name, "unit": unit, "description": what, "histogram": histogram}


def _histogram(
    manifest: Manifest,
    values: Sequence[float],
    bounds: Sequence[float],
    attributes: dict[str, Any],
) -> dict[str, Any]:
    """64-bit integers are texts in protobuf's JSON. A bucket holds its upper bound."""
    start, end = manifest.window or (0.0, 0.0)
    places = np.searchsorted(bounds, values, side="left")
    counts = np.bincount(places, minlength=len(bounds) + 1)
    found: dict[str, Any] = {
        "attributes": _attributes(attributes),
        "startTimeUnixNano": str(round((manifest.started_at + start) * 1e9)),
        "timeUnixNano": str(round((manifest.started_at + end) * 1e9)),
        "count": str(len(values)),
        "sum": float(np.sum(values)),
        "bucketCounts": [str(count) for count in counts],
        "explicitBounds": [float(bound) for bound in bounds],
    }
    if len(values):
        found |= {"min": float(np.min(values)), "max": float(np.max(values))}
    return found


def _attributes(pairs: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
        for key, v in pairs.items()
    ]
