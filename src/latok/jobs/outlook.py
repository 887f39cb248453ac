"""The outlook of a command: said before it sends what costs, or all that it does (`--dry-run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from latok.decide.outlook import (
    Limits,
    Outlook,
    most_usd_within,
    outlook,
    requests_at,
    requests_of_map,
    spend_line,
)
from latok.decide.promising import expected
from latok.engines.table import ENGINES
from latok.jobs.experiment import (
    AT_A_TIME,
    DURATION,
    EXPLAIN_SECONDS,
    OPEN_WARM_UP,
    Experiment,
)
from latok.jobs.prices import ESTIMATED, in_force
from latok.jobs.session import EMBEDDED, Session, estimated, start_line, target_url
from latok.jobs.settings import settings_asked, turned
from latok.load.probe import model_at, site
from latok.records import Closed, Load, Open
from latok.workload.apps import APPS, App, fitted

Command = Literal["map", "measure", "explain"]


def outlooks(asked: Experiment, command: Command) -> list[Outlook]:
    """For each app on each target, as it is and with each setting. Nothing is sent but, to a URL
    whose model was not named, the question which models there are. Raises UsageError, TargetError.
    """
    found = []
    targets = asked.targets or (EMBEDDED,)
    names = list(APPS) if asked.app == "all" else [asked.app]
    profiles = {name: asked.profile(name) for name in names}
    settings = {
        (word, name): settings_asked(asked, word, profile.name)
        for word in targets
        for name, profile in profiles.items()
    }
    share = asked.budget / sum(map(len, settings.values()))
    for word in targets if command == "map" else targets[:1]:
        url, model = _target(word, asked)
        known = in_force(asked, url, model)
        for name, profile in profiles.items():
            app = estimated(asked, profile)
            note = ""
            if app is profile:  # a file's lengths are scaled already
                app, note = fitted(profile, context_tokens=None, scale=asked.scale or 1.0)
            for setting in settings[word, name]:
                start = start_line(word, turned(asked, setting)) if word in ENGINES else ""
                notes = (start, known.note, note, expected(setting))
                found.append(
                    outlook(
                        app,
                        _requests(asked, command, app, share),
                        known.prices,
                        limits=_limits(asked),
                        margin=ESTIMATED,
                        target=f"{url} {setting}".rstrip(),
                        model=model,
                        note="; ".join(text for text in notes if text),
                    )
                )
    return found


def _target(word: str, asked: Experiment) -> tuple[str, str]:
    """Its URL (or its engine's name) and its model. A URL is asked which models there are, where
    none was named."""
    if word in ENGINES:
        return word, asked.model or ""
    where = site(
        target_url(word),
        path=asked.path,
        headers=asked.headers(),
        ca=Path(asked.ca) if asked.ca else None,
    )
    return where.url, asked.model or model_at(where, asked.dialect)


def most_usd(asked: Experiment, requests: int, tokens: int) -> float | None:
    """What so many may cost at the most; None where the price is not known. Nothing is sent but the
    question of `outlooks`. Raises UsageError, TargetError."""
    known = in_force(asked, *_target(asked.targets[0] if asked.targets else EMBEDDED, asked))
    return most_usd_within(known.prices, Limits(requests, tokens, asked.max_cost), margin=ESTIMATED)


def session_line(
    asked: Experiment, command: Command, app: App, session: Session, *, budget: float = 0.0
) -> str:
    """What it would cost of the target that was just opened; empty where its price is not known.

    `budget`: seconds of the map for this app on this target.
    """
    asking = estimated(asked, app, session)
    found = outlook(
        asking,
        _requests(asked, command, asking, budget),
        session.prices,
        limits=_limits(asked),
        margin=session.margin,
        target=session.target.url,
        model=session.target.model,
    )
    line = spend_line(found)
    return line and f"{app.name} on {found.model}: {line}"


def _limits(asked: Experiment) -> Limits:
    return Limits(asked.max_requests, asked.max_tokens_spent, asked.max_cost)


def _requests(asked: Experiment, command: Command, app: App, budget: float) -> float:
    if command == "map":
        return requests_of_map(app, budget, asked.highest)
    if command == "explain":  # alone, and then at a load
        loads: list[Load] = [
            Closed(1),
            Open(asked.rate) if asked.rate else Closed(asked.concurrency or AT_A_TIME),
        ]
        held = asked.duration or (0.0 if asked.requests else EXPLAIN_SECONDS)
        count = asked.requests or 0
        return sum(requests_at(app, each, held, count, OPEN_WARM_UP) for each in loads)
    load: Load = Closed(asked.concurrency or 1) if asked.rate is None else Open(asked.rate)
    if asked.trace is not None and asked.concurrency is None and asked.requests is not None:
        return asked.requests  # a slice, once
    seconds = asked.duration or (0.0 if asked.requests else DURATION)
    return requests_at(app, load, seconds, asked.requests or 0, OPEN_WARM_UP)
