"""What was asked: one frozen value, made from keyword arguments, a command line or a TOML file."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from latok.analysis.cost import parse_price
from latok.errors import UsageError
from latok.load.plan import Cancelling, Patience
from latok.records import Owned, Prices
from latok.wire.dialects import dialect_named
from latok.workload.apps import App, app_from_toml, app_named
from latok.workload.arrivals import parse_arrivals
from latok.workload.lengths import parse_lengths, parse_seconds
from latok.workload.prefix import parse_cache, parse_tree
from latok.workload.slo import parse_slo

_ABOVE_ZERO = (
    "concurrency",
    "rate",
    "requests",
    "duration",
    "budget",
    "highest",
    "precision",
    "processes",
    "max_requests",
    "max_tokens_spent",
    "price_per_hour",
    "max_cost",
    "precision",
    "item_size",
    "margin",
    "quality_margin",
    "graded",
    "repeats",
)
# Words that are written as `5%` or `0.05`, as `90s` or `2m`, as `800` or `10k`.
SHARES = ("precision", "margin", "quality_margin", "graded", "repeats")
SPANS = ("budget", "duration")
COUNTS = ("item_size", "requests", "highest", "concurrency", "max_requests", "max_tokens_spent")
TIERS = ("standard", "batch", "priority")
# With neither --requests nor --duration a point is held this long after its warm-up.
DURATION = 30.0
EXPLAIN_SECONDS, AT_A_TIME = 20.0, 8  # that latok explain holds a load, and at its operating point
# An open loop is warm after this many seconds' worth of requests.
OPEN_WARM_UP = 2.0
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_COUNT = {"k": 1e3, "K": 1e3, "M": 1e6, "": 1.0}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The words of the command line. Seconds; a None is chosen by latok, which says what it chose.

    `budget`: seconds of measuring for a map or a capacity, start-up apart. `precision`: a point
    ends once half of an interval is this share of its value, a capacity's search likewise; `loops`:
    in which it is searched. `margin`: of a comparison, the share within which both sides are the
    same, and `quality_margin` that by which an answer's score may fall; `any_model`: their models
    may differ. `header`: `Name: value` texts. `body`: JSON merged into each request. `key_env`: the
    environment variable with the API key.
    `levers`: `name=value` words, of the engine that is started; `settings`: of a map, such words
    each, which are tried beside the target as it is, or `auto`.
    `prompts` and `trace` are files; `cache` is the regime; `cancel` says which clients go away;
    `repeats`: the share of the requests that were asked before.
    `graded`: the share of the requests that are graded items, of the app's tasks or what `items`
    names: a file, a benchmark, one task; `item_size`: how large the tasks' items are, for documents
    in tokens. `judge`: `URL#MODEL` of the model that grades items whose scorer is judge (without
    `#MODEL` the first that is listed); `judge_key_env`: the environment variable with its key.
    `max_requests`, `max_tokens_spent` (asked of prompts and answers) and `max_cost` (US dollars)
    hold for the whole command. `price_per_hour`: dollars for own hardware; `price`: of a hosted
    model (`latok.analysis.cost.parse_price`); `energy_metric`: `URL#METRIC` of a Prometheus page.
    """

    targets: tuple[str, ...] = ()
    levers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    app: str = "chat"
    slo: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    prompts: str | None = None
    trace: str | None = None
    turns: str | None = None
    think: str | None = None
    prefix: str | None = None
    cache: str | None = None
    cancel: str | None = None
    repeats: float | None = None
    graded: float | None = None
    items: str | None = None
    item_size: int | None = None
    judge: str | None = None
    judge_key_env: str | None = None
    scale: float | None = None
    seed: int = 0
    concurrency: int | None = None
    rate: float | None = None
    arrivals: str | None = None
    requests: int | None = None
    duration: float | None = None
    precision: float | None = None
    budget: float = 120.0
    margin: float = 0.05
    quality_margin: float = 0.02
    any_model: bool = False
    highest: int = 256
    loops: tuple[str, ...] = ("closed", "open")
    model: str | None = None
    dialect: str | None = None
    path: str | None = None
    header: tuple[str, ...] = ()
    body: str | None = None
    key_env: str | None = None
    ca: str | None = None
    timeout: str | float = 600.0
    processes: int | None = None
    max_requests: int | None = None
    max_tokens_spent: int | None = None
    max_cost: float | None = None
    price_per_hour: float | None = None
    price: str | None = None
    tier: str | None = None
    energy_metric: str | None = None
    runs: str = "runs"

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} {value:g} is not above 0")
        self.patience()
        if self.concurrency is not None and self.rate is not None:
            raise UsageError(
                "--concurrency (closed loop) and --rate (open loop) exclude each other"
            )
        if self.arrivals is not None and self.trace is not None:
            raise UsageError("--arrivals and --trace exclude each other: a trace has its own")
        if self.arrivals is not None and self.rate is None:
            raise UsageError("--arrivals says how --rate is spaced; give --rate too")
        if self.arrivals is not None:
            parse_arrivals(self.arrivals)
        if not self.loops or not set(self.loops) <= {"closed", "open"}:
            raise UsageError(f"loops {', '.join(self.loops)}: there are closed, open")
        self._check_workload()
        if self.dialect is not None:
            dialect_named(self.dialect)
        self.prices()

    def prices(self) -> Prices | None:
        """The price that was given. Raises UsageError."""
        if self.tier is not None and self.tier not in TIERS:
            raise UsageError(f"no tier '{self.tier}'; there are {', '.join(TIERS)}")
        given = [name for name in ("price_per_hour", "price", "tier") if getattr(self, name)]
        if len(given) > 1:
            one, other = (f"--{name.replace('_', '-')}" for name in given[:2])
            raise UsageError(f"{one} and {other} exclude each other: each says the whole price")
        if self.max_cost is not None and self.price_per_hour is not None:
            raise UsageError("--max-cost counts tokens; own hardware costs by the hour: use a time")
        if self.price_per_hour is not None:
            return Owned(usd_per_hour=self.price_per_hour)
        return None if self.price is None else parse_price(self.price)

    def _check_workload(self) -> None:
        """What is asked comes from one place; an option that would be ignored is an error."""
        drawn = ("input_tokens", "turns", "think", "prefix", "cache")
        excluded = {
            "trace": ("prompts", "output_tokens", *drawn),
            "prompts": ("scale", *drawn),
            "cache": ("turns", "prefix"),
            "repeats": ("trace", "cache"),
            "graded": ("trace", "prompts", "turns"),
            "items": ("trace", "prompts", "turns"),
            "judge": ("max_cost",),  # which could not hold for what a judge costs
        }
        for one, others in excluded.items():
            for other in others:
                if getattr(self, one) is not None and getattr(self, other) is not None:
                    flags = (f"--{name.replace('_', '-')}" for name in (one, other))
                    raise UsageError(f"{' and '.join(flags)} exclude each other")
        if self.think is not None and self.turns is None and not self.app.endswith(".toml"):
            raise UsageError("--think is the time between --turns; give --turns too")
        if self.judge is not None and self.items is None:
            raise UsageError(
                "--judge grades your own items whose scorer is judge; give --items too"
            )
        if self.judge_key_env is not None and self.judge is None:
            raise UsageError("--judge-key-env is the key of --judge; give --judge too")
        if self.graded is not None and self.graded > 1:
            raise UsageError(f"--graded {self.graded:g} is a share, such as 20%, at most 100%")
        if self.repeats is not None and self.repeats >= 1:
            raise UsageError(f"--repeats {self.repeats:g} is a share, such as 30%, below 100%")
        self.cache_share()
        self.cancelling()

    def cache_share(self) -> float:
        """The share of each prompt that a prefix cache shall know: cold 0, warm 1."""
        return parse_cache("cold" if self.cache is None else self.cache)

    def cancelling(self) -> Cancelling | None:
        """Which clients go away, and when: `after=1s, share=0.3`. Raises UsageError."""
        if self.cancel is None:
            return None
        words: dict[str, str] = {}
        for each in self.cancel.split(","):
            name, _, value = each.strip().partition("=")
            words[name] = value
        if "after" not in words or words.keys() - {"after", "share"}:
            raise UsageError(
                f"cannot read --cancel '{self.cancel}'; it reads like after=1s, share=0.3"
            )
        share = part(words.get("share", "1"), "the share in --cancel")
        if not 0 < share <= 1:
            raise UsageError(f"the share in --cancel is {share:g}; it must be above 0, 1 at most")
        return Cancelling(seconds(words["after"], "--cancel after"), share, self.seed)

    def profile(self, name: str) -> App:
        """The app of that name (or file), with the SLO and the lengths that were asked instead."""
        app = _app(name)
        if self.slo is not None:
            app = replace(app, slo=parse_slo(self.slo))
        if self.input_tokens is not None:
            app = replace(app, input=parse_lengths(self.input_tokens))
        if self.output_tokens is not None:
            app = replace(app, output=parse_lengths(self.output_tokens))
        if self.turns is not None:
            app = replace(app, turns=parse_lengths(self.turns))
        if self.think is not None:
            app = replace(app, think=parse_seconds(self.think))
        if self.prefix is not None:
            app = replace(app, prefix=parse_tree(self.prefix))
        return app

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Header pairs, with the key from the environment. Raises UsageError."""
        pairs = []
        for text in self.header:
            name, colon, value = text.partition(":")
            if not colon or not name.strip() or "\n" in text:
                raise UsageError(f"--header '{name}' is not of the form 'Name: value'")
            pairs.append((name.strip(), value.strip()))
        if self.key_env is not None:
            pairs.append(_bearer(self.key_env, "--key-env"))
        return tuple(pairs)

    def judge_headers(self) -> tuple[tuple[str, str], ...]:
        """The judge's key alone: the target's goes to no other. Raises UsageError."""
        name = self.judge_key_env
        return () if name is None else (_bearer(name, "--judge-key-env"),)

    def patience(self) -> Patience:
        """The time-outs: a number for the whole request, or `first=10s, silence=5s, …`."""
        if isinstance(self.timeout, int | float):
            return Patience(total=self.timeout)
        named: dict[str, float] = {}
        for part in self.timeout.split(","):
            name, equals, value = part.strip().rpartition("=")
            if (name if equals else "total") not in Patience.__struct_fields__:
                kinds = ", ".join(Patience.__struct_fields__)
                raise UsageError(f"--timeout: no '{name}'; there are {kinds}, as in first=10s")
            named[name or "total"] = seconds(value, "--timeout")
        return Patience(**named)

    def more_body(self) -> dict[str, Any]:
        """The JSON of `--body`. Raises UsageError if it is not an object."""
        if self.body is None:
            return {}
        try:
            said = msgspec.json.decode(self.body)
        except msgspec.DecodeError as why:
            raise UsageError(f"--body is not JSON: {why}") from None
        if not isinstance(said, dict):
            raise UsageError("--body must be a JSON object, such as '{\"top_k\": 1}'")
        return said


def _bearer(name: str, option: str) -> tuple[str, str]:
    key = os.environ.get(name)
    if not key:
        raise UsageError(f"{option}: the environment has no {name}")
    return "Authorization", f"Bearer {key}"


def _app(name: str) -> App:
    if not name.endswith(".toml"):
        return app_named(name)
    try:
        return app_from_toml(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as why:
        raise UsageError(f"cannot read the app's file {name}: {why}") from None


def seconds(text: str, what: str) -> float:
    """Reads `2m`, `90s`, `500ms`, `8`, in seconds. Raises UsageError."""
    return _number(text, what, _SECONDS, "90s, 2m, 500ms")


def count(text: str, what: str) -> int:
    """Reads `800`, `10k`, `2M`. Raises UsageError."""
    return round(_number(text, what, _COUNT, "800, 10k, 2M"))


def part(text: str, what: str) -> float:
    """Reads a share: `10%` or `0.1`. Raises UsageError."""
    if text.strip().endswith("%"):
        return part(text.strip()[:-1], what) / 100.0
    return _number(text, what, {"": 1.0}, "5%, 0.05")


def _number(text: str, what: str, units: dict[str, float], like: str) -> float:
    found = _NUMBER.fullmatch(text.strip())
    if not found or found[2] not in units:
        raise UsageError(f"{what} '{text}' is not a number; it would look like {like}")
    return float(found[1]) * units[found[2]]


def from_toml(path: Path) -> dict[str, Any]:
    """The words of an experiment's file, the same as on the command line. Raises UsageError."""
    try:
        words = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise UsageError(f"cannot read {path}: {why}") from None
    known = {field.name: field for field in dataclasses.fields(Experiment)}
    words = {word.replace("-", "_"): value for word, value in words.items()}
    if "target" in words:
        words["targets"] = [words.pop("target")]
    if unknown := words.keys() - known.keys():
        raise UsageError(
            f"unknown in {path}: {', '.join(sorted(unknown))}; known: {', '.join(known)}"
        )
    for word, value in words.items():
        if isinstance(value, list):
            words[word] = tuple(value)
        elif word in SHARES and isinstance(value, str):
            words[word] = part(value, f"{word} in {path}")
        elif word in COUNTS and isinstance(value, str):
            words[word] = count(value, f"{word} in {path}")
        elif word in SPANS and isinstance(value, str):
            words[word] = seconds(value, f"{word} in {path}")
    return words
