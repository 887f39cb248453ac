"""Servers that tell their times as vLLM, SGLang, TGI and Ollama do: in their answers, and in their
counters, each under the names that it has itself. Every request waits QUEUE, its prompt takes
PREFILL, each token after the first TOKEN; DRAFT tokens are guessed for each, of which ACCEPTED are
right.

    golden("tests.golden.servers:vllm")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from latok.load.golden import (
    HEAD,
    NOT_FOUND,
    TAIL,
    Asked,
    Step,
    chunked,
    event,
    response,
)
from tests.golden.case import dumped

QUEUE, PREFILL, TOKEN = 0.030, 0.050, 0.004
CACHED = 16  # of each prompt
DRAFT, ACCEPTED = 4, 3
MODEL = "golden/Model-1B"
_NDJSON = HEAD.replace(b"text/event-stream", b"application/x-ndjson")
_PAGE = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n"

state: Counter[str] = Counter()


def page(text: str) -> Step:
    body = text.encode()
    return Step(0.0, _PAGE.format(len(body)).encode() + body)


def metric(name: str, kind: str, value: float, labels: str = "") -> str:
    """A counter or a gauge as the Prometheus client writes it."""
    marks = f"{{{labels}}}" if labels else ""
    return f"# HELP {name} what it is\n# TYPE {name} {kind}\n{name}{marks} {float(value)}\n"


def histogram(name: str, each: float, labels: str = "") -> str:
    """Of as many values as requests have finished, all alike; the buckets begin at 0.3 s, as vLLM's
    do."""
    count, comma = state["finished"], "," if labels else ""
    marks = f"{{{labels}}}" if labels else ""
    lines = [
        f"# HELP {name} what it is",
        f"# TYPE {name} histogram",
        *(f'{name}_bucket{{le="{le}"{comma}{labels}}} {float(count)}' for le in (0.3, 0.5, "+Inf")),
        f"{name}_count{marks} {float(count)}",
        f"{name}_sum{marks} {count * each}",
        f"# TYPE {name}_created gauge",
        f"{name}_created{marks} 1.7e+09",
    ]
    return "\n".join(lines) + "\n"


def played(asked: Asked, head: bytes, tokens: list[bytes], end: bytes) -> Iterator[Step]:
    """The answer's pieces at their times; what runs and waits is counted meanwhile."""
    state["waiting"] += 1
    yield Step(0.0, head)
    yield Step(QUEUE)
    state["waiting"] -= 1
    state["running"] += 1
    for n, token in enumerate(tokens):
        last = n == len(tokens) - 1
        yield Step(QUEUE + PREFILL + n * TOKEN, token + (end if last else b""), 1, "content")
    state["running"] -= 1
    state["finished"] += 1
    state["prompt"] += _prompt(asked)
    state["cached"] += CACHED
    state["tokens"] += len(tokens)
    state["steps"] += len(tokens) - 1


def _prompt(asked: Asked) -> int:
    body = asked.body
    said = body.get("messages") or [{"content": body.get("inputs") or body.get("text", "")}]
    return sum(len(each["content"].split()) for each in said) + CACHED


def _limit(asked: Asked) -> int:
    body = asked.body
    sizes = (
        body.get("max_tokens"),
        body.get("options", {}).get("num_predict"),
        body.get("sampling_params", {}).get("max_new_tokens"),
        body.get("parameters", {}).get("max_new_tokens"),
    )
    return int(next(size for size in sizes if size))


def _decode(asked: Asked) -> float:
    return (_limit(asked) - 1) * TOKEN


def _decoded() -> float:
    """Of all that finished: the mean time from the first token to the last."""
    return state["steps"] * TOKEN / max(state["finished"], 1)


def _chat(asked: Asked, last: dict[str, object]) -> Iterator[Step]:
    """OpenAI's chat as vLLM and SGLang stream it: the role comes with the first token."""
    count, prompt = _limit(asked), _prompt(asked)
    name = {"object": "chat.completion.chunk", "model": MODEL, "system_fingerprint": None}

    def said(n: int) -> bytes:
        delta = {"content": f" {n}"}
        usage = {"prompt_tokens": prompt, "completion_tokens": n + 1}
        role = {"role": "assistant", "content": ""}
        opening = {**name, "choices": [{"index": 0, "delta": role, "finish_reason": None}]}
        reason = "length" if n == count - 1 else None
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        first = event({**opening, "usage": {**usage, "completion_tokens": 0}}) if n == 0 else b""
        return first + event({**name, "choices": [choice], "usage": usage})

    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": count,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }
    end = event({**name, "choices": [], "usage": usage, **last}) + chunked(b"data: [DONE]\n\n")
    return played(asked, HEAD, [said(n) for n in range(count)], end + TAIL)


def vllm(asked: Asked) -> Iterable[Step]:
    """With --enable-per-request-metrics; two engines behind one port, of which the second idles."""
    if asked.path == "/metrics":
        return [page(_vllm_page())]
    if asked.path == "/v1/models":
        return [Step(0.0, response({"data": [{"id": MODEL, "max_model_len": 8192}]}))]
    if asked.path != "/v1/chat/completions":
        return [Step(0.0, NOT_FOUND)]
    metrics = {
        "queue_time_ms": QUEUE * 1e3,
        "time_to_first_token_ms": PREFILL * 1e3,
        "generation_time_ms": _decode(asked) * 1e3,
        "mean_itl_ms": TOKEN * 1e3,
        "tokens_per_second": _limit(asked) / (PREFILL + _decode(asked)),
        "speculative_decoding": {
            "mean_acceptance_length": 1.0 + ACCEPTED,
            "draft_acceptance_rate": ACCEPTED / DRAFT,
            "acceptance_histogram": [0, 0, 0, 10, 0],
            "num_spec_steps": 10,
            "num_accepted_draft_tokens": 10 * ACCEPTED,
            "num_draft_tokens": 10 * DRAFT,
            "num_spec_tokens": DRAFT,
        },
    }
    return _chat(asked, {"metrics": metrics})


def _vllm_page() -> str:
    one = f'engine="0",model_name="{MODEL}"'
    two = f'engine="1",model_name="{MODEL}"'
    idle = [
        line.replace('engine="0"', 'engine="1"').rsplit(" ", 1)[0] + " 0.0\n"
        for line in metric("vllm:num_requests_running", "gauge", 0, one).splitlines()[2:]
    ]
    finished, decoded = state["finished"], _decoded()
    because = "vllm:num_requests_waiting_by_reason"
    return "".join(
        [
            metric("vllm:num_requests_running", "gauge", state["running"], one),
            *idle,
            metric("vllm:num_requests_waiting", "gauge", state["waiting"], one),
            metric(because, "gauge", state["waiting"], f'{one},reason="capacity"'),
            metric(because, "gauge", 0, f'{one},reason="deferred"'),
            metric("vllm:kv_cache_usage_perc", "gauge", 0.25, one),
            metric("vllm:kv_cache_usage_perc", "gauge", 0.35, two).splitlines()[2] + "\n",
            metric("vllm:num_preemptions_total", "counter", 0, one),
            metric("vllm:prefix_cache_queries_total", "counter", state["prompt"], one),
            metric("vllm:prefix_cache_hits_total", "counter", state["cached"], one),
            metric("vllm:spec_decode_num_drafts_total", "counter", 10 * finished, one),
            metric(
                "vllm:spec_decode_num_draft_tokens_total", "counter", 10 * DRAFT * finished, one
            ),
            metric(
                "vllm:spec_decode_num_accepted_tokens_total",
                "counter",
                10 * ACCEPTED * finished,
                one,
            ),
            *(
                metric(
                    "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                    "counter",
                    10 * finished * (n < ACCEPTED),
                    f'{one},position="{n}"',
                )
                for n in range(DRAFT)
            ),
            metric("vllm:prompt_tokens_total", "counter", state["prompt"], one),
            metric("vllm:generation_tokens_total", "counter", state["tokens"], one),
            metric(
                "vllm:request_success_total",
                "counter",
                finished,
                f'{one},finished_reason="length"',
            ),
            histogram("vllm:request_queue_time_seconds", QUEUE, one),
            histogram("vllm:request_prefill_time_seconds", PREFILL, one),
            histogram("vllm:request_decode_time_seconds", decoded, one),
            histogram("vllm:request_inference_time_seconds", PREFILL + decoded, one),
            histogram("vllm:time_to_first_token_seconds", QUEUE + PREFILL, one),
            histogram("vllm:inter_token_latency_seconds", TOKEN, one),
            histogram("vllm:request_time_per_output_token_seconds", TOKEN, one),
            histogram("vllm:e2e_request_latency_seconds", QUEUE + PREFILL + decoded, one),
            metric("python_gc_objects_collected_total", "counter", 5, 'generation="0"'),
        ]
    )


def sglang(asked: Asked) -> Iterable[Step]:
    """With --enable-metrics; its OpenAI paths tell no times, its own does."""
    if asked.path == "/metrics":
        return [page(_sglang_page())]
    if asked.path == "/v1/models":
        return [Step(0.0, response({"data": [{"id": MODEL, "max_model_len": 8192}]}))]
    if asked.path == "/generate":
        return _generate(asked)
    if asked.path != "/v1/chat/completions":
        return [Step(0.0, NOT_FOUND)]
    return _chat(asked, {})


def _generate(asked: Asked) -> Iterator[Step]:
    """Its own stream: all of the text in each event, and its times in the last."""
    count = _limit(asked)

    def said(n: int) -> bytes:
        last = n == count - 1
        meta: dict[str, object] = {
            "id": str(asked.n),
            "finish_reason": {"type": "length", "length": count} if last else None,
            "prompt_tokens": _prompt(asked),
            "completion_tokens": n + 1,
            "cached_tokens": CACHED,
        }
        if last:
            total = QUEUE + PREFILL + _decode(asked)
            meta |= {
                "request_received_ts": 1764064800.0,
                "forward_entry_time": 1764064800.0 + QUEUE,
                "prefill_finished_time": 1764064800.0 + QUEUE + PREFILL,
                "response_sent_to_client_ts": 1764064800.0 + total,
                "queue_time": QUEUE,
                "first_token_latency": QUEUE + PREFILL,
                "e2e_latency": total,
                "decode_throughput": 1 / TOKEN,
            }
        text = "".join(f" {k}" for k in range(n + 1))
        return event({"text": text, "output_ids": [1] * (n + 1), "meta_info": meta})

    tokens = [said(n) for n in range(count)]
    return played(asked, HEAD, tokens, chunked(b"data: [DONE]\n\n") + TAIL)


def _sglang_page() -> str:
    labels = f'model_name="{MODEL}",engine_type="unified",tp_rank="0",pp_rank="0"'
    decoded = _decoded()
    stages = (("prefill_waiting", QUEUE), ("prefill_forward", PREFILL), ("decode_forward", decoded))
    stage = "sglang:per_stage_req_latency_seconds"
    return "".join(
        [
            metric("sglang:num_running_reqs", "gauge", state["running"], labels),
            metric("sglang:num_queue_reqs", "gauge", state["waiting"], labels),
            metric("sglang:num_grammar_queue_reqs", "gauge", 0, labels),
            metric("sglang:num_retracted_reqs", "gauge", 0, labels),
            metric("sglang:token_usage", "gauge", 0.4, labels),
            metric("sglang:cache_hit_rate", "gauge", 0.9, labels),
            metric("sglang:prompt_tokens_total", "counter", state["prompt"], labels),
            metric("sglang:generation_tokens_total", "counter", state["tokens"], labels),
            metric(
                "sglang:cached_tokens_total",
                "counter",
                state["cached"],
                f'{labels},cache_source="device"',
            ),
            metric("sglang:spec_accept_length", "gauge", 3.5, labels),
            metric("sglang:spec_accept_rate", "gauge", 0.625, labels),
            metric("sglang:num_retracted_requests_total", "counter", 0, labels),
            histogram("sglang:queue_time_seconds", QUEUE, labels),
            histogram("sglang:time_to_first_token_seconds", QUEUE + PREFILL, labels),
            histogram("sglang:inter_token_latency_seconds", TOKEN, labels),
            histogram("sglang:request_time_per_output_token_seconds", TOKEN, labels),
            histogram("sglang:e2e_request_latency_seconds", QUEUE + PREFILL + decoded, labels),
            *(histogram(stage, each, f'{labels},stage="{name}"') for name, each in stages),
        ]
    )


def tgi(asked: Asked) -> Iterable[Step]:
    """Its streams tell no times; its counters know a batch's prefill and no request's."""
    if asked.path == "/metrics":
        return [page(_tgi_page())]
    if asked.path == "/info":
        return [Step(0.0, response({"model_id": MODEL, "max_total_tokens": 8192}))]
    if asked.path != "/generate_stream":
        return [Step(0.0, NOT_FOUND)]
    count = _limit(asked)

    def said(n: int) -> bytes:
        whole = "text" if n == count - 1 else None
        details = {
            "finish_reason": "length",
            "generated_tokens": count,
            "input_length": _prompt(asked),
        }
        value = {
            "index": n + 1,
            "token": {"id": 1, "text": f" {n}", "logprob": -0.1, "special": False},
            "generated_text": whole,
            "details": None if whole is None else details,
        }
        return chunked(b"data:" + dumped(value) + b"\n\n")

    return played(asked, HEAD, [said(n) for n in range(count)], TAIL)


def tgi_buffered(asked: Asked) -> Iterable[Step]:
    """TGI behind what waits for whole answers: then its headers tell its times, in milliseconds."""
    if asked.path != "/generate_stream":
        return tgi(asked)
    count, decode = _limit(asked), _decode(asked)
    details = {"finish_reason": "length", "generated_tokens": count, "input_length": _prompt(asked)}
    validation = 0.001
    times = {
        "x-compute-type": "1-nvidia-h200",
        "x-compute-characters": 12,
        "x-total-time": 1e3 * (validation + QUEUE + PREFILL + decode),
        "x-validation-time": 1e3 * validation,
        "x-queue-time": 1e3 * QUEUE,
        "x-inference-time": 1e3 * (PREFILL + decode),
        "x-time-per-token": 1e3 * (PREFILL + decode) / count,
        "x-prompt-tokens": _prompt(asked),
        "x-generated-tokens": count,
    }
    headers = "".join(
        f"{name}: {round(value) if isinstance(value, float) else value}\r\n"
        for name, value in times.items()
    )
    text = "".join(f" {n}" for n in range(count))
    body = response({"generated_text": text, "details": details}, headers=headers)
    return [Step(validation + QUEUE + PREFILL + decode, body, count, "content")]


def _tgi_page() -> str:
    forward, decoded = "tgi_batch_forward_duration", _decoded()
    # of the whole inference over the tokens: the prefill is in it
    each = (PREFILL + decoded) * state["finished"] / max(state["tokens"], 1)
    return "".join(
        [
            metric("tgi_batch_current_size", "gauge", state["running"]),
            metric("tgi_batch_current_max_tokens", "gauge", 4096),
            metric("tgi_queue_size", "gauge", state["waiting"]),
            histogram("tgi_request_validation_duration", 0.001),
            histogram("tgi_request_queue_duration", QUEUE),
            histogram("tgi_request_inference_duration", PREFILL + decoded),
            histogram("tgi_request_mean_time_per_token_duration", each),
            histogram("tgi_request_duration", 0.001 + QUEUE + PREFILL + decoded),
            histogram("tgi_request_skipped_tokens", 0.0),
            histogram(forward, PREFILL, 'method="prefill"'),
            histogram(forward, TOKEN, 'method="decode"'),
        ]
    )


def ollama(asked: Asked) -> Iterable[Step]:
    """Nanoseconds in its last line; no counters at all."""
    pages = {
        "/api/version": {"version": "0.12.6"},
        "/api/tags": {"models": [{"name": MODEL}]},
    }
    if asked.path != "/api/chat":
        return [Step(0.0, response(pages[asked.path]) if asked.path in pages else NOT_FOUND)]
    count = _limit(asked)
    name = {"model": MODEL, "created_at": "2026-11-25T10:00:00.000000000Z"}

    def line(**more: object) -> bytes:
        return chunked(dumped({**name, **more}) + b"\n")

    tokens = [
        line(message={"role": "assistant", "content": f" {n}"}, done=False) for n in range(count)
    ]
    total = QUEUE + PREFILL + _decode(asked)
    end = line(
        message={"role": "assistant", "content": ""},
        done=True,
        done_reason="length",
        total_duration=round(total * 1e9),
        load_duration=0,
        prompt_eval_count=_prompt(asked),
        prompt_eval_duration=round(PREFILL * 1e9),
        eval_count=count,
        eval_duration=round(_decode(asked) * 1e9),
    )
    return played(asked, _NDJSON, tokens, end + TAIL)
