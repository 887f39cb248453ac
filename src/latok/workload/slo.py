"""What an app asks of latency: clauses such as `ttft.p95<500ms, tpot.p99<50ms`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from latok.errors import UsageError

# The latencies that a clause may name; `latok.analysis.metrics` defines them.
METRICS = (
    *("ttft", "ttft_user", "ttfv", "ttfb", "tpot", "gap", "e2e", "e2e_close"),
    *("first_sentence", "first_line", "wait"),
)

_POWERS = {"s": 0, "ms": -3, "µs": -6}
_CLAUSE = re.compile(
    r"(?P<metric>\w+)\s*\.\s*p(?P<percent>\d+(?:\.\d+)?)\s*<=?\s*"
    r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>[a-zµμ]*)"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A request meets it when its `metric` is below `limit` seconds (of its gaps, the largest).

    A point meets it when at least the share `quantile` (0 to 1) of the requests offered does. So
    `gap.p99<1s` reads: 99 of 100 requests never stall for a second.
    """

    metric: str
    quantile: float
    limit: float

    def __str__(self) -> str:
        return f"{self.metric}.p{self.quantile * 100:.10g}<{_spoken(self.limit)}"


@dataclass(frozen=True, slots=True)
class Slo:
    """Clauses that hold together; none asks nothing."""

    clauses: tuple[Clause, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.clauses))


def parse_slo(text: str) -> Slo:
    """Reads clauses with commas between them; `<=` means `<`, a bare number is in seconds."""
    return Slo(tuple(_clause(part.strip()) for part in text.split(","))) if text.strip() else Slo()


def _clause(text: str) -> Clause:
    form = "a clause reads like ttft.p95<500ms"
    found = _CLAUSE.fullmatch(text)
    if not found:
        raise UsageError(f"cannot read {text!r} in the SLO; {form}")
    metric, unit = found["metric"], found["unit"].replace("μ", "µ").replace("us", "µs") or "s"
    if metric not in METRICS:
        raise UsageError(
            f"no latency {metric!r}, in the SLO clause {text!r}; there are {', '.join(METRICS)}"
        )
    if unit not in _POWERS:
        raise UsageError(
            f"no unit {unit!r}, in the SLO clause {text!r}; there are {', '.join(_POWERS)}"
        )
    # Written with its power, 49.9ms is the same float as 0.0499s; divided, it need not be.
    quantile, limit = float(found["percent"] + "e-2"), float(f"{found['number']}e{_POWERS[unit]}")
    if not 0 < quantile <= 1:
        raise UsageError(f"p{found['percent']} in the SLO clause {text!r} is not within p0 to p100")
    if not limit:
        raise UsageError(f"nothing is below {found['number']}, in the SLO clause {text!r}; {form}")
    return Clause(metric, quantile, limit)


def _spoken(seconds: float) -> str:
    unit = next((unit for unit, power in _POWERS.items() if seconds >= 10**power), "µs")
    return f"{seconds / 10.0 ** _POWERS[unit]:.10g}{unit}"
