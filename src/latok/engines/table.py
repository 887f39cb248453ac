"""What each engine can turn, in latok's words, and how it spells that itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latok.errors import UsageError

_YES_NO = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """One thing to turn. `default` gives its type (None: a number, or the engine's own choice).

    `choices`: the words it takes. `least`: the smallest number. `spelling`: the engine's own name
    for it. `trades`: what one gets and what one pays.
    """

    name: str
    what: str
    trades: str
    default: int | bool | str | None
    spelling: str
    choices: tuple[str, ...] = ()
    least: int = 1

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    def parse(self, word: str) -> int | bool | str | None:
        """The value that a word stands for. Raises UsageError with the choices."""
        if self.choices:
            if word not in self.choices:
                raise UsageError(f"{self.name} is one of {', '.join(self.choices)}, not '{word}'")
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
    """`module` has the `serve` that runs it; `needs` is the package that `extra` installs."""

    name: str
    what: str
    module: str
    needs: str
    extra: str
    levers: tuple[Lever, ...]

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None

    @property
    def defaults(self) -> dict[str, Any]:
        return {lever.name: lever.default for lever in self.levers}


_OPENVINO = (
    Lever(
        name="batch_limit",
        what="requests in one step; more wait in the queue",
        trades="a low limit keeps each stream fast and makes the queue long",
        default=64,
        # Its own max_num_seqs does nothing while prompts are taken in pieces (seen with 2026.4.1),
        # so the limit is kept where requests are handed to it.
        spelling="requests handed to the pipeline at once",
    ),
    Lever(
        name="step_tokens",
        what="tokens in one step; a longer prompt is taken in pieces",
        trades="small steps let running streams go on, large ones finish prompts sooner",
        # At 16 streams of 230 in, 42 out, 256 kept 99 % of gaps under 0.33 s where 512 to 2,048 had
        # 0.5 to 0.65 s; they gave 5 to 25 % more tokens per second (two busy cores, medians of 3).
        default=256,
        spelling="SchedulerConfig.max_num_batched_tokens",
        least=16,
    ),
    Lever(
        name="prefix_cache",
        what="keep the work done for prompts, for others that begin alike",
        trades="first tokens sooner for repeated beginnings; memory that is free anyway",
        default=True,
        spelling="SchedulerConfig.enable_prefix_caching",
    ),
    Lever(
        name="kv_cache",
        what="how exactly the attention cache is stored",
        trades="u8 holds 1.7 times the tokens of f16; u4 loses more and (2026.4.1) holds fewer",
        default="u8",
        choices=("f16", "u8", "u4"),
        spelling="KV_CACHE_PRECISION",
    ),
    Lever(
        name="precision",
        what="the arithmetic of a step (auto: bf16 where the processor has it)",
        trades="bf16 is faster where the processor has it; f32 is exact",
        default="auto",
        choices=("auto", "bf16", "f32"),
        spelling="INFERENCE_PRECISION_HINT",
    ),
    Lever(
        name="threads",
        what="processor threads of a step (auto: all cores)",
        trades="fewer leave room for what else runs here",
        default=None,
        spelling="INFERENCE_NUM_THREADS",
    ),
    Lever(
        name="sparse_attention",
        what="skip parts of prompts of more than some 700 tokens",
        trades="long prompts sooner, some answers worse",
        default="off",
        choices=("off", "trishape", "xattention"),
        spelling="SchedulerConfig.sparse_attention_config.mode",
    ),
    Lever(
        name="cache_eviction",
        what="keep only so many tokens of a request's cache (off: all); needs prefix_cache=off",
        trades="more requests fit in memory, answers that need the dropped parts get worse",
        default=None,
        spelling="SchedulerConfig.cache_eviction_config.max_cache_size",
        least=256,
    ),
    Lever(
        name="speculation",
        what="guess coming tokens from the prompt, check them all in one step",
        trades="faster where the answer repeats the prompt, slower elsewhere and at high load",
        default="off",
        choices=("off", "prompt_lookup"),
        spelling="prompt_lookup, num_assistant_tokens, max_ngram_size",
    ),
    Lever(
        name="context",
        what="tokens that a prompt and its answer may have together",
        trades="no effect on speed; requests that are longer are refused",
        default=8192,
        spelling="checked by our server",
        least=64,
    ),
    Lever(
        name="cache_gb",
        what="memory for the attention caches of all requests, GB (at u8 some 78,000 tokens each)",
        trades="too little, and requests wait although there is room in the batch",
        default=1,
        spelling="SchedulerConfig.cache_size",
    ),
    Lever(
        name="queue_limit",
        what="requests that may wait; the next is refused (429)",
        trades="a short queue refuses sooner, a long one lets all wait longer",
        default=1024,
        spelling="checked by our server",
        least=0,
    ),
)

_LLAMACPP = (
    Lever(
        name="batch_limit",
        what="requests at once (slots); more wait in the queue",
        trades="each slot costs the memory of a whole context",
        default=16,
        spelling="n_parallel (-np)",
    ),
    Lever(
        name="step_tokens",
        what="tokens in one step; a longer prompt is taken in pieces",
        trades="small steps let running streams go on, large ones finish prompts sooner",
        default=512,
        spelling="n_batch, n_ubatch (-b, -ub)",
        least=16,
    ),
    Lever(
        name="prefix_cache",
        what="keep a slot's cache for a prompt that begins like its last one",
        trades="first tokens sooner for repeated beginnings",
        default=True,
        spelling="cache_prompt",
    ),
    Lever(
        name="kv_cache",
        what="how exactly the attention cache is stored",
        trades="q8_0 halves its memory, q4_0 halves it again and loses more",
        default="f16",
        choices=("f16", "q8_0", "q4_0"),
        spelling="cache_type_k, cache_type_v (-ctk, -ctv)",
    ),
    Lever(
        name="threads",
        what="processor threads (auto: all cores)",
        trades="fewer leave room for what else runs here",
        default=None,
        spelling="n_threads (-t)",
    ),
    Lever(
        name="context",
        what="tokens that a prompt and its answer may have together",
        trades="memory: it is reserved for each slot",
        default=4096,
        spelling="n_ctx (-c), divided by the slots",
        least=64,
    ),
)

ENGINES = {
    row.name: row
    for row in (
        Engine(
            name="openvino",
            what="OpenVINO GenAI on this machine's processor, continuous batching",
            module="latok.engines.openvino",
            needs="openvino_genai",
            extra="embedded",
            levers=_OPENVINO,
        ),
        Engine(
            name="llamacpp",
            what="llama.cpp's own server on this machine's processor",
            module="latok.engines.llamacpp",
            needs="xllamacpp",
            extra="llamacpp",
            levers=_LLAMACPP,
        ),
    )
}


def engine_named(name: str) -> Engine:
    """Raises UsageError, with the choices, for a name that is not in the table."""
    if name not in ENGINES:
        raise UsageError(f"no engine '{name}'; there are {', '.join(ENGINES)}")
    return ENGINES[name]


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
        raise UsageError(
            f"{engine.name} is not installed; pip install 'latok[{engine.extra}]' brings it"
        )
