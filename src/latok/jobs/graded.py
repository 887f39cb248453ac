"""Grading inside a run: which requests are items, and what their answers were worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from latok.analysis.metrics import cut_short, output_tokens
from latok.errors import UsageError
from latok.jobs.benchmarks import BENCHMARKS
from latok.jobs.experiment import Experiment
from latok.jobs.runs import GRADED, write_beside
from latok.levers.requests import Change
from latok.quality.given import given_items
from latok.quality.items import Graded, Item
from latok.quality.score import score
from latok.quality.suite import Exam, Suite, suite_of
from latok.records import Record
from latok.sandbox import run as run_code


def suite_asked(asked: Experiment, app: str) -> Suite | None:
    """What shall be graded; None where nothing shall. Raises UsageError."""
    if asked.items is not None:
        return Suite(own=own_items(asked.items))
    return suite_of(app, asked.seed, asked.item_size) if asked.graded is not None else None


def own_items(word: str) -> tuple[Item, ...]:
    """The items of a benchmark of that name, or of a file. Raises UsageError."""
    if word in BENCHMARKS:
        return tuple(BENCHMARKS[word]())
    try:
        content = Path(word).read_bytes()
    except OSError as why:
        raise UsageError(
            f"--items: cannot read {word}: {why.strerror}; without a file there is "
            f"{', '.join(BENCHMARKS)}"
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

    def graded(self) -> list[Graded]:
        """Grades; code runs in a sandbox."""
        return [_graded(*kept) for kept in self._kept]


def _graded(item: Item, record: Record, tokens: int | None) -> Graded:
    text = record.text or ""
    return Graded(
        item=item.id,
        task=item.task,
        family=item.family,
        score=score(item, text, run_code) if record.ok else 0.0,
        request=record.id,
        text=text,
        tokens=tokens,
        finish=record.finish_reason,
        failed=not record.ok,
        first=record.first_token,
        about=item.about,
    )


def write_graded(folder: Path, graded: Iterable[Graded]) -> None:
    """Leaves them in the run's folder. Raises UsageError if the disk does not take them."""
    write_beside(folder / GRADED, msgspec.json.Encoder().encode_lines(graded))
