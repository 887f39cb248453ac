"""What `latok try` turns: the settings that it compares, and what each sends to the target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.measure import hold_point
from latok.jobs.runs import read_run
from latok.jobs.session import Session, opened
from latok.jobs.turned import turned
from latok.load.golden import golden
from latok.records import Closed, Record
from tests.golden.reading import THOUGHTS

URL = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    server = golden("tests.golden.reading:reading")
    with server as url, opened(url, Experiment(), lambda _: None) as found:
        yield found


def answered(session: Session, runs: Path, word: str) -> list[Record]:
    """What a few requests were answered with that lever turned."""
    asked = Experiment(runs=str(runs), requests=4, input_tokens="20", output_tokens="5")
    app, _ = session.fit(asked.profile("chat"), None)
    held = hold_point(
        turned(URL, [word])[-1].asks(session),
        app,
        session.maker(app, 0),
        Closed(1),
        asked=asked,
        duration=None,
        ramp=0.0,
        note="",
        watch=lambda _: None,
    )
    _, records = read_run(held.point.run)
    assert held.point.counts.ok >= 4, held.point.errors
    return [record for record in records if record.ok]


def test_an_answer_that_is_not_streamed_comes_in_one_piece(
    session: Session, tmp_path: Path
) -> None:
    assert "stream_options" in session.found.accepts  # which the server refuses without a stream
    for record in answered(session, tmp_path, "stream=off"):
        assert [(chunk.kind, chunk.tokens) for chunk in record.chunks] == [("content", 1)]
        assert record.finish_reason == "stop"


@pytest.mark.parametrize("level", THOUGHTS)
def test_how_much_to_think_reaches_the_target(session: Session, tmp_path: Path, level: str) -> None:
    for record in answered(session, tmp_path, f"reasoning={level}"):
        assert record.usage is not None
        assert record.usage.reasoning_tokens == THOUGHTS[level]


def test_without_comes_first_and_each_of_two_by_itself() -> None:
    names = [each.name for each in turned(URL, ["stream=off", "reasoning=low"])]
    assert names == ["without", "stream=off", "reasoning=low", "stream=off reasoning=low"]
    before, after = turned(URL, ["stream=off..on"])
    assert (before.levers, after.levers) == ({"stream": "off"}, {"stream": "on"})


@pytest.mark.parametrize(
    ("target", "word", "says"),
    [
        (URL, "stream=on", "is so already"),
        (URL, "stream=maybe", "one of on, off"),
        (URL, "reasoning=lots", "one of low, medium, high"),
        (URL, "kv_cache=u8", "not of a URL"),
        ("openvino", "reasoning=low", "does not take reasoning"),
    ],
)
def test_what_a_target_has_not_is_said(target: str, word: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        turned(target, [word])
