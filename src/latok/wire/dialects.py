"""How an API spells request, chunk, usage and error. Pure: values in, bytes or values out.

A dialect is a row of `DIALECTS`. Its `body` makes a request's JSON from a Request and the *extras*
that the target was found to accept (a server may refuse a field that another one needs). Its `read`
says what one JSON object of the answer means; a `Reply` is shown each event of one response and
keeps what they say together. What a server may send is anything, so a reader trusts no shape.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Set
from typing import Any, NamedTuple

import msgspec

from latok.errors import UsageError
from latok.records import Failure, Kind, Message, Request, Usage
from latok.wire.sse import PING, Event, EventStream, Lines

_LONGEST = 500  # characters of an error's text that are kept


class Seen(NamedTuple):
    """What one event was: its kind, and how many generated tokens it carried (None: not said)."""

    kind: Kind
    tokens: int | None


class Reply:
    """One response, event by event: what each was, and what they say of the whole."""

    def __init__(self, read: Callable[[Reply, dict[str, Any]], Seen]) -> None:
        self.text: list[str] = []
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.error: Failure | None = None
        self.timings: dict[str, Any] | None = None
        self.served = ""
        self.fingerprint = ""
        self.done = False
        self.so_far: dict[int, int] = {}  # tokens counted, by choice (there may be n > 1)
        self.counts: dict[str, int] = {}  # usage that comes in parts
        self._read = read
        self._uncounted = False
        self._finished: dict[int, bool] = {}

    @property
    def ended(self) -> bool:
        """Whether the server said that the answer is whole."""
        return self.done or (self.finish_reason is not None and all(self._finished.values()))

    @property
    def counted(self) -> bool:
        """Whether each chunk said its tokens."""
        return bool(self.so_far) and not self._uncounted

    def see(self, event: Event) -> Seen:
        """Classifies one event and keeps what it says of the whole response."""
        if event is PING or not event.data or event.data.isspace():
            return Seen("ping", 0)
        if event.data.startswith(b"[DONE]"):
            self.done = True
            return Seen("done", 0)
        try:
            said = msgspec.json.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = None
        if isinstance(said, dict):
            if said.get("error") or "error" in (event.name, said.get("type"), said.get("object")):
                return self.fail(error_text(said))
            self._named(said)
            return self._read(self, said)
        text = event.data[:_LONGEST].decode("utf-8", "replace")
        return self.fail(text, "in_band" if event.name == "error" else "garbage")

    def whole(self, body: bytes) -> list[Seen]:
        """A response that came as one JSON body although a stream was asked for."""
        seen = self.see(Event("", body))
        self.done = self.error is None
        return [seen]

    def _named(self, said: dict[str, Any]) -> None:
        """Keeps who answers: OpenAI and those like it say so in each chunk, Anthropic and Responses
        in the first."""
        within = _dict(said.get("message")) or _dict(said.get("response"))
        model = said.get("model") or within.get("model")
        if isinstance(model, str):
            self.served = model[:_LONGEST]
        if isinstance(mark := said.get("system_fingerprint"), str):
            self.fingerprint = mark[:_LONGEST]

    # what the readers below say

    def fail(self, text: str, kind: str = "in_band") -> Seen:
        """The first failure is the cause, the others follow from it."""
        self.error = self.error or Failure(kind, text[:_LONGEST])
        return Seen("error", 0)

    def finish(self, reason: Any, choice: int = 0) -> None:
        if isinstance(reason, dict):  # SGLang: {"type": "stop", "matched": 2}
            reason = reason.get("type")
        self.finish_reason = reason if isinstance(reason, str) else "stop"
        self._finished[choice] = True
        if reason in ("error", "abort"):  # OpenRouter; SGLang and vLLM
            self.fail(f"the server ended the answer with '{reason}'")

    def timed(self, said: Any) -> None:
        """Keeps the server's own timings, as it says them."""
        if isinstance(said, dict) and _shallow(said):
            self.timings = {**(self.timings or {}), **said}

    def token(self, kind: Kind, so_far: int | None = None, choice: int = 0) -> Seen:
        """A chunk of generated tokens; `so_far`: how many there are with it, if the server says.

        A chunk without text (`role`) is a token if the count has grown: one whose text is empty.
        """
        self._finished.setdefault(choice, False)
        before = self.so_far.get(choice, 0)
        grown = so_far is not None and so_far > before
        if kind == "role":
            if not (self.counted and grown):
                return Seen("role", 0)
            kind = "content"
        # A usage at the end counts all, not this chunk; one that is 0 beside text counts nothing.
        if so_far is None or self._uncounted or not (grown or self.so_far):
            self._uncounted = True
            return Seen(kind, None)
        self.so_far[choice] = max(so_far, before)
        return Seen(kind, self.so_far[choice] - before)


def error_text(said: Any) -> str:
    """The message in an error body, in the shapes that OpenAI, vLLM, FastAPI and others use."""
    while not isinstance(said, str):
        inner = None
        if isinstance(said, dict):
            inner = next((said[w] for w in ("error", "message", "detail", "msg") if said.get(w)), 0)
        elif isinstance(said, list):
            inner = said[0] if said else 0
        if not inner:
            return reprlib.repr(said)
        said = inner
    return said


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [_dict(item) for item in value] if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    """A count of tokens; None for what cannot be one (a Record stores it in 32 bits)."""
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def _shallow(value: Any, levels: int = 4) -> bool:
    """Whether a value is nested no deeper than any timings are: who stores it must not choke."""
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return True
    return levels > 0 and all(_shallow(item, levels - 1) for item in inner)


_WEIGHTS: dict[Kind, int] = {"content": 3, "tool": 2, "reasoning": 1, "role": 0}


def _most(kinds: Iterable[Kind]) -> Kind:
    """What several pieces in one chunk are together: visible text before all."""
    most: Kind = "role"
    for kind in kinds:
        most = max(most, kind, key=_WEIGHTS.__getitem__)
    return most


# --- OpenAI chat completions and completions -----------------------------------------------------

# Fields that a server may refuse, richest first. With none of them a request is as plain as the
# API's documentation has it.
_OPENAI = ("continuous_usage_stats", "stream_options", "ignore_eos", "temperature", "max_tokens")


def _openai(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    limit = "max_tokens" if "max_tokens" in extras else "max_completion_tokens"
    body: dict[str, Any] = {"model": model, "stream": True, limit: request.max_tokens}
    if "temperature" in extras:
        body["temperature"] = 0.0
    if "ignore_eos" in extras:
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


def _chat(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {"messages": _messages(request), **_openai(request, model, extras)}


def _completions(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {"prompt": _text(request), **_openai(request, model, extras)}


def _read_openai(reply: Reply, said: dict[str, Any]) -> Seen:
    # llama.cpp and our engine; vLLM; Cerebras; Fireworks
    for word in ("timings", "metrics", "time_info", "perf_metrics"):
        reply.timed(said.get(word))
    usage = _dict(said.get("usage")) or _dict(_dict(said.get("x_groq")).get("usage"))
    so_far = None
    if usage:
        reply.timed({name: value for name, value in usage.items() if name.endswith("_time")})
        so_far = _count(usage.get("completion_tokens"))
        cached = _dict(usage.get("prompt_tokens_details")).get("cached_tokens")
        reply.usage = Usage(
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=so_far,
            cached_tokens=_count(usage.get("prompt_cache_hit_tokens", cached)),  # DeepSeek's word
            reasoning_tokens=_count(
                _dict(usage.get("completion_tokens_details")).get("reasoning_tokens")
            ),
        )
    if said.get("prompt_progress"):  # llama.cpp, while it reads the prompt
        return Seen("ping", 0)
    choices = _dicts(said.get("choices"))
    if not choices:
        return Seen("usage", 0)
    kind = _most([_choice(reply, choice) for choice in choices])
    # with n > 1 vLLM and SGLang count each choice for itself
    return reply.token(kind, so_far, _count(choices[0].get("index")) or 0)


_REASONING = (  # DeepSeek, SGLang, llama.cpp; vLLM, Ollama; OpenRouter; Copilot; some proxies
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "reasoning_text",
    "thinking",
)


def _choice(reply: Reply, choice: dict[str, Any]) -> Kind:
    delta = _dict(choice.get("delta")) or _dict(choice.get("message"))
    reason = choice.get("finish_reason")
    if reason:
        reply.finish(reason, _count(choice.get("index")) or 0)
    content = choice.get("text") if "text" in choice else delta.get("content")
    parts = _dicts(content)  # Mistral: text and thinking as parts
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


# --- OpenAI Responses ----------------------------------------------------------------------------


def _responses(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
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


def _read_responses(reply: Reply, said: dict[str, Any]) -> Seen:
    unstreamed = said.get("object") == "response"
    response = said if unstreamed else _dict(said.get("response"))
    word = str(said.get("type")).removeprefix("response.")
    kind = _DELTAS.get(word.removesuffix(".delta"))
    if kind and word.endswith(".delta"):
        if kind == "content":
            reply.text.append(str(said.get("delta")))
        return reply.token(kind)
    if word == "output_item.added":  # a call's name is generated, too
        return reply.token(_item(reply, _dict(said.get("item"))))
    if not unstreamed and word not in ("completed", "incomplete", "failed", "cancelled"):
        return Seen("role", 0)
    usage = _dict(response.get("usage"))
    so_far = _count(usage.get("output_tokens"))
    if usage:
        details = _dict(usage.get("output_tokens_details"))
        reply.usage = Usage(
            prompt_tokens=_count(usage.get("input_tokens")),
            completion_tokens=so_far,
            cached_tokens=_count(_dict(usage.get("input_tokens_details")).get("cached_tokens")),
            reasoning_tokens=_count(details.get("reasoning_tokens")),
        )
    status = str(response.get("status") or word)
    if response.get("error") or status in ("failed", "cancelled"):
        return reply.fail(error_text(response.get("error") or f"the response is {status}"))
    reply.finish(_dict(response.get("incomplete_details")).get("reason") or status)
    reply.done = True
    if unstreamed:
        items = _dicts(response.get("output"))
        return reply.token(_most([_item(reply, item) for item in items]), so_far)
    return Seen("usage", 0)


def _item(reply: Reply, item: dict[str, Any]) -> Kind:
    if str(item.get("type")).endswith("_call"):
        return "tool"
    text = [
        part["text"] for part in _dicts(item.get("content")) if isinstance(part.get("text"), str)
    ]
    if item.get("type") == "message" and any(text):
        reply.text += text
        return "content"
    return "reasoning" if any(text) or item.get("summary") else "role"


# --- Anthropic Messages --------------------------------------------------------------------------


def _anthropic(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
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


def _read_anthropic(reply: Reply, said: dict[str, Any]) -> Seen:
    match said.get("type"):
        case "ping":
            return Seen("ping", 0)
        case "message_start":
            start = dict(_dict(_dict(said.get("message")).get("usage")))
            start.pop("output_tokens", None)  # 0 or 1, long before they are counted
            _count_anthropic(reply, start)
        case "content_block_start":
            return reply.token(_block(reply, _dict(said.get("content_block"))))
        case "content_block_delta":
            return reply.token(_block(reply, _dict(said.get("delta"))))
        case "message_delta":
            _count_anthropic(reply, _dict(said.get("usage")))
            if reason := _dict(said.get("delta")).get("stop_reason"):
                reply.finish(reason)
            return Seen("usage", 0)
        case "message_stop":
            reply.done = True
            return Seen("done", 0)
        case "message":  # unstreamed
            _count_anthropic(reply, _dict(said.get("usage")))
            reply.finish(said.get("stop_reason"))
            kind = _most([_block(reply, block) for block in _dicts(said.get("content"))])
            return reply.token(kind, reply.counts.get("output_tokens"))
    return Seen("role", 0)


def _count_anthropic(reply: Reply, said: dict[str, Any]) -> None:
    """Usage comes in parts, each cumulative; some servers send 0 for what they said before."""
    for name, value in said.items():
        if (count := _count(value)) is not None:
            reply.counts[name] = max(count, reply.counts.get(name, 0))
    counts = reply.counts
    cached = counts.get("cache_read_input_tokens")
    fresh = counts.get("input_tokens")
    written = counts.get("cache_creation_input_tokens", 0)
    reply.usage = Usage(
        prompt_tokens=None if fresh is None else _count(fresh + written + (cached or 0)),
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


def _ollama(request: Request, model: str) -> dict[str, Any]:
    options = {"num_predict": request.max_tokens, "temperature": 0.0}
    return {"model": model, "stream": True, "options": options}


def _ollama_chat(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {**_ollama(request, model), "messages": _messages(request)}


def _ollama_generate(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    return {**_ollama(request, model), "prompt": _text(request)}


def _read_ollama(reply: Reply, said: dict[str, Any]) -> Seen:
    piece = _dict(said.get("message")) or said
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
    so_far = _count(said.get("eval_count"))
    reply.usage = Usage(
        prompt_tokens=_count(said.get("prompt_eval_count")), completion_tokens=so_far
    )
    return reply.token(kind, so_far) if kind != "role" else Seen("usage", 0)


# --- llama.cpp's own -----------------------------------------------------------------------------


def _llamacpp(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    more = {"ignore_eos": True} if "ignore_eos" in extras else {}
    body = {"prompt": _text(request), "n_predict": request.max_tokens, "temperature": 0.0}
    return {**body, "stream": True, **more}


def _read_llamacpp(reply: Reply, said: dict[str, Any]) -> Seen:
    reply.timed(said.get("timings"))
    if said.get("prompt_progress"):  # although it holds "tokens": [0]
        return Seen("ping", 0)
    text, choice = said.get("content"), _count(said.get("index")) or 0
    # Not the length of `tokens`: of a character that takes three it holds only the last.
    so_far = _count(said.get("tokens_predicted"))
    if text and isinstance(text, str):
        reply.text.append(text)
    if not said.get("stop"):
        return reply.token("role" if text is None else "content", so_far, choice)
    reply.finish(said.get("stop_type"), choice)
    reply.usage = Usage(
        prompt_tokens=_count(said.get("tokens_evaluated")),
        completion_tokens=so_far,
        cached_tokens=_count(_dict(said.get("timings")).get("cache_n")),
    )
    seen = reply.token("content" if text else "role", so_far, choice)
    return seen if seen.tokens != 0 else Seen("usage", 0)


# --- TGI's own -----------------------------------------------------------------------------------


def _tgi(request: Request, model: str, extras: Set[str]) -> dict[str, Any]:
    parameters = {"max_new_tokens": request.max_tokens, "details": True}
    return {"inputs": _text(request), "parameters": parameters, "stream": True}


def _read_tgi(reply: Reply, said: dict[str, Any]) -> Seen:
    token, details = _dict(said.get("token")), _dict(said.get("details"))
    so_far = _count(details.get("generated_tokens"))
    if details:
        reply.usage = Usage(
            prompt_tokens=_count(details.get("input_length")), completion_tokens=so_far
        )
    whole = said.get("generated_text")
    if whole is not None:
        reply.finish(details.get("finish_reason"))
    if token:  # one an event, always
        text = token.get("text")
        if isinstance(text, str) and not token.get("special"):
            reply.text.append(text)
        return reply.token("content", reply.so_far.get(0, 0) + 1)
    if isinstance(whole, str):  # unstreamed
        reply.text.append(whole)
        return reply.token("content", so_far)
    return Seen("role", 0)


# --- the table -----------------------------------------------------------------------------------


class Dialect(NamedTuple):
    """One way to speak: where to post, what, and how to read the answer.

    `split`: what cuts the answer's body into events. `key`: the header that an API key goes in
    (`Authorization` as a bearer). `headers`: what the API wants besides.
    """

    name: str
    what: str
    path: str
    body: Callable[[Request, str, Set[str]], dict[str, Any]]
    read: Callable[[Reply, dict[str, Any]], Seen]
    extras: tuple[str, ...] = ()
    split: type[EventStream] | type[Lines] = EventStream
    key: str = "Authorization"
    headers: tuple[tuple[str, str], ...] = ()

    def reply(self) -> Reply:
        """A reader for one response."""
        return Reply(self.read)

    def splitter(self, content_type: str) -> EventStream | Lines | None:
        """What splits a body of that type; None: it is no stream, but one JSON value."""
        # where a line is a value, a body of one value is a line
        if self.split is EventStream and content_type.lower().startswith("application/json"):
            return None
        return self.split()


DIALECTS = {
    row.name: row
    for row in (
        Dialect(
            name="openai-chat",
            what="OpenAI chat completions",
            path="/v1/chat/completions",
            body=_chat,
            read=_read_openai,
            extras=_OPENAI,
        ),
        Dialect(
            name="openai-completions",
            what="OpenAI completions",
            path="/v1/completions",
            body=_completions,
            read=_read_openai,
            extras=_OPENAI,
        ),
        Dialect(
            name="openai-responses",
            what="OpenAI Responses",
            path="/v1/responses",
            body=_responses,
            read=_read_responses,
            extras=("temperature",),
        ),
        Dialect(
            name="anthropic",
            what="Anthropic Messages",
            path="/v1/messages",
            body=_anthropic,
            read=_read_anthropic,
            extras=("temperature",),
            key="x-api-key",
            headers=(("anthropic-version", "2023-06-01"),),
        ),
        Dialect(
            name="ollama-chat",
            what="Ollama chat",
            path="/api/chat",
            body=_ollama_chat,
            read=_read_ollama,
            split=Lines,
        ),
        Dialect(
            name="ollama-generate",
            what="Ollama generate",
            path="/api/generate",
            body=_ollama_generate,
            read=_read_ollama,
            split=Lines,
        ),
        Dialect(
            name="llamacpp",
            what="llama.cpp's own completion: without a chat template, tokens per chunk exact",
            path="/completion",
            body=_llamacpp,
            read=_read_llamacpp,
            extras=("ignore_eos",),
        ),
        Dialect(
            name="tgi",
            what="TGI's own generate_stream: without a chat template, one token an event",
            path="/generate_stream",
            body=_tgi,
            read=_read_tgi,
        ),
    )
}


def dialect_named(name: str) -> Dialect:
    """Raises UsageError, with the choices, for a name that is not in the table."""
    if name not in DIALECTS:
        raise UsageError(f"no dialect '{name}'; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]
