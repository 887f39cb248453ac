"""The dialects: one row for each way in which an API is spoken.

Its `body` and `read` are of `latok.wire.apis`; `unstreamed` and `with_effort` say what two levers
make of a body. A `Reply` is shown each event of one response and keeps what they say together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, NamedTuple

from latok.errors import UsageError
from latok.records import Request
from latok.wire import apis
from latok.wire.reply import Reply, Seen, as_dict
from latok.wire.sse import EventStream, Lines

# How much a model shall think: what OpenAI, Anthropic and Ollama all have.
EFFORTS = ("low", "medium", "high")


class Dialect(NamedTuple):
    """One way to speak: where to post, what, and how to read the answer.

    `split`: what cuts the answer's body into events. `key`: the header that an API key goes in
    (`Authorization` as a bearer). `headers`: what the API wants besides. `streams_only`: its path
    gives nothing but streams. `effort`: the names, from the outside in, under which it takes how
    much to think.
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
    streams_only: bool = False
    effort: tuple[str, ...] = ()

    def unstreamed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same request, whose answer comes in one piece. OpenAI and vLLM refuse
        `stream_options` without a stream. Raises UsageError where the answer is always a stream."""
        if self.streams_only:
            raise UsageError(f"stream=off: {self.path} always streams")
        kept = {name: value for name, value in body.items() if name != "stream_options"}
        return {**kept, "stream": False}

    def with_effort(self, body: Mapping[str, Any], level: str) -> dict[str, Any]:
        """The same request, with how much to think: a word of `EFFORTS`. A model that does not
        think may ignore it (Ollama) or refuse it. Raises UsageError where the API has no such
        field."""
        if not self.effort:
            having = ", ".join(row.name for row in DIALECTS.values() if row.effort)
            raise UsageError(
                f"reasoning={level}: {self.name} has no field for it; there is {having}"
            )
        outer, *inner = self.effort
        if not inner:
            return {**body, outer: level}
        return {**body, outer: {**as_dict(body.get(outer)), inner[0]: level}}

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
            body=apis.chat,
            read=apis.read_openai,
            extras=apis.OPENAI,
            effort=("reasoning_effort",),
        ),
        Dialect(
            name="openai-completions",
            what="OpenAI completions",
            path="/v1/completions",
            body=apis.completions,
            read=apis.read_openai,
            extras=apis.OPENAI,
        ),
        Dialect(
            name="openai-responses",
            what="OpenAI Responses",
            path="/v1/responses",
            body=apis.responses,
            read=apis.read_responses,
            extras=("temperature",),
            effort=("reasoning", "effort"),
        ),
        Dialect(
            name="anthropic",
            what="Anthropic Messages",
            path="/v1/messages",
            body=apis.anthropic,
            read=apis.read_anthropic,
            extras=("temperature",),
            key="x-api-key",
            headers=(("anthropic-version", "2023-06-01"),),
            effort=("output_config", "effort"),
        ),
        Dialect(
            name="ollama-chat",
            what="Ollama chat",
            path="/api/chat",
            body=apis.ollama_chat,
            read=apis.read_ollama,
            extras=(apis.LOGPROBS,),
            split=Lines,
            effort=("think",),
        ),
        Dialect(
            name="ollama-generate",
            what="Ollama generate",
            path="/api/generate",
            body=apis.ollama_generate,
            read=apis.read_ollama,
            extras=(apis.LOGPROBS,),
            split=Lines,
            effort=("think",),
        ),
        Dialect(
            name="llamacpp",
            what="llama.cpp's own completion: without a chat template, tokens per chunk exact",
            path="/completion",
            body=apis.llamacpp,
            read=apis.read_llamacpp,
            extras=(apis.LOGPROBS, "ignore_eos"),
        ),
        Dialect(
            name="tgi",
            what="TGI's own generate_stream: without a chat template, one token an event",
            path="/generate_stream",
            body=apis.tgi,
            read=apis.read_tgi,
            extras=(apis.LOGPROBS,),
            streams_only=True,
        ),
        Dialect(
            name="sglang",
            what="SGLang's own generate: without a chat template, its times in each answer",
            path="/generate",
            body=apis.sglang,
            read=apis.read_sglang,
            extras=("ignore_eos",),
        ),
    )
}


def dialect_named(name: str) -> Dialect:
    """Raises UsageError, with the choices, for a name that is not in the table."""
    if name not in DIALECTS:
        raise UsageError(f"no dialect '{name}'; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]
