"""What each engine can turn: its values and defaults for latok's levers, and what we saw of them.

What a lever is, what it trades, and how the engine itself spells it: `latok.levers`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from latok.errors import UsageError
from latok.levers.table import LEVERS

AS_IT_CAME = "file"  # weights that nobody turned
EMBEDDED = "embedded"  # the model that latok brings
_YES_NO = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLever:
    """A lever as one engine has it. `default` gives its type (None: a number, or the engine's own
    choice; a text without `choices`: any text).

    `choices`: the words it takes. `least`: the smallest number. `remark`: what we saw of it here.
    """

    name: str
    default: int | bool | str | None
    choices: tuple[str, ...] = ()
    least: int = 1
    remark: str = ""

    @property
    def what(self) -> str:
        return LEVERS[self.name].what

    @property
    def trades(self) -> str:
        trades = LEVERS[self.name].trades
        return f"{trades}; {self.remark}" if self.remark else trades

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def shown(self) -> str:
        """The default, as one would write it."""
        if self.default is None:
            return "auto"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return str(self.default)

    @property
    def taken(self) -> str:
        """What it takes and begins with, in words."""
        choices = ", ".join(self.choices)
        return f"{choices} (default {self.shown})" if choices else f"default {self.shown}"

    def parse(self, word: str) -> int | bool | str | None:
        """The value that a word stands for. Raises UsageError with the choices."""
        if self.choices:
            if word not in self.choices:
                raise UsageError(f"{self.name} is one of {', '.join(self.choices)}, not '{word}'")
            return word
        if isinstance(self.default, str):
            if not word:
                raise UsageError(f"{self.name} is empty")
            return word
        if isinstance(self.default, bool):
            if word.lower() not in _YES_NO:
                raise UsageError(f"{self.name} is on or off, not '{word}'")
            return _YES_NO[word.lower()]
        if self.default is None and word in ("auto", "off", "none"):
            return None
        try:
            value = int(word)
        except ValueError:
            value = -1
        if not self.least <= value < 2**31:
            raise UsageError(
                f"{self.name} is a whole number of at least {self.least}, not '{word}'"
            )
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine of ours, or an external program; `module` has the `serve` that runs either.

    `needs`: the package it is in; `install`: what pip is told to bring it. `program`: the command
    of an external one, which runs a model of any size; ours run a small model on this machine.
    """

    name: str
    what: str
    module: str
    needs: str
    install: str
    levers: tuple[EngineLever, ...]
    program: str = ""

    @property
    def embedded(self) -> bool:
        return not self.program

    @property
    def installed(self) -> bool:
        on_path = bool(self.program) and shutil.which(self.program) is not None
        return on_path or importlib.util.find_spec(self.needs) is not None

    @property
    def defaults(self) -> dict[str, Any]:
        return {lever.name: lever.default for lever in self.levers}

    def server(self) -> Callable[..., None]:
        """The `serve` that runs it, as `latok.engines.openvino.serve` is."""
        serve: Callable[..., None] = importlib.import_module(self.module).serve
        return functools.partial(serve, self.name) if self.program else serve


_MODEL = EngineLever(
    name="model",
    default=EMBEDDED,
    remark="a GGUF file; 'embedded' is SmolLM2-135M-Instruct",
)

_OPENVINO = (
    EngineLever(name="batch_limit", default=64),
    # At 16 streams of 230 in, 42 out, 256 kept 99 % of gaps under 0.33 s where 512 to 2,048 had
    # 0.5 to 0.65 s; they gave 5 to 25 % more tokens per second (two busy cores, medians of 3).
    EngineLever(name="step_tokens", default=256, least=16),
    EngineLever(name="prefix_cache", default=True),
    EngineLever(
        name="kv_cache",
        default="u8",
        choices=("f16", "u8", "u4"),
        remark="u8 holds 1.7 times the tokens of f16; u4 loses more and (2026.4.1) holds fewer",
    ),
    EngineLever(
        name="weights",
        default=AS_IT_CAME,
        # q5_0 is not among the formats that its GGUF reader takes (2026.4.1).
        choices=(AS_IT_CAME, "q8_0", "q4_0", "w3_sim", "w2_sim"),
        remark="made here of the file by rounding; w3_sim and w2_sim are positive controls",
    ),
    EngineLever(
        name="precision",
        default="auto",
        choices=("auto", "bf16", "f32"),
        remark="auto is bf16 where the processor has it",
    ),
    EngineLever(name="threads", default=None),
    EngineLever(
        name="sparse_attention",
        default="off",
        choices=("off", "trishape", "xattention"),
        remark="acts on prompts of more than some 700 tokens",
    ),
    EngineLever(
        name="cache_eviction", default=None, least=256, remark="off: all; needs prefix_cache=off"
    ),
    EngineLever(
        name="speculation",
        default="off",
        choices=("off", "prompt_lookup"),
        remark="what followed the last 3 tokens in the prompt",
    ),
    EngineLever(
        name="draft_tokens",
        default=5,
        remark="needs speculation=prompt_lookup; 16 are better for edits, one user at a time",
    ),
    _MODEL,
    EngineLever(
        name="context_limit", default=8192, least=64, remark="here without effect on the speed"
    ),
    EngineLever(name="cache_gb", default=1, remark="at u8 some 78,000 tokens each"),
    EngineLever(name="queue_limit", default=1024, least=0),
)

_LLAMACPP = (
    EngineLever(
        name="batch_limit", default=16, remark="each slot costs the memory of a whole context"
    ),
    EngineLever(name="step_tokens", default=512, least=16),
    EngineLever(name="prefix_cache", default=True, remark="it keeps what a slot did last"),
    EngineLever(
        name="kv_cache",
        default="f16",
        choices=("f16", "q8_0", "q4_0"),
        remark="q8_0 halves its memory, q4_0 halves it again and loses more",
    ),
    EngineLever(
        name="weights",
        default=AS_IT_CAME,
        choices=(AS_IT_CAME, "q8_0", "q5_0", "q4_0", "w3_sim", "w2_sim"),
        remark="made here of the file by rounding; w3_sim and w2_sim are positive controls",
    ),
    EngineLever(name="threads", default=None),
    EngineLever(
        name="speculation",
        default="off",
        choices=("off", "ngram_mod", "ngram_simple", "ngram_map_k", "ngram_map_k4v", "ngram_cache"),
        remark="each guesses well in a passage that repeats itself, elsewhere little",
    ),
    _MODEL,
    EngineLever(
        name="context_limit", default=4096, least=64, remark="it is reserved for each slot"
    ),
)

# Of the programs below, what is not given is left to them: their defaults know the hardware.
_NAMED = EngineLever(
    name="model",
    default="HuggingFaceTB/SmolLM2-135M-Instruct",
    remark="a name on Hugging Face, or a folder",
)

_VLLM = (
    _NAMED,
    EngineLever(name="batch_limit", default=None),
    EngineLever(name="step_tokens", default=None),
    EngineLever(name="prefix_cache", default="auto", choices=("auto", "on", "off")),
    EngineLever(
        name="kv_cache",
        default="auto",
        choices=("auto", "fp8", "fp8_e4m3", "fp8_e5m2", "int8_per_token_head", "nvfp4"),
    ),
    EngineLever(
        name="weights",
        default=AS_IT_CAME,
        choices=(AS_IT_CAME, "fp8", "awq", "gptq", "gptq_marlin", "compressed-tensors", "mxfp4"),
        remark="but for fp8 the checkpoint must be so already",
    ),
    EngineLever(
        name="precision", default="auto", choices=("auto", "float16", "bfloat16", "float32")
    ),
    EngineLever(name="speculation", default="off", choices=("off", "ngram")),
    EngineLever(name="context_limit", default=None),
    EngineLever(name="queue_limit", default=None, least=0),
)

_SGLANG = (
    _NAMED,
    EngineLever(name="batch_limit", default=None),
    EngineLever(name="step_tokens", default=None),
    EngineLever(name="prefix_cache", default=True),
    EngineLever(
        name="kv_cache",
        default="auto",
        choices=("auto", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4", "bf16"),
    ),
    EngineLever(
        name="weights",
        default=AS_IT_CAME,
        choices=(AS_IT_CAME, "fp8", "awq", "gptq_marlin", "w8a8_fp8", "w8a8_int8", "mxfp4"),
        remark="but for fp8 the checkpoint must be so already",
    ),
    EngineLever(
        name="precision", default="auto", choices=("auto", "float16", "bfloat16", "float32")
    ),
    EngineLever(name="speculation", default="off", choices=("off", "ngram")),
    EngineLever(name="context_limit", default=None),
    EngineLever(name="queue_limit", default=None),
)

ENGINES = {
    row.name: row
    for row in (
        Engine(
            name="openvino",
            what="OpenVINO GenAI on this machine's processor, continuous batching",
            module="latok.engines.openvino",
            needs="openvino_genai",
            install="'latok[embedded]'",
            levers=_OPENVINO,
        ),
        Engine(
            name="llamacpp",
            what="llama.cpp's own server on this machine's processor",
            module="latok.engines.llamacpp",
            needs="xllamacpp",
            install="'latok[llamacpp]'",
            levers=_LLAMACPP,
        ),
        Engine(
            name="vllm",
            what="vLLM, where it is installed (tested: its command line, start and end)",
            module="latok.engines.external",
            needs="vllm",
            install="vllm",
            program="vllm",
            levers=_VLLM,
        ),
        Engine(
            name="sglang",
            what="SGLang, where it is installed (tested: its command line)",
            module="latok.engines.external",
            needs="sglang",
            install="'sglang[all]'",
            program="sglang",
            levers=_SGLANG,
        ),
    )
}


def engine_named(name: str) -> Engine:
    """Raises UsageError, with the choices, for a name that is not in the table."""
    if name not in ENGINES:
        raise UsageError(f"no engine '{name}'; there are {', '.join(ENGINES)}")
    return ENGINES[name]


def lever_of(engine: str, lever: str) -> EngineLever | None:
    """As latok turns it at an engine that it starts; None where it does not."""
    rows = ENGINES[engine].levers if engine in ENGINES else ()
    return next((row for row in rows if row.name == lever), None)


def parse_levers(engine: str, words: Mapping[str, str]) -> dict[str, Any]:
    """Values for the words given, and nothing else. Raises UsageError that names the word."""
    row = engine_named(engine)
    levers = {lever.name: lever for lever in row.levers}
    if unknown := [word for word in words if word not in levers]:
        raise UsageError(f"{engine} has no lever '{unknown[0]}'; it has {', '.join(levers)}")
    return {name: levers[name].parse(word) for name, word in words.items()}


def effective(engine: str, levers: Mapping[str, Any]) -> dict[str, Any]:
    """All levers of the engine as they will act. Raises UsageError where two exclude each other."""
    values = {**engine_named(engine).defaults, **levers}
    if engine == "openvino":
        if values["cache_eviction"] is not None:
            # What eviction drops from a shared block is lost for all who share it.
            if levers.get("prefix_cache"):
                raise UsageError("cache_eviction and prefix_cache exclude each other")
            values["prefix_cache"] = False
        turned = values["draft_tokens"] != ENGINES[engine].defaults["draft_tokens"]
        if turned and values["speculation"] == "off":
            raise UsageError(
                "draft_tokens needs speculation=prompt_lookup: else nothing is guessed"
            )
        if values["batch_limit"] > values["step_tokens"]:
            limit, tokens = values["batch_limit"], values["step_tokens"]
            raise UsageError(
                f"batch_limit={limit} needs step_tokens of at least {limit}, not {tokens}: "
                "each running request takes one token of a step"
            )
    return values


def require(engine: Engine) -> None:
    """Raises UsageError, with the command that helps, if its package is not installed."""
    if not engine.installed:
        raise UsageError(f"{engine.name} is not installed; pip install {engine.install} brings it")
