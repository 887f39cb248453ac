"""The settings that a map tries beside a target as it is: those that were named, or promising ones.

A setting is written as its words, `kv_cache=u4 batch_limit=8`; the target as it is, as no words.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from latok.decide.promising import Has, promising
from latok.engines.table import ENGINES, EngineLever, effective, parse_levers
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.turned import one_setting
from latok.levers.client import PLAIN
from latok.levers.requests import REQUEST_LEVERS
from latok.levers.table import LEVERS
from latok.quality.tasks import tasks_of

AUTO = "auto"
_GRADED = 0.2  # share of the requests, where settings are tried and nothing else was asked for


def settings_asked(asked: Experiment, target: str, app: str) -> list[str]:
    """The target as it is first, then each setting once. Raises UsageError for one that the target
    has not, or that changes nothing."""
    found = [""]
    for each in asked.settings:
        if each.strip() != AUTO:
            found.append(_checked(asked, target, each))
            continue
        likely = promising(app, _engine_has(asked, target) | _requests_have(asked, app))
        if not likely:
            raise UsageError(
                f"--levers auto finds nothing to turn for {app}: its levers are of an engine that "
                f"latok starts, which {target} is not; there are {', '.join(ENGINES)}"
            )
        found += likely
    return list(dict.fromkeys(found))


def turned(asked: Experiment, setting: str) -> Experiment:
    """What was asked, with the levers of an engine that the setting names in place of its own."""
    own = [(name, value) for name, value in _pairs(setting.split()) if _of_engine(name)]
    words = dict(_pairs(asked.levers)) | dict(own)
    return replace(asked, levers=tuple(f"{name}={value}" for name, value in words.items()))


def levers_of(setting: str) -> dict[str, str]:
    """By name the value of each lever of a setting."""
    return dict(_pairs(setting.split()))


def graded_share(asked: Experiment, app: str) -> tuple[Experiment, str]:
    """With settings a part of the requests is graded although nobody asked, and a sentence where
    that cannot be; all of them where a lever needs to know their parts."""
    if not asked.settings or asked.items is not None:
        return asked, ""
    blind = [name for each in asked.settings for name in levers_of(each) if _is_blind(name, app)]
    if asked.graded is not None and not blind:
        return asked, ""
    try:
        tasks_of(app)
    except UsageError as why:
        if blind:
            raise UsageError(
                f"{blind[0]} acts on graded items, and there are none: {why}"
            ) from None
        return asked, f"answers are not graded: {why}; --items takes your own"
    if not blind or asked.graded == 1.0:
        return replace(asked, graded=asked.graded or _GRADED), ""
    return replace(asked, graded=1.0), (
        f"all requests are graded items of {app}: {blind[0]} acts on parts that drawn ones have not"
    )


def _is_blind(lever: str, app: str) -> bool:
    """Whether a lever finds nothing to act on in what is drawn for the app
    (`latok.workload.parts.parts_of_drawn`)."""
    if lever not in REQUEST_LEVERS or lever == "output_budget":
        return False
    return (lever, app) != ("context", "document")


def _of_engine(lever: str) -> bool:
    return lever in LEVERS and LEVERS[lever].where == "engine"


def _engine_has(asked: Experiment, target: str) -> dict[str, Has]:
    if target not in ENGINES:
        return {}
    now = effective(target, parse_levers(target, dict(_pairs(asked.levers))))
    return {lever.name: _has(lever, now[lever.name]) for lever in ENGINES[target].levers}


def _requests_have(asked: Experiment, app: str) -> dict[str, Has]:
    """The levers of requests that find something to act on, where what they need is installed."""
    needs = {"context": "semchunk", "code_context": "tree_sitter", "compaction": ""}
    every = asked.items is not None or asked.graded == 1.0
    return {
        name: Has("", ())
        for name, package in needs.items()
        if (every or not _is_blind(name, app)) and (not package or find_spec(package))
    }


def _checked(asked: Experiment, target: str, setting: str) -> str:
    words = setting.split()
    if not words or not all("=" in word for word in words):
        raise UsageError(f"--levers '{setting}' is neither {AUTO} nor like 'kv_cache=u4 threads=2'")
    if len(dict(_pairs(words))) < len(words):
        raise UsageError(f"--levers '{setting}' names a lever twice")
    turned_so = one_setting(target, words)
    if turned_so.part_tokens or turned_so.client != PLAIN:
        raise UsageError(f"--levers '{setting}' is more than a request: latok try tries it")
    levers = dict(_pairs(words))
    own = {name: value for name, value in levers.items() if _of_engine(name)}
    if own == levers:
        as_is = parse_levers(target, dict(_pairs(asked.levers)))
        if effective(target, as_is | parse_levers(target, own)) == effective(target, as_is):
            raise UsageError(f"--levers '{setting}' changes nothing: {target} is so already")
    return " ".join(words)


def _pairs(words: tuple[str, ...] | list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _has(lever: EngineLever, now: int | bool | str | None) -> Has:
    choices = ("on", "off") if isinstance(lever.default, bool) else lever.choices
    return Has(replace(lever, default=now).shown, choices)
