"""A run on disk: what is written is what is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.records import (
    Chunk,
    Closed,
    Connection,
    Failure,
    Manifest,
    Open,
    Record,
    Usage,
    read_manifest,
    read_records,
    write_manifest,
    write_records,
)
from tests.simulated import manifest

SECONDS = st.floats(0, 1e6)
MAYBE = st.none() | SECONDS
COUNT = st.none() | st.integers(0, 2**31 - 1)
CHUNKS = st.builds(
    Chunk, SECONDS, COUNT, st.sampled_from(["role", "content", "tool", "done"]), st.booleans(),
    SECONDS, SECONDS,
)  # fmt: skip
RECORDS = st.builds(
    Record,
    id=st.integers(0, 2**62),
    app=st.text(max_size=5),
    prompt_tokens=st.integers(0, 2**31 - 1),
    max_tokens=st.integers(0, 2**31 - 1),
    due=SECONDS,
    session=st.text(max_size=3),
    sent_first=MAYBE,
    closed_at=MAYBE,
    status=st.none() | st.integers(100, 599),
    error=st.none() | st.builds(Failure, st.text(max_size=5), st.text(max_size=20)),
    usage=st.none() | st.builds(Usage, st.integers(0, 9), COUNT, COUNT, COUNT),
    server_timings=st.none() | st.dictionaries(st.text(min_size=1), SECONDS, min_size=1),
    rate_limits=st.none() | st.dictionaries(st.text(min_size=1), st.text()),
    connection=st.builds(Connection, st.booleans(), MAYBE, MAYBE),
    text=st.none() | st.text(),
    first_token=st.none() | st.dictionaries(st.text(), st.floats(-9999, 0), min_size=1),
    chunks=st.lists(CHUNKS, max_size=4).map(tuple),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORDS, max_size=4))
def test_what_is_written_is_what_is_read(tmp_path: Path, records: list[Record]) -> None:
    assert write_records(tmp_path, records) == len(records)
    assert list(read_records(tmp_path)) == records


def test_records_from_before_a_column_was_added_can_still_be_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    record = Record(id=1, app="", prompt_tokens=1, max_tokens=1, due=0.0, text="a")
    write_records(tmp_path, [msgspec.structs.replace(record, first_token={"a": -0.5})])
    file = tmp_path / "records.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["first_token"]), file)
    assert list(read_records(tmp_path)) == [record]


def test_many_records_are_read_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    records = [
        Record(id=n, app="", prompt_tokens=1, max_tokens=1, due=float(n), server_timings={})
        for n in range(3000)
    ]
    write_records(tmp_path, iter(records))
    assert [record.id for record in read_records(tmp_path)] == list(range(3000))


@pytest.mark.parametrize("load", [Closed(3), Open(2.5, "constant")])
def test_a_manifest_says_what_was_asked(tmp_path: Path, load: Any) -> None:
    said = manifest(load, (1.0, math.pi))
    write_manifest(tmp_path, said)
    assert read_manifest(tmp_path) == said


def test_no_run_and_a_broken_one_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run in"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(UsageError, match="is not a manifest of latok"):
        read_manifest(tmp_path)
    with pytest.raises(UsageError, match="cannot read"):
        list(read_records(tmp_path))


def test_an_older_manifest_can_still_be_read(tmp_path: Path) -> None:
    """Fields that were added since have defaults; the schema's number says when one has not."""
    old = msgspec.to_builtins(manifest(Closed(1), (0.0, 1.0)))
    del old["processes"]
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(old))
    assert read_manifest(tmp_path) == msgspec.convert(old, Manifest)
