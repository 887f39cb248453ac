"""What a target does that it does not say: limits, cuts, another model."""

from __future__ import annotations

from typing import Any

import msgspec

from latok.analysis.point import Check
from latok.analysis.provider import provider_checks
from latok.records import Chunk, Record, Usage
from tests.analysis.test_explain import MANIFEST

EXACT = msgspec.structs.replace(MANIFEST, workload={"exact_counts": True})


def record(n: int, *, asked: int = 500, usage: Usage | None = None, **more: Any) -> Record:
    return Record(
        **{
            "id": n,
            "app": "chat",
            "prompt_tokens": asked,
            "max_tokens": 100,
            "due": float(n),
            "sent_first": float(n),
            "closed_at": n + 0.5,
            "finish_reason": "length",
            "usage": usage or Usage(asked, 100),
            "chunks": (Chunk(n + 0.1, 1, "content"),),
            **more,
        }
    )


def checks(*records: Record, exact: bool = True) -> dict[str, Check]:
    found = provider_checks(EXACT if exact else MANIFEST, records)
    return {check.name: check for check in found}


def test_an_honest_target_passes() -> None:
    found = checks(*(record(n, served="m", fingerprint="fp_1") for n in range(9)))
    assert {name for name, check in found.items() if check.ok is False} == set()
    assert found["default_limit"].ok
    assert found["silent_truncation"].ok
    assert found["fingerprint"].ok
    assert found["model"].ok


def test_a_limit_of_the_targets_own_is_found_with_its_size() -> None:
    found = checks(*(record(n, usage=Usage(500, 16)) for n in range(9)))["default_limit"]
    assert found.ok is False
    assert "at 16 tokens" in found.detail


def test_an_answer_that_ended_by_itself_is_no_limit() -> None:
    short = (record(n, usage=Usage(500, 16), finish_reason="stop") for n in range(9))
    assert checks(*short)["default_limit"].ok is None


def test_a_prompt_that_is_cut_is_found_with_the_length_that_is_left() -> None:
    sizes = [300, 900, 1500, 2500, 4000, 5000, 6000]
    cut = [record(n, asked=size, usage=Usage(min(size, 2048), 100)) for n, size in enumerate(sizes)]
    for exact in (True, False):
        found = checks(*cut, exact=exact)["silent_truncation"]
        assert found.ok is False, found
        assert "2,048" in found.detail


def test_an_estimate_that_is_off_is_not_called_a_cut() -> None:
    off = (record(n, asked=500 + n, usage=Usage(400 + n, 100)) for n in range(9))
    assert checks(*off, exact=False)["silent_truncation"].ok is not False


def test_another_model_and_another_fingerprint_within_a_run_are_said() -> None:
    other = (record(n, served=f"m-{n % 2}", fingerprint=f"fp_{n // 3}") for n in range(9))
    found = checks(*other)
    assert found["model"].ok is False
    assert found["fingerprint"].ok is False
    assert "3 fingerprints, 2 changes" in found["fingerprint"].detail


def test_an_alias_is_said_but_is_no_fault() -> None:
    found = checks(record(0, served="m-2026-11-01"))["model"]
    assert found.ok
    assert "asked for as m" in found.detail


def test_a_target_that_says_nothing_is_not_judged() -> None:
    found = checks(record(0, usage=Usage(None, None), finish_reason="stop"))
    assert found["silent_truncation"].ok is None
    assert "fingerprint" not in found
