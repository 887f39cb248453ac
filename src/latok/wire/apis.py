"""How each API spells a request and its answer: the JSON of one, what an event of the other says.

For each there is what makes a body (from a Request, the model and the *extras* that the target was
found to accept: a server may refuse a field that another one needs) and what reads one JSON object
of the answer. What a server may send is anything, so a reader trusts no shape.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from latok.records import Kind, Message, Request, Usage
from latok.wire.reply import (
    Reply,
    Seen,
    as_count,
    as_dict,
    as_dicts,
    as_list,
    error_text,
    most,
)

# The extra with which a request that asks for log-probabilities may do so.
LOGPROBS = "logprobs"
_MOST_LOGPROBS = 20  # what OpenAI's API takes at most, and vLLM unless it is told otherwise
_MOST_LOGPROBS_TGI = 5  # what TGI takes unless it is told otherwise


def _asks(request: Request, extras: Set[str], most: int = _MOST_LOGPROBS) -> int:
    """Of how many tokens to ask the log-probabilities."""
    return min(request.top_logprobs, most) if LOGPROBS in extras else 0


# --- OpenAI chat completions and completions -----------------------------------------------------

# Fields that a server may refuse, richest first. With none of them a request is as plain as the
# API's documentation has it.
OPENAI = (
    LOGPROBS,
    "continuous_usage_stats",
    "stream_options",
    "ignore_eos",
    "temperature",
    "max_tokens",
)


def _openai(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    limit = "max_tokens" if "max_tokens" in extras else "max_completion_tokens"
    body: dict[str, Any] = {"model": model, "stream": True, limit: request.max_tokens}
    if "temperature" in extras:
        body["temperature"] = 0.0
    if "ignore_eos" in extras and not request.may_stop:
        body["ignore_eos"] = True
    if "stream_options" in extras:
        body["stream_options"] = {"include_usage": True}
        if "continuous_usage_stats" in extras:
            body["stream_options"]["continuous_usage_stats"] = True
    return body


def _messages(request: Request) -> list[dict[str, str]]:
    said = (*request.before, Message("user", request.prompt))
    return [{"role": message.role, "content": message.content} for message in said]


def _text(request: Request) -> str:
    """For an API without roles: what was said, one after the other."""
    return "\n\n".join([*(message.content for message in request.before), request.prompt])


def chat(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    body = {"messages": _messages(request), **_openai(request, model, extras)}
    if top := _asks(request, extras):
        body |= {"logprobs": True, "top_logprobs": top}
    return body


def completions(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    body = {"prompt": _text(request), **_openai(request, model, extras)}
    if top := _asks(request, extras):
        body["logprobs"] = top
    return body


def read_openai(reply: Reply, said: dict[str, Any]) -> Seen:
    # llama.cpp and our engine; vLLM; Cerebras; Fireworks
    for word in ("timings", "metrics", "time_info", "perf_metrics"):
        reply.timed(said.get(word))
    usage = as_dict(said.get("usage")) or as_dict(as_dict(said.get("x_groq")).get("usage"))
    so_far = None
    if usage:
        reply.timed({name: value for name, value in usage.items() if name.endswith("_time")})
        so_far = as_count(usage.get("completion_tokens"))
        cached = as_dict(usage.get("prompt_tokens_details")).get("cached_tokens")
        reply.usage = Usage(
            prompt_tokens=as_count(usage.get("prompt_tokens")),
            completion_tokens=so_far,
            cached_tokens=as_count(usage.get("prompt_cache_hit_tokens", cached)),  # DeepSeek's word
            reasoning_tokens=as_count(
                as_dict(usage.get("completion_tokens_details")).get("reasoning_tokens")
            ),
        )
    if said.get("prompt_progress"):  # llama.cpp, while it reads the prompt
        return Seen("ping", 0)
    choices = as_dicts(said.get("choices"))
    if not choices:
        return Seen("usage", 0)
    kind = most([_choice(reply, choice) for choice in choices])
    # with n > 1 vLLM and SGLang count each choice for itself
    return reply.token(kind, so_far, as_count(choices[0].get("index")) or 0)


_REASONING = (  # DeepSeek, SGLang, llama.cpp; vLLM, Ollama; OpenRouter; Copilot; some proxies
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "reasoning_text",
    "thinking",
)


def _choice(reply: Reply, choice: dict[str, Any]) -> Kind:
    delta = as_dict(choice.get("delta")) or as_dict(choice.get("message"))
    reason = choice.get("finish_reason")
    if reason:
        reply.finish(reason, as_count(choice.get("index")) or 0)
    _likely(reply, as_dict(choice.get("logprobs")))
    content = choice.get("text") if "text" in choice else delta.get("content")
    parts = as_dicts(content)  # Mistral: text and thinking as parts
    if parts:
        content = "".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))
    content = content or delta.get("refusal") or content
    if content and isinstance(content, str):
        reply.text.append(content)
        return "content"
    if delta.get("tool_calls") or delta.get("function_call"):
        return "tool"
    if any(delta.get(word) for word in _REASONING) or any(part.get("thinking") for part in parts):
        return "reasoning"
    # An empty string with neither a role nor an end is a token without text (half a character, a
    # special token): vLLM sends those. Elsewhere it is the opening or the closing chunk.
    return "content" if content == "" and not delta.get("role") and not reason else "role"


def _likely(reply: Reply, said: dict[str, Any]) -> None:
    """What a choice says of its first token: as chat does (llama.cpp in completions, too; some
    count reasoning apart), or as completions do, in lists side by side."""
    for first in as_dicts(said.get("reasoning_content") or said.get("content"))[:1]:
        reply.likely(first, first.get("top_logprobs"))
    tokens, values, tops = (
        as_list(said.get(word))[:1] for word in ("tokens", "token_logprobs", "top_logprobs")
    )
    if tokens:
        chosen = {"token": tokens[0], "logprob": values[0] if values else None}
        reply.likely(chosen, tops[0] if tops else None)


# --- OpenAI Responses ----------------------------------------------------------------------------


def responses(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    # OpenAI refuses a limit below 16
    asked = _messages(request) if request.before else request.prompt
    body = {"input": asked, "max_output_tokens": max(request.max_tokens, 16)}
    more = {"temperature": 0.0} if "temperature" in extras else {}
    return {"model": model, "stream": True, **body, **more}


_DELTAS: dict[str, Kind] = {  # response.….delta
    "output_text": "content",
    "refusal": "content",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "reasoning",
    "function_call_arguments": "tool",
    "custom_tool_call_input": "tool",
    "mcp_call_arguments": "tool",
    "code_interpreter_call_code": "tool",
}


def read_responses(reply: Reply, said: dict[str, Any]) -> Seen:
    unstreamed = said.get("object") == "response"
    response = said if unstreamed else as_dict(said.get("response"))
    word = str(said.get("type")).removeprefix("response.")
    kind = _DELTAS.get(word.removesuffix(".delta"))
    if kind and word.endswith(".delta"):
        if kind == "content":
            reply.text.append(str(said.get("delta")))
        return reply.token(kind)
    if word == "output_item.added":  # a call's name is generated, too
        return reply.token(_item(reply, as_dict(said.get("item"))))
    if not unstreamed and word not in ("completed", "incomplete", "failed", "cancelled"):
        return Seen("role", 0)
    usage = as_dict(response.get("usage"))
    so_far = as_count(usage.get("output_tokens"))
    if usage:
        details = as_dict(usage.get("output_tokens_details"))
        reply.usage = Usage(
            prompt_tokens=as_count(usage.get("input_tokens")),
            completion_tokens=so_far,
            cached_tokens=as_count(as_dict(usage.get("input_tokens_details")).get("cached_tokens")),
            reasoning_tokens=as_count(details.get("reasoning_tokens")),
        )
    status = str(response.get("status") or word)
    if response.get("error") or status in ("failed", "cancelled"):
        return reply.fail(error_text(response.get("error") or f"the response is {status}"))
    reply.finish(as_dict(response.get("incomplete_details")).get("reason") or status)
    reply.done = True
    if unstreamed:
        items = as_dicts(response.get("output"))
        return reply.token(most([_item(reply, item) for item in items]), so_far)
    return Seen("usage", 0)


def _item(reply: Reply, item: dict[str, Any]) -> Kind:
    if str(item.get("type")).endswith("_call"):
        return "tool"
    text = [
        part["text"] for part in as_dicts(item.get("content")) if isinstance(part.get("text"), str)
    ]
    if item.get("type") == "message" and any(text):
        reply.text += text
        return "content"
    return "reasoning" if any(text) or item.get("summary") else "role"


# --- Anthropic Messages --------------------------------------------------------------------------


def anthropic(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    said = _messages(request)
    system = "\n\n".join(each["content"] for each in said if each["role"] == "system")
    body: dict[str, Any] = {
        "messages": [each for each in said if each["role"] != "system"],
        "max_tokens": request.max_tokens,
    }
    more: dict[str, Any] = {"temperature": 0.0} if "temperature" in extras else {}
    if system:
        more["system"] = system
    return {"model": model, "stream": True, **body, **more}


def read_anthropic(reply: Reply, said: dict[str, Any]) -> Seen:
    match said.get("type"):
        case "ping":
            return Seen("ping", 0)
        case "message_start":
            start = dict(as_dict(as_dict(said.get("message")).get("usage")))
            start.pop("output_tokens", None)  # 0 or 1, long before they are counted
            _count_anthropic(reply, start)
        case "content_block_start":
            return reply.token(_block(reply, as_dict(said.get("content_block"))))
        case "content_block_delta":
            return reply.token(_block(reply, as_dict(said.get("delta"))))
        case "message_delta":
            _count_anthropic(reply, as_dict(said.get("usage")))
            if reason := as_dict(said.get("delta")).get("stop_reason"):
                reply.finish(reason)
            return Seen("usage", 0)
        case "message_stop":
            reply.done = True
            return Seen("done", 0)
        case "message":  # unstreamed
            _count_anthropic(reply, as_dict(said.get("usage")))
            reply.finish(said.get("stop_reason"))
            kind = most([_block(reply, block) for block in as_dicts(said.get("content"))])
            return reply.token(kind, reply.counts.get("output_tokens"))
    return Seen("role", 0)


def _count_anthropic(reply: Reply, said: dict[str, Any]) -> None:
    """Usage comes in parts, each cumulative; some servers send 0 for what they said before."""
    for name, value in said.items():
        if (count := as_count(value)) is not None:
            reply.counts[name] = max(count, reply.counts.get(name, 0))
    counts = reply.counts
    cached = counts.get("cache_read_input_tokens")
    fresh = counts.get("input_tokens")
    written = counts.get("cache_creation_input_tokens", 0)
    reply.usage = Usage(
        prompt_tokens=None if fresh is None else as_count(fresh + written + (cached or 0)),
        completion_tokens=counts.get("output_tokens"),
        cached_tokens=cached,
    )


def _block(reply: Reply, block: dict[str, Any]) -> Kind:
    """A block of content, or a delta to one: they use the same words. A signature is no token."""
    kind, text = str(block.get("type")), block.get("text")
    if text and isinstance(text, str):
        reply.text.append(text)
        return "content"
    if block.get("thinking") or kind == "redacted_thinking":
        return "reasoning"
    return "tool" if block.get("partial_json") or kind.endswith("tool_use") else "role"


# --- Ollama --------------------------------------------------------------------------------------


def _ollama(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    options = {"num_predict": request.max_tokens, "temperature": 0.0}
    top = _asks(request, extras)
    more = {"logprobs": True, "top_logprobs": top} if top else {}
    return {"model": model, "stream": True, "options": options, **more}


def ollama_chat(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {**_ollama(request, model, extras), "messages": _messages(request)}


def ollama_generate(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {**_ollama(request, model, extras), "prompt": _text(request)}


def read_ollama(reply: Reply, said: dict[str, Any]) -> Seen:
    for first in as_dicts(said.get("logprobs"))[:1]:
        reply.likely(first, first.get("top_logprobs"))
    piece = as_dict(said.get("message")) or said
    text = piece.get("content", piece.get("response"))
    kind: Kind = "role"
    if text and isinstance(text, str):
        reply.text.append(text)
        kind = "content"
    elif piece.get("tool_calls"):
        kind = "tool"
    elif piece.get("thinking"):
        kind = "reasoning"
    if not said.get("done"):
        return reply.token("content" if text == "" and kind == "role" else kind)
    reply.finish(said.get("done_reason"))
    reply.timed({name: value for name, value in said.items() if name.endswith("_duration")})
    so_far = as_count(said.get("eval_count"))
    reply.usage = Usage(
        prompt_tokens=as_count(said.get("prompt_eval_count")), completion_tokens=so_far
    )
    return reply.token(kind, so_far) if kind != "role" else Seen("usage", 0)


# --- llama.cpp's own -----------------------------------------------------------------------------


def llamacpp(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if "ignore_eos" in extras and not request.may_stop:
        more["ignore_eos"] = True
    if top := _asks(request, extras):
        more["n_probs"] = top
    body = {"prompt": _text(request), "n_predict": request.max_tokens, "temperature": 0.0}
    return {**body, "stream": True, **more}


def read_llamacpp(reply: Reply, said: dict[str, Any]) -> Seen:
    reply.timed(said.get("timings"))
    if said.get("prompt_progress"):  # although it holds "tokens": [0]
        return Seen("ping", 0)
    for first in as_dicts(said.get("completion_probabilities"))[:1]:
        reply.likely(first, first.get("top_logprobs"))
    text, choice = said.get("content"), as_count(said.get("index")) or 0
    # Not the length of `tokens`: of a character that takes three it holds only the last.
    so_far = as_count(said.get("tokens_predicted"))
    if text and isinstance(text, str):
        reply.text.append(text)
    if not said.get("stop"):
        return reply.token("role" if text is None else "content", so_far, choice)
    reply.finish(said.get("stop_type"), choice)
    reply.usage = Usage(
        prompt_tokens=as_count(said.get("tokens_evaluated")),
        completion_tokens=so_far,
        cached_tokens=as_count(as_dict(said.get("timings")).get("cache_n")),
    )
    seen = reply.token("content" if text else "role", so_far, choice)
    return seen if seen.tokens != 0 else Seen("usage", 0)


# --- TGI's own -----------------------------------------------------------------------------------


def tgi(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"max_new_tokens": request.max_tokens, "details": True}
    if top := _asks(request, extras, _MOST_LOGPROBS_TGI):
        parameters["top_n_tokens"] = top
    return {"inputs": _text(request), "parameters": parameters, "stream": True}


def read_tgi(reply: Reply, said: dict[str, Any]) -> Seen:
    token, details = as_dict(said.get("token")), as_dict(said.get("details"))
    so_far = as_count(details.get("generated_tokens"))
    if details:
        reply.usage = Usage(
            prompt_tokens=as_count(details.get("input_length")), completion_tokens=so_far
        )
    whole = said.get("generated_text")
    if whole is not None:
        reply.finish(details.get("finish_reason"))
    if token:  # one an event, always
        if tops := as_dicts(said.get("top_tokens")):  # its own is told unasked
            reply.likely(token, tops)
        text = token.get("text")
        if isinstance(text, str) and not token.get("special"):
            reply.text.append(text)
        return reply.token("content", reply.so_far.get(0, 0) + 1)
    if isinstance(whole, str):  # unstreamed
        reply.text.append(whole)
        return reply.token("content", so_far)
    return Seen("role", 0)


# --- SGLang's own --------------------------------------------------------------------------------


def sglang(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    sampling: dict[str, Any] = {"max_new_tokens": request.max_tokens, "temperature": 0.0}
    if "ignore_eos" in extras and not request.may_stop:
        sampling["ignore_eos"] = True
    return {"text": _text(request), "sampling_params": sampling, "stream": True}


_SGLANG_TIMES = ("queue_time", "first_token_latency", "e2e_latency")


def read_sglang(reply: Reply, said: dict[str, Any]) -> Seen:
    meta, text = as_dict(said.get("meta_info")), said.get("text")
    if isinstance(text, str):  # all of it, each time
        reply.text[:] = [text]
    so_far = as_count(meta.get("completion_tokens"))
    if so_far is not None:
        reply.usage = Usage(
            prompt_tokens=as_count(meta.get("prompt_tokens")),
            completion_tokens=so_far,
            cached_tokens=as_count(meta.get("cached_tokens")),
        )
    if reason := meta.get("finish_reason"):
        reply.finish(reason)
        reply.timed({name: meta[name] for name in _SGLANG_TIMES if name in meta})
    if reply.error is not None:  # aborted
        return Seen("error", 0)
    seen = reply.token("content" if isinstance(text, str) else "role", so_far)
    return seen if seen.tokens != 0 else Seen("usage", 0)
