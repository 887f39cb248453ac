"""`context=map_reduce`: two waves on a server that answers by what it reads, and on the model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from latok.analysis.metrics import e2e, ttft
from latok.jobs.experiment import Experiment
from latok.jobs.runs import read_graded, read_run
from latok.jobs.session import Session, opened
from latok.jobs.waves import Waved, Waves, in_waves
from latok.levers.map_reduce import NONE
from latok.load.golden import golden
from latok.quality.items import Item
from latok.quality.tasks import TASKS
from latok.records import Closed
from latok.workload.parts import Parts, Piece
from tests.golden.reading import WORD

NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana")
NOISE = " The sky over the harbour is as grey as the water under it."


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    server = golden("tests.golden.reading:reading")
    with server as url, opened(url, Experiment(), lambda _: None) as found:
        yield found


def item(n: int, text: str, answer: str) -> Item:
    pieces = (
        Piece("context", text),
        Piece("question", f"How many crates does {NAMES[n]} keep?"),
    )
    return Item(
        id=f"t/0/{n}",
        task="t",
        family=str(n),
        parts=Parts(pieces=pieces, max_tokens=9),
        scorer="contains",
        answer=answer,
    )


def document(n: int, sentences: int = 40) -> Item:
    """The answer stands three quarters down."""
    lines = [NOISE] * sentences
    lines.insert(3 * sentences // 4, f" {NAMES[n]} keeps {n + 70} crates.")
    return item(n, "".join(lines).strip(), str(n + 70))


def held(
    session: Session, runs: Path, every: list[Item], chunk: int, most: int | None = None
) -> Waves:
    asked = Experiment(runs=str(runs), max_requests=most)
    return in_waves(session, every, chunk, Closed(4), asked=asked, app=asked.profile("chat"))


def test_what_stands_in_any_part_is_found_and_the_users_wait_is_that_of_both_waves(
    session: Session, tmp_path: Path
) -> None:
    every = [document(n) for n in range(6)]
    found = held(session, tmp_path, every, 150)
    assert [each.graded.item for each in found.items] == [each.id for each in every]
    assert found.ended == "complete"
    _, records = read_run(found.folder)
    assert len(records) == found.requests == sum(each.requests for each in found.items)
    assert read_graded(found.folder) == [each.graded for each in found.items]
    for each in found.items:
        assert each.graded.right
        assert each.requests > 3
        # the slowest part reads 150 tokens' words at least; then the last one is read
        assert each.ttft is not None
        assert each.e2e is not None
        assert 100 * WORD < each.ttft <= each.e2e
        assert each.record.usage is not None
        assert each.input_tokens > (each.record.usage.prompt_tokens or 0) + 6 * 11
        assert each.output_tokens == each.requests  # one word each, NONE or the number
        assert each.record.ok


def test_the_parts_of_all_go_before_any_question_on_their_answers(
    session: Session, tmp_path: Path
) -> None:
    found = held(session, tmp_path, [document(n) for n in range(4)], 150)
    _, records = read_run(found.folder)
    lasts = {each.graded.request for each in found.items}
    order = sorted(records, key=lambda record: record.sent_first or 0.0)
    assert [last for last, _ in groupby(order, lambda record: record.id in lasts)] == [False, True]
    ended = max(r.closed_at or 0.0 for r in records if r.id not in lasts)
    assert ended <= min(r.sent_first or 0.0 for r in records if r.id in lasts)
    flying = [
        sum((o.sent_first or 0) <= (r.sent_first or 0) < (o.closed_at or 0) for o in records)
        for r in records
    ]
    assert max(flying) == 4


def test_the_wait_is_that_of_the_slowest_part_and_of_the_last_request(
    session: Session, tmp_path: Path
) -> None:
    found = held(session, tmp_path, [document(0)], 150)
    _, records = read_run(found.folder)
    (each,) = found.items
    (last,) = [record for record in records if record.id == each.graded.request]
    parts = [record for record in records if record is not last]
    slowest = max((r.closed_at or 0) - (r.sent_first or 0) for r in parts)
    assert each.ttft == pytest.approx(slowest + (ttft(last) or 0.0))
    assert each.e2e == pytest.approx(slowest + (e2e(last) or 0.0))
    assert slowest > WORD * 100


def test_a_context_that_is_one_part_is_one_request(session: Session, tmp_path: Path) -> None:
    short = item(1, "Ben keeps 8 crates.", "8")
    found = held(session, tmp_path, [short, document(2)], 150)
    assert found.items[0].requests == 1
    assert found.items[0].graded.right
    assert found.items[1].requests > 2


def test_nothing_in_any_part_is_an_answer_and_a_wrong_one(session: Session, tmp_path: Path) -> None:
    found = held(session, tmp_path, [item(3, NOISE * 40, "17")], 150)
    assert found.items[0].graded.text == NONE
    assert found.items[0].graded.score == 0.0


def test_a_part_that_fails_does_not_fail_the_others(session: Session, tmp_path: Path) -> None:
    broken = document(4)
    text = "This is unreadable." + NOISE * 30 + broken.parts.of("context")[0].text
    every = item(5, "This is unreadable." * 90, "1")
    found = held(session, tmp_path, [item(4, text, "74"), every], 150)
    good, bad = found.items
    assert good.graded.right
    assert good.record.ok
    assert bad.graded.failed
    assert bad.ttft is None
    assert bad.requests > 1


def test_no_more_is_asked_than_is_allowed(session: Session, tmp_path: Path) -> None:
    found = held(session, tmp_path, [document(n) for n in range(6)], 150, most=7)
    assert found.requests == 7
    assert "as many as allowed" in found.why
    assert found.items == []


@pytest.mark.engine
def test_on_the_embedded_model_long_documents_are_answered(tmp_path: Path) -> None:
    asked = Experiment(runs=str(tmp_path))
    app = asked.profile("document")
    long = [TASKS["needle"].item(0, n, 600) for n in range(4)]
    with opened("openvino", asked, lambda _: None) as session:
        found = in_waves(session, long, 250, Closed(2), asked=asked, app=app)
    assert len(found.items) == 4
    assert all(valid(each) for each in found.items)
    _, records = read_run(found.folder)
    assert all(record.ok for record in records)


def valid(each: Waved) -> bool:
    assert each.ttft is not None
    assert each.e2e is not None
    return each.requests > 2 and 0 < each.ttft <= each.e2e and not each.graded.failed
