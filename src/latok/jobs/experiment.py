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

from latok.errors import UsageError
from latok.load.drive import Patience
from latok.wire.dialects import dialect_named
from latok.workload.apps import App, app_from_toml, app_named
from latok.workload.arrivals import ARRIVALS
from latok.workload.lengths import parse_lengths
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
)
_SUFFIXES = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "k": 1e3, "": 1.0}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The words of the command line. Seconds; a None is chosen by latok, which says what it chose.

    `budget`: seconds of measuring for a map or a capacity, start-up apart. `precision`: half of a
    capacity's interval as a share of it; `loops`: in which it is searched.
    `header`: `Name: value` texts. `body`: JSON merged into each request. `key_env`: the environment
    variable with the API key.
    `max_requests` and `max_tokens_spent` (asked of prompts and answers) hold for the whole command.
    """

    targets: tuple[str, ...] = ()
    levers: tuple[str, ...] = ()
    app: str = "chat"
    slo: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    scale: float | None = None
    seed: int = 0
    concurrency: int | None = None
    rate: float | None = None
    arrivals: str | None = None
    requests: int | None = None
    duration: float | None = None
    budget: float = 120.0
    highest: int = 256
    precision: float = 0.1
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
        if self.arrivals is not None and self.rate is None:
            raise UsageError("--arrivals says how --rate is spaced; give --rate too")
        if self.arrivals is not None and self.arrivals not in ARRIVALS:
            raise UsageError(f"no arrivals '{self.arrivals}'; there are {', '.join(ARRIVALS)}")
        if not self.loops or not set(self.loops) <= {"closed", "open"}:
            raise UsageError(f"loops {', '.join(self.loops)}: there are closed, open")
        if self.dialect is not None:
            dialect_named(self.dialect)

    def profile(self, name: str) -> App:
        """The app of that name (or file), with the SLO and the lengths that were asked instead."""
        app = _app(name)
        if self.slo is not None:
            app = replace(app, slo=parse_slo(self.slo))
        if self.input_tokens is not None:
            app = replace(app, input=parse_lengths(self.input_tokens))
        if self.output_tokens is not None:
            app = replace(app, output=parse_lengths(self.output_tokens))
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
            key = os.environ.get(self.key_env)
            if not key:
                raise UsageError(f"--key-env: the environment has no {self.key_env}")
            pairs.append(("Authorization", f"Bearer {key}"))
        return tuple(pairs)

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
            named[name or "total"] = number(value, "--timeout")
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


def _app(name: str) -> App:
    if not name.endswith(".toml"):
        return app_named(name)
    try:
        return app_from_toml(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as why:
        raise UsageError(f"cannot read the app's file {name}: {why}") from None


def number(text: str, what: str) -> float:
    """Reads `2m`, `500ms`, `10k`, `8`: seconds or a plain number. Raises UsageError."""
    found = _NUMBER.fullmatch(text.strip())
    if not found or found[2] not in _SUFFIXES:
        raise UsageError(f"{what} '{text}' is not a number; it would look like 90s, 2m, 500ms, 10k")
    return float(found[1]) * _SUFFIXES[found[2]]


def part(text: str, what: str) -> float:
    """Reads a share: `10%` or `0.1`. Raises UsageError."""
    if text.strip().endswith("%"):
        return number(text.strip()[:-1], what) / 100.0
    return number(text, what)


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
        elif isinstance(value, str) and known[word].default.__class__ is float:
            read = part if word == "precision" else number
            words[word] = read(value, f"{word} in {path}")
    return words
