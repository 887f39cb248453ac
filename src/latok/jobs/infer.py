"""Explains a target that says nothing of its own time: probes it, and infers its laws."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from latok.analysis.claims import claims
from latok.analysis.infer import infer
from latok.analysis.laws import Claim, Laws
from latok.analysis.probed import Ask, Probe, Seen
from latok.decide.outlook import Limits as Spend
from latok.decide.outlook import most_usd_within
from latok.decide.probes import LEVELS, Limits, next_probe, outlook
from latok.errors import TargetError, UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.measure import Watch, begun, spending_of, undisturbed, writing
from latok.jobs.outlook import most_usd
from latok.jobs.prices import spent_on
from latok.jobs.runs import LOG, read_run
from latok.jobs.session import EMBEDDED, Say, Session, new_folder, opened
from latok.load.fleet import hold, logs
from latok.load.plan import Driven, Plan, Prepared
from latok.records import (
    Closed,
    Load,
    Manifest,
    Open,
    Record,
    Request,
    Target,
    write_manifest,
    write_records,
)
from latok.wire.capture import read_log, record_of
from latok.workload.prompts import PromptMaker, prompt_maker

_REQUESTS, _TOKENS = 200, 100_000  # by default, of the whole inference
_HEAD = 16  # tokens
_GRACE = 10.0  # seconds beyond the budget for the probe that is under way
_IDS = 1000  # of a probe; a request's id says its probe and its place in it
_PROBES = "probes"  # in the manifest's workload


class Inferred(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt of a target from outside. `requests` and `tokens` were sent."""

    target: Target
    laws: Laws
    claims: tuple[Claim, ...]
    requests: int
    tokens: int
    seconds: float
    run: str
    complete: bool


def inferred(
    asked: Experiment, *, say: Say = lambda _: None, watch: Watch = lambda _: None
) -> Inferred:
    """Probes one target, at most 200 requests and 100,000 tokens unless other limits are given, for
    about `budget` seconds; keeps every answer in a run's folder. Ctrl-C ends it, and what was
    measured is explained.

    Raises UsageError, TargetError (nothing answered, or nothing but errors).
    """
    word = asked.targets[0] if asked.targets else EMBEDDED
    with opened(word, asked, say) as session:
        limits = _limits(asked, session)
        allowed = Spend(limits.requests, limits.tokens, asked.max_cost)
        say(outlook(limits, most_usd_within(session.prices, allowed, margin=session.margin)))
        folder = new_folder(asked.runs, f"{time.strftime('%Y%m%d-%H%M%S')}-infer")
        manifest = _manifest(folder, session, asked)
        with writing(folder):
            write_manifest(folder, manifest)
        probing = _Probing(session, asked, folder, manifest, say, watch)
        try:
            manifest = probing.run(limits)
        finally:
            probing.keep()
    found = inferred_from(folder)
    if not probing.answered:
        raise TargetError(f"no probe of {session.target.url} was answered: {probing.trouble}")
    return msgspec.structs.replace(found, complete=manifest.ended == "complete")


def inferred_from(folder: Path | str) -> Inferred:
    """What the probes in a run's folder tell, by today's definitions. Raises UsageError."""
    manifest, records = read_run(folder)
    seen = seen_in(manifest, records)
    laws = infer(seen, seed=manifest.seed)
    return Inferred(
        target=manifest.target,
        laws=laws,
        claims=tuple(claims(laws)),
        requests=len(records),
        tokens=sum(r.prompt_tokens + r.max_tokens for r in records),
        seconds=max((r.closed_at or 0.0 for r in records), default=0.0),
        run=str(folder),
        complete=manifest.ended == "complete",
    )


def seen_in(manifest: Manifest, records: Sequence[Record]) -> list[Seen]:
    """The probes of a run, each with its records. Raises UsageError if it was none of probes."""
    if not is_probing(manifest):
        raise UsageError(f"the run {manifest.id} was not made of probes; give a target to explain")
    probes = msgspec.convert(manifest.workload[_PROBES], list[Probe])
    by_id = {record.id: record for record in records}
    found = []
    for n, probe in enumerate(probes):
        places = [k for k in range(len(probe.asks)) if n * _IDS + k in by_id]
        asks = tuple(probe.asks[k] for k in places)
        mine = [by_id[n * _IDS + k] for k in places]
        found.append(Seen(msgspec.structs.replace(probe, asks=asks), mine))
    return found


def is_probing(manifest: Manifest) -> bool:
    """Whether a run was made of probes."""
    return _PROBES in manifest.workload


def _limits(asked: Experiment, session: Session) -> Limits:
    """What is left to spend: the session's own question was a request, too."""
    return Limits(
        requests=(asked.max_requests or _REQUESTS) - 1,
        tokens=(asked.max_tokens_spent or _TOKENS) - 100,
        seconds=asked.budget,
        context=session.found.context,
        overhead=session.overhead,
        levels=_levels(asked),
    )


class Probing(NamedTuple):
    """What an inference would send at the most, in one line; `most_usd`: what it may cost, None
    where the price is not known."""

    outlook: str
    most_usd: float | None


def probing_outlook(asked: Experiment) -> Probing:
    """Sends nothing but, to a URL whose model was not named, the question which models there are.
    Raises UsageError, TargetError."""
    requests, tokens = asked.max_requests or _REQUESTS, asked.max_tokens_spent or _TOKENS
    limits = Limits(requests=requests, tokens=tokens, seconds=asked.budget, levels=_levels(asked))
    usd = most_usd(asked, requests, tokens)
    return Probing(outlook(limits, usd), usd)


def _levels(asked: Experiment) -> tuple[int, ...]:
    highest = asked.concurrency
    return LEVELS if highest is None else tuple(sorted({1, highest // 3 or 1, highest}))


def _manifest(folder: Path, session: Session, asked: Experiment) -> Manifest:
    workload = {_PROBES: [], "exact_counts": session.count is not None}
    return begun(folder, session, asked, app="explain", slo="", load=Closed(1), workload=workload)


class _Probing:
    """The probes as they are sent, one after another, and what is to be kept of them."""

    def __init__(
        self,
        session: Session,
        asked: Experiment,
        folder: Path,
        manifest: Manifest,
        say: Say,
        watch: Watch,
    ) -> None:
        self._session = session
        self._asked = asked
        self._folder = folder
        self._manifest = manifest
        self._say = say
        self._watch = watch
        self._maker: PromptMaker = prompt_maker("chat", seed=asked.seed, count=session.count)
        # a server that still runs may know the prompts of an earlier time
        self._fresh = count(int(manifest.started_at * 100) % 2**36)
        self._head = self._maker.make(_HEAD, next(self._fresh))
        self._seen: list[Seen] = []
        self._usd = session.probed()
        self.trouble = "no probe was sent"

    @property
    def answered(self) -> bool:
        return any(record.ok for each in self._seen for record in each.records)

    def run(self, limits: Limits) -> Manifest:
        """Sends probes until all is known or spent, or Ctrl-C; the manifest then."""
        began = time.monotonic()
        ended: Literal["complete", "interrupted"] = "complete"
        try:
            while True:
                seconds = time.monotonic() - began
                probe = next_probe(self._seen, limits, seconds=seconds, seed=self._asked.seed)
                if probe is None:
                    break
                driven = self._hold(probe, limits.seconds - seconds)
                self.trouble = driven.why or self._failures() or self.trouble
                if driven.ended == "interrupted":
                    ended = "interrupted"
                    break
                if driven.why or not any(r.ok for r in self._seen[-1].records):
                    self._say(f"ended early: {self.trouble}")
                    break
        except KeyboardInterrupt:
            ended = "interrupted"
        self._manifest = msgspec.structs.replace(self._manifest, ended=ended)
        return self._manifest

    def keep(self) -> None:
        """Writes what was answered; the logs go when that stands."""
        records = [record for each in self._seen for record in each.records]
        with writing(self._folder), undisturbed():
            write_records(self._folder, records)
            write_manifest(self._folder, self._manifest)
            for log in logs(self._folder / LOG):
                log.unlink(missing_ok=True)

    def _hold(self, probe: Probe, left: float) -> Driven:
        n, session = len(self._seen), self._session
        self._say(f"probe {n + 1}: {_words(probe)}")
        probes = [*self._manifest.workload[_PROBES], msgspec.to_builtins(probe)]
        workload = self._manifest.workload | {_PROBES: probes}
        self._manifest = msgspec.structs.replace(self._manifest, workload=workload)
        with writing(self._folder):  # a run that is killed is read from its logs
            write_manifest(self._folder, self._manifest)
        prepared = list(self._prepared(probe, n * _IDS))
        site = session.found.site
        log = self._folder / f"{LOG}.{n}"
        driven = hold(
            Plan(
                address=session.address,
                host=site.host,
                tls=site.scheme == "https",
                tunnel=site.tunnel,
                ca=str(site.ca) if site.ca else None,
                load=_load(probe),
                due=[ask.at for ask in probe.asks if ask.at is not None],
                patience=self._asked.patience(),
                spending=spending_of(self._asked.max_cost, self._usd, session),
                zero=self._manifest.started_at,
                limit=time.time() - self._manifest.started_at + left + _GRACE,
            ),
            lambda: prepared,
            log,
            watch=self._watch,
        )
        records = list(self._records(log))
        self._usd += sum(spent_on(r, session.prices, margin=session.margin) for r in records)
        by_place = {record.id - n * _IDS: record for record in records}
        asks = tuple(ask for k, ask in enumerate(probe.asks) if k in by_place)
        mine = [by_place[k] for k in sorted(by_place)]
        self._seen.append(Seen(msgspec.structs.replace(probe, asks=asks), mine))
        return driven

    def _records(self, log: Path) -> Iterator[Record]:
        if log.exists():
            with log.open("rb") as file:
                for capture in read_log(file):
                    yield record_of(capture, self._session.found.dialect)

    def _prepared(self, probe: Probe, first_id: int) -> Iterator[Prepared]:
        talk = self._session.talk()
        for k, ask in enumerate(probe.asks):
            request = Request(
                id=first_id + k,
                prompt=self._text(ask),
                prompt_tokens=ask.prompt_tokens + self._session.overhead,
                max_tokens=ask.max_tokens,
                app="explain",
            )
            data = talk.bytes_of(request)
            yield Prepared(msgspec.structs.replace(request, prompt=""), data)

    def _text(self, ask: Ask) -> str:
        """Common text has a head of its own in each run: none that a server may know from before,
        and as its tokens are few, none of them is asked for alone."""
        own, make = ask.prompt_tokens - ask.shared, self._maker.make
        if not ask.shared:
            return make(own, next(self._fresh))
        common = self._maker.common(max(ask.shared - _HEAD, 0))
        return f"{self._head} {common}{make(own, next(self._fresh), behind=True)}"

    def _failures(self) -> str:
        last = self._seen[-1].records
        texts = {r.error.text or r.error.kind for r in last if r.error is not None}
        return "; ".join(sorted(texts)[:2])


def _load(probe: Probe) -> Load:
    at = [ask.at for ask in probe.asks if ask.at is not None]
    return Open(len(at) / max(at[-1], 1.0), "constant") if at else Closed(probe.concurrency)


def _words(probe: Probe) -> str:
    of = {
        "warm": "is it awake",
        "prefill": "prompts of several lengths",
        "decode": "how tokens come",
        "context": "tokens behind a long prompt",
        "cache": "are known beginnings cheaper",
        "block": "in what blocks",
        "arrival": "small prompts beside a running stream",
        "load": f"{probe.concurrency} at a time",
        "mixed": "a huge prompt among running streams",
    }
    return f"{of[probe.aim]}: {len(probe.asks)} requests, {probe.tokens:,} tokens"
