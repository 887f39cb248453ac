"""What is turned of a target, its requests and its client: the settings that `latok try` compares
(without, with, and each of two levers by itself), or one of a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from latok.engines.table import ENGINES, EngineLever, effective, parse_levers
from latok.errors import UsageError
from latok.jobs.session import Session
from latok.levers.client import CLIENT_LEVERS, PLAIN, Client, client
from latok.levers.requests import MAP_REDUCE, REQUEST_LEVERS, Change, Count, change
from latok.wire.dialects import EFFORTS
from latok.workload.prompts import estimate

# What a request says besides its parts; how it is said, the target's dialect knows.
_SAID: Mapping[str, Sequence[str]] = {"stream": ("on", "off"), "reasoning": EFFORTS}


@dataclass(frozen=True, kw_only=True)
class Turned:
    """One setting. `levers`: all that were asked, as they stand here; `engine`: the words that its
    engine is started with; `requests`: name and value of those that act on a request's parts."""

    name: str
    levers: Mapping[str, str]
    engine: tuple[str, ...] = ()
    requests: tuple[tuple[str, str], ...] = ()

    @property
    def of_requests(self) -> bool:
        """Whether it changes what is asked: then all that is asked must be known by its parts."""
        return bool(self.requests)

    @property
    def of_engine(self) -> bool:
        """Whether it is the target alone that it changes, so that there is a capacity of it."""
        return not self.requests and self.client == PLAIN

    @property
    def part_tokens(self) -> int:
        """Of `context=map_reduce:TOKENS`; 0 where the context is not asked in parts."""
        said = dict(self.requests).get("context", "")
        return int(said.removeprefix(MAP_REDUCE)) if said.startswith(MAP_REDUCE) else 0

    @property
    def client(self) -> Client:
        """What it makes of a client that sends all that it is asked to, at once."""
        return client({n: v for n, v in self.levers.items() if n in CLIENT_LEVERS})

    def change(self, count: Count | None) -> Change | None:
        """What it makes of a request's parts; None where it leaves them as they are."""
        return change(self.requests, count or estimate) if self.requests else None

    def asks(self, session: Session) -> Session:
        """The session as this setting asks it. Raises UsageError where its API cannot say so."""
        dialect = session.found.dialect
        stream, effort = self.levers.get("stream") != "off", self.levers.get("reasoning")
        if not stream:
            dialect.unstreamed({})
        if effort is not None:
            dialect.with_effort({}, effort)
        started = {word.partition("=")[0] for word in self.engine}
        own = {name: value for name, value in self.levers.items() if name not in started}
        return replace(
            session,
            stream=stream,
            effort=effort,
            client=self.client,
            levers={**session.levers, **own},
        )


def turned(target: str, words: Sequence[str]) -> list[Turned]:
    """Without first, all together last; of two levers each by itself between them, but for one that
    acts only together with the other.

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
    made = [_setting(target, pairs, on) for on in (frozenset[str](), every)]
    if len(pairs) == 2:
        alone = [_setting(target, pairs, frozenset([name])) for name in names]
        made[1:1] = [each for each in alone if _acts(target, each)]
    if made[-1].client != PLAIN and any(each.part_tokens for each in made):
        raise UsageError("context=map_reduce and a lever of the client cannot be tried together")
    return made


def _acts(target: str, setting: Turned) -> bool:
    """Whether the engine would be another with it: some levers act only with another's help."""
    if target not in ENGINES:
        return True
    words = dict(word.split("=", 1) for word in setting.engine)
    try:
        effective(target, parse_levers(target, words))
    except UsageError:
        return False
    return True


def one_setting(target: str, words: Sequence[str]) -> Turned:
    """All of `lever=value` words together, even those that are so already. Raises UsageError for
    what the target has not."""
    pairs = []
    for word in words:
        name, _, value = word.partition("=")
        _check(target, name, value)
        pairs.append((name, None, value))
    return _setting(target, pairs, frozenset(name for name, _, _ in pairs))


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
    already = lever is not None and lever.parse(value) == lever.default
    if not already and word != "stream=on":
        return name, None, value
    if lever is not None and isinstance(lever.default, bool):
        return name, "off" if lever.default else "on", value
    raise UsageError(f"{word} is so already; give both, as in {name}=…..{value}")


def _check(target: str, name: str, value: str) -> None:
    if name in REQUEST_LEVERS:
        change([(name, value)], estimate)
    elif name in CLIENT_LEVERS:
        client({name: value})
    elif name in _SAID:
        if value not in _SAID[name]:
            raise UsageError(f"{name} is one of {', '.join(_SAID[name])}, not '{value}'")
        if name == "reasoning" and target in ENGINES and ENGINES[target].embedded:
            raise UsageError(f"{target} does not take reasoning")
    elif target in ENGINES:
        parse_levers(target, {name: value})
    else:
        raise UsageError(
            f"{name} is a lever of an engine that latok starts, not of a URL; of its requests "
            f"there are {', '.join((*REQUEST_LEVERS, *_SAID))}, of its client "
            f"{', '.join(CLIENT_LEVERS)}"
        )


def _engine_lever(target: str, name: str) -> EngineLever | None:
    if target not in ENGINES or name in (*REQUEST_LEVERS, *CLIENT_LEVERS, *_SAID):
        return None
    return next(lever for lever in ENGINES[target].levers if lever.name == name)


def _setting(
    target: str, pairs: Sequence[tuple[str, str | None, str]], on: frozenset[str]
) -> Turned:
    values = {name: after if name in on else before for name, before, after in pairs}
    known = {name: value for name, value in values.items() if value is not None}
    shown = [f"{name}={value}" for name, value in known.items() if name in on]
    return Turned(
        name=" ".join(shown) or "without",
        levers=known,
        engine=tuple(f"{n}={v}" for n, v in known.items() if _engine_lever(target, n)),
        requests=tuple((n, v) for n, v in known.items() if n in REQUEST_LEVERS),
    )
