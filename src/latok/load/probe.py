"""What is at a URL, before any load: which models, how long a context, what fields it accepts.

Plain blocking requests with the standard library; nothing here is ever timed.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import local
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import msgspec

from latok.errors import TargetError, UsageError
from latok.load.socket import tls_context
from latok.records import Request, Usage
from latok.version import VERSION
from latok.wire.dialects import DIALECTS, EXTRAS, Dialect, error_text
from latok.wire.http1 import request_bytes
from latok.wire.sse import EventStream

_ENDPOINTS = tuple(row.path for row in DIALECTS.values())
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

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == {"http": 80, "https": 443}[self.scheme]
        return host if usual else f"{host}:{self.port}"

    def post(self, body: Mapping[str, Any]) -> bytes:
        """A request to the endpoint, as it goes to the socket."""
        headers = [
            ("Content-Type", "application/json"),
            ("Accept", "text/event-stream"),
            ("User-Agent", f"latok/{VERSION}"),
            *self.headers,
        ]
        return request_bytes("POST", self.path, self.authority, headers, msgspec.json.encode(body))


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the probe learnt. `accepts`: the extras of the dialect that the target does not refuse.

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
    for endpoint in _ENDPOINTS:
        if base.endswith((endpoint, endpoint.removeprefix("/v1"))):
            path = path or base
            base = base.removesuffix(endpoint.removeprefix("/v1"))
    return Site(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or {"http": 80, "https": 443}[parts.scheme],
        base=base.removesuffix("/v1"),
        path=path or "",
        headers=tuple(headers),
        ca=ca,
    )


class _Talk:
    """Short conversations with one site; connections are kept, one for each thread."""

    def __init__(self, where: Site) -> None:
        self._site = where
        self._local = local()
        self._context = tls_context(where.ca) if where.scheme == "https" else None

    def ask(
        self, method: str, path: str, body: Any = None, *, patience: float = 20.0
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body. Raises TargetError if there is no answer."""
        headers = {"User-Agent": f"latok/{VERSION}", **dict(self._site.headers)}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        for attempt in (1, 2):  # a kept connection may have been closed meanwhile
            connection, fresh = self._connection(patience)
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                named = {k.lower(): v for k, v in answer.getheaders()}
                return answer.status, named, answer.read()
            except (http.client.HTTPException, OSError) as why:
                connection.close()
                self._local.connection = None
                if fresh or attempt == 2:
                    raise TargetError(_unreachable(self._site, why)) from None
        raise AssertionError("unreachable")

    def _connection(self, patience: float) -> tuple[http.client.HTTPConnection, bool]:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            return kept, False
        where = self._site
        if self._context is not None:
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                where.host, where.port, timeout=patience, context=self._context
            )
        else:
            made = http.client.HTTPConnection(where.host, where.port, timeout=patience)
        self._local.connection = made
        return made, True


def _unreachable(where: Site, why: Exception) -> str:
    if isinstance(why, ssl.SSLError):
        return f"TLS with {where.url} failed: {getattr(why, 'verify_message', '') or why.reason}"
    if isinstance(why, TimeoutError):
        return f"{where.url} does not answer"
    if isinstance(why, OSError):
        return f"cannot reach {where.url}: {why.strerror or why}"
    return f"{where.url} does not speak HTTP: {type(why).__name__} {why}".rstrip()


def find(
    where: Site,
    request: Request,
    *,
    model: str | None = None,
    dialect: str | None = None,
    body: Mapping[str, Any] | None = None,
) -> Found:
    """Asks for the models, then sends `request` once, with ever fewer extras until it is accepted.

    Raises TargetError if nothing there answers like a language model.
    """
    talk = _Talk(where)
    named, context = _model(talk, where, model)
    rows = [DIALECTS[dialect]] if dialect else list(DIALECTS.values())
    if where.path and not dialect:
        rows = [r for r in rows if where.path.endswith(r.path.removeprefix("/v1"))] or rows[:1]
    refusals = []
    for row in rows:
        path = where.path or where.base + row.path
        found = _accepted(talk, row, path, named, body or {}, request)
        if isinstance(found, str):
            refusals.append(f"POST {path}: {found}")
            continue
        accepts, usage, server, seconds = found
        return Found(
            model=named,
            dialect=row,
            site=replace(where, path=path),
            accepts=accepts,
            context=context,
            usage=usage,
            server=server,
            seconds=seconds,
        )
    raise TargetError(f"{where.url} does not serve a model: {'; '.join(refusals)}")


def _model(talk: _Talk, where: Site, model: str | None) -> tuple[str, int | None]:
    """The model to ask for, and its context if the list says; the list's first by default."""
    status, _, body = talk.ask("GET", where.base + "/v1/models")
    listed: list[dict[str, Any]] = []
    if status == 200:
        try:
            said = msgspec.json.decode(body)
            listed = [row for row in said.get("data", []) if isinstance(row, dict)]
        except (msgspec.DecodeError, AttributeError):
            listed = []
    if model is None:
        if not listed:
            hint = "does it need a key (--key-env)?" if status in (401, 403) else "name a --model"
            raise TargetError(f"{where.url}/v1/models lists no model (HTTP {status}); {hint}")
        model = str(listed[0].get("id"))
    row = next((row for row in listed if row.get("id") == model), {})
    meta = row.get("meta") or {}  # llama.cpp says it there: per slot it is n_ctx
    context = row.get("max_model_len") or meta.get("n_ctx") or meta.get("n_ctx_train")
    return model, int(context) if isinstance(context, int) else None


def _accepted(
    talk: _Talk,
    dialect: Dialect,
    path: str,
    model: str,
    more: Mapping[str, Any],
    request: Request,
) -> tuple[frozenset[str], Usage | None, str, float] | str:
    """Which extras pass, and what the answer said; or, as a text, why nothing passes."""
    extras = list(EXTRAS)
    while True:
        body = {**dialect.body(request, model, set(extras)), **more}
        before = monotonic()
        status, headers, answer = talk.ask("POST", path, body, patience=_PATIENCE)
        if status == 200:
            reply = dialect.reply()
            if headers.get("content-type", "").startswith("application/json"):
                reply.whole(answer)
            else:
                stream = EventStream()
                for event in stream.feed(answer) + stream.end():
                    reply.see(event)
            if reply.error or not reply.ended:
                return reply.error.text if reply.error else "the answer is not a stream of tokens"
            server = headers.get("server", "")
            return frozenset(extras), reply.usage, server, monotonic() - before
        text = _said(answer)
        if status not in (400, 422) or not extras:
            return f"HTTP {status} {text}".strip()
        # drop what the refusal names, else the richest that is left
        named = [extra for extra in extras if re.search(rf"\b{extra}\b", text)]
        for extra in named or extras[:1]:
            extras.remove(extra)


def _said(body: bytes) -> str:
    try:
        return error_text(msgspec.json.decode(body))[:200]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:80].decode("utf-8", "replace").replace("\n", " ")


# --- the target's own tokeniser ------------------------------------------------------------------


@contextmanager
def tokeniser(found: Found) -> Iterator[Any]:
    """A function from texts to their counts of tokens, or None if the target counts for nobody.

    vLLM, SGLang and our engines take `prompt`, llama.cpp takes `content`; both are tried once.
    """
    talk, path = _Talk(found.site), found.site.base + "/tokenize"
    for word in ("prompt", "content"):
        # llama.cpp answers a body without its word, too: with no tokens at all
        if not _count(talk, path, word, found.model, "one two three"):
            continue
        with ThreadPoolExecutor(8) as pool:

            def count(texts: Sequence[str], word: str = word) -> list[int]:
                counts = list(pool.map(lambda t: _count(talk, path, word, found.model, t), texts))
                if any(n is None for n in counts):
                    raise TargetError(f"{found.site.url}/tokenize stopped answering")
                return [n or 0 for n in counts]

            yield count
        return
    yield None


def _count(talk: _Talk, path: str, word: str, model: str, text: str) -> int | None:
    body = {"model": model, word: text, "add_special_tokens": False}
    try:
        status, _, answer = talk.ask("POST", path, body)
        said = msgspec.json.decode(answer) if status == 200 else {}
    except (TargetError, msgspec.DecodeError):
        return None
    if not isinstance(said, dict):
        return None
    if isinstance(said.get("count"), int):
        return int(said["count"])
    return len(said["tokens"]) if isinstance(said.get("tokens"), list) else None
