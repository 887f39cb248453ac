"""Thresholds of the user's own, such as `ttft.p95>500ms`: what a point must not be. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from latok.analysis.point import QUANTILES, Point, value_of
from latok.errors import UsageError
from latok.workload.slo import METRICS

_FORM = re.compile(
    r"(?P<axis>[a-z0-9_]+\.[a-z0-9_]+)\s*(?P<sign>[<>])\s*"
    r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>ms|s|%|)"
)
_UNITS = {"ms": 1e-3, "s": 1.0, "%": 0.01, "": 1.0}
_OTHERS = {
    "throughput": ("output_tokens_per_s", "input_tokens_per_s", "requests_per_s"),
    "goodput": ("attainment", "requests_per_s", "output_tokens_per_s"),
    "counts": ("offered", "ok", "failed", "unfinished"),
}
_SUMMARY = (*QUANTILES, "mean", "n")


class Threshold(NamedTuple):
    """`axis`: a path in a point's JSON. Broken where it is above (or below) `limit`, in seconds,
    tokens or shares."""

    text: str
    axis: str
    above: bool
    limit: float


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Reads thresholds with commas between them. Raises UsageError."""
    return tuple(_threshold(part.strip()) for part in text.split(","))


def _threshold(text: str) -> Threshold:
    found = _FORM.fullmatch(text)
    if not found:
        raise UsageError(f"cannot read the threshold {text!r}; one reads like ttft.p95>500ms")
    first, _, last = found["axis"].partition(".")
    known = {**_OTHERS, **dict.fromkeys((*METRICS, "speed"), _SUMMARY)}
    if first not in known:
        raise UsageError(f"no {first!r} in the threshold {text!r}; there are {', '.join(known)}")
    if last not in known[first]:
        raise UsageError(
            f"no {last!r} of {first} in the threshold {text!r}; there are {', '.join(known[first])}"
        )
    seconds = first in METRICS and last != "n"
    if (found["unit"] in ("s", "ms") and not seconds) or (
        found["unit"] == "%" and last != "attainment"
    ):
        raise UsageError(f"{found['axis']} is not in {found['unit']}, in the threshold {text!r}")
    limit = float(found["number"]) * _UNITS[found["unit"]]
    return Threshold(text, found["axis"], found["sign"] == ">", limit)


def broken(threshold: Threshold, point: Point) -> bool | None:
    """Whether the point is beyond it; None where it does not know that number."""
    value = value_of(point, threshold.axis)
    if value is None:
        return None
    return value > threshold.limit if threshold.above else value < threshold.limit
