"""Sessions and clients that go away, against a server that sends back what it was sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from latok.analysis.metrics import point
from latok.load.fleet import hold, logs
from latok.load.golden import golden
from latok.load.plan import Cancelling, Driven, Plan, Prepared
from latok.load.probe import site
from latok.load.socket import resolve
from latok.records import Closed, Load, Open, Record, Request, Turn
from latok.wire.capture import read_log, record_of
from latok.wire.dialects import DIALECTS
from latok.wire.talk import Talk
from tests.simulated import manifest

CHAT = DIALECTS["openai-chat"]
THINK = 0.03


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def talk(url: str, model: str) -> Talk:
    where = site(url)
    return Talk(
        dialect=CHAT.name,
        model=model,
        accepts=frozenset({"max_tokens", "stream_options"}),
        more={},
        path=CHAT.path,
        authority=where.authority,
        headers=(),
    )


def asked(spoken: Talk, turns: int, think: float) -> Iterator[Prepared]:
    for n in count():
        request = Request(id=n, prompt=f"ask {n}.0", prompt_tokens=9, max_tokens=8, session=str(n))
        later = tuple(Turn(f"ask {n}.{turn}", 9, 8, think) for turn in range(1, turns))
        yield Prepared(request, spoken.bytes_of(request), later)


def held(
    url: str,
    log: Path,
    load: Load,
    *,
    turns: int,
    model: str = "recalling",
    think: float = THINK,
    processes: int = 1,
    **plan: Any,
) -> tuple[Driven, list[Record]]:
    where, spoken = site(url), talk(url, model)
    driven = hold(
        Plan(
            address=resolve(where.host, where.port),
            host=where.host,
            tls=False,
            ca=None,
            load=load,
            talk=spoken,
            warm_up=1,
            **plan,
        ),
        lambda: asked(spoken, turns, think),
        log,
        watch=lambda _: None,
        processes=processes,
    )
    records: list[Record] = []
    for part in logs(log):
        with part.open("rb") as file:
            records += [record_of(capture, CHAT) for capture in read_log(file)]
    return driven, sorted(records, key=lambda r: r.due)


def by_session(records: list[Record]) -> list[list[Record]]:
    found = defaultdict(list)
    for record in records:
        found[record.session].append(record)
    return [sorted(turns, key=lambda r: r.turn) for turns in found.values()]


def messages(record: Record) -> list[tuple[str, str]]:
    assert record.server_timings is not None
    return [(m["role"], m["content"]) for m in record.server_timings["messages"]]


@pytest.mark.parametrize(
    ("load", "plan"),
    [
        (Closed(3), {"duration": 0.6}),
        (Closed(4), {"duration": 0.6, "processes": 2}),
        (Open(20.0), {"duration": 0.6, "due": [n / 20 for n in range(40)]}),
    ],
    ids=["closed", "two processes", "open"],
)
def test_a_turn_holds_what_the_target_answered_and_is_due_after_the_think_time(
    url: str, tmp_path: Path, load: Load, plan: dict[str, Any]
) -> None:
    _, records = held(url, tmp_path / "log", load, turns=3, **plan)
    sessions = by_session(records)
    whole = [turns for turns in sessions if len(turns) == 3 and all(r.ok for r in turns)]
    assert len(whole) >= 4
    assert len({record.id for record in records}) == len(records)
    for turns in whole:
        n = turns[0].session
        answers = ["".join(f" {size}.{t}" for t in range(8)) for size in (1, 3)]
        assert messages(turns[2]) == [
            ("user", f"ask {n}.0"),
            ("assistant", answers[0]),
            ("user", f"ask {n}.1"),
            ("assistant", answers[1]),
            ("user", f"ask {n}.2"),
        ]
        assert [r.built is None for r in turns] == [True, False, False]
        assert [r.prompt_tokens for r in turns] == [9, 10 + 8 + 9, 30 + 8 + 9]
        for before, after in pairwise(turns):
            assert before.closed_at is not None
            assert after.due == pytest.approx(before.closed_at + THINK, abs=1e-6)
            assert after.sent_first is not None
            assert after.sent_first >= after.due


def test_the_slots_of_a_closed_loop_are_sessions(url: str, tmp_path: Path) -> None:
    _, records = held(url, tmp_path / "log", Closed(3), turns=3, duration=0.8)
    edges = []
    for turns in by_session(records):
        last = turns[-1].closed_at
        assert last is not None
        edges += [(turns[0].due, 1), (last, -1)]
    open_now = most = 0
    for _, change in sorted(edges):
        open_now += change
        most = max(most, open_now)
    assert most == 3


def test_a_turn_that_fails_ends_its_session_and_frees_its_slot(url: str, tmp_path: Path) -> None:
    _, records = held(url, tmp_path / "log", Closed(1), turns=6, limit=2.0)
    sessions = by_session(records)
    assert len(sessions) > 2
    for turns in sessions[:-1]:
        assert [r.error.kind if r.error else "" for r in turns] == ["", "", "", "in_band"]


def test_without_time_to_think_the_next_turn_comes_at_once(url: str, tmp_path: Path) -> None:
    _, records = held(url, tmp_path / "log", Closed(1), turns=3, think=0.0, duration=0.3)
    for turns in by_session(records):
        for earlier, later in pairwise(turns):
            assert earlier.closed_at is not None
            assert later.due == pytest.approx(earlier.closed_at, abs=1e-6)


def test_clients_go_away_when_they_were_told_to(url: str, tmp_path: Path) -> None:
    """Eight tokens 50 ms apart take 0.36 s; 0.2 s after they asked, three in ten are gone."""
    driven, records = held(
        url,
        tmp_path / "log",
        Closed(8),
        turns=1,
        model="recalling:gap=0.05",
        requests=60,
        cancel=Cancelling(0.2, 0.3, 0),
    )
    gone = [r for r in records if r.error and r.error.kind == "cancelled"]
    stayed = [r for r in records if r.ok]
    assert {r.error.kind for r in records if r.error} <= {"cancelled", "cut"}
    assert len(gone) / (len(gone) + len(stayed)) == pytest.approx(0.3, abs=0.06)
    for record in gone:
        assert record.closed_at is not None
        assert 0.2 <= record.closed_at - record.due < 0.3
        assert 1 <= sum(chunk.is_token for chunk in record.chunks) < 8
    found = point(manifest(Closed(8), driven.window or (0.0, 1.0), slo="e2e.p50<1s"), records)
    assert found.counts.failed == 0
    assert found.counts.cancelled > 0
    assert found.counts.ok + found.counts.cancelled == found.counts.offered
    assert found.errors == {}
    assert found.goodput.attainment == 1.0


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9, 1.0])
def test_the_clients_that_go_away_are_spread_evenly(share: float) -> None:
    turn = 20 << 44  # the ids of later turns are large
    chosen = [Cancelling(1.0, share, 7).chosen(turn + id) for id in range(10**12, 10**12 + 1000)]
    for start in range(0, 1000, 100):
        assert sum(chosen[start : start + 100]) == pytest.approx(100 * share, abs=3)
