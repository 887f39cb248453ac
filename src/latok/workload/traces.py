"""Traces: when requests came somewhere, how long they were, and which beginnings they shared.

    Azure 2023, 2024    TIMESTAMP (a date), ContextTokens, GeneratedTokens
    Mooncake (2025)     timestamp (whole milliseconds), input_length, output_length, hash_ids
    vLLM's timed traces, Bailian        the same, with timestamp in seconds that have a fraction
    BurstGPT            Timestamp (seconds), Request tokens, Response tokens
    LLMServingSim       arrival_time_ns, input_toks, output_toks

An entry of `hash_ids` stands for a block of so many tokens and for all that is before it: equal
leading entries are a shared prefix. The size of a block is not written there; it is what fits the
lengths of all requests (Mooncake 512, vLLM and Bailian 16).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from latok.errors import UsageError
from latok.workload.files import rows

_LEAST_BLOCK = 8  # tokens: fewer have no room for words of their own


class Call(NamedTuple):
    """One request of a trace: `at` seconds from the first, lengths in tokens, its blocks."""

    at: float
    input: int
    output: int
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls in the order of their times. `block`: tokens of a block, 0 where nothing is shared."""

    name: str
    calls: tuple[Call, ...]
    block: int = 0

    @property
    def rate(self) -> float:
        """Calls per second; infinite where all came at once."""
        span = self.calls[-1].at - self.calls[0].at
        return (len(self.calls) - 1) / span if span else math.inf

    def due(self, rate: float) -> list[float]:
        """When each call is wanted, seconds from the first, at so many per second on average."""
        stretch = self.rate / rate if math.isfinite(self.rate) else 0.0
        return [(call.at - self.calls[0].at) * stretch for call in self.calls]

    def first(self, count: int) -> Trace:
        """A slice: the first so many calls."""
        return replace(self, calls=self.calls[:count])

    def scaled(self, factor: float) -> Trace:
        """Lengths and blocks times `factor`, so that just as large a share of each is shared.

        Raises UsageError if a block would not be a whole number of tokens, eight at the least.
        """
        if factor == 1:
            return self
        block = round(self.block * factor)
        if self.block and (block < _LEAST_BLOCK or not math.isclose(block, self.block * factor)):
            raise UsageError(
                f"a scale of {factor:g} cuts the trace's blocks of {self.block} tokens into "
                f"{self.block * factor:g}; it must leave a whole number of at least {_LEAST_BLOCK}"
            )
        return replace(self, block=block, calls=tuple(self._shrunk(c, factor) for c in self.calls))

    def _shrunk(self, call: Call, factor: float) -> Call:
        whole = max(len(call.blocks) - 1, 0) * self.block
        tokens = round(whole * factor) + math.ceil((call.input - whole) * factor)
        return call._replace(input=max(tokens, 1), output=max(round(call.output * factor), 1))

    def fitting(self, tokens: int) -> Trace:
        """Without the calls whose prompt and answer together are longer."""
        return replace(self, calls=tuple(c for c in self.calls if c.input + c.output <= tokens))

    def hit_share(self, cache_tokens: float = math.inf) -> float:
        """The share of all input tokens that a prefix cache of that size would have known: whole
        blocks, the longest unused forgotten first, one call after the other, prompts only."""
        known: OrderedDict[int, None] = OrderedDict()
        hits = 0
        for call in self.calls:
            leading = 0
            while leading < len(call.blocks) and call.blocks[leading] in known:
                leading += 1
            # the last token is always computed: its answer is what is asked for
            hits += min(leading * self.block, call.input - 1) if leading else 0
            for block in reversed(call.blocks):  # a beginning outlives what goes on from it
                known[block] = None
                known.move_to_end(block)
            while len(known) * self.block > cache_tokens:
                known.popitem(last=False)
        return hits / sum(call.input for call in self.calls)


class _Form(NamedTuple):
    """The columns of one kind of trace. `seconds`: reads all its times."""

    time: str
    input: str
    output: str
    seconds: Callable[[Sequence[float]], list[float]]


def _given_seconds(times: Sequence[float]) -> list[float]:
    return list(times)


def _milliseconds_if_whole(times: Sequence[float]) -> list[float]:
    """Mooncake counts whole milliseconds, the others' seconds have fractions."""
    unit = 1e-3 if all(float(time).is_integer() for time in times) else 1.0
    return [time * unit for time in times]


_FORMS = (
    _Form("TIMESTAMP", "ContextTokens", "GeneratedTokens", _given_seconds),
    _Form("timestamp", "input_length", "output_length", _milliseconds_if_whole),
    _Form("Timestamp", "Request tokens", "Response tokens", _given_seconds),
    _Form("arrival_time_ns", "input_toks", "output_toks", lambda ts: [t * 1e-9 for t in ts]),
)


def read_trace(data: bytes, name: str) -> Trace:
    """A trace from a file's content. Raises UsageError with the place of what is wrong."""
    form: _Form | None = None
    times: list[float] = []
    calls: list[Call] = []
    for place, row in rows(data, name):
        form = form or _form(row, place)
        times.append(_time(row.get(form.time), f"{place}: {form.time}"))
        tokens = _whole(row.get(form.input), f"{place}: {form.input}")
        if not tokens:
            raise UsageError(f"{place}: {form.input} is 0; a request has a prompt")
        # a request that failed there had an answer of none
        answer = max(_whole(row.get(form.output), f"{place}: {form.output}"), 1)
        calls.append(Call(0.0, tokens, answer, _blocks(row.get("hash_ids"), place)))
    if form is None:
        raise UsageError(f"{name} holds no request")
    timed = sorted(
        (call._replace(at=at) for call, at in zip(calls, form.seconds(times), strict=True)),
        key=lambda call: call.at,
    )
    start = timed[0].at
    whole = tuple(call._replace(at=call.at - start) for call in timed)
    return Trace(name, whole, _block_size(whole, name))


def _form(row: Mapping[str, Any], place: str) -> _Form:
    for form in _FORMS:
        if {form.time, form.input, form.output} <= row.keys():
            return form
    wanted = "; ".join(", ".join(form[:3]) for form in _FORMS)
    raise UsageError(f"{place}: not a trace; there are those with the columns {wanted}")


def _time(value: Any, place: str) -> float:
    """A number, or a date in seconds."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        try:
            seconds = datetime.fromisoformat(str(value)).timestamp()
        except ValueError:
            raise UsageError(f"{place} is {value!r}; it must be a time") from None
    if not math.isfinite(seconds):
        raise UsageError(f"{place} is {value!r}; it must be a time")
    return seconds


def _whole(value: Any, place: str) -> int:
    try:
        number = float(value)
        if number >= 0 and number.is_integer():
            return int(number)
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{place} is {value!r}; it must be a number of tokens")


def _blocks(value: Any, place: str) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(block, int) for block in value):
        raise UsageError(f"{place}: hash_ids must be a list of whole numbers")
    return tuple(value)


def _block_size(calls: Sequence[Call], name: str) -> int:
    """The size b for which every call has just ⌈input ÷ b⌉ blocks; 0 where there are none."""
    if not any(call.blocks for call in calls):
        return 0
    least, below = 1.0, math.inf
    for call in calls:
        count = len(call.blocks)
        least = max(least, call.input / count if count else math.inf)
        below = min(below, call.input / (count - 1) if count > 1 else math.inf)
    for size in (512, 16, *(1 << n for n in range(14))):
        if least <= size < below:
            return size
    raise UsageError(f"{name}: hash_ids and input_length fit no size of a block")
