"""What is claimed of a target: only what its laws leave no doubt of, each as one line."""

from __future__ import annotations

from latok.analysis.laws import Claim, Laws
from latok.analysis.rhythm import is_fake


def claims(laws: Laws) -> list[Claim]:
    """What the target does beyond answering one after another, each as one line."""
    found = []
    cache = laws.prefix_cache
    if cache is not None and cache.present:
        size = cache.block_tokens
        blocks = f", in blocks of {size} tokens" if size and size > 1 else ""
        saves = cache.saves.value if cache.saves else 0.0
        text = f"known beginnings of prompts are cached{blocks}, which saves {saves:.0%} of them"
        found.append(Claim("prefix_cache", float(size or 0), "tokens", text))
    if laws.batch_limit is not None:
        most = laws.batch_limit.value
        text = f"at most {most:.0f} requests run at once; others wait for their turn"
        found.append(Claim("batch_limit", most, "requests", text))
    found += _claims_of_rhythm(laws)
    if laws.stalls is not None:
        each, long = laws.stalls.period.value, laws.stalls.seconds.value
        text = f"it stands still for {long * 1000:.0f} ms each {each:.2g} s"
        found.append(Claim("periodic_stalls", long, "seconds", text))
    if laws.mixed is not None and laws.mixed.whole:
        long = laws.mixed.stall.value
        text = f"a long prompt is read whole: running streams stood still for {long:.2f} s"
        found.append(Claim("whole_prefill", long, "seconds", text))
    if (bend := laws.prefill_s_per_token2) is not None:
        text = "the longer a prompt, the more each of its tokens costs"
        found.append(Claim("prefill_curvature", bend.value, "seconds per token²", text))
    if (more := laws.decode_s_per_context_token) is not None:
        text = f"a token behind 1,000 more tokens takes {more.value * 1e6:.2g} ms longer"
        found.append(Claim("decode_growth", more.value, "seconds per token", text))
    return found


def _claims_of_rhythm(laws: Laws) -> list[Claim]:
    found = laws.rhythm
    if found is None:
        return []
    if is_fake(found):
        text = "answers are made whole and only then sent: streaming is for show"
        return [Claim("fake_streaming", found.at_end.value if found.at_end else 1.0, "share", text)]
    several = found.per_event.value
    if several > 1.5:
        text = f"an event holds {several:.2g} tokens"
        return [Claim("tokens_per_chunk", several, "tokens", text)]
    if found.per_burst.value > 1.5:
        kind = "always as many" if found.spread < 0.2 else "now more, now fewer"
        text = (
            f"tokens come {found.per_burst.value:.2g} at a time, {kind}: speculation, several "
            "steps at once, or a buffer on the way"
        )
        return [Claim("bursts", found.per_burst.value, "tokens", text)]
    return []
