"""What people see of a stream: whether they wait while they read, and whether tokens keep pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latok.analysis.digest import Digest
from latok.analysis.point import Users
from latok.analysis.stats import share_interval
from latok.records import VISIBLE_KINDS, Chunk, Record
from latok.workload.slo import Slo

# Tokens per second of a fast reader: 450 words a minute, which is skimming; 5.3 is the mean of
# silent reading (Brysbaert 2019, 238 words a minute at 1.33 tokens a word).
READING = 10.0
# Seconds of a wait that one notices: what is shorter feels instantaneous (Nielsen 1993).
_NOTICED = 0.1


class Reading(NamedTuple):
    """`stall`: share of the stream's duration in which the reader waits. `longest`: the longest of
    these waits, seconds."""

    stall: float
    longest: float


def reading(record: Record, speed: float = READING) -> Reading | None:
    """How a reader fares who takes `speed` tokens per second from the first visible token on.

    None for a stream of fewer than two visible events.
    """
    events = [chunk for chunk in record.chunks if chunk.is_token and chunk.kind in VISIBLE_KINDS]
    if len(events) < 2 or events[-1].at <= events[0].at:
        return None
    at = np.asarray([chunk.at for chunk in events])
    before = np.cumsum(_tokens(record, events)) - _tokens(record, events)
    # Had the reader never waited, event i would be wanted at start + before/speed. By how much the
    # latest of the events so far has passed that is all the waiting so far.
    waited = np.maximum.accumulate(at - at[0] - before / speed)
    duration = float(at[-1] - at[0])
    return Reading(float(waited[-1]) / duration, float(np.diff(waited).max()))


def _tokens(record: Record, events: Sequence[Chunk]) -> np.ndarray:
    """Tokens of each event; spread evenly where the target does not say."""
    counts = [chunk.tokens for chunk in events]
    if None not in counts:
        return np.asarray(counts, dtype=np.float64)
    usage = record.usage
    total = usage.completion_tokens if usage is not None else None
    visible = (total - (usage.reasoning_tokens or 0)) if total and usage else len(events)
    return np.full(len(events), max(visible, len(events)) / len(events))


def users(slo: Slo, good: Sequence[Digest], *, open_loop: bool) -> Users | None:
    """What the users of the answered requests saw; None where nobody was answered."""
    waits = [wait > _NOTICED for each in good if (wait := each.metrics["wait"]) is not None]
    deadline = _deadline(slo)
    on_time = [_in_time(each, *deadline, open_loop) for each in good if deadline and len(each.at)]
    if not waits and not on_time:
        return None
    return Users(
        reading=READING,
        waits=sum(waits) / len(waits) if waits else None,
        waits_ci95=share_interval(sum(waits), len(waits)) if waits else None,
        on_time=sum(on_time) / len(on_time) if on_time else None,
        on_time_ci95=share_interval(sum(on_time), len(on_time)) if on_time else None,
    )


def _deadline(slo: Slo) -> tuple[float, float] | None:
    """The limits of first token and time per token, where the SLO has both."""
    firsts = [c.limit for c in slo.clauses if c.metric in ("ttft", "ttft_user", "ttfv")]
    paces = [c.limit for c in slo.clauses if c.metric == "tpot"]
    return (min(firsts), min(paces)) if firsts and paces else None


def _in_time(request: Digest, first: float, pace: float, open_loop: bool) -> bool:
    """Whether token k came by first + k × pace, for each k from 0.

    Tokens that are held back and sent together pass a clause on the mean, but not this.
    """
    record = request.record
    start = record.due if open_loop or record.sent_first is None else record.sent_first
    before = np.cumsum(request.weight, dtype=np.float64) - request.weight
    return bool(np.all(request.at - start <= first + before * pace))
