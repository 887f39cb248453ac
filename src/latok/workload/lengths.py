"""How long prompts and answers are: distributions over tokens, written as text.

    230                                   always
    uniform(64,256)                       from, to
    normal(200,50)                        mean, standard deviation
    lognormal(1020,0.84)                  median, standard deviation of the logarithm
    quantiles(5:181,50:1020,95:4083)      percent:tokens, as a trace's table has them

Each may end in `min=…` and `max=…`: what falls outside is moved to the bound, not drawn again, as
a context limit does to real prompts. Tokens may be written `10k`.
"""

from __future__ import annotations

import math
import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, pairwise
from typing import NamedTuple

from latok.errors import UsageError

_GRID = 1000


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution, made by `parse_lengths`; `numbers` mean what its shape says."""

    shape: str
    numbers: tuple[float, ...]
    low: float = 1
    high: float = math.inf

    def quantile(self, q: float) -> float:
        """The length that a share `q` (0 to 1) of draws does not pass; may be infinite at 1."""
        return min(max(_SHAPES[self.shape].quantile(q, self.numbers), self.low), self.high)

    def mean(self) -> float:
        """The mean of what is drawn, bounds included (a lognormal has no short formula then)."""
        return sum(self.quantile((n + 0.5) / _GRID) for n in range(_GRID)) / _GRID

    def scaled(self, factor: float) -> Lengths:
        """Every length times `factor`, so ratios are kept; none falls below one token."""
        tokens = _SHAPES[self.shape].in_tokens
        numbers = tuple(
            _short(x * factor) if tokens[n % len(tokens)] else x for n, x in enumerate(self.numbers)
        )
        low, high = max(1.0, _short(self.low * factor)), max(1.0, _short(self.high * factor))
        return replace(self, numbers=numbers, low=low, high=high)

    def clipped(self, high: float) -> Lengths:
        """What is longer becomes `high`."""
        if self.quantile(1) <= high:
            return self
        return replace(self, low=min(self.low, float(high)), high=float(high))

    def __str__(self) -> str:
        written = [_written(x) for x in self.numbers]
        if self.shape == "quantiles":
            written = [":".join(pair) for pair in zip(written[::2], written[1::2], strict=True)]
        written += [f"min={_written(self.low)}"] * (self.low > 1)
        written += [f"max={_written(self.high)}"] * (self.high < math.inf)
        whole = f"{self.shape}({','.join(written)})"
        return written[0] if whole == f"constant({written[0]})" else whole


def pairs(
    inputs: Lengths, outputs: Lengths, *, seed: int, first: int = 0
) -> Iterator[tuple[int, int]]:
    """Endless (input, output) tokens; the nth pair depends on the seed and on n alone.

    The points fill the square evenly (a Kronecker sequence, shifted by the seed), they are not
    independent draws: any twenty pairs have nearly the mix of the whole, so that two short runs
    differ by their load and not by the luck of a long prompt. Input and output do not depend on
    each other: in the Azure 2023 traces their correlation is 0.00 (code) and 0.09 (conversation).
    """
    rng = random.Random(f"lengths {seed}")
    u, v = rng.random(), rng.random()
    for n in count(first):
        a, b = inputs.quantile((u + n * _GOLDEN) % 1), outputs.quantile((v + n * _SILVER) % 1)
        yield max(1, round(a)), max(1, round(b))


# The fractions furthest from every ratio of small numbers, so that no short period shows. (The
# usual pair for two dimensions, Roberts' R2, is close to 3/4 and 4/7: its means of 20 lognormal
# lengths vary by 16 %, where independent draws vary by 17 % and these by 6 %.)
_GOLDEN = (5**0.5 - 1) / 2
_SILVER = 2**0.5 - 1


# --- text ----------------------------------------------------------------------------------------

_CALL = re.compile(r"(\w+)\s*\((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)(k?)", re.IGNORECASE)


def parse_lengths(text: str) -> Lengths:
    """Reads the text forms at the top of this file; raises UsageError on anything else."""
    text = text.strip()
    call = _CALL.fullmatch(text)
    name, inside = (call[1], call[2]) if call else ("constant", text)
    shape = _SHAPES.get(name)
    if shape is None:
        raise UsageError(f"no lengths {name!r}, in {text!r}; there are {', '.join(_SHAPES)}")
    words = [word.strip() for word in inside.split(",")]
    bounds = {"min": 1.0, "max": math.inf}
    while words and words[-1].startswith(("min=", "max=")):
        bound, _, value = words.pop().partition("=")
        bounds[bound] = _number(value, text)
    parts = [word.split(":") for word in words]
    paired = all(len(part) == (2 if name == "quantiles" else 1) for part in parts)
    numbers = tuple(_number(word, text) for part in parts for word in part)
    if not (paired and shape.valid(numbers) and 1 <= bounds["min"] <= bounds["max"]):
        raise UsageError(f"cannot read the lengths {text!r}; they read like {shape.form}")
    return Lengths(name, numbers, bounds["min"], bounds["max"])


def parse_seconds(text: str) -> Lengths:
    """The same forms for a time that somebody takes, in seconds: it may be short, or none."""
    plain = re.sub(r"(?<=\d)\s*s\b", "", text.strip())
    if plain in ("0", "0.0"):
        return Lengths("constant", (0.0,), 0.0)
    found = parse_lengths(plain)
    return found if "min=" in plain else replace(found, low=0.0)


def _number(word: str, whole: str) -> float:
    found = _NUMBER.fullmatch(word.strip())
    if not found:
        forms = ", ".join(shape.form for shape in _SHAPES.values())
        raise UsageError(f"{word.strip()!r} in the lengths {whole!r} is no number; try {forms}")
    return float(found[1]) * (1000 if found[2] else 1)


def _written(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _short(number: float) -> float:
    """Six digits: 1020 × 0.2 is 204 in a report, not 204.00000000000003."""
    return float(f"{number:.6g}")


# --- shapes --------------------------------------------------------------------------------------


class _Shape(NamedTuple):
    form: str
    quantile: Callable[[float, tuple[float, ...]], float]
    valid: Callable[[tuple[float, ...]], bool]
    in_tokens: tuple[bool, ...]  # which numbers scale, repeated as often as needed


@cache
def _normal_quantile() -> Callable[[float], float]:
    from statistics import NormalDist  # brings fractions and decimal: only where it is needed

    inverse = NormalDist().inv_cdf
    return lambda q: inverse(q) if 0 < q < 1 else math.inf if q else -math.inf


def _lognormal(q: float, numbers: tuple[float, ...]) -> float:
    median, sigma = numbers
    return median * math.exp(sigma * _normal_quantile()(q)) if sigma else median


def _normal(q: float, numbers: tuple[float, ...]) -> float:
    mean, deviation = numbers
    return mean + deviation * _normal_quantile()(q) if deviation else mean


def _table(q: float, numbers: tuple[float, ...]) -> float:
    """Between two given quantiles the logarithm is linear; outside them the nearest one holds.

    This gives the means of the Azure 2023 conversation trace from its seven quantiles within 1 %.
    """
    percents, tokens = numbers[::2], numbers[1::2]
    at = bisect_right(percents, 100 * q)
    if at in (0, len(percents)):
        return tokens[max(at - 1, 0)]
    share = (100 * q - percents[at - 1]) / (percents[at] - percents[at - 1])
    return math.exp(math.log(tokens[at - 1]) * (1 - share) + math.log(tokens[at]) * share)


def _valid_table(numbers: tuple[float, ...]) -> bool:
    percents, tokens = numbers[::2], numbers[1::2]
    return (
        0 < len(percents) == len(tokens)
        and percents[-1] <= 100
        and all(a < b for a, b in pairwise(percents))
        and tokens[0] > 0
        and all(a <= b for a, b in pairwise(tokens))
    )


_SHAPES = {
    "constant": _Shape(
        "230", lambda q, numbers: numbers[0], lambda n: len(n) == 1 and n[0] > 0, (True,)
    ),
    "uniform": _Shape(
        "uniform(64,256)",
        lambda q, numbers: numbers[0] + q * (numbers[1] - numbers[0]),
        lambda n: len(n) == 2 and n[0] <= n[1],
        (True,),
    ),
    "normal": _Shape("normal(200,50)", _normal, lambda n: len(n) == 2, (True,)),
    "lognormal": _Shape(
        "lognormal(1020,0.84)", _lognormal, lambda n: len(n) == 2 and n[0] > 0, (True, False)
    ),
    "quantiles": _Shape("quantiles(5:181,50:1020,95:4083)", _table, _valid_table, (False, True)),
}
