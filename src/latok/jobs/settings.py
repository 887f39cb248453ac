"""The settings that a map tries beside a target as it is: those that were named, or promising ones.

A setting is written as its words, `kv_cache=u4 batch_limit=8`; the target as it is, as no words.
"""

from __future__ import annotations

from dataclasses import replace

from latok.decide.promising import Has, promising
from latok.engines.table import ENGINES, EngineLever, effective, parse_levers
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.quality.tasks import tasks_of

AUTO = "auto"
_GRADED = 0.2  # share of the requests, where settings are tried and nothing else was asked for


def settings_asked(asked: Experiment, target: str, app: str) -> list[str]:
    """The target as it is first, then each setting once. Raises UsageError for one that the target
    has not, or that changes nothing."""
    found = [""]
    if asked.settings and target not in ENGINES:
        raise UsageError(
            f"--levers turns levers of an engine that latok starts, which {target} is not; there "
            f"are {', '.join(ENGINES)}"
        )
    for each in asked.settings:
        if each.strip() == AUTO:
            now = effective(target, parse_levers(target, dict(_pairs(asked.levers))))
            found += promising(app, {e.name: _has(e, now[e.name]) for e in ENGINES[target].levers})
        else:
            found.append(_checked(asked, target, each))
    return list(dict.fromkeys(found))


def turned(asked: Experiment, setting: str) -> Experiment:
    """What was asked, with the setting's levers in place of those that it names."""
    words = dict(_pairs(asked.levers)) | dict(_pairs(setting.split()))
    return replace(asked, levers=tuple(f"{name}={value}" for name, value in words.items()))


def levers_of(setting: str) -> dict[str, str]:
    """By name the value of each lever of a setting."""
    return dict(_pairs(setting.split()))


def graded_share(asked: Experiment, app: str) -> tuple[Experiment, str]:
    """With settings a part of the requests is graded although nobody asked, and a sentence where
    that cannot be."""
    if not asked.settings or asked.graded is not None or asked.items is not None:
        return asked, ""
    try:
        tasks_of(app)
    except UsageError as why:
        return asked, f"answers are not graded: {why}; --items takes your own"
    return replace(asked, graded=_GRADED), ""


def _checked(asked: Experiment, target: str, setting: str) -> str:
    words = setting.split()
    if not words or not all("=" in word for word in words):
        raise UsageError(f"--levers '{setting}' is neither {AUTO} nor like 'kv_cache=u4 threads=2'")
    if len(dict(_pairs(words))) < len(words):
        raise UsageError(f"--levers '{setting}' names a lever twice")
    own = parse_levers(target, dict(_pairs(words)))
    as_is = parse_levers(target, dict(_pairs(asked.levers)))
    if effective(target, as_is | own) == effective(target, as_is):
        raise UsageError(f"--levers '{setting}' changes nothing: {target} is so already")
    return " ".join(words)


def _pairs(words: tuple[str, ...] | list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _has(lever: EngineLever, now: int | bool | str | None) -> Has:
    choices = ("on", "off") if isinstance(lever.default, bool) else lever.choices
    return Has(replace(lever, default=now).shown, choices)
