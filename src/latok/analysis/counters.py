"""What a server's own counters tell of the time in which a load was held.

Each server has its own names; `SERVERS` is one row for each. Only sums, counts and gauges are read:
the buckets of vLLM's histograms begin at 0.3 s, so a percentile read from them would be invented. A
counter's growth is taken between the pages nearest to the window's ends; one that fell was begun
anew by a restart; one that is not on the first page yet began at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from latok.analysis.prometheus import Key, Page, key

# --- what servers count --------------------------------------------------------------------------


class Of(NamedTuple):
    """A metric, and what its labels must be: the first of several names that is there counts."""

    names: tuple[str, ...]
    where: tuple[tuple[str, str], ...] = ()


class Mean(NamedTuple):
    """Of a histogram: what its sum grew by over what its count did. `per`: what it is observed
    for."""

    of: Of
    per: str = "request"


class Ratio(NamedTuple):
    """What one counter grew by over what another did. `both`: over the two together; `plus`: to be
    added."""

    of: Of
    over: Of
    per: str = "request"
    both: bool = False
    plus: float = 0.0


class Growth(NamedTuple):
    """What a counter grew by."""

    of: Of


class Level(NamedTuple):
    """The mean of a gauge, summed over its series; `share`: of its series the mean, times that."""

    of: Of
    share: float | None = None


Reading = Mean | Ratio | Growth | Level


def _of(prefix: str, *names: str, **where: str) -> Of:
    return Of(tuple(prefix + name for name in names), tuple(where.items()))


def _vllm_like(p: str) -> dict[str, tuple[Reading, ...]]:
    """What vLLM, TensorRT-LLM and LMDeploy name alike."""
    return {
        "queue": (Mean(_of(p, "request_queue_time_seconds")),),
        "prefill": (Mean(_of(p, "request_prefill_time_seconds")),),
        "decode": (Mean(_of(p, "request_decode_time_seconds")),),
        "ttft": (Mean(_of(p, "time_to_first_token_seconds")),),
        "e2e": (Mean(_of(p, "e2e_request_latency_seconds")),),
        "finished": (Growth(_of(p, "e2e_request_latency_seconds_count")),),
        "running": (Level(_of(p, "num_requests_running")),),
        "waiting": (Level(_of(p, "num_requests_waiting")),),
    }


def _drafts(p: str) -> dict[str, tuple[Reading, ...]]:
    accepted = _of(p, "spec_decode_num_accepted_tokens")
    return {
        "acceptance": (Ratio(accepted, _of(p, "spec_decode_num_draft_tokens"), "token"),),
        # each draft yields its accepted tokens and one more of the model itself
        "acceptance_length": (Ratio(accepted, _of(p, "spec_decode_num_drafts"), "draft", plus=1),),
    }


_V, _S, _T, _L, _G, _C, _O = (
    *("vllm:", "sglang:", "trtllm_", "lmdeploy:"),
    *("tgi_", "llamacpp:", "latok:"),
)


def _stage(*stages: str) -> tuple[Reading, ...]:
    return tuple(Mean(_of(_S, "per_stage_req_latency_seconds", stage=stage)) for stage in stages)


def _phase(phase: str) -> tuple[Reading, ...]:
    return (
        Ratio(
            _of(_O, "phase_seconds_total", phase=phase),
            _of(_O, "requests_finished_total", reason="stop|length"),
        ),
    )


# By server and quantity, the ways to read it: the first whose metrics are there is taken. Counters
# are also looked for with `_total` at the end, which the Prometheus client appends.
SERVERS: dict[str, dict[str, tuple[Reading, ...]]] = {
    "vLLM": {
        **_vllm_like(_V),
        "kv": (Level(_of(_V, "kv_cache_usage_perc", "gpu_cache_usage_perc"), 1.0),),
        "preemptions": (Growth(_of(_V, "num_preemptions")),),
        "prefix_hits": (
            Ratio(_of(_V, "prefix_cache_hits"), _of(_V, "prefix_cache_queries"), "token"),
        ),
        **_drafts(_V),
    },
    "SGLang": {
        "queue": (Mean(_of(_S, "queue_time_seconds")), *_stage("prefill_waiting")),
        "prefill": _stage("prefill_forward", "chunked_prefill"),
        "decode": _stage("decode_forward", "decode_loop"),
        "ttft": (Mean(_of(_S, "time_to_first_token_seconds")),),
        "e2e": (Mean(_of(_S, "e2e_request_latency_seconds")),),
        "finished": (Growth(_of(_S, "e2e_request_latency_seconds_count")),),
        "running": (Level(_of(_S, "num_running_reqs")),),
        "waiting": (Level(_of(_S, "num_queue_reqs")),),
        "kv": (Level(_of(_S, "token_usage"), 1.0),),
        "preemptions": (Growth(_of(_S, "num_retracted_requests_total")),),
        "prefix_hits": (
            Ratio(_of(_S, "cached_tokens_total"), _of(_S, "prompt_tokens_total"), "token"),
            Level(_of(_S, "cache_hit_rate"), 1.0),
        ),
        "acceptance": (Level(_of(_S, "spec_accept_rate"), 1.0),),
        "acceptance_length": (Level(_of(_S, "spec_accept_length"), 1.0),),
    },
    "TensorRT-LLM": {
        **_vllm_like(_T),
        "kv": (Level(_of(_T, "kv_cache_utilization"), 1.0),),
        "prefix_hits": (
            Ratio(
                _of(_T, "prompt_cache_hit_tokens_total", "prompt_cached_tokens_total"),
                _of(_T, "prompt_tokens_total"),
                "token",
            ),
            Level(_of(_T, "kv_cache_hit_rate"), 1.0),
        ),
        "acceptance": (
            Ratio(
                _of(_T, "spec_decode_accepted_tokens_total"),
                _of(_T, "spec_decode_drafted_tokens_total"),
                "token",
            ),
        ),
        "acceptance_length": (Level(_of(_T, "spec_decode_acceptance_length"), 1.0),),
    },
    "LMDeploy": {
        **_vllm_like(_L),
        "kv": (Level(_of(_L, "gpu_cache_usage_perc"), 1.0),),
        "prefix_hits": (
            Ratio(_of(_L, "cached_tokens_total"), _of(_L, "prompt_tokens_total"), "token"),
            Level(_of(_L, "prefix_cache_hit_rate"), 1.0),
        ),
        **_drafts(_L),
    },
    "TGI": {
        "front_end": (Mean(_of(_G, "request_validation_duration")),),
        "queue": (Mean(_of(_G, "request_queue_duration")),),
        # nothing splits it by request: its mean time per token holds the prefill, too
        "compute": (Mean(_of(_G, "request_inference_duration")),),
        "prefill_batch": (Mean(_of(_G, "batch_forward_duration", method="prefill"), "batch"),),
        "decode_batch": (Mean(_of(_G, "batch_forward_duration", method="decode"), "batch"),),
        "e2e": (Mean(_of(_G, "request_duration")),),
        "finished": (Growth(_of(_G, "request_duration_count")),),
        "running": (Level(_of(_G, "batch_current_size")),),
        "waiting": (Level(_of(_G, "queue_size")),),
    },
    "llama.cpp": {
        "prefill_token": (
            Ratio(_of(_C, "prompt_seconds_total"), _of(_C, "prompt_tokens_total"), "token"),
        ),
        "decode_token": (
            Ratio(
                _of(_C, "tokens_predicted_seconds_total"),
                _of(_C, "tokens_predicted_total"),
                "token",
            ),
        ),
        "prefill_total": (Growth(_of(_C, "prompt_seconds_total")),),
        "decode_total": (Growth(_of(_C, "tokens_predicted_seconds_total")),),
        "running": (Level(_of(_C, "requests_processing")),),
        "waiting": (Level(_of(_C, "requests_deferred")),),
        "prefix_hits": (
            # the tokens that it read are those that it did not find
            Ratio(
                _of(_C, "prompt_tokens_cached_total"),
                _of(_C, "prompt_tokens_total"),
                "token",
                both=True,
            ),
        ),
        **_drafts(_C),
    },
    "latok": {
        "front_end": _phase("tokenise"),
        "queue": _phase("queue"),
        "prefill": _phase("prefill"),
        "decode": _phase("decode"),
        "delivery": _phase("send"),
        "finished": (Growth(_of(_O, "requests_finished_total", reason="stop|length")),),
        "running": (Level(_of(_O, "requests_running")),),
        "waiting": (Level(_of(_O, "requests_waiting")),),
        "kv": (Level(_of(_O, "kv_cache_usage"), 1.0),),
        "prefix_hits": (
            Ratio(
                _of(_O, "prefix_cache_hit_tokens_total"),
                _of(_O, "prefix_cache_queried_tokens_total"),
                "token",
            ),
        ),
        "batch": (Ratio(_of(_O, "batched_requests_total"), _of(_O, "steps_total"), "step"),),
    },
}


def _all_names() -> frozenset[str]:
    found: set[str] = set()
    for rows in SERVERS.values():
        for readings in rows.values():
            for reading in readings:
                for of in (
                    (reading.of, reading.over) if isinstance(reading, Ratio) else (reading.of,)
                ):
                    ends = ("_sum", "_count") if isinstance(reading, Mean) else ("", "_total")
                    found |= {name + end for name in of.names for end in ends}
    return frozenset(found)


NAMES = _all_names()


# --- what they grew by ---------------------------------------------------------------------------


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The gauges at one time, seconds from the run's start, and all preemptions so far.
    `prefix_hits`: share of prompts' tokens found in the prefix cache since the moment before."""

    at: float
    preemptions: float | None = None
    prefix_hits: float | None = None
    running: float | None = None
    waiting: float | None = None
    kv: float | None = None


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What a server counted while a load was held, all requests that it served, not only ours.

    `window`: from which page to which, seconds from the run's start. `values`: means per request
    in seconds (`queue`, `prefill`, `decode`, `ttft`, `e2e`, `front_end`, `compute`, `delivery`),
    per batch or token where the name says so; mean `running` and `waiting`; shares (`kv`,
    `prefix_hits`, `acceptance`); counts (`finished`, `preemptions`). `restarted`: a counter fell.
    """

    server: str
    window: tuple[float, float]
    pages: int
    values: dict[str, float]
    moments: tuple[Moment, ...]
    restarted: bool = False


def counted(
    pages: Sequence[Page], started_at: float, window: tuple[float, float], model: str = ""
) -> Counters | None:
    """What the pages tell of `window` (seconds from `started_at`, which is wall-clock time).

    Of a server of several models only the series of `model` count, where any has its name. None for
    fewer than two pages, or where no row of SERVERS fits.
    """
    if len(pages) < 2:
        return None
    ats = [page.at - started_at for page in pages]
    first = min(range(len(ats)), key=lambda n: abs(ats[n] - window[0]))
    last = min(range(len(ats)), key=lambda n: abs(ats[n] - window[1]))
    if last <= first:
        first, last = max(last - 1, 0), max(last, 1)
    inside = _Pages(pages[first : last + 1], model)
    for server, rows in SERVERS.items():
        values = {name: v for name, ways in rows.items() if (v := inside.first(ways)) is not None}
        if values:
            return Counters(
                server=server,
                window=(ats[first], ats[last]),
                pages=last + 1 - first,
                values=values,
                moments=tuple(_moments(pages, model, ats, rows)),
                restarted=inside.restarted,
            )
    return None


def _moments(
    pages: Sequence[Page], model: str, ats: Sequence[float], rows: Mapping[str, tuple[Reading, ...]]
) -> Iterable[Moment]:
    every = _Pages(pages, model)
    for n, at in enumerate(ats):
        found = {
            name: every.level(way, n)
            for name in ("running", "waiting", "kv")
            for way in rows.get(name, ())
            if isinstance(way, Level)
        }
        so_far = [
            total
            for way in rows.get("preemptions", ())
            if isinstance(way, Growth) and (total := every.total(way.of, n)) is not None
        ]
        since = _Pages(pages[max(n - 1, 0) : n + 1], model)
        yield Moment(
            at=at,
            **found,
            preemptions=so_far[0] if so_far else None,
            prefix_hits=since.first(rows.get("prefix_hits", ())) if n else None,
        )


class _Pages:
    """The series of some pages, by name and labels."""

    def __init__(self, pages: Sequence[Page], model: str) -> None:
        keys = {text: key(text) for page in pages for text in page.series}
        named = [k for k in keys.values() if dict(k[1]).get("model_name") == model]
        keep = {
            text: k
            for text, k in keys.items()
            if not named or dict(k[1]).get("model_name", model) == model
        }
        self._pages = [
            {keep[text]: value for text, value in page.series.items() if text in keep}
            for page in pages
        ]
        self._keys = set(keep.values())
        self.restarted = False

    def first(self, ways: Sequence[Reading]) -> float | None:
        """What the first way tells that tells anything."""
        return next((v for way in ways if (v := self._value(way)) is not None), None)

    def _value(self, way: Reading) -> float | None:
        match way:
            case Mean(of):
                total, count = self._growth(of, "_sum"), self._growth(of, "_count")
                return total / count if total is not None and count else None
            case Ratio(of, over, _, both, plus):
                total, count = self._growth(of), self._growth(over)
                if total is None or count is None:
                    return None
                count += total if both else 0.0
                return total / count + plus if count > 0 else None
            case Growth(of):
                return self._growth(of)
            case Level():
                levels = [self.level(way, n) for n in range(len(self._pages))]
                known = [level for level in levels if level is not None]
                return sum(known) / len(known) if known else None

    def level(self, way: Level, n: int) -> float | None:
        """A gauge on the n-th page."""
        series = [k for k in self._matching(way.of) if k in self._pages[n]]
        total = self.total(way.of, n)
        return total if total is None or way.share is None else way.share * total / len(series)

    def total(self, of: Of, n: int) -> float | None:
        """A counter on the n-th page."""
        found = [self._pages[n][k] for k in self._matching(of) if k in self._pages[n]]
        return sum(found) if found else None

    def _growth(self, of: Of, end: str = "") -> float | None:
        """What the series of a counter grew by together; None where there is none."""
        found = self._matching(of, end)
        if not found:
            return None
        total = 0.0
        for series in found:
            before = self._pages[0].get(series, 0.0)
            for page in self._pages[1:]:
                after = page.get(series, before)
                if after < before:  # begun anew: all of it came since
                    self.restarted, before = True, 0.0
                total += after - before
                before = after
        return total

    def _matching(self, of: Of, end: str = "") -> list[Key]:
        for name in of.names:
            for spelled in (name + end, name + end + "_total"):
                found = [
                    k
                    for k in self._keys
                    if k[0] == spelled
                    and all(dict(k[1]).get(w) in value.split("|") for w, value in of.where)
                ]
                if found:
                    return sorted(found)
        return []
