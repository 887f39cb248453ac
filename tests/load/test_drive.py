"""The driver against a server that knows when it sent: real sockets, real time, loopback only."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latok.analysis.cost import parse_price
from latok.load.fleet import hold, logs
from latok.load.golden import golden
from latok.load.plan import Driven, Patience, Plan, Prepared, Progress, Spending
from latok.load.probe import Site, site
from latok.load.proxy import Proxy
from latok.load.socket import Address, resolve
from latok.records import Closed, Failure, Load, Open, Record, Request
from latok.wire.capture import read_log, record_of
from latok.wire.dialects import DIALECTS
from latok.workload.arrivals import poisson

CHAT = DIALECTS["openai-chat"]
EXTRAS = frozenset({"max_tokens", "stream_options"})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


def asked(where: Site, model: str, tokens: int) -> Iterator[Prepared]:
    n = 0
    while True:
        request = Request(id=n, prompt="hi", prompt_tokens=1, max_tokens=tokens)
        yield Prepared(request, where.post(CHAT.body(request, model, EXTRAS)))
        n += 1


def driven(
    url: str,
    log: Path,
    load: Load,
    model: str = "steady:ttft=0.03,gap=0.01",
    tokens: int = 10,
    processes: int = 1,
    proxy: Proxy | None = None,
    **plan: Any,
) -> tuple[Driven, list[Record], list[Progress]]:
    where = replace(site(url), path=CHAT.path)
    if proxy is not None:
        where = replace(where, proxy=proxy)
    words: dict[str, Any] = {
        "address": resolve(*where.peer),
        "tunnel": where.tunnel,
        "tls": False,
        "ca": None,
        "warm_up": 1,
    }
    seen: list[Progress] = []
    result = hold(
        Plan(host=where.host, load=load, **(words | plan)),
        lambda: asked(where, model, tokens),
        log,
        watch=seen.append,
        processes=processes,
    )
    records = []
    for part in logs(log):
        with part.open("rb") as file:
            records += [record_of(capture, CHAT) for capture in read_log(file)]
    return result, sorted(records, key=lambda r: r.id), seen


def windowed(result: Driven, records: list[Record]) -> list[Record]:
    assert result.window is not None
    start, end = result.window
    return [r for r in records if r.sent_first is not None and start <= r.sent_first < end]


def test_a_closed_loop_keeps_its_slots_full(url: str, tmp_path: Path) -> None:
    result, records, _ = driven(url, tmp_path / "log", Closed(5), warm_up=5, duration=1.0)
    inside = windowed(result, records)
    assert result.ended == "complete"
    assert all(r.ok for r in inside)
    # each request takes 30 + 9 × 10 ms, and the next begins at once
    assert len(inside) == pytest.approx(5 * 1.0 / 0.12, rel=0.25)


def test_so_many_requests_as_asked_are_in_the_window_and_all_of_them_end(
    url: str, tmp_path: Path
) -> None:
    result, records, _ = driven(url, tmp_path / "log", Closed(3), warm_up=2, requests=12)
    inside = windowed(result, records)
    assert len(inside) == 12
    assert all(r.ok for r in inside)


def test_the_load_is_held_until_the_window_is_answered(url: str, tmp_path: Path) -> None:
    result, records, _ = driven(url, tmp_path / "log", Closed(4), warm_up=2, requests=8)
    assert result.window is not None
    after = [r for r in records if (r.sent_first or 0) >= result.window[1]]
    assert after  # slots that became free went on
    assert {r.error.kind for r in records if r.error} <= {"cut"}


def test_an_open_loop_sends_when_due_however_slow_the_server_is(url: str, tmp_path: Path) -> None:
    due = [n / 100 for n in range(200)]
    result, records, _ = driven(
        url, tmp_path / "log", Open(100.0), due=due, duration=1.0, model="steady:ttft=0.4"
    )
    late = np.array([r.sent_first - r.due for r in windowed(result, records) if r.sent_first])
    assert len(late) == pytest.approx(100, abs=5)
    assert np.quantile(late, 0.9) < 0.01


def test_what_arrives_is_stamped_when_it_was_sent(url: str, tmp_path: Path) -> None:
    """Not a bench: only that the stamps are the kernel's, and not our reading's."""
    result, records, _ = driven(url, tmp_path / "log", Closed(20), warm_up=10, duration=1.0)
    with urllib.request.urlopen(url + "/truth") as answer:
        truth = json.load(answer)
    errors = []
    for r in windowed(result, records):
        assert r.server_timings is not None
        sent = [s for s in truth[r.server_timings["golden"]]["sent"] if s[2]]
        tokens = [c for c in r.chunks if c.is_token]
        assert len(tokens) == len(sent) == 10
        for chunk, (before, after, *_) in zip(tokens, sent, strict=True):
            at = chunk.at + result.started_at
            # no event is later than its stamp, and none is earlier than its doubt allows
            errors.append(max(before - at, at - chunk.doubt - after, 0.0))
    assert result.kernel_stamps
    assert np.quantile(errors, 0.9) < 1e-3


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("reset", "reset"),
        ("cut", "closed"),
        ("garbage", "protocol"),
        ("in_band", "in_band"),
        ("refused", "http"),
        ("limited", "rate_limited"),
        ("unfinished", "incomplete"),
    ],
)
def test_what_a_server_does_wrong_is_a_record(
    url: str, tmp_path: Path, model: str, kind: str
) -> None:
    _, records, _ = driven(url, tmp_path / "log", Closed(1), model=model, requests=2, limit=3.0)
    assert {r.error.kind for r in records if r.error} - {"cut"} == {kind}


def test_a_slot_rests_as_long_as_the_server_asks(url: str, tmp_path: Path) -> None:
    _, records, _ = driven(url, tmp_path / "log", Closed(1), model="limited", limit=1.2)
    first, second = records[:2]
    assert first.retry_after == 0.5
    assert second.due - first.due >= 0.5


def test_a_server_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    result, records, _ = driven(
        f"http://127.0.0.1:{port}", tmp_path / "log", Closed(4), duration=20.0
    )
    assert result.ended == "unfinished"
    assert {r.error.kind for r in records if r.error} == {"connect"}


@pytest.mark.parametrize(
    ("model", "patience", "said"),
    [
        ("stalled", Patience(total=0.3), "no end within 0.3 s"),
        ("stalled", Patience(silence=0.3), "silent for 0.3 s"),
        ("steady:ttft=0.1,gap=9", Patience(silence=0.3), "silent for 0.3 s"),
        ("mute", Patience(first=0.3), "nothing within 0.3 s"),
    ],
)
def test_patience_ends_with_a_record_that_says_which(
    url: str, tmp_path: Path, model: str, patience: Patience, said: str
) -> None:
    _, records, _ = driven(
        url, tmp_path / "log", Closed(1), model=model, requests=1, patience=patience, limit=2.0
    )
    assert records[0].error == Failure("timeout", said)


def test_no_more_is_asked_than_is_allowed(url: str, tmp_path: Path) -> None:
    result, records, _ = driven(
        url, tmp_path / "a", Closed(3), warm_up=2, duration=5.0, most_requests=9
    )
    assert len(records) == 9
    assert "9 requests" in result.why
    result, records, _ = driven(
        url, tmp_path / "b", Closed(3), warm_up=2, duration=5.0, most_tokens=70
    )
    assert len(records) == 6  # of 1 + 10 tokens each
    assert "66 tokens" in result.why


def test_no_request_is_sent_that_might_cost_more_than_is_left(url: str, tmp_path: Path) -> None:
    # at the most a request has 2 tokens in (1, which may be more) and 16 out (as few as some
    # dialects can ask for): 2 × $1 and 16 × $3 a million are 50 millionths of a dollar
    prices = parse_price("input=1,output=3")
    for processes in (1, 2):
        result, records, _ = driven(
            url,
            tmp_path / str(processes),
            Closed(4),
            warm_up=2,
            duration=5.0,
            processes=processes,
            spending=Spending(most_usd=8.5 * 50e-6, prices=prices, margin=1.25),
        )
        assert len(records) == 8
        assert "--max-cost" in result.why


def test_a_connection_that_the_server_closes_after_each_answer_fails_no_request(
    url: str, tmp_path: Path
) -> None:
    result, records, _ = driven(
        url, tmp_path / "log", Closed(2), model="closing", warm_up=2, requests=10
    )
    assert all(r.ok for r in windowed(result, records))


def test_progress_tells_how_far_it_is(url: str, tmp_path: Path) -> None:
    _, _, seen = driven(url, tmp_path / "log", Closed(2), warm_up=2, duration=0.6)
    assert {p.phase for p in seen} >= {"warming up", "measuring"}
    assert seen[-1].ended > 0


def test_a_full_disk_ends_the_run_with_one_line(url: str) -> None:
    from latok.errors import UsageError

    with pytest.raises(UsageError, match="cannot write /dev/full"):
        driven(url, Path("/dev/full"), Closed(2), warm_up=2, duration=5.0)


def test_poisson_arrivals_reach_the_wire_as_drawn(url: str, tmp_path: Path) -> None:
    due = [t for t, _ in zip(poisson(200.0, seed=3), range(400), strict=False)]
    result, records, _ = driven(url, tmp_path / "log", Open(200.0), due=due, duration=1.5, tokens=2)
    sent = np.array([r.sent_first for r in records if r.sent_first is not None])
    drawn = np.array([r.due for r in records if r.sent_first is not None])
    assert np.median(np.abs(sent - drawn)) < 2e-3
    assert isinstance(resolve("127.0.0.1", 1), Address)
    assert result.ended == "complete"
    assert threading.active_count() < 20


def test_several_processes_hold_one_load_on_one_clock(url: str, tmp_path: Path) -> None:
    result, records, seen = driven(
        url, tmp_path / "log", Closed(7), warm_up=4, requests=30, processes=2
    )
    inside = windowed(result, records)
    assert result.ended == "complete"
    assert all(r.ok for r in inside)
    assert len({r.id for r in records}) == len(records)
    assert len(inside) >= 20  # the windows of two processes overlap, but not to the last request
    assert max(progress.in_flight for progress in seen) == 7


def test_if_one_process_has_to_end_so_do_the_others(url: str, tmp_path: Path) -> None:
    result, _, _ = driven(
        url, tmp_path / "log", Closed(4), warm_up=4, duration=60.0, limit=1.0, processes=2
    )
    assert result.ended in ("unfinished", "interrupted")
    assert "limit" in result.why
