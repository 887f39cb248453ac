"""What stands in front of the load: a cache in the driver's process, and a cap on what is open."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from latok.analysis.metrics import e2e, ttft
from latok.levers.client import Client
from latok.load.fleet import hold
from latok.load.front import Front
from latok.load.golden import golden
from latok.load.plan import Plan, Prepared
from latok.load.probe import site
from latok.load.socket import resolve
from latok.records import Closed, Failure, Record, Request
from latok.wire.capture import Capture, pack_read, read_log, record_of
from latok.wire.dialects import DIALECTS
from latok.wire.talk import Talk

CHAT = DIALECTS["openai-chat"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def talk(url: str, *, key: str = "", temperature: bool = True) -> Talk:
    where = site(url)
    extras = {"max_tokens", "stream_options", *(["temperature"] if temperature else [])}
    return Talk(
        dialect=CHAT.name,
        model="steady:ttft=0.03,gap=0.005",
        accepts=frozenset(extras),
        more={},
        path=CHAT.path,
        authority=where.authority,
        headers=(("Authorization", key),) if key else (),
    )


def prepared(spoken: Talk, n: int, prompt: str, max_tokens: int = 4) -> Prepared:
    request = Request(id=n, prompt=prompt, prompt_tokens=9, max_tokens=max_tokens)
    return Prepared(request, spoken.bytes_of(request))


def held(
    url: str, log: Path, client: Client, prompts: list[str], *, slots: int = 2, **plan: Any
) -> list[Record]:
    """Records of a load that asks these prompts again and again."""
    where, spoken = site(url), talk(url)
    asked = (prepared(spoken, n, prompts[n % len(prompts)]) for n in count())
    words: dict[str, Any] = {"requests": 24} | plan
    hold(
        Plan(
            address=resolve(*where.peer), host=where.host, tls=False, ca=None, load=Closed(slots),
            talk=spoken, client=client, **words,
        ),
        lambda: asked,
        log,
        watch=lambda _: None,
    )  # fmt: skip
    with log.open("rb") as file:
        found = [record_of(each, CHAT, keep_text=True) for each in read_log(file)]
    return sorted(found, key=lambda record: record.id)


# --- the cache ---


def test_what_was_asked_before_never_reaches_the_target(url: str, tmp_path: Path) -> None:
    records = held(url, tmp_path / "log", Client(cache=True), ["a", "b", "c"])
    hits = [record for record in records if record.answered_by is not None]
    sent = [record for record in records if record.answered_by is None]
    assert len(hits) >= 18
    by_id = {record.id: record for record in records}
    for hit in hits:
        source = by_id[hit.answered_by or 0]
        assert source.answered_by is None
        assert (hit.id - source.id) % 3 == 0
        assert hit.ok
        assert (hit.text, hit.usage, hit.finish_reason) == (
            source.text, source.usage, source.finish_reason,
        )  # fmt: skip
        # the look-up's own time, which the clock took around it, and nothing of the target's
        assert 0 < (ttft(hit) or 0) == (e2e(hit) or 0) < 0.02
    assert all((ttft(record) or 0) > 0.025 for record in sent)
    assert {record.server_timings["golden"] for record in sent if record.server_timings} == {
        *range(min(r.server_timings["golden"] for r in sent if r.server_timings), 1 + max(
            r.server_timings["golden"] for r in sent if r.server_timings)),
    }  # fmt: skip


def test_without_a_cache_nothing_is_answered_by_another(url: str, tmp_path: Path) -> None:
    records = held(url, tmp_path / "log", Client(), ["a"])
    assert all(record.answered_by is None for record in records)


BODY = (
    b'data: {"choices":[{"delta":{"content":"7"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def ended(n: int, body: bytes = BODY, **changed: Any) -> Capture:
    found = Capture(
        id=n, app="", session="", turn=0, prompt_tokens=1, max_tokens=4, due=0.0, status=200,
        headers=[("content-type", "text/event-stream")], packed=[pack_read(0, 0, 0, 1) + body],
    )  # fmt: skip
    return msgspec.structs.replace(found, **changed)


def fresh(n: int) -> Capture:
    return Capture(id=n, app="", session="", turn=0, prompt_tokens=1, max_tokens=4, due=0.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"status": 500},
        {"error": Failure("reset", "")},
        {"body": BODY[:50]},
        {"body": b'data: {"error":{"message":"out of memory"}}\n\ndata: [DONE]\n\n'},
    ],
)
def test_what_failed_or_was_cut_off_is_not_said_again(changed: dict[str, Any]) -> None:
    spoken = talk("http://127.0.0.1:1")
    front = Front(spoken, None)
    assert not front.answer(prepared(spoken, 0, "a"), fresh(0))
    front.keep(ended(0, **changed))
    assert not front.answer(prepared(spoken, 1, "a"), fresh(1))
    front.keep(ended(1))
    hit = fresh(2)
    assert front.answer(prepared(spoken, 2, "a"), hit)
    assert hit.answered_by == 1


def test_another_parameter_is_another_request_and_a_drawn_answer_is_not_kept() -> None:
    spoken = talk("http://127.0.0.1:1")
    front = Front(spoken, None)
    front.answer(prepared(spoken, 0, "a"), fresh(0))
    front.keep(ended(0))
    assert not front.answer(prepared(spoken, 1, "a", max_tokens=5), fresh(1))
    assert front.answer(prepared(spoken, 2, "a"), fresh(2))
    by_chance = talk("http://127.0.0.1:1", temperature=False)
    front = Front(by_chance, None)
    front.answer(prepared(by_chance, 0, "a"), fresh(0))
    front.keep(ended(0))
    assert not front.answer(prepared(by_chance, 1, "a"), fresh(1))


def test_by_likeness_a_paraphrase_is_answered_and_another_number_is_not() -> None:
    spoken = talk("http://127.0.0.1:1")
    front = Front(spoken, 0.6)
    front.answer(prepared(spoken, 0, "What was the revenue of Acme in Q3 2024?"), fresh(0))
    front.keep(ended(0))
    assert front.answer(prepared(spoken, 1, "What revenue did Acme have in Q3 2024?"), fresh(1))
    asked = prepared(spoken, 2, "What was the revenue of Acme in Q3 2025?")
    assert not front.answer(asked, fresh(2))


# --- the cap ---


def test_no_more_are_open_than_the_cap_and_the_wait_counts_from_when_each_was_wanted(
    url: str, tmp_path: Path
) -> None:
    records = held(url, tmp_path / "log", Client(cap=2), ["a"], slots=5)
    spans = [
        (r.sent_first, r.closed_at) for r in records if r.sent_first is not None and r.closed_at
    ]
    edges = sorted([(at, 1) for at, _ in spans] + [(at, -1) for _, at in spans])
    open_, most = 0, 0
    for _, change in edges:
        open_ += change
        most = max(most, open_)
    assert most == 2
    assert len({record.id for record in records}) == len(records)
    waited = [r.sent_first - r.due for r in records if r.sent_first is not None]
    # five want to be served and two are: three at a time wait, for 1.5 answers of 45 ms
    assert sorted(waited)[len(waited) // 2] == pytest.approx(1.5 * 0.045, rel=0.4)


def test_what_still_waits_when_a_run_ends_is_there_as_cut(url: str, tmp_path: Path) -> None:
    records = held(url, tmp_path / "log", Client(cap=1), ["a"], slots=4, limit=0.4)
    unsent = [record for record in records if record.sent_first is None]
    assert unsent
    assert all(record.error and record.error.kind == "cut" for record in unsent)
