"""A target's laws, inferred from outside: from when answers came, and nothing that it says of time.

Each law has its interval and says what it cannot tell. A claim (that there is a cache, a limit, a
buffer …) is made only when it is beyond doubt; `None` is an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from latok.analysis.company import batch_limit, levels, mixed, per_stream
from latok.analysis.fits import Curve, Law, curve, median
from latok.analysis.known import prefix_cache
from latok.analysis.laws import FLOOR, SURE, Decode, Laws, Prefill, Timed
from latok.analysis.probed import Answer, Seen, answers
from latok.analysis.rhythm import Rhythm, is_fake, rhythm, stalls


def infer(seen: Sequence[Seen], *, seed: int = 0) -> Laws:
    """All that the probes tell. Wants no probe in particular: what is missing is None."""
    timed = Timed(seen, stalls(answers(seen, "decode", "context")))
    connect, tls = connections(seen)
    later = ttft_per_token(timed, seed)
    streamed = rhythm(timed.answers("decode"), later)
    laws = Laws(connect_s=connect, tls_s=tls, rhythm=streamed, stalls=timed.stalls)
    paced, read = decode(timed, streamed, later, seed), prefill(timed, seed)
    if paced is not None:
        laws = msgspec.structs.replace(
            laws,
            decode_s_per_token=paced.per_token,
            decode_s_per_context_token=paced.per_context_token,
            decode_s_per_stream=paced.per_stream,
        )
    if read is None:
        return laws
    laws = msgspec.structs.replace(
        laws,
        fixed_s=read.fixed,
        prefill_s_per_token=read.per_token,
        prefill_s_per_token2=read.per_token2,
        prefix_cache=prefix_cache(timed, read),
    )
    if paced is None or is_fake(streamed):  # who runs beside whom cannot be seen
        return laws
    network = connect.value if connect else 0.0
    return msgspec.structs.replace(
        laws,
        batch_limit=batch_limit(seen, read),
        levels=levels(timed, read, step=paced.per_token.value, network=network),
        mixed=mixed(timed, read),
    )


def connections(seen: Sequence[Seen]) -> tuple[Law | None, Law | None]:
    made = [r.connection for each in seen for r in each.records if not r.connection.reused]
    tcp = [c.connect for c in made if c.connect is not None]
    tls = [c.tls for c in made if c.tls is not None]
    note = "the way to a proxy or load balancer, not to the server behind it"
    return (
        median(tcp, cannot_tell=note) if tcp else None,
        median(tls, cannot_tell=note) if tls else None,
    )


def prefill(timed: Timed, seed: int) -> Prefill | None:
    """From prompts that nobody shares, answered with one token."""
    found = prefill_curve(timed, seed)
    return prefill_of(found) if found is not None else None


def prefill_of(read: Curve) -> Prefill:
    """The law that such a curve is."""
    best = read.fit
    return Prefill(
        fixed=best.law(
            0,
            cannot_tell="the network both ways, the server's front end and a step's own cost; the "
            "tokens of a template that is always cached are missing",
        ),
        per_token=best.law(1, cannot_tell="a server that pads prompts to some length"),
        per_token2=best.law(2) if len(best.values) > 2 else None,
    )


def prefill_curve(timed: Timed, seed: int) -> Curve | None:
    """First tokens, seconds, by the tokens of their prompts; bent where that is beyond doubt."""
    found = timed.answers("prefill")
    x = np.array([float(answer.prompt) for answer in found])
    y = np.array([timed.ttft(answer) for answer in found])
    if len(found) < 6 or len(np.unique(x)) < 2:
        return None
    if len(np.unique(x)) > 3:
        bent = curve(x, y, 2, floor=FLOOR, seed=seed)
        bends = bent.fit.values[2] * x.max() > 0.1 * bent.fit.values[1] > 0
        if bent.fit.sigmas(2) >= SURE and bends:
            return bent
    return curve(x, y, 1, floor=FLOOR, seed=seed)


def ttft_per_token(timed: Timed, seed: int) -> Law | None:
    """How much later the first token comes for each token that is asked for: nothing, if tokens
    are sent as they are made."""
    found = timed.answers("decode")
    x = np.array([float(answer.tokens) for answer in found])
    y = np.array([timed.ttft(answer) for answer in found])
    if len(found) < 5 or len(np.unique(x)) < 2:
        return None
    return curve(x, y, 1, floor=FLOOR, seed=seed).fit.law(1)


def decode(timed: Timed, found: Rhythm | None, later: Law | None, seed: int) -> Decode | None:
    """From streams alone, and then beside others. Of a stream that is sent whole at its end, from
    how much later that is for each token."""
    if is_fake(found) and later is not None:
        return Decode(per_token=later, per_context_token=None, per_stream=None)
    short = _short(timed)
    alone = [tpot for a in short if (tpot := timed.tpot(a)) is not None]
    if not alone:
        return None
    per_token = median(alone)
    return Decode(
        per_token=per_token,
        per_context_token=_growth(timed, seed),
        per_stream=per_stream(timed, seed),
    )


def _short(timed: Timed) -> list[Answer]:
    return [a for a in timed.answers("decode") if a.tokens >= 16]


def _growth(timed: Timed, seed: int) -> Law | None:
    """Seconds per token for each token of context, where it is beyond doubt and matters."""
    found = context_curve(timed, seed)
    if found is None:
        return None
    line, x = found.fit, found.x
    if line.sigmas(1) < SURE or line.values[1] * np.ptp(x) < 0.05 * line.values[0]:
        return None
    return line.law(1, cannot_tell="what of it is attention and what is reading the cache")


def context_curve(timed: Timed, seed: int) -> Curve | None:
    """Seconds per token of streams alone, by the tokens before a typical one."""
    both = [*_short(timed), *timed.answers("context")]
    rows = [(a.prompt + a.tokens / 2, tpot) for a in both if (tpot := timed.tpot(a)) is not None]
    x, y = np.array(rows, dtype=float).reshape(-1, 2).T
    if len(x) < 5 or np.ptp(x) < 200:
        return None
    return curve(x, y, 1, floor=FLOOR / 10, seed=seed)
