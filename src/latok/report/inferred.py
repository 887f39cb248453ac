"""Laws that were inferred, in words: each with its interval and what it cannot tell."""

from __future__ import annotations

from collections.abc import Iterator

from latok.analysis.fits import Law
from latok.analysis.laws import Laws, PrefixCache
from latok.report.text import figure, spoken

_WORDS = {
    "connect_s": "a connection takes",
    "tls_s": "TLS takes",
    "fixed_s": "before any token of a prompt is read",
    "prefill_s_per_token": "a token of a prompt",
    "decode_s_per_token": "a token of an answer, alone",
    "decode_s_per_context_token": "more for each token before it",
    "decode_s_per_stream": "more for each stream beside it",
}


def laws_in_words(laws: Laws) -> Iterator[str]:
    """A line for each law that is known."""
    for name, words in _WORDS.items():
        law: Law | None = getattr(laws, name)
        if law is not None:
            yield f"{words}: {_figure(law)}{_doubt(law)}"
    for level in laws.levels:
        yield (
            f"{level.concurrency} at a time: {_queued(level.queue.value)}, "
            f"{spoken(level.prefill.value)} being read, "
            f"{spoken(level.tpot.value if level.tpot else None)} per token; at most "
            f"{level.running} ran at once"
        )
    if laws.prefix_cache is not None:
        yield _cache(laws.prefix_cache)
    if laws.mixed is not None and laws.mixed.whole is False:
        chunk = laws.mixed.chunk_tokens
        size = f" in chunks of about {chunk.value:.0f} tokens" if chunk else ""
        yield f"long prompts are read{size} beside running streams"


def _queued(seconds: float) -> str:
    return f"{spoken(seconds)} in a queue" if seconds else "no queue"


def _figure(law: Law) -> str:
    if law.ci95 is None:
        return spoken(law.value)
    return f"{spoken(law.value)} ({spoken(law.ci95[0])} to {spoken(law.ci95[1])})"


def _doubt(law: Law) -> str:
    return f"; not told from it: {law.cannot_tell}" if law.cannot_tell else ""


def _cache(cache: PrefixCache) -> str:
    doubt = f"; not told from it: {cache.cannot_tell}"
    if cache.present is None:
        return f"whether known beginnings of prompts are cheaper is not clear{doubt}"
    if not cache.present:
        return f"known beginnings of prompts are no cheaper{doubt}"
    few = "" if cache.not_from is None else f"; of {cache.not_from:,} none"
    block = f"blocks of {cache.block_tokens} tokens"
    if cache.block_tokens in (None, 1):
        most = cache.block_at_most
        block = "blocks of unknown size" if most is None else f"blocks of at most {most} tokens"
    saves = f"{100 * cache.saves.value:.0f} %" if cache.saves else "some"
    return (
        f"known beginnings of prompts save {saves} of their time, seen from "
        f"{figure(cache.from_tokens)} tokens on{few}; {block}{doubt}"
    )
