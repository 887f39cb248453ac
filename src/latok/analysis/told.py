"""What a server tells of one request's time, joined with what the client saw of it.

Each server has its own names for its times, and its own traps; `SERVERS` is one row for each. A
request's time is then cut into parts that sum to the whole, the last of which is what nobody tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from latok.records import Chunk, Record

Source = Literal["client", "server", "difference"]
Whole = Literal["ttft", "e2e"]

# The parts, in the order in which they happen.
PARTS = {
    "lateness": "our lateness",
    "connect": "connect and TLS",
    "upload": "request upload",
    "network": "network round trip",
    "load": "model load",
    "front_end": "server front end",
    "queue": "queue",
    "server": "server, not split further",
    "prefill": "prefill",
    "compute": "prefill and decode",
    "decode": "decode",
    "delivery": "stream delivery",
    "read": "our read",
    "unexplained": "unexplained",
}


class Told(NamedTuple):
    """A server's own times of one request, seconds, by the names of PARTS.

    `before`: up to its first token; `after`: from there to its last; `within`: somewhere in both.
    `first_sent`, `last_sent`: from the first and the last token to their being sent; None where it
    does not say. `queue`: whether it tells its queue, so that what is missing is not that.
    """

    server: str
    before: Mapping[str, float]
    after: Mapping[str, float] = {}
    within: Mapping[str, float] = {}
    first_sent: float | None = None
    last_sent: float | None = None
    queue: bool = True


Said = Mapping[str, float]


def _latok(said: Said) -> Told:
    before = {"front_end": said["tokenise"], "queue": said["queue"], "prefill": said["prefill"]}
    return Told(
        "latok",
        before,
        {"decode": said["decode"]},
        # an answer that is not streamed is sent once, whole
        first_sent=said.get("first_send", said["send"]),
        last_sent=said["send"],
    )


def _vllm(said: Said) -> Told:
    # its time to first token begins when the request is scheduled: the queue is not in it
    before = {
        "queue": said["queue_time_ms"] * 1e-3,
        "prefill": said["time_to_first_token_ms"] * 1e-3,
    }
    return Told("vLLM", before, {"decode": said["generation_time_ms"] * 1e-3})


def _llamacpp(said: Said) -> Told:
    before, after = {"prefill": said["prompt_ms"] * 1e-3}, {"decode": said["predicted_ms"] * 1e-3}
    return Told("llama.cpp", before, after, queue=False)


def _ollama(said: Said) -> Told:
    # nanoseconds; what the four do not account for is waiting for a slot
    total, load, prefill, decode = (
        said[f"{name}_duration"] * 1e-9 for name in ("total", "load", "prompt_eval", "eval")
    )
    waited = max(total - load - prefill - decode, 0.0)
    before = {"load": load, "queue": waited, "prefill": prefill}
    return Told("Ollama", before, {"decode": decode})


def _tgi(said: Said) -> Told:
    # x-time-per-token is the inference over the tokens, so it holds the prefill: nothing splits it
    before = {"front_end": said["x-validation-time"] * 1e-3, "queue": said["x-queue-time"] * 1e-3}
    return Told("TGI", before, within={"compute": said["x-inference-time"] * 1e-3})


def _groq(said: Said) -> Told:
    before = {"queue": said["queue_time"], "prefill": said["prompt_time"]}
    return Told("Groq or Cerebras", before, {"decode": said["completion_time"]})


def _fireworks(said: Said) -> Told:
    first, total = said["server-time-to-first-token"], said["server-processing-time"]
    return Told("Fireworks", {"server": first}, {"decode": max(total - first, 0.0)})


def _fireworks_headers(said: Said) -> Told:
    return _fireworks({name.removeprefix("fireworks-"): value for name, value in said.items()})


def _sglang(said: Said) -> Told:
    # its first token counts from when it received the request: the queue is in it
    queue, first = said["queue_time"], said["first_token_latency"]
    before = {"queue": queue, "prefill": max(first - queue, 0.0)}
    return Told("SGLang", before, {"decode": max(said["e2e_latency"] - first, 0.0)})


def _until_headers(name: str, server: str) -> tuple[str, tuple[str, ...], Callable[[Said], Told]]:
    """Of a header that says how long the server took until it sent the headers."""
    return server, (name,), lambda said: Told(server, {"server": said[name] * 1e-3}, queue=False)


# Who says so, the names that it says it by, and what they mean; the first that fits is taken.
SERVERS: tuple[tuple[str, tuple[str, ...], Callable[[Said], Told]], ...] = (
    ("latok", ("tokenise", "queue", "prefill", "decode", "send"), _latok),
    ("vLLM", ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms"), _vllm),
    ("SGLang", ("queue_time", "first_token_latency", "e2e_latency"), _sglang),
    ("llama.cpp", ("prompt_ms", "predicted_ms"), _llamacpp),
    (
        "Ollama",
        ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"),
        _ollama,
    ),
    ("TGI", ("x-validation-time", "x-queue-time", "x-inference-time"), _tgi),
    ("Groq or Cerebras", ("queue_time", "prompt_time", "completion_time"), _groq),
    ("Fireworks", ("server-time-to-first-token", "server-processing-time"), _fireworks),
    (
        "Fireworks",
        ("fireworks-server-time-to-first-token", "fireworks-server-processing-time"),
        _fireworks_headers,
    ),
    _until_headers("openai-processing-ms", "OpenAI"),
    _until_headers("x-envoy-upstream-service-time", "a gateway"),
)


def told(timings: Mapping[str, Any] | None) -> Told | None:
    """What a server's timings mean; None where they are of no kind that we know."""
    if not timings:
        return None
    numbers = {
        name: float(value)
        for name, value in timings.items()
        if isinstance(value, int | float) and math.isfinite(value) and value >= 0
    }
    for _, names, meaning in SERVERS:
        if all(name in numbers for name in names):
            return meaning(numbers)
    return None


class Split(NamedTuple):
    """One request's time and its parts, which sum to it; seconds. `sources`: who tells each."""

    whole: float
    parts: Mapping[str, float]
    sources: Mapping[str, Source]


def split(
    record: Record, said: Told, *, round_trip: float | None, alone: bool, kernel_stamps: bool = True
) -> dict[Whole, Split] | None:
    """Cuts a request's time in parts: `ttft` from when it was wanted until we had read its first
    token, `e2e` likewise until its last. None for a request that has no token.

    `round_trip`: of the network, None where it is not known. `alone`: no other request of ours was
    waiting beside it; else, of a server that does not tell its queue, what is missing before the
    first token is that. What came between the tokens' being made and their arrival beyond what
    both the first and the last one took is delivery: it is seen by difference.
    """
    events = [chunk for chunk in record.chunks if chunk.is_token]
    if not events or record.sent_first is None:
        return None
    begun = client_parts(record, round_trip)
    first, last = events[0], events[-1]
    after, within = dict(said.after), dict(said.within)
    sources: dict[str, Source] = dict.fromkeys(begun, "client")
    sources |= dict.fromkeys((*said.before, *after, *within), "server")
    if not after and not within and len(events) > 1:
        after, sources["decode"] = {"decode": last.at - first.at}, "client"
    parts: dict[Whole, dict[str, float]] = {
        "ttft": {**begun, **said.before, **(within if len(events) == 1 else {})},
        "e2e": {**begun, **said.before, **after, **within},
    }
    if len(events) == 1:  # of what came in one piece the first token is the last
        parts["ttft"] = dict(parts["e2e"])
    sent = {"ttft": said.first_sent if len(events) > 1 else said.last_sent, "e2e": said.last_sent}
    wholes: dict[Whole, float] = {}
    rest: dict[Whole, float] = {}
    ends: tuple[tuple[Whole, Chunk], ...] = (("ttft", first), ("e2e", last))
    for name, end in ends:
        if kernel_stamps:
            parts[name]["read"] = end.lag
        if (seconds := sent[name]) is not None:
            parts[name]["delivery"] = seconds
        wholes[name] = end.at + parts[name].get("read", 0.0) - record.due
        rest[name] = wholes[name] - sum(parts[name].values())
    told_delivery = sent["e2e"] is not None
    sources |= {"read": "client", "delivery": "server" if told_delivery else "difference"}
    sources["unexplained"] = "difference"
    common = max(min(rest.values()), 0.0)
    for name, missing in rest.items():
        held = 0.0 if within else max(missing - common, 0.0)
        if told_delivery and missing < 0.0:
            # a server stamps its sending afterwards, when it may have arrived already
            held = max(missing, -parts[name]["delivery"])
        if held or told_delivery:
            parts[name]["delivery"] = parts[name].get("delivery", 0.0) + held
        left = missing - held
        if not said.queue and not alone and left > 0.0:
            parts[name]["queue"], left = left, 0.0
            sources["queue"] = "difference"
        parts[name]["unexplained"] = left
    return {
        name: Split(wholes[name], found, {part: sources[part] for part in found})
        for name, found in parts.items()
    }


def client_parts(record: Record, round_trip: float | None) -> dict[str, float]:
    """The client's own parts of a request that was sent, and the network's. A connection that was
    opened before the request was wanted cost it nothing."""
    assert record.sent_first is not None
    waited = record.sent_first - record.due
    connection = record.connection
    opening = (connection.connect or 0.0) + (connection.tls or 0.0)
    opening = opening if opening <= waited else 0.0
    return {
        "lateness": waited - opening,
        "connect": opening,
        "upload": max((record.sent_last or record.sent_first) - record.sent_first, 0.0),
        "network": round_trip or 0.0,
    }
