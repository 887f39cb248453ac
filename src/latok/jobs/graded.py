"""Grading inside a run: which requests are items, and what their answers were worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from latok.analysis.metrics import cut_short, output_tokens
from latok.errors import TargetError, UsageError
from latok.jobs.benchmarks import BENCHMARKS, benchmark
from latok.jobs.experiment import Experiment
from latok.jobs.judged import Answered, Judge
from latok.jobs.runs import GRADED, JUDGED, write_beside
from latok.levers.requests import Change
from latok.quality.given import given_items
from latok.quality.items import Graded, Item
from latok.quality.judge import JUDGE, Judgement
from latok.quality.score import score
from latok.quality.suite import Exam, Suite, suite_of, suite_of_task
from latok.quality.tasks import TASKS
from latok.records import Record
from latok.sandbox import run as run_code


def suite_asked(asked: Experiment, app: str) -> Suite | None:
    """What shall be graded; None where nothing shall. Raises UsageError."""
    if asked.items in TASKS:
        if asked.judge is not None:
            raise UsageError(f"--judge would have nothing to do: {asked.items} is graded by a rule")
        return suite_of_task(TASKS[asked.items], asked.seed, asked.item_size)
    if asked.items is not None:
        if asked.item_size is not None:
            raise UsageError(f"--item-size is of our tasks; the items of {asked.items} have theirs")
        return Suite(own=_own_items(asked.items, asked))
    return suite_of(app, asked.seed, asked.item_size) if asked.graded is not None else None


def _own_items(word: str, asked: Experiment) -> tuple[Item, ...]:
    """The items of a benchmark of that name, or of a file. Raises UsageError, also where they need
    a judge and none was named, or the other way round."""
    items = _items_of(word, asked.seed)
    judged = next((item.id for item in items if item.scorer == JUDGE), None)
    if judged is not None and asked.judge is None:
        raise UsageError(
            f"--items {word}: {judged} is graded by a judge; name one with --judge URL"
        )
    if judged is None and asked.judge is not None:
        raise UsageError(f"--judge would have nothing to do: no item of {word} has scorer judge")
    return items


def _items_of(word: str, seed: int) -> tuple[Item, ...]:
    if (known := benchmark(word, seed)) is not None:
        return tuple(known)
    try:
        content = Path(word).read_bytes()
    except OSError as why:
        raise UsageError(
            f"--items: cannot read {word}: {why.strerror}; without a file there are "
            f"{', '.join(BENCHMARKS)}, and our tasks {', '.join(TASKS)}"
        ) from None
    return tuple(given_items(content, Path(word).name))


def exam_asked(
    asked: Experiment, app: str, level: int, change: Change | None = None
) -> Exam | None:
    """The exam of one load, its requests changed by levers. Each level has items of its own, so
    that no prefix cache knows them."""
    suite = suite_asked(asked, app)
    if suite is None:
        return None
    share = 1.0 if asked.graded is None else asked.graded
    return Exam(suite=suite, share=share, start=0 if suite.own else level, change=change)


class Paper:
    """The answers to an exam, kept as they pass by, and graded when the load is over."""

    def __init__(self, item_of: Callable[[int], Item | None]) -> None:
        """`item_of`: the item that the request of this id was; None for one that is not graded."""
        self._item_of = item_of
        self._kept: list[tuple[Item, Record, int | None]] = []
        self._seen: set[str] = set()

    def keep(self, records: Iterable[Record]) -> Iterable[Record]:
        """Passes records on, as they are."""
        for record in records:
            item = self._item_of(record.id)
            # a user's few items may be asked again and again; an answer that we cut off is none
            if item is not None and item.id not in self._seen and not cut_short(record):
                self._seen.add(item.id)
                light = msgspec.structs.replace(record, chunks=())
                self._kept.append((item, light, output_tokens(record)))
            yield record

    def grade(self, folder: Path, judge: Judge | None, stopped: Callable[[], bool]) -> list[Graded]:
        """Grades, and leaves that in the run's folder; code runs in a sandbox. What a judge gives
        no grade is left out here, and stands with its words in the folder. Once `stopped` it is
        not asked any more.

        Raises UsageError if the disk does not take it, TargetError for a judge that gave no grade
        to any answer.
        """
        asked = [
            Answered(item, record.id, record.text or "")
            for item, record, _ in self._kept
            if item.scorer == JUDGE and record.ok
        ]
        judged = judge.judged(asked, stopped) if judge is not None and asked else []
        scores = {each.request: each.score for each in judged}
        graded: list[Graded] = []
        for item, record, tokens in self._kept:
            if not record.ok:
                found: float | None = 0.0
            elif item.scorer == JUDGE:
                found = scores[record.id]
            else:
                found = score(item, record.text or "", run_code)
            if found is not None:
                graded.append(_graded(item, record, tokens, found))
        _write(folder / GRADED, graded)
        if judged:
            _write(folder / JUDGED, judged)
        if set(scores.values()) == {None} and not stopped():
            raise TargetError(
                f"the judge {judged[0].judge} gave no grade to any of {len(judged)} answers: "
                f"{judged[0].why}"
            )
        return graded


def _graded(item: Item, record: Record, tokens: int | None, score: float) -> Graded:
    text = record.text or ""
    return Graded(
        item=item.id,
        task=item.task,
        family=item.family,
        score=score,
        request=record.id,
        text=text,
        tokens=tokens,
        finish=record.finish_reason,
        failed=not record.ok,
        first=record.first_token,
        about=item.about,
    )


def _write(path: Path, rows: Iterable[Graded] | Iterable[Judgement]) -> None:
    write_beside(path, msgspec.json.Encoder().encode_lines(rows))
