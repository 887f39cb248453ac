"""Items asked in two waves: each part of their contexts, then what was answered for the parts.

All parts of all items are one load, at one concurrency; when the last of them has ended, all the
questions on their answers are another. So each wave is as steady as a load of so few requests can
be, and no part of one item waits for a question of another. What a user waits for is put together
afterwards: the slowest of the item's parts, which are sent at once, and then the last request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from latok.analysis import metrics
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.graded import Paper
from latok.jobs.measure import Watch, begun, plan_of, undisturbed, writing
from latok.jobs.prices import spent_on
from latok.jobs.runs import LOG, decoded
from latok.jobs.session import Session, new_folder
from latok.levers.map_reduce import mapped, reduced
from latok.load.fleet import hold, logs
from latok.load.plan import Driven, Prepared
from latok.quality.items import Graded, Item
from latok.records import Closed, Record, write_manifest, write_records
from latok.workload.apps import App
from latok.workload.parts import Parts
from latok.workload.prompts import estimate


class Waved(NamedTuple):
    """One item. `ttft`, `e2e`: seconds from when its parts were sent to its answer's first and last
    token, None if none came. `input_tokens`, `output_tokens`: of all its requests, as the server
    says, else as we counted; None where nobody can say.

    `record`: as if it had been one request: the last one, sent so much earlier as its slowest part
    took. Its own token counts are the last one's.
    """

    graded: Graded
    ttft: float | None
    e2e: float | None
    input_tokens: int
    output_tokens: int | None
    requests: int
    record: Record


class Waves(NamedTuple):
    """The items that were answered, in their order, and what was asked for all: requests, tokens,
    and US dollars that they may have cost. `ended` is `complete`, `interrupted` or `unfinished`,
    `why` says it in words; an item whose requests did not all end, or that got no grade, is left
    out."""

    items: list[Waved]
    folder: Path
    ended: str
    why: str
    requests: int
    tokens: int
    usd: float


def in_waves(
    session: Session,
    items: Sequence[Item],
    chunk_tokens: int,
    load: Closed,
    *,
    asked: Experiment,
    app: App,
    spent: tuple[int, int, float] = (0, 0, 0.0),
    watch: Watch = lambda _: None,
) -> Waves:
    """Asks items with `context=map_reduce:chunk_tokens`, at most `load.concurrency` requests at a
    time, and leaves a run's folder in which the requests of both waves are records. An item whose
    context is no longer than a part is one request.

    `spent`: requests, tokens and dollars before it, of what `asked` allows. Raises UsageError (no
    items, a wrong size, a disk that takes no more).
    """
    if not items:
        raise UsageError("there is nothing to ask in waves")
    count = session.count or estimate
    parts = [mapped(item.parts, chunk_tokens, count) for item in items]
    waves = _Waves(session, load, asked, app, spent, watch, chunk_tokens)
    flat = iter(waves.ask([part for each in parts for part in each]))
    first = [[next(flat) for _ in each] for each in parts]
    asking: dict[int, Parts] = {}
    for n, records in enumerate(first):
        texts = [r.text if r.ok else None for r in records if r is not None]
        # where every part failed there is nothing to ask about, and the item has failed
        if len(records) > 1 and len(texts) == len(records) and any(r and r.ok for r in records):
            asking[n] = reduced(items[n].parts, texts)
    second = dict(zip(asking, waves.ask(list(asking.values())), strict=True))
    ended: dict[int, tuple[list[Record], Record]] = {}
    for n, records in enumerate(first):
        before = [record for record in records if record is not None]
        if len(before) == len(records):
            last = second[n] if n in asking else before.pop()
            if last is not None:
                ended[n] = before, last
    graded = waves.kept({last.id: items[n] for n, (_, last) in ended.items()})
    answers = [
        _waved(graded[last.id], before, last)
        for before, last in ended.values()
        if last.id in graded  # a judge may have given no grade
    ]
    return waves.said(answers)


def _waved(graded: Graded, before: Sequence[Record], last: Record) -> Waved:
    waited = max((_lasted(record) for record in before), default=0.0)
    sent = None if last.sent_first is None else last.sent_first - waited
    whole = msgspec.structs.replace(last, due=last.due - waited, sent_first=sent)
    out = [metrics.output_tokens(record) for record in (*before, last)]
    return Waved(
        graded=graded,
        ttft=metrics.ttft(whole),
        e2e=metrics.e2e(whole),
        input_tokens=sum(map(_input, (*before, last))),
        output_tokens=None if None in out else sum(tokens or 0 for tokens in out),
        requests=len(before) + 1,
        record=whole,
    )


def _lasted(record: Record) -> float:
    """Until its stream had ended: only then is its text known to be whole. A failure takes time,
    too."""
    began = record.due if record.sent_first is None else record.sent_first
    return began if record.closed_at is None else record.closed_at - began


def _input(record: Record) -> int:
    said = record.usage.prompt_tokens if record.usage else None
    return record.prompt_tokens if said is None else said


class _Waves:
    """The waves of one folder, all on one clock."""

    def __init__(
        self,
        session: Session,
        load: Closed,
        asked: Experiment,
        app: App,
        spent: tuple[int, int, float],
        watch: Watch,
        chunk_tokens: int,
    ) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{app.name}-c{load.concurrency}-waves"
        self._session, self._load, self._asked = session, load, asked
        self._before, self._watch, self._app = spent, watch, app
        self._folder = new_folder(asked.runs, name)
        self._manifest = begun(
            self._folder,
            session,
            asked,
            app=app.name,
            slo=str(app.slo),
            load=load,
            workload={"context": f"map_reduce:{chunk_tokens}", "cache": "graded"},
            texts=True,
        )
        with writing(self._folder):  # a run that is killed is read from its logs
            write_manifest(self._folder, self._manifest)
        self._records: dict[int, Record] = {}
        self._driven: list[Driven] = []
        self._next_id = 0

    def ask(self, parts: Sequence[Parts]) -> list[Record | None]:
        """A wave, and what came of each request; None of those that did not come to an end of their
        own. After a wave that ended early nothing is asked."""
        if not parts or any(driven.why or driven.ended != "complete" for driven in self._driven):
            return [None] * len(parts)
        prepared = list(self._prepared(parts))
        plan = plan_of(self._session, self._load, self._asked, self._spent)
        driven = hold(
            msgspec.structs.replace(plan, zero=self._manifest.started_at),
            lambda: prepared,
            self._folder / f"{LOG}.{len(self._driven)}",
            watch=self._watch,
        )
        self._driven.append(driven)
        self._records = {each.id: each for each in decoded(self._folder, self._manifest)}
        own = (self._records.get(each.request.id) for each in prepared)
        return [None if record is None or metrics.cut_short(record) else record for record in own]

    def kept(self, lasts: dict[int, Item]) -> dict[int, Graded]:
        """Writes all records and the grades of those that are an item's last; these by their id."""
        windows = [driven.window for driven in self._driven if driven.window is not None]
        self._manifest = msgspec.structs.replace(
            self._manifest,
            window=(windows[0][0], windows[-1][1]) if windows else None,
            ended=self._driven[-1].ended,
            clock_step=max(driven.clock_step for driven in self._driven),
            kernel_stamps=all(driven.kernel_stamps for driven in self._driven),
            client_cpu_s=sum(driven.client_cpu_s for driven in self._driven),
            client_stall_s=max(driven.stall_s for driven in self._driven),
        )
        paper = Paper(lasts.get)
        with writing(self._folder), undisturbed() as interrupted:
            write_records(self._folder, paper.keep(self._records.values()))
            write_manifest(self._folder, self._manifest)
            for log in logs(self._folder / LOG):
                log.unlink(missing_ok=True)
            graded = paper.grade(self._folder, self._session.judge, interrupted.is_set)
        return {each.request: each for each in graded if each.request is not None}

    def said(self, answers: list[Waved]) -> Waves:
        requests, tokens, usd = self._own
        last = self._driven[-1]
        return Waves(answers, self._folder, last.ended, last.why, requests, tokens, usd)

    @property
    def _own(self) -> tuple[int, int, float]:
        every = self._records.values()
        prices, margin = self._session.prices, self._session.margin
        return (
            len(every),
            sum(each.prompt_tokens + each.max_tokens for each in every),
            sum(spent_on(each, prices, margin=margin) for each in every),
        )

    @property
    def _spent(self) -> tuple[int, int, float]:
        requests, tokens, usd = self._before
        own = self._own
        return requests + own[0], tokens + own[1], usd + own[2]

    def _prepared(self, parts: Sequence[Parts]) -> Iterator[Prepared]:
        session, talk = self._session, self._session.talk()
        texts = ["\n\n".join([*(m.content for m in part.before), part.text]) for part in parts]
        counts = (session.count or estimate)(texts)
        for part, tokens in zip(parts, counts, strict=True):
            request = part.request(self._next_id, tokens + session.overhead, app=self._app.name)
            self._next_id += 1
            light = msgspec.structs.replace(request, prompt="", before=())
            yield Prepared(light, talk.bytes_of(request))
