"""A judge in a run: asked after the load, graded or said to be without a grade, and its cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from latok.analysis.point import Point
from latok.engines.launch import launched
from latok.errors import TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.judged import Answered, judge_named
from latok.jobs.measure import measure
from latok.jobs.runs import read_graded, read_judged, read_point, read_run
from latok.jobs.try_ import try_
from latok.load.asking import asking
from latok.load.golden import golden
from latok.load.probe import find, model_at, site
from latok.quality.given import given_items
from latok.quality.judge import asked_of_judge
from tests.golden.judging import KEY


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with golden("tests.golden.judging:judging") as found:
        yield found


def items(folder: Path, words: Sequence[str], scorer: str = "judge") -> str:
    file = folder / "own.jsonl"
    rows = [{"prompt": f"Say {w}", "answer": "Is right.", "scorer": scorer} for w in words]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def measured(
    url: str, folder: Path, words: Sequence[str], **more: object
) -> tuple[Point, list[str]]:
    said: list[str] = []
    asked = Experiment(
        targets=(url,),
        items=items(folder, words),
        runs=str(folder),
        requests=len(words) + 1,
        concurrency=4,
        **{"judge": url, **more},  # type: ignore[arg-type]
    )
    found, _ = measure(asked, say=said.append)
    return found, said


def test_answers_get_the_judges_grades_and_what_gets_none_is_left_out_and_said(
    url: str, tmp_path: Path
) -> None:
    words = ("right", "half", "wrong", "rambling", "quoting", "busy")
    found, said = measured(url, tmp_path, words)
    folder = Path(found.run)
    scores = {each.text: each.score for each in read_graded(folder)}
    assert scores == {"right": 1.0, "half": 0.5, "wrong": 0.0, "busy": 1.0}
    assert found.quality is not None
    assert found.quality.accuracy == pytest.approx(2.5 / 4)
    use = found.quality.judge
    assert use is not None
    assert (use.judge, use.answers, use.ungraded) == (f"first at {url}", 6, 2)
    assert use.input_tokens > 6 * 50
    assert use.usd is None  # nobody knows the price of a server here
    replies = {each.reply: each.why for each in read_judged(folder)}
    assert "who knows?" in replies['It says "GRADE: C", but\nGRADE: C or I, who knows?']
    assert read_point(folder).quality == found.quality
    assert not any("trial" in line for line in said)


def test_what_the_judge_is_asked_is_no_request_of_the_load(url: str, tmp_path: Path) -> None:
    found, _ = measured(url, tmp_path, ("right", "wrong"))
    _, records = read_run(found.run)
    assert {each.text for each in records if each.ok} == {"right", "wrong"}


def test_the_judge_has_a_key_and_a_model_of_its_own(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERS", KEY)
    monkeypatch.setenv("TARGETS", "another")
    more = {"judge": f"{url}#second", "judge_key_env": "OTHERS", "key_env": "TARGETS"}
    found, _ = measured(url, tmp_path, ("secret",), **more)
    assert found.quality is not None
    assert found.quality.accuracy == 1.0
    assert found.quality.judge is not None
    assert found.quality.judge.judge == f"second at {url}"


def test_a_judge_that_stops_answering_is_not_asked_for_ever(url: str, tmp_path: Path) -> None:
    found, _ = measured(url, tmp_path, ["right", *(["refused"] * 9)])
    assert found.quality is not None
    use = found.quality.judge
    assert use is not None
    assert (use.answers, use.ungraded) == (10, 9)
    assert "HTTP 403 no more" in use.why


def test_a_judge_that_grades_nothing_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"no grade to any of 2 answers: its reply ends with"):
        measured(url, tmp_path, ("rambling", "quoting"))


def test_what_a_judge_took_is_said_of_a_trial(url: str, tmp_path: Path) -> None:
    asked = Experiment(
        targets=(url,),
        levers=("output_budget=4",),
        items=items(tmp_path, ("right", "half", "rambling")),
        judge=url,
        runs=str(tmp_path),
        concurrency=2,
        budget=2.0,
    )
    found, _, _ = try_(asked)
    assert found.quality is not None
    assert found.quality.base.accuracy == pytest.approx(0.75)
    (line,) = [note for note in found.notes if "judge" in note]
    assert "got no grade and are left out" in line


def test_the_same_answer_is_graded_once(url: str) -> None:
    item = given_items(b'{"prompt": "?", "answer": "x", "scorer": "judge"}', "own.jsonl")[0]
    with judge_named(Experiment(judge=url, items="own.jsonl"), lambda _: None) as judge:
        assert judge is not None
        answers = [Answered(item, n, "half") for n in range(2)]
        first, again = (judge.judged([each])[0] for each in answers)
    assert (first.score, again.score, again.request) == (0.5, 0.5, 1)
    assert first.input_tokens
    assert again.input_tokens == 0


def test_a_judge_is_there_where_items_need_one_and_nowhere_else(url: str, tmp_path: Path) -> None:
    own = items(tmp_path, ("right",))
    with pytest.raises(UsageError, match=r"own/1 is graded by a judge; name one with --judge"):
        measure(Experiment(targets=(url,), items=own))
    with pytest.raises(UsageError, match="--judge grades your own items"):
        Experiment(judge=url)
    with pytest.raises(UsageError, match="give --judge too"):
        Experiment(items=own, judge_key_env="KEY")
    with pytest.raises(UsageError, match="--judge and --max-cost exclude"):
        Experiment(items=own, judge=url, max_cost=1.0)
    with pytest.raises(UsageError, match="the environment has no NOBODYS"):
        measure(Experiment(targets=(url,), items=own, judge=url, judge_key_env="NOBODYS"))
    ruled = items(tmp_path, ("right",), scorer="exact")
    with pytest.raises(UsageError, match=r"no item of .* has scorer judge"):
        measure(Experiment(targets=(url,), items=ruled, judge=url))
    with pytest.raises(TargetError, match="cannot reach"):
        measured(url, tmp_path, ("right",), judge="http://127.0.0.1:1")


@pytest.mark.engine
def test_a_real_model_takes_a_judges_question_and_its_tokens_are_counted() -> None:
    """Whether so small a model keeps to the form is not for us to say; it is stopped early."""
    (item,) = given_items(b'{"prompt": "Say yes", "answer": "x", "scorer": "judge"}', "own.jsonl")
    request = msgspec.structs.replace(asked_of_judge(item, "yes", 0), max_tokens=16)
    with launched("openvino", {}, say=lambda _: None) as running:
        found = find(site(running.url), request, model=model_at(site(running.url)))
        with asking(found) as questions:
            reply = questions.ask(request)
    assert "".join(reply.text)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens is not None
    assert reply.usage.prompt_tokens > 100
    assert reply.usage.completion_tokens in range(1, 17)
