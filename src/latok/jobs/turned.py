"""The settings that `latok try` compares: without, with, and each of two levers by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latok.engines.table import ENGINES, EngineLever, parse_levers
from latok.errors import UsageError
from latok.levers.requests import REQUEST_LEVERS, Change, Count, change
from latok.workload.prompts import estimate

_BODY: dict[str, dict[str, dict[str, Any]]] = {
    "stream": {"on": {"stream": True}, "off": {"stream": False}},
    "reasoning": {each: {"reasoning_effort": each} for each in ("low", "medium", "high")},
}


@dataclass(frozen=True, kw_only=True)
class Turned:
    """One setting. `levers`: all that were asked, as they stand here; `engine`: the words that its
    engine is started with; `requests`: name and value of those that act on requests; `body`: JSON
    merged into each request."""

    name: str
    levers: Mapping[str, str]
    engine: tuple[str, ...] = ()
    requests: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_requests(self) -> bool:
        """Whether it changes what is asked: then all that is asked must be known by its parts."""
        return bool(self.requests)

    def change(self, count: Count | None) -> Change:
        """What it makes of a request's parts."""
        return change(self.requests, count or estimate)


def turned(target: str, words: Sequence[str]) -> list[Turned]:
    """Without first, all together last; of two levers each by itself between them.

    A word is `lever=value`, or `lever=from..to` where "without" shall not be the default. Raises
    UsageError for what the target has not, and for what is so already.
    """
    if not words:
        raise UsageError("which lever? as in `latok try kv_cache=u4`; `latok levers` lists them")
    pairs = [_pair(target, word) for word in words]
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise UsageError("a lever is named twice")
    every = frozenset(names)
    settings = [frozenset[str](), every]
    if len(pairs) == 2:
        settings[1:1] = [frozenset([name]) for name in names]
    return [_setting(target, pairs, on) for on in settings]


def _pair(target: str, word: str) -> tuple[str, str | None, str]:
    """A lever's name, its value without (None: the target's default), and with."""
    name, _, value = word.partition("=")
    before, dots, after = value.partition("..")
    if dots:
        _check(target, name, before)
        _check(target, name, after)
        return name, before, after
    _check(target, name, value)
    lever = _engine_lever(target, name)
    if lever is None or lever.parse(value) != lever.default:
        return name, None, value
    if isinstance(lever.default, bool):
        return name, "off" if lever.default else "on", value
    raise UsageError(f"{word} is so already; give both, as in {name}=…..{value}")


def _check(target: str, name: str, value: str) -> None:
    if name in REQUEST_LEVERS:
        change([(name, value)], estimate)
    elif name in _BODY:
        if value not in _BODY[name]:
            raise UsageError(f"{name} is one of {', '.join(_BODY[name])}, not '{value}'")
    elif target in ENGINES:
        parse_levers(target, {name: value})
    else:
        raise UsageError(
            f"{name} is a lever of an engine that latok starts, not of a URL; of its requests "
            f"there are {', '.join((*REQUEST_LEVERS, *_BODY))}"
        )


def _engine_lever(target: str, name: str) -> EngineLever | None:
    if target not in ENGINES or name in REQUEST_LEVERS or name in _BODY:
        return None
    return next(lever for lever in ENGINES[target].levers if lever.name == name)


def _setting(
    target: str, pairs: Sequence[tuple[str, str | None, str]], on: frozenset[str]
) -> Turned:
    values = {name: after if name in on else before for name, before, after in pairs}
    known = {name: value for name, value in values.items() if value is not None}
    body: dict[str, Any] = {}
    for name in known.keys() & _BODY.keys():
        body |= _BODY[name][known[name]]
    shown = [f"{name}={value}" for name, value in known.items() if name in on]
    return Turned(
        name=" ".join(shown) or "without",
        levers=known,
        engine=tuple(f"{n}={v}" for n, v in known.items() if _engine_lever(target, n)),
        requests=tuple((n, v) for n, v in known.items() if n in REQUEST_LEVERS),
        body=body,
    )
