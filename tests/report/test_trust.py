"""Why a point is valid, or not, in words."""

from __future__ import annotations

import msgspec

from latok.analysis.metrics import point
from latok.analysis.point import Check, Point
from latok.records import Chunk, Open
from latok.report import trust
from tests.report.samples import Measured, drive, manifest_of


def said(found: Point) -> dict[str, trust.Reason]:
    return {reason.what: reason for reason in trust.reasons(found)}


def test_the_clients_error_stands_beside_the_size_of_the_metric(chat: Measured) -> None:
    found = chat.map.points[4]
    detail = said(found)["time to first token"].detail
    assert detail.startswith(
        "52.4 ms at the median; the client may have moved it by at most 20.0 µs"
    )
    assert detail.endswith("0.038 % of it")
    assert trust.verdict(found).startswith("Valid: ")


def test_an_error_that_passes_the_limits_makes_a_point_invalid_and_says_so() -> None:
    records = [
        msgspec.structs.replace(r, chunks=tuple(_doubtful(c, 0.02) for c in r.chunks))
        for r in drive(4)
    ]
    found = point(manifest_of(4), records)
    assert found.bent
    reasons = said(found)
    assert reasons["the client"].ok is False
    assert reasons["time to first token"].ok is None
    assert "more than 1.00 ms and 2%, so it is bent" in reasons["time to first token"].detail
    assert trust.verdict(found).startswith("Invalid: ")


def _doubtful(chunk: Chunk, doubt: float) -> Chunk:
    return msgspec.structs.replace(chunk, doubt=doubt)


def test_a_law_that_does_not_hold_is_named_in_the_verdict(chat: Measured) -> None:
    broken = Check("steady", False, "ttft grew by 22 % at 11 s")
    found = msgspec.structs.replace(chat.map.points[4], checks=(broken,))
    assert "Valid, but read with care" in trust.verdict(found)
    reason = next(reason for reason in trust.reasons(found) if reason.ok is False)
    assert reason.detail == "ttft grew by 22 % at 11 s"


def test_without_kernel_stamps_our_own_delay_is_said_to_be_in_the_numbers() -> None:
    manifest = msgspec.structs.replace(manifest_of(4), kernel_stamps=False)
    assert "which is in" in said(point(manifest, drive(4)))["its clock"].detail


def test_an_open_loop_says_how_late_its_requests_left() -> None:
    manifest = msgspec.structs.replace(manifest_of(4), load=Open(10.0, "constant"))
    assert "of their time" in said(point(manifest, drive(4)))["its schedule"].detail


def test_failures_and_the_worth_of_neighbours_alike_are_said(chat: Measured) -> None:
    reasons = said(chat.map.points[4])
    assert reasons["what failed"].detail == "1 failed, 0 unfinished of 239 (1 × reset)"
    assert "independent ones" in reasons["how much it tells"].detail


def test_another_tools_point_is_neither_valid_nor_invalid(chat: Measured) -> None:
    theirs = msgspec.structs.replace(
        chat.map.points[0],
        instrument=msgspec.structs.replace(chat.map.points[0].instrument, verdict="unknown"),
        checks=(),
    )
    assert trust.verdict(theirs).startswith("Another tool")
    assert not any(reason.what == "its clock" for reason in trust.reasons(theirs))
