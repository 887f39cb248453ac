"""The application profiles: how long, how often, how fast, and where each figure comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

from latok.errors import UsageError
from latok.workload.arrivals import parse_arrivals
from latok.workload.lengths import Lengths, parse_lengths, parse_seconds
from latok.workload.prefix import Tree, parse_tree
from latok.workload.slo import METRICS, Slo, parse_slo

# The kinds of words that a prompt can be made of; `latok.workload.prompts` makes them.
TEXTS = ("chat", "voice", "document", "code", "agent", "batch")


_ONE, _NO_PREFIX = parse_lengths("1"), Tree()
# As in chat: LMSYS-Chat-1M has 69.5 tokens a message; how long one reads and writes is assumed.
_FOLLOW_UP, _THINK = parse_lengths("lognormal(42,1)"), parse_seconds("lognormal(8,1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What an application asks of a deployment.

    `matters`: the metrics to look at first. `text`: the kind of words its prompts are made of.
    `arrivals`: what the open loop sends it with. `cv`: standard deviation ÷ mean of the time
    between arrivals in production (Poisson: 1, even: 0); where it is far above 1, a measured
    open-loop capacity is kinder than production.

    A session has `turns` requests: after the first, which `input` describes, each adds `follow_up`
    tokens to all that was said, `think` seconds after the answer. `prefix`: what prompts share
    before their own `input`.
    """

    name: str
    what: str
    input: Lengths
    output: Lengths
    slo: Slo
    arrivals: str = "poisson"
    cv: float = 1.0
    matters: tuple[str, ...] = ("ttft", "tpot")
    text: str = "chat"
    turns: Lengths = _ONE
    think: Lengths = _THINK
    follow_up: Lengths = _FOLLOW_UP
    prefix: Tree = _NO_PREFIX
    sources: Mapping[str, str]

    def scaled(self, factor: float) -> App:
        """Shorter prompts and answers in the same ratio. What users will bear does not scale."""
        return replace(
            self,
            input=self.input.scaled(factor),
            output=self.output.scaled(factor),
            follow_up=self.follow_up.scaled(factor),
            prefix=self.prefix.scaled(factor),
        )


def app_named(name: str) -> App:
    """One of `APPS`."""
    if name not in APPS:
        raise UsageError(f"no app {name!r}; there are {', '.join(APPS)}, or a TOML file of yours")
    return APPS[name]


# --- an engine that is small ---------------------------------------------------------------------


def embedded_scale(app: App, context_tokens: int) -> float:
    """1/k, so that a small engine on a laptop answers enough requests in a minute to judge it.

    About 275 tokens a request (chat at 1/5: 231 in, 42 out), but no less than a fifth of the
    original, as shape matters more than speed; less only to get 99 % of requests into the context.
    """
    tokens = app.input.mean() + app.output.mean()
    longest = app.input.quantile(0.99) + app.output.quantile(0.99)
    shrink = min(max(round(tokens / 275), 1), 5)
    return 1 / max(shrink, math.ceil(longest / room_of(context_tokens)))


def fitted(app: App, *, context_tokens: int | None, scale: float) -> tuple[App, str]:
    """The app scaled, and cut so that every prompt and its answer fit; and a sentence that says so.

    The sentence is empty if nothing changed.
    """
    if not 0 < scale < math.inf:
        raise UsageError(f"cannot scale lengths by {scale:g}; a scale is above 0, such as 0.2")
    whole, said = app.scaled(scale) if scale != 1 else app, []
    if scale != 1:
        by = f"1/{1 / scale:.0f}" if math.isclose(1 / scale, round(1 / scale)) else f"{scale:g}"
        said.append(
            f"lengths are {by} of the profile's (about {whole.input.mean():.0f} tokens in, "
            f"{whole.output.mean():.0f} out); the SLO is not scaled"
        )
    if context_tokens is None:
        return whole, "; ".join(said)
    room = room_of(context_tokens)
    outputs = whole.output.clipped(min(math.ceil(whole.output.quantile(0.999)), room // 2))
    left = room - outputs.quantile(1) - whole.prefix.tokens
    if left < 1:
        raise UsageError(
            f"the prefix {whole.prefix} leaves no room for a prompt: the context is "
            f"{context_tokens:,} tokens"
        )
    inputs = whole.input.clipped(left)
    if inputs.quantile(0.999) < whole.input.quantile(0.999):
        said.append(f"prompts end at {inputs.high:.0f} tokens: the context is {context_tokens:,}")
    return replace(whole, input=inputs, output=outputs), "; ".join(said)


@overload
def room_of(context_tokens: int) -> int: ...
@overload
def room_of(context_tokens: int | None) -> int | None: ...
def room_of(context_tokens: int | None) -> int | None:
    """What prompt and answer may fill: 1/64 is kept back for the chat template and for counts that
    are a little off. None where the context is not known."""
    return None if context_tokens is None else context_tokens - context_tokens // 64


# --- an app from a file --------------------------------------------------------------------------


def app_from_toml(text: str) -> App:
    """The user's own app: the words of `App`, with lengths and SLO written as anywhere else."""
    import tomllib

    try:
        words = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise UsageError(f"the app's file is not TOML: {why}") from None
    if unknown := words.keys() - _READERS.keys():
        raise UsageError(
            f"unknown in the app's file: {', '.join(sorted(unknown))}; known: {', '.join(_READERS)}"
        )
    if missing := {"name", "input", "output", "slo"} - words.keys():
        raise UsageError(f"missing in the app's file: {', '.join(sorted(missing))}")
    read = {
        word: _READERS[word](value, f"{word} in the app's file") for word, value in words.items()
    }
    return App(**{"what": read["name"], "sources": {}} | read)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}; it must be a text")
    return value


def _number(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise UsageError(f"{where} is {value!r}; it must be a number, 0 or above")
    return float(value)


def _choice(value: object, where: str, choices: Collection[str]) -> str:
    if value not in choices:
        raise UsageError(f"{where} is {value!r}; there are {', '.join(choices)}")
    return str(value)


def _arrivals(value: object, where: str) -> str:
    text = _text(value, where)
    parse_arrivals(text)
    return text


def _metrics(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f'{where} is {value!r}; it must be a list such as ["ttft", "tpot"]')
    return tuple(_choice(word, where, (*METRICS, "speed", "throughput")) for word in value)


def _sources(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UsageError(f'{where} is {value!r}; it must be a table such as slo = "our contract"')
    return {word: _text(source, where) for word, source in value.items()}


_READERS: dict[str, Callable[[object, str], Any]] = {
    "name": _text,
    "what": _text,
    "input": lambda value, where: parse_lengths(str(value)),
    "output": lambda value, where: parse_lengths(str(value)),
    "slo": lambda value, where: parse_slo(_text(value, where)),
    "arrivals": _arrivals,
    "cv": _number,
    "matters": _metrics,
    "text": lambda value, where: _choice(value, where, TEXTS),
    "turns": lambda value, where: parse_lengths(str(value)),
    "think": lambda value, where: parse_seconds(str(value)),
    "follow_up": lambda value, where: parse_lengths(str(value)),
    "prefix": lambda value, where: parse_tree(_text(value, where)),
    "sources": _sources,
}


# --- the profiles --------------------------------------------------------------------------------

_AZURE = "Azure LLM inference traces 2023 (Splitwise, ISCA 2024; CC-BY 4.0)"
_MOONCAKE = "Mooncake traces (FAST 2025)"
_CATALOGUE = "kubernetes-sigs/inference-perf, workload catalogue (2026)"


def _app(**words: Any) -> App:
    return App(**{word: _READERS[word](value, word) for word, value in words.items()})


# Quantiles are computed from the traces named; between them see `lengths`.
APPS = {
    app.name: app
    for app in (
        _app(
            name="chat",
            what="a person reads the answer while it is written",
            input="quantiles(5:181,25:396,50:1020,75:1189,90:2734,95:4083,99:4142)",
            output="quantiles(5:41,25:85,50:129,75:395,90:424,95:451,99:601)",
            slo="ttfv.p99<1s, tpot.p99<50ms, gap.p99<1s",
            cv=1.09,
            matters=["ttfv", "speed", "gap"],
            text="chat",
            sources={
                "follow_up, think": "LMSYS-Chat-1M: 69.5 tokens a message; the spread, and the "
                "time to read and write, are assumed",
                "input, output": f"{_AZURE}, conversation, 19,366 requests",
                "cv": f"{_AZURE}, conversation: 1.09, within a minute 1.02",
                "slo": f"{_CATALOGUE}, interactive chat: 1 s and 50 ms at p99; MLPerf Inference "
                "Llama-2-70B interactive: 450 ms and 40 ms; no stall over the 1 s after which "
                "a thought is interrupted (Nielsen 1993); reading takes 5 tokens/s "
                "(Brysbaert 2019)",
            },
        ),
        _app(
            name="voice",
            what="the answer is spoken, so its first sentence counts",
            input="lognormal(200,0.55)",
            output="quantiles(5:5,25:17,50:35,75:55,90:85,95:115,99:243)",
            slo="ttfv.p95<400ms, tpot.p95<150ms",
            matters=["ttfv", "speed"],
            text="voice",
            sources={
                "input, output": "no public voice trace: mean 232 in, and answers, of the mid-size "
                "general model in ServeGen (Alibaba, 2025), 44 tokens or 11 s of speech; the "
                "spread of the input is assumed",
                "cv": "assumed: callers do not know of each other",
                "slo": "turns in conversation follow after 200 ms, over 700 ms reads as trouble "
                "(Stivers et al., PNAS 2009); of an 800 ms voice-to-voice budget the model has "
                "200 to 400 ms. Speech is 183 words/min, 4 tokens/s (Brysbaert 2019); 150 ms "
                "leaves some slack",
            },
        ),
        _app(
            name="document",
            what="a question about a long text, with progress shown",
            input="quantiles(5:901,25:2306,50:6909,75:15367,90:27367,95:39550,99:85400)",
            output="quantiles(5:10,25:156,50:350,75:472,90:597,95:698,99:1119)",
            slo="ttft.p95<10s, tpot.p95<150ms",
            matters=["ttft", "e2e"],
            text="document",
            sources={
                "input, output": f"{_MOONCAKE}, conversation, 12,031 requests",
                "cv": "assumed: the trace's time stamps are batched by 3 s",
                "slo": "attention is lost after 10 s (Nielsen 1993); DistServe (OSDI 2024) "
                f"summarisation: 15 s and 150 ms; {_CATALOGUE}, batch summarisation: 15 s at p90, "
                "150 ms at p95",
            },
        ),
        _app(
            name="code",
            what="a completion while one types",
            input="quantiles(5:75,25:578,50:1469,75:2744,90:5188,95:7303,99:7436)",
            output="quantiles(5:6,25:9,50:13,75:24,90:55,95:90,99:251)",
            slo="e2e.p50<200ms, e2e.p95<500ms, ttft.p95<125ms",
            cv=3.0,
            matters=["e2e", "ttft"],
            text="code",
            sources={
                "input, output": f"{_AZURE}, code, 8,819 requests",
                "cv": f"{_AZURE}, code: median within a minute 3.2 (13 over the hour)",
                "slo": "GitHub Copilot's mean is below 200 ms (InfoQ talk, 2025); DistServe (OSDI "
                "2024) code completion: first token in 125 ms; 500 ms at p95 is ours",
            },
        ),
        _app(
            name="agent",
            what="steps with tools, where every step waits for the one before",
            input="lognormal(4900,1.06)",
            output="lognormal(167,0.42)",
            slo="ttft.p95<2s, tpot.p95<50ms",
            matters=["e2e", "ttft", "speed"],
            text="agent",
            follow_up="lognormal(2200,1.06)",
            think="lognormal(2,1)",
            sources={
                "follow_up, think": "Exgentic agent traces v2: 22 calls of 49.1k tokens in, 44.6k "
                "of them shared with the call before and 0.66k its answer, which leaves 3.8k that "
                "are new; the time of a tool is assumed",
                "input, output": f"{_MOONCAKE}, tool and agent: means 8,596 and 182 of 23,608 "
                "requests; the spreads are those of its conversation trace",
                "cv": "assumed: many sessions that do not know of each other",
                "slo": "MLPerf Inference GPT-OSS-120B interactive: 2 s and 20 ms; 50 ms as in "
                "chat. A session has 22 such steps (Exgentic agent traces v2)",
            },
        ),
        _app(
            name="batch",
            what="nobody waits: what a thousand answers cost, and when the job is done",
            input="quantiles(5:749,25:1986,50:2730,75:3370,90:3702,95:3813,99:3933)",
            output="quantiles(5:60,25:115,50:167,75:242,90:372,95:736,99:3271)",
            slo="e2e.p99<630s",
            arrivals="constant",
            cv=0.0,
            matters=["throughput", "e2e"],
            text="batch",
            sources={
                "input, output": "arXiv summarisation, 28,257 requests (as in Vidur, MLSys 2024)",
                "cv": "the job sends as fast as it is served",
                "slo": f"{_CATALOGUE}, batch summarisation: 630 s at p99",
            },
        ),
    )
}
