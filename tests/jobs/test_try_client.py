"""What stands in front of the target, tried: a cache, a cap, beginnings that are warmed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.fronted import as_users, salted, to_warm, uses
from latok.jobs.try_ import try_
from latok.jobs.turned import turned
from latok.levers.client import PLAIN, Client, client
from latok.load.golden import golden
from latok.quality.hits import Use, hits_of
from latok.quality.items import Item
from latok.records import Message, Record
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate

LATOK = [sys.executable, "-m", "latok"]
URL = "http://127.0.0.1:1"
RULES = "You answer for the harbour office of Bergen and know its tariffs by heart. " * 12


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.scripts:by_model") as found:
        yield found


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions behind one long instruction, to which the golden server says `0`."""
    rows = [
        {
            "messages": [
                {"role": "system", "content": RULES},
                {"role": "user", "content": f"What does berth {n} cost?"},
            ],
            "answer": "0",
            "scorer": "contains",
            "max_tokens": 4,
        }
        for n in range(200)
    ]
    path = tmp_path_factory.mktemp("items") / "harbour.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def tried(*words: str, runs: Path) -> dict[str, Any]:
    said = subprocess.run(
        [*LATOK, "try", *words, "--json", "--runs", str(runs)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_a_cache_saves_the_tokens_of_what_is_asked_again(
    url: str, items: Path, tmp_path: Path
) -> None:
    found = tried(
        "response_cache=on", url, "--model", "steady:ttft=0.04,gap=0.005", "--items", str(items),
        "--graded", "100%",
        "--repeats", "50%", "-c", "4", "--budget", "8s", runs=tmp_path,
    )  # fmt: skip
    hits, deltas = found["hits"], found["deltas"]
    assert 0.3 < hits["hits"] / hits["requests"] < 0.6
    assert hits["false"] == hits["borrowed"] == 0
    assert hits["near_misses"] is None
    assert 0 < hits["seconds"] < 0.01
    assert deltas["output_tokens"]["with"] == pytest.approx(
        (1 - hits["hits"] / hits["requests"]) * deltas["output_tokens"]["without"], rel=0.25
    )
    assert deltas["output_tokens"]["verdict"] == "better"
    assert found["quality"]["delta"] == 0


def test_a_cap_is_judged_by_who_waits_for_it(url: str, items: Path, tmp_path: Path) -> None:
    found = tried(
        "concurrency_cap=1", url, "--model", "steady:ttft=0.04,gap=0.005", "--items", str(items),
        "--graded", "100%",
        "-c", "2", "--budget", "8s", runs=tmp_path,
    )  # fmt: skip
    # the target serves any number as fast as one, so half of the time is spent waiting
    assert found["deltas"]["ttft.p50"]["ratio"] > 1.5
    assert found["deltas"]["throughput"]["ratio"] == pytest.approx(0.5, abs=0.1)
    assert found["hits"] is None


def test_a_warmed_beginning_is_known_to_the_first_user(
    url: str, items: Path, tmp_path: Path
) -> None:
    found = tried(
        "warm_prefix=on", url, "--model", "caching:prefill=0.001", "--items", str(items),
        "--graded", "100%",
        "-c", "4", "--budget", "8s", runs=tmp_path,
    )  # fmt: skip
    # some 150 words of 1 ms each that no cache knew, of which half of a turn's requests wait
    assert found["deltas"]["throughput"]["ratio"] > 1.2
    # what was sent ahead is paid for
    assert found["deltas"]["input_tokens"]["ratio"] > 1.0


# --- what is turned ---


def test_without_is_a_client_that_only_sends() -> None:
    without, with_ = turned(URL, ["response_cache=on"])
    assert without.client == PLAIN
    assert with_.client == Client(cache=True)
    assert not with_.of_engine
    before, after = turned(URL, ["semantic_cache=0.9..0.7"])
    assert (before.client.likeness, after.client.likeness) == (0.9, 0.7)


@pytest.mark.parametrize(
    ("levers", "why"),
    [
        ({"offline_batch": "on"}, "latok batch MAP"),
        ({"response_cache": "exact"}, "on or off"),
        ({"semantic_cache": "nan"}, "above 0 and at most 1"),
        ({"semantic_cache": "0"}, "above 0 and at most 1"),
        ({"concurrency_cap": "0"}, "at least 1"),
        ({"response_cache": "on", "semantic_cache": "0.8"}, "one cache"),
    ],
)
def test_what_a_client_cannot_do_is_said(levers: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        client(levers)


@pytest.mark.parametrize(
    ("words", "more", "why"),
    [
        (["warm_prefix=on", "context=map_reduce:100"], {}, "cannot be tried together"),
        (["context=map_reduce:100"], {"repeats": 0.3}, "nothing is repeated"),
        (["concurrency_cap=8"], {}, "changes nothing with 8 at a time"),
        (["concurrency_cap=4..9"], {"concurrency": 5}, "changes nothing with 5 at a time"),
    ],
)
def test_what_would_be_ignored_is_refused(
    words: list[str], more: dict[str, Any], why: str, tmp_path: Path
) -> None:
    asked = Experiment(targets=(URL,), levers=tuple(words), runs=str(tmp_path), **more)
    with pytest.raises(UsageError, match=why):
        try_(asked)


# --- what is made of it ---


def item(n: int, answer: str) -> Item:
    parts = Parts(pieces=(Piece("question", f"q{n}"),), max_tokens=1)
    return Item(id=str(n), task="t", family="f", parts=parts, scorer="exact", answer=answer)


def record(id: int, answered_by: int | None = None) -> Record:
    return Record(
        id=id, app="", prompt_tokens=1, max_tokens=1, due=1.0, sent_first=1.5, sent_last=1.6,
        closed_at=1.75, answered_by=answered_by,
    )  # fmt: skip


def test_the_answer_to_another_question_is_false_unless_it_is_the_right_one_here_too() -> None:
    answers = {0: "a", 1: "b", 2: "a"}
    asked = [
        record(0),
        record(3, answered_by=0),
        record(1, answered_by=0),
        record(2, answered_by=0),
    ]

    def origin(id: int) -> int:
        return id % 3

    found = uses(asked, lambda id: item(origin(id), answers[origin(id)]), origin)
    assert found == [Use(), Use(0.25), Use(0.25, True, True), Use(0.25, True, False)]
    said = hits_of(found, None)
    assert (said.hits, said.borrowed, said.false, said.requests) == (3, 2, 1, 4)
    # of what is not graded nobody knows that the answer fits
    assert uses(asked[2:3], lambda _: None, origin) == [Use(0.25, True, True)]


def test_a_lower_likeness_lets_through_no_fewer_near_misses() -> None:
    rates = [hits_of([], likeness) for likeness in (0.5, 0.7, 0.9)]
    for lower, higher in pairwise(rates):
        assert (lower.near_misses or 0) >= (higher.near_misses or 0)
        assert (lower.paraphrases or 0) >= (higher.paraphrases or 0)


def test_users_wait_from_when_they_asked() -> None:
    (seen,) = as_users([record(0)])
    assert (seen.sent_first, seen.sent_last) == (1.0, pytest.approx(1.1))
    assert seen.closed_at == 1.75


@given(st.lists(st.sampled_from(["user", "assistant"]), max_size=3), st.text(max_size=9))
def test_salt_makes_a_beginning_of_its_own_and_loses_nothing(roles: list[str], salt: str) -> None:
    before = tuple(Message(role, "said") for role in roles)
    parts = Parts(pieces=(Piece("question", "asked"),), before=before, max_tokens=3)
    after = salted(parts, salt)
    texts = [*(m.content for m in after.before), *(p.text for p in after.pieces)]
    assert texts[0].startswith(salt)
    assert [text.removeprefix(f"{salt}\n") for text in texts] == ["said"] * len(roles) + ["asked"]
    assert [m.role for m in after.before] == roles


def test_what_is_warmed_asks_for_one_token_and_for_some_text() -> None:
    system = (Message("system", RULES),)
    batch = [
        Parts(pieces=(Piece("question", f"q{n}"),), before=system, max_tokens=9) for n in range(3)
    ]
    (warm,) = to_warm(batch, estimate)
    assert (warm.parts.before, warm.parts.max_tokens) == (system, 1)
    assert warm.parts.text
    assert to_warm(batch[:1], estimate) == []
