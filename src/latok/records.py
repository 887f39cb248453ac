"""What everything makes or reads: a Request, the Record of what came back, the Manifest of a run.

Only what was seen is stored; every metric is derived from it (`latok.analysis.metrics`).
Times are seconds from the start of the run, whose wall-clock time the Manifest holds.

On disk a run is a folder: `manifest.json`, and `records.parquet` (one row per request, its chunks
as lists). While it is measured there is `captures.log` instead (`latok.wire.capture`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from latok.errors import UsageError

Kind = Literal["role", "content", "reasoning", "tool", "usage", "ping", "error", "done"]
TOKEN_KINDS: frozenset[Kind] = frozenset({"content", "reasoning", "tool"})
VISIBLE_KINDS: frozenset[Kind] = frozenset({"content", "tool"})


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Something said in a conversation; `role` is `system`, `user` or `assistant`. `example`: it is
    of a worked question, which only shows how to answer; no target is told."""

    role: str
    content: str
    example: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to ask. `prompt_tokens`: as many as we meant to send, by the target's tokeniser.

    `prompt` is what the user says last; `before`, what was said before it. A session's requests are
    numbered by `turn`, from 0. `top_logprobs`: of how many of the likeliest tokens to ask the
    log-probabilities, where the target gives them; 0: not to ask. `may_stop`: the answer ends where
    the model ends it; else at `max_tokens`, where the target can be told so.
    """

    id: int
    prompt: str
    prompt_tokens: int
    max_tokens: int
    app: str = ""
    session: str = ""
    turn: int = 0
    before: tuple[Message, ...] = ()
    top_logprobs: int = 0
    may_stop: bool = False


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """What a session asks after an answer: a text of about `tokens`, `think` seconds after it."""

    text: str
    tokens: int
    max_tokens: int
    think: float


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """What came in one event.

    `at`: arrival, seconds from the start of the run. `tokens`: generated tokens in it, None if the
    target does not say. `coalesced`: it shared a read with another event. `doubt`: it may have
    arrived up to this many seconds earlier (METRICS, instrument error). `lag`: from its arrival in
    the kernel to our read, seconds.
    """

    at: float
    tokens: int | None
    kind: Kind
    coalesced: bool = False
    doubt: float = 0.0
    lag: float = 0.0

    @property
    def is_token(self) -> bool:
        """Whether it carries at least one generated token (or an unknown number of them)."""
        return self.kind in TOKEN_KINDS and self.tokens != 0


class Failure(msgspec.Struct, frozen=True):
    """Why a request did not succeed: a short kind (`http`, `reset`, `timeout`, …) and the text."""

    kind: str
    text: str


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the server said them, normalised: input includes what was cached."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Connection(msgspec.Struct, frozen=True):
    """How the request's connection came to be; `connect` and `tls` in seconds, None if reused."""

    reused: bool = True
    connect: float | None = None
    tls: float | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything seen of one request. A failed request is a Record with an `error`.

    `due`: when it was wanted (closed loop: when its slot became free). `sent_first`, `sent_last`:
    clock just before the first byte was given to the kernel, just after the last. None: never sent.
    `retry_after`: seconds. `rate_limits`: the headers in which the target states its limits.
    `served`, `fingerprint`: the model and the system's fingerprint as the answer names them.
    `built`: seconds that it took to build it late, because it depends on an answer. The text itself
    is kept only where the manifest says so: `first_sentence_at` and `first_line_at` are when the
    user had its first sentence, and its first line (of code, if it holds any). `first_token`: the
    log-probabilities of the likeliest first tokens, where they were asked for and came.
    `answered_by`: the id of the request whose answer this is, out of a cache in the client; what
    `usage` says was then paid for that one, and the times are those of the look-up.
    """

    id: int
    app: str
    prompt_tokens: int
    max_tokens: int
    due: float
    session: str = ""
    turn: int = 0
    sent_first: float | None = None
    sent_last: float | None = None
    headers_at: float | None = None
    closed_at: float | None = None
    status: int | None = None
    error: Failure | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    token_source: str = "unknown"
    server_timings: dict[str, Any] | None = None
    retry_after: float | None = None
    rate_limits: dict[str, str] | None = None
    connection: Connection = Connection()
    text_hash: str = ""
    text: str | None = None
    built: float | None = None
    first_sentence_at: float | None = None
    first_line_at: float | None = None
    served: str = ""
    fingerprint: str = ""
    first_token: dict[str, float] | None = None
    answered_by: int | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def ok(self) -> bool:
        return self.error is None


class Closed(msgspec.Struct, frozen=True, tag_field="mode", tag="closed"):
    """So many at a time, the next when one is done."""

    concurrency: int

    def __str__(self) -> str:
        return f"{self.concurrency} at a time"


class Open(msgspec.Struct, frozen=True, tag_field="mode", tag="open"):
    """So many requests a second, however long they take."""

    rate: float
    arrivals: str = "poisson"

    def __str__(self) -> str:
        return f"{self.rate:g} a second ({self.arrivals})"


Load = Closed | Open


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, without secrets. `proxy`: its URL, if one stood between."""

    name: str
    url: str
    model: str
    dialect: str
    server: str = ""
    proxy: str = ""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens, for requests of more than `above_input_tokens` tokens."""

    usd_per_million_input: float
    usd_per_million_cached: float
    usd_per_million_output: float
    above_input_tokens: int = 0


class Hosted(msgspec.Struct, frozen=True, kw_only=True, tag_field="billed", tag="by_token"):
    """What a provider asks. `rates`: one, or several by the length of the prompt, the first from 0.
    `source`: who says so."""

    rates: tuple[Rate, ...]
    usd_per_request: float = 0.0
    source: str = "as given"


class Owned(msgspec.Struct, frozen=True, kw_only=True, tag_field="billed", tag="by_hour"):
    """What the hardware under the target costs, busy or not."""

    usd_per_hour: float


Prices = Hosted | Owned


class EnergyUse(msgspec.Struct, frozen=True, kw_only=True):
    """Joules that were used in the window, and who measured them."""

    joules: float
    source: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's records mean. `window` is the steady part, seconds from the run's start.

    `client_cpu_s`: CPU time of the driver's processes in the window. `client_stall_s`: the longest
    that their loop was away from its sockets there, None where that is not known. `prices`: as they
    were when it was measured, None where they are not known. `ended_by`: what ended the window,
    where it could end as soon as enough was known. `texts`: the records keep what was answered.
    """

    id: str
    target: Target
    app: str
    slo: str
    load: Load
    levers: dict[str, Any]
    workload: dict[str, Any]
    seed: int
    started_at: float
    window: tuple[float, float] | None
    ended: Literal["complete", "interrupted", "unfinished"]
    clock_step: float
    kernel_stamps: bool
    client_cpu_s: float
    command: str
    versions: dict[str, str]
    processes: int = 1
    client_stall_s: float | None = None
    prices: Prices | None = None
    energy: EnergyUse | None = None
    ended_by: str = ""
    texts: bool = False
    schema: str = "latok.run/1"


# --- a run on disk -------------------------------------------------------------------------------

MANIFEST = "manifest.json"
RECORDS = "records.parquet"
_CHUNK_COLUMNS = Chunk.__struct_fields__
_AS_JSON = ("server_timings", "rate_limits", "first_token")
_ROWS_PER_GROUP, _CHUNKS_PER_GROUP = 1024, 50_000  # whichever comes first


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes beside and renames, so that a reader never meets half a manifest."""
    beside = folder / (MANIFEST + ".part")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    beside.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Raises UsageError if there is no run in `folder`, or not one that this version can read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as why:
        raise UsageError(f"no run in {folder}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / MANIFEST} is not a manifest of latok: {why}") from None


def _schema() -> Any:
    import pyarrow as pa

    chunk_types = {"tokens": pa.int32(), "kind": pa.string(), "coalesced": pa.bool_()}
    return pa.schema(
        [
            ("id", pa.int64()),
            ("app", pa.string()),
            ("prompt_tokens", pa.int32()),
            ("max_tokens", pa.int32()),
            ("due", pa.float64()),
            ("session", pa.string()),
            ("turn", pa.int32()),
            *((name, pa.float64()) for name in ("sent_first", "sent_last", "headers_at")),
            ("closed_at", pa.float64()),
            ("status", pa.int32()),
            ("error_kind", pa.string()),
            ("error_text", pa.string()),
            ("finish_reason", pa.string()),
            *((f"usage_{name}", pa.int32()) for name in Usage.__struct_fields__),
            ("token_source", pa.string()),
            *((name, pa.string()) for name in _AS_JSON),
            ("retry_after", pa.float64()),
            ("connection_reused", pa.bool_()),
            ("connection_connect", pa.float64()),
            ("connection_tls", pa.float64()),
            ("text_hash", pa.string()),
            ("text", pa.string()),
            *((name, pa.float64()) for name in ("built", "first_sentence_at", "first_line_at")),
            *((name, pa.string()) for name in ("served", "fingerprint")),
            ("answered_by", pa.int64()),
            *(
                (f"chunk_{name}", pa.list_(chunk_types.get(name, pa.float64())))
                for name in _CHUNK_COLUMNS
            ),
        ]
    )


def _row(record: Record) -> dict[str, Any]:
    plain = {
        name: getattr(record, name)
        for name in Record.__struct_fields__
        if name not in ("error", "usage", "connection", "chunks", *_AS_JSON)
    }
    error, usage = record.error, record.usage
    plain["error_kind"] = error and error.kind
    plain["error_text"] = error and error.text
    for name in Usage.__struct_fields__:
        plain[f"usage_{name}"] = usage and getattr(usage, name)
    for name in _AS_JSON:
        value = getattr(record, name)
        plain[name] = None if value is None else msgspec.json.encode(value).decode()
    for name in Connection.__struct_fields__:
        plain[f"connection_{name}"] = getattr(record.connection, name)
    for name in _CHUNK_COLUMNS:
        plain[f"chunk_{name}"] = [getattr(chunk, name) for chunk in record.chunks]
    return plain


def _record(row: dict[str, Any]) -> Record:
    columns = [row.pop(f"chunk_{name}") for name in _CHUNK_COLUMNS]
    kind, text = row.pop("error_kind"), row.pop("error_text")
    usage = Usage(**{name: row.pop(f"usage_{name}") for name in Usage.__struct_fields__})
    connection = {n: row.pop(f"connection_{n}") for n in Connection.__struct_fields__}
    for name in _AS_JSON:
        said = row.pop(name, None)
        row[name] = None if said is None else msgspec.json.decode(said)
    return Record(
        **row,
        error=None if kind is None else Failure(kind, text),
        usage=None if usage == Usage() else usage,
        connection=Connection(**connection),
        chunks=tuple(Chunk(*values) for values in zip(*columns, strict=True)),
    )


def written(folder: Path, records: Iterable[Record]) -> Iterator[Record]:
    """Passes records on while it writes `records.parquet` group by group, in flat memory; the file
    is there (renamed) once the last record was taken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    beside, schema = folder / (RECORDS + ".part"), _schema()
    rows: list[dict[str, Any]] = []
    chunks = 0
    with pq.ParquetWriter(beside, schema, compression="zstd") as out:
        for record in records:
            yield record
            rows.append(_row(record))
            chunks += len(record.chunks)
            if len(rows) == _ROWS_PER_GROUP or chunks >= _CHUNKS_PER_GROUP:
                out.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows, chunks = [], 0
        if rows:
            out.write_table(pa.Table.from_pylist(rows, schema=schema))
    beside.replace(folder / RECORDS)


def write_records(folder: Path, records: Iterable[Record]) -> int:
    """Writes `records.parquet`. Returns how many records are in it."""
    return sum(1 for _ in written(folder, records))


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a finished run, in the order in which they were sent, one group at a time.

    Raises UsageError if the file is missing or is not ours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(folder / RECORDS)
    except (OSError, pa.ArrowInvalid) as why:
        raise UsageError(f"cannot read {folder / RECORDS}: {why}") from None
    with file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield _record(row)
