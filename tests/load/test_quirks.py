"""Quirks and faults over real sockets: the driver against a server that plays them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latok.load.fleet import hold
from latok.load.golden import golden
from latok.load.plan import Driven, Patience, Plan, Prepared
from latok.load.probe import site
from latok.load.socket import resolve
from latok.records import Closed, Record, Request
from latok.wire.capture import read_log, record_of
from latok.wire.dialects import DIALECTS
from tests.golden.faults import FAULTS
from tests.golden.quirks import CASES
from tests.wire.test_dialects import agrees

CERTIFICATE = Path(__file__).parent.parent / "golden" / "localhost.pem"
PLAIN = "/quirk/openai-chat/plain"
# A refused request makes its slot rest, and they say nothing about sockets.
QUIRKS = [f"/quirk/{d}/{name}" for (d, name), case in CASES.items() if case.status == "200 OK"]


def asked(url: str, paths: list[str], log: Path, slots: int = 16, **plan: Any) -> list[Record]:
    """Sends one request to each path; the records in that order."""
    where, dialects = site(url), [path.split("/")[2] for path in paths]

    def requests() -> Iterator[Prepared]:
        for n, path in enumerate(paths):
            request = Request(id=n, prompt="hi", prompt_tokens=1, max_tokens=2)
            yield Prepared(request, replace(where, path=path).post({"model": "m"}))

    words: dict[str, Any] = {
        "address": resolve(where.host, where.port),
        "host": where.host,
        "tls": where.scheme == "https",
        "ca": None,
        "load": Closed(slots),
        "patience": Patience(silence=1.5),
        "limit": 30.0,
    }
    driven: Driven = hold(Plan(**(words | plan)), requests, log, watch=lambda _: None)
    assert driven.ended == "complete", driven.why
    with log.open("rb") as file:
        captures = sorted(read_log(file), key=lambda capture: capture.id)
    return [record_of(c, DIALECTS[dialects[c.id]], keep_text=True) for c in captures]


def test_every_quirk_over_a_socket(tmp_path: Path) -> None:
    with golden("tests.golden.faults:played") as url:
        records = asked(url, QUIRKS, tmp_path / "log")
    assert len(records) == len(QUIRKS)
    for path, record in zip(QUIRKS, records, strict=True):
        _, _, dialect, name = path.split("/")
        agrees(record, CASES[dialect, name])


def test_every_fault_is_a_record_with_its_kind(tmp_path: Path) -> None:
    faults = [f"/fault/{dialect}/{name}" for name in FAULTS for dialect in DIALECTS]
    with golden("tests.golden.faults:played") as url:
        records = asked(url, [PLAIN, *faults], tmp_path / "log", slots=32)
    assert records[0].ok
    for path, record in zip(faults, records[1:], strict=True):
        _, _, dialect, name = path.split("/")
        kinds = {record.error.kind} if record.error else set()
        assert kinds <= FAULTS[name][2], path
        assert bool(kinds) == bool(FAULTS[name][2]), path
        if not kinds:
            agrees(record, CASES[dialect, "plain"])


def test_a_server_that_dies_and_comes_back(tmp_path: Path) -> None:
    with golden("tests.golden.faults:mortal") as url:
        records = asked(url, [PLAIN] * 30, tmp_path / "log", slots=2)
    failed = [record.id for record in records if not record.ok]
    assert failed
    assert {record.error.kind for record in records if record.error} <= {
        "closed",
        "connect",
        "reset",
    }
    assert records[0].ok
    assert records[-1].ok


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_is_trusted_or_a_record(tmp_path: Path, trusted: bool) -> None:
    with golden("tests.golden.faults:played", CERTIFICATE) as url:
        ca = str(CERTIFICATE) if trusted else None
        records = asked(url, QUIRKS[:3], tmp_path / "log", slots=1, ca=ca)
    assert [record.error.kind if record.error else "" for record in records] == (
        ["", "", ""] if trusted else ["tls"] * 3
    )
    if trusted:
        agrees(records[0], CASES["openai-chat", "plain"])
        assert (records[0].connection.tls or 0) > 0
