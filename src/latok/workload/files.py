"""Rows of a file of prompts or of a trace: JSON lines, a JSON list, CSV or Parquet, also gzipped.

Pure: bytes in, rows out. Each row comes with its place, for an error that says where.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from latok.errors import UsageError

Row = dict[str, Any]
_PARQUET = b"PAR1"


def rows(data: bytes, name: str) -> Iterator[tuple[str, Row]]:
    """Each row as (place, columns). Its form is known by its content, CSV by the name's ending.

    Raises UsageError with the place of what cannot be read.
    """
    try:
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError) as why:
        raise UsageError(f"cannot unpack {name}: {why}") from None
    if data.startswith(_PARQUET):
        return _parquet(data, name)
    start = data.lstrip()[:1]
    if not start:
        raise UsageError(f"{name} is empty")
    if start == b"[":
        return _json_list(data, name)
    csv_named = name.removesuffix(".gz").endswith((".csv", ".tsv"))
    return _csv(data, name) if csv_named or start != b"{" else _json_lines(data, name)


def _json_lines(data: bytes, name: str) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(io.BytesIO(data), 1):
        if line.strip():
            place = f"{name}, line {number}"
            yield place, _object(_json(line, place), place)


def _json_list(data: bytes, name: str) -> Iterator[tuple[str, Row]]:
    for number, value in enumerate(_json(data, name), 1):
        place = f"{name}, entry {number}"
        yield place, _object(value, place)


def _json(data: bytes, place: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
        raise UsageError(f"{place}: not JSON: {why}") from None


def _object(value: Any, place: str) -> Row:
    if not isinstance(value, dict):
        raise UsageError(f"{place}: not a JSON object, but {str(value)[:40]!r}")
    return value


def _csv(data: bytes, name: str) -> Iterator[tuple[str, Row]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise UsageError(f"{name} is neither JSON nor Parquet nor text in UTF-8: {why}") from None
    separator = "\t" if "\t" in text.partition("\n")[0] else ","
    csv.field_size_limit(1 << 30)  # a prompt may be long
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in table:
            yield f"{name}, line {table.line_num}", row
    except csv.Error as why:
        raise UsageError(f"{name}, line {table.line_num}: {why}") from None


def _parquet(data: bytes, name: str) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            number = 0
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    number += 1
                    yield f"{name}, row {number}", row
    except (pa.ArrowInvalid, OSError) as why:
        raise UsageError(f"cannot read {name} as Parquet: {why}") from None
