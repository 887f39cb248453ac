"""Which settings of an engine's levers and of its requests' are worth a try for an app. Pure.

What to expect of each, and who says so, is in `latok.levers.table`; here is only which of them
speak to what an app's requests are like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from latok.levers.table import LEVERS

MOST = 4  # each takes its share of the budget


class Has(NamedTuple):
    """A lever as an engine has it: its value `now`, and the words it takes (none: a number)."""

    now: str
    choices: tuple[str, ...]


# The most promising first. Chat repeats its turns and waits for tokens; a document's prefill is
# most of its time; code and tool calls repeat their prompts; a batch fills the engine.
_FOR = {
    "chat": ("prefix_cache", "speculation", "kv_cache", "weights", "batch_limit"),
    "voice": ("prefix_cache", "speculation", "weights", "batch_limit"),
    "document": ("context", "sparse_attention", "prefix_cache", "kv_cache", "weights"),
    "code": ("code_context", "speculation", "prefix_cache", "weights", "kv_cache"),
    "agent": ("prefix_cache", "speculation", "kv_cache", "weights"),
    "batch": ("compaction", "batch_limit", "kv_cache", "weights", "step_tokens"),
}
_OTHERS = ("prefix_cache", "speculation", "kv_cache", "weights", "batch_limit")

# Of requests, which have no value of their own: one that saves most of a prompt.
_OF_REQUESTS = {"context": "bm25:256", "code_context": "256", "compaction": "on"}
# The mildest first: the first that an engine takes and is not at is tried.
_WORDS = {
    "prefix_cache": ("on",),
    "speculation": ("prompt_lookup", "ngram_mod", "ngram"),
    "kv_cache": ("u8", "q8_0", "fp8", "fp8_e4m3", "u4", "q4_0"),
    "weights": ("q4_0", "fp8"),
    "sparse_attention": ("xattention", "trishape"),
}
_FEW = 8  # at a time: each stream stays fast


def promising(app: str, has: Mapping[str, Has]) -> list[str]:
    """At most `MOST` settings, `lever=value` each, the most promising first. `has`: the levers of
    the engine, and those of requests that find something to act on. Numbers are only moved from a
    number: what an engine chose by itself fits its hardware."""
    found = []
    for name in _FOR.get(app, _OTHERS):
        if name in has and (word := _word(app, name, has[name])) is not None:
            found.append(f"{name}={word}")
    return found[:MOST]


def _word(app: str, name: str, lever: Has) -> str | None:
    if name in _OF_REQUESTS:
        return _OF_REQUESTS[name]
    if not lever.choices:
        number = int(lever.now) if lever.now.isdigit() else 0
        if app == "batch":
            return str(2 * number) if number else None
        return str(_FEW) if number > _FEW else None
    words = _WORDS[name]
    # what is at a milder word already goes on from there
    start = words.index(lever.now) + 1 if lever.now in words else 0
    return next((word for word in words[start:] if word in lever.choices), None)


def expected(setting: str) -> str:
    """What the table leads one to expect of a setting, lever by lever."""
    said = []
    for word in setting.split():
        name = word.partition("=")[0]
        effects = LEVERS[name].effects
        if effects:
            said.append(f"{name}: {effects[0].says} ({effects[0].grade}: {effects[0].source})")
    return "; ".join(said)
