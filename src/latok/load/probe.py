"""What is at a URL, before any load: which models, how long a context, what fields it accepts.

Plain blocking requests with the standard library; nothing here is ever timed.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import local
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from latok.errors import TargetError, UsageError
from latok.load.proxy import Proxy, proxy_for
from latok.load.socket import tls_context
from latok.records import Request, Usage
from latok.version import VERSION
from latok.wire.apis import LOGPROBS
from latok.wire.dialects import DIALECTS, Dialect, dialect_named
from latok.wire.http1 import request_bytes
from latok.wire.reply import Reply, error_text

# What only one kind of server answers to GET, the word that is in it, and what to speak there, best
# first. llama.cpp's OpenAI paths say as much as its own and use the model's chat template.
_LANDMARKS = (
    ("/api/version", "version", ("ollama-chat", "ollama-generate")),
    ("/info", "model_id", ("tgi",)),
    ("/props", "default_generation_settings", ("openai-chat", "openai-completions", "llamacpp")),
)
# Elsewhere. A POST to a path that is not there costs a 404.
_USUAL = ("openai-chat", "openai-completions", "openai-responses", "anthropic")
_PATIENCE = 120.0  # seconds for the one probe request: a cold server may load its model first


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a target lives and what every request to it carries. Secrets stay in `headers`."""

    scheme: str
    host: str
    port: int
    base: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca: Path | None = None
    proxy: Proxy | None = None

    @property
    def peer(self) -> tuple[str, int]:
        """Host and port to connect to: the target's, or the proxy's."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    @property
    def tunnel(self) -> bytes:
        """What to ask the proxy for first: TLS goes through it unread."""
        through = self.proxy is not None and self.scheme == "https"
        return self.proxy.tunnel(self.host, self.port) if self.proxy and through else b""

    def asked_for(self, path: str) -> str:
        """What stands in the request line: a proxy that is no tunnel wants the whole URL."""
        whole = self.proxy is not None and self.scheme == "http"
        return f"http://{self.authority}{path}" if whole else path

    @property
    def dressing(self) -> tuple[tuple[str, str], ...]:
        """Headers of every request: the user's, and the plain proxy's."""
        plain = self.proxy.headers if self.proxy and self.scheme == "http" else ()
        return (*self.headers, *plain)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == {"http": 80, "https": 443}[self.scheme]
        return host if usual else f"{host}:{self.port}"

    @property
    def headers_sent(self) -> list[tuple[str, str]]:
        """Those of a request to the endpoint."""
        return [
            ("Content-Type", "application/json"),
            ("Accept", "text/event-stream"),
            ("User-Agent", f"latok/{VERSION}"),
            *self.dressing,
        ]

    def post(self, body: Mapping[str, Any]) -> bytes:
        """A request to the endpoint, as it goes to the socket."""
        encoded = msgspec.json.encode(body)
        path = self.asked_for(self.path)
        return request_bytes("POST", path, self.authority, self.headers_sent, encoded)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the probe learnt. `accepts`: the extras of the dialect that the target does not refuse;
    `logprobs` only if the probe asked for them and they came.

    `context`: tokens, None where it does not say. `usage`: of the probe's one request.
    `seconds`: that request's whole time, a first idea of the speed.
    """

    model: str
    dialect: Dialect
    site: Site
    accepts: frozenset[str]
    context: int | None
    usage: Usage | None
    server: str
    seconds: float


def site(
    url: str,
    *,
    path: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    ca: Path | None = None,
) -> Site:
    """Reads a URL: a server's root, its `/v1`, or the endpoint itself. Raises UsageError."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise UsageError(f"the port in '{url}' is not a number from 1 to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"'{url}' is not a URL; it would look like http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise UsageError("a password in the URL would end up in reports; use --key-env or --header")
    base = parts.path.rstrip("/")
    if row := _spoken_at(base):
        path = path or base
        base = base.removesuffix(_ending(row))
    return Site(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or {"http": 80, "https": 443}[parts.scheme],
        base=base.removesuffix("/v1"),
        path=path or "",
        headers=tuple(headers),
        ca=ca,
        proxy=proxy_for(parts.scheme, parts.hostname),
    )


def _ending(dialect: Dialect) -> str:
    return dialect.path.removeprefix("/v1")


def _spoken_at(path: str) -> Dialect | None:
    """The dialect whose endpoint a path ends with; the longest, if several."""
    fitting = [row for row in DIALECTS.values() if path.endswith(_ending(row))]
    return max(fitting, key=lambda row: len(row.path), default=None)


def _dressed(where: Site, dialect: Dialect) -> Site:
    """A site as a dialect wants to be asked: the key where it looks for it, and its own headers."""
    given = {name.lower() for name, _ in where.headers}
    own = [pair for pair in dialect.headers if pair[0] not in given]
    keyed = [
        (dialect.key, value.removeprefix("Bearer "))
        if name.lower() == "authorization" and dialect.key != "Authorization"
        else (name, value)
        for name, value in where.headers
    ]
    return replace(where, headers=(*keyed, *own))


class Conversation:
    """Short conversations with one site. A thread keeps its connection, until `close`."""

    def __init__(self, where: Site) -> None:
        self._site = where
        self._local = local()
        self._open: set[http.client.HTTPConnection] = set()
        self._context = tls_context(where.ca) if where.scheme == "https" else None

    def ask(
        self, method: str, path: str, body: Any = None, *, patience: float = 20.0
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body. Raises TargetError if there is no answer."""
        headers = {"User-Agent": f"latok/{VERSION}", **dict(self._site.dressing)}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        for attempt in (1, 2):  # a kept connection may have been closed meanwhile
            connection, fresh = self._connection(patience)
            try:
                connection.request(method, self._site.asked_for(path), data, headers)
                answer = connection.getresponse()
                named = {k.lower(): v for k, v in answer.getheaders()}
                return answer.status, named, answer.read()
            except (http.client.HTTPException, OSError) as why:
                connection.close()
                self._open.discard(connection)
                self._local.connection = None
                if fresh or attempt == 2:
                    raise TargetError(_unreachable(self._site, why)) from None
        raise AssertionError("unreachable")

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    def _connection(self, patience: float) -> tuple[http.client.HTTPConnection, bool]:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            return kept, False
        where = self._site
        host, port = where.peer
        if self._context is not None:
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=patience, context=self._context
            )
        else:
            made = http.client.HTTPConnection(host, port, timeout=patience)
        if where.proxy is not None and where.tunnel:
            made.set_tunnel(where.host, where.port, dict(where.proxy.headers))
        self._local.connection = made
        self._open.add(made)
        return made, True


def _unreachable(where: Site, why: Exception) -> str:
    if isinstance(why, ssl.SSLError):
        return f"TLS with {where.url} failed: {getattr(why, 'verify_message', '') or why.reason}"
    if isinstance(why, TimeoutError):
        return f"{where.url} does not answer"
    if isinstance(why, OSError):
        through = f" through the proxy {where.proxy.url}" if where.proxy else ""
        return f"cannot reach {where.url}{through}: {why.strerror or why}"
    return f"{where.url} does not speak HTTP: {type(why).__name__} {why}".rstrip()


def find(
    where: Site,
    request: Request,
    *,
    model: str | None = None,
    dialect: str | None = None,
    body: Mapping[str, Any] | None = None,
) -> Found:
    """Asks what is served, then sends `request` once, with ever fewer extras until it is accepted.

    The dialect is the one that is named, or that the path tells, or the first that is understood.
    Raises TargetError if nothing there answers like a language model.
    """
    named = dialect_named(dialect) if dialect else _spoken_at(where.path)
    refusals = []
    with closing(Conversation(_dressed(where, named) if named else where)) as talk:
        told = _Told(talk, where)
        rows = [named] if named else _worth_trying(told)
        model = model or told.model()
        for row in rows:
            place = replace(_dressed(where, row), path=where.path or where.base + row.path)
            found = _accepted(place, row, model, body or {}, request)
            if isinstance(found, str):
                refusals.append(f"POST {place.path}: {found}")
                continue
            accepts, usage, server, seconds = found
            return Found(
                model=model,
                dialect=row,
                site=place,
                accepts=accepts,
                context=told.context(model, row),
                usage=usage,
                server=server,
                seconds=seconds,
            )
    there = [text for text in refusals if not re.search(": HTTP 40[45]", text)]
    raise TargetError(f"{where.url} does not serve a model: {'; '.join(there or refusals[:2])}")


def model_at(where: Site, dialect: str | None = None) -> str:
    """The first model that a site lists, which costs nothing to ask. Raises TargetError."""
    named = dialect_named(dialect) if dialect else _spoken_at(where.path)
    with closing(Conversation(_dressed(where, named) if named else where)) as talk:
        return _Told(talk, where).model()


def _worth_trying(told: _Told) -> list[Dialect]:
    for path, word, names in _LANDMARKS:
        if word in told.at(path):
            return [DIALECTS[name] for name in dict.fromkeys((*names, *_USUAL))]
    return [DIALECTS[name] for name in _USUAL]


class _Told:
    """What a site says of its models, wherever servers of its kind say it; each is asked once."""

    def __init__(self, talk: Conversation, where: Site) -> None:
        self._where = where
        self._talk = talk
        self._answers: dict[str, dict[str, Any]] = {}
        self._status: dict[str, int] = {}

    def at(self, path: str, body: Any = None) -> dict[str, Any]:
        """The JSON object there; empty if there is none. Raises TargetError if nobody answers."""
        if path not in self._answers:
            method = "GET" if body is None else "POST"
            status, _, answer = self._talk.ask(method, self._where.base + path, body)
            self._answers[path] = _object(answer) if status == 200 else {}
            self._status[path] = status
        return self._answers[path]

    def model(self) -> str:
        """The first model that is listed. Raises TargetError if none is."""
        names = (
            [row.get("id") for row in _rows(self.at("/v1/models").get("data"))]
            or [row.get("name") for row in _rows(self.at("/api/tags").get("models"))]
            or [self.at("/info").get("model_id"), self.at("/props").get("model_path")]
        )
        for name in names:
            if isinstance(name, str):
                return name
        status = self._status["/v1/models"]
        hint = "does it need a key (--key-env)?" if status in (401, 403) else "name a --model"
        raise TargetError(f"{self._where.url}/v1/models lists no model (HTTP {status}); {hint}")

    def context(self, model: str, dialect: Dialect) -> int | None:
        """How many tokens prompt and answer may have together, if the site says."""
        if dialect.name.startswith("ollama"):
            return self._ollama_context(model)
        if dialect.name == "tgi":
            return _whole(self.at("/info").get("max_total_tokens"))
        listed = _rows(self.at("/v1/models").get("data"))
        row = next((row for row in listed if row.get("id") == model), {})
        meta = _dict(row.get("meta"))  # llama.cpp's; there n_ctx is that of one slot
        told = _whole(row.get("max_model_len")) or _whole(meta.get("n_ctx"))
        if told is None and (meta or dialect.name == "llamacpp"):
            settings = _dict(self.at("/props").get("default_generation_settings"))
            told = _whole(settings.get("n_ctx")) or _whole(meta.get("n_ctx_train"))
        return told

    def _ollama_context(self, model: str) -> int | None:
        """Of the model as it is loaded; else as its file sets it; else what it was made for.

        Ollama cuts a longer prompt without a word, and by default loads far less than the last.
        """
        for row in _rows(self.at("/api/ps").get("models")):
            if model in (row.get("name"), row.get("model")) and row.get("context_length"):
                return _whole(row["context_length"])
        shown = self.at("/api/show", {"model": model})
        if found := re.search(r"^num_ctx\s+(\d+)", str(shown.get("parameters")), re.M):
            return int(found[1])
        info = _dict(shown.get("model_info"))
        return next((_whole(info[key]) for key in info if key.endswith(".context_length")), None)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return _dict(said)


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _accepted(
    place: Site, dialect: Dialect, model: str, more: Mapping[str, Any], request: Request
) -> tuple[frozenset[str], Usage | None, str, float] | str:
    """Which extras pass, and what the answer said; or, as a text, why nothing passes."""
    extras = [e for e in dialect.extras if e != LOGPROBS or request.top_logprobs]
    while True:
        body = {**dialect.body(request, model, set(extras)), **more}
        before = monotonic()
        with closing(Conversation(place)) as talk:
            answer = heard(talk, place, dialect, body)
        reply = answer.reply
        if reply is not None:
            if reply.error or not reply.ended:
                return reply.error.text if reply.error else "the answer is not a stream of tokens"
            server = answer.headers.get("server", "")
            if reply.first is None and LOGPROBS in extras:  # taken, and passed over
                extras.remove(LOGPROBS)
            return frozenset(extras), reply.usage, server, monotonic() - before
        if answer.status not in (400, 422) or not extras:
            return f"HTTP {answer.status} {answer.said}".strip()
        # drop what the refusal names, else the richest that is left
        named = [extra for extra in extras if re.search(rf"\b{extra}\b", answer.said)]
        for extra in named or extras[:1]:
            extras.remove(extra)


class Heard(NamedTuple):
    """What came back: a `reply`, or None where the status is not 200, and then what was `said`."""

    status: int
    headers: Mapping[str, str]
    reply: Reply | None
    said: str = ""


def heard(talk: Conversation, place: Site, dialect: Dialect, body: Mapping[str, Any]) -> Heard:
    """Asks once, and reads all of the answer. Raises TargetError if there is none."""
    status, headers, answer = talk.ask("POST", place.path, body, patience=_PATIENCE)
    if status != 200:
        return Heard(status, headers, None, _said(answer))
    reply = dialect.reply()
    stream = dialect.splitter(headers.get("content-type", ""))
    if stream is None:
        reply.whole(answer)
    else:
        for event in stream.feed(answer) + stream.end():
            reply.see(event)
    return Heard(status, headers, reply)


def _said(body: bytes) -> str:
    try:
        return error_text(msgspec.json.decode(body))[:200]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:80].decode("utf-8", "replace").replace("\n", " ")


# --- the target's own tokeniser ------------------------------------------------------------------


@contextmanager
def tokeniser(found: Found) -> Iterator[Any]:
    """A function from texts to their counts of tokens, or None if the target counts for nobody.

    vLLM, SGLang and our engines take `prompt`, llama.cpp `content`, TGI `inputs`; each is tried.
    """
    path = found.site.base + "/tokenize"
    with closing(Conversation(found.site)) as talk:
        for word in ("prompt", "content", "inputs"):
            # llama.cpp answers a body without its word, too: with no tokens at all
            if not _count(talk, path, word, found.model, "one two three"):
                continue
            with ThreadPoolExecutor(8) as pool:

                def count(texts: Sequence[str], word: str = word) -> list[int]:
                    each = pool.map(lambda t: _count(talk, path, word, found.model, t), texts)
                    counts = list(each)
                    if any(n is None for n in counts):
                        raise TargetError(f"{found.site.url}/tokenize stopped answering")
                    return [n or 0 for n in counts]

                yield count
            return
        yield None


def _count(talk: Conversation, path: str, word: str, model: str, text: str) -> int | None:
    body = {"model": model, word: text, "add_special_tokens": False}
    try:
        status, _, answer = talk.ask("POST", path, body)
        said = msgspec.json.decode(answer) if status == 200 else None
    except (TargetError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(said, dict) and isinstance(said.get("count"), int):
        return int(said["count"])
    tokens = said.get("tokens") if isinstance(said, dict) else said  # TGI gives the list alone
    return len(tokens) if isinstance(tokens, list) else None
