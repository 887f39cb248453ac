"""The streams of a stretch of one run: a lane for each place in the batch, a stroke for a token."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import altair as alt
import numpy as np

from latok.analysis.digest import Digest
from latok.analysis.point import Interval
from latok.report.charts.draw import COLOURS, CROSS, SAYS, Rows, marks, styled
from latok.report.text import figure, printable, spoken

# A swim-lane of more requests or tokens than these cannot be read, nor sent by mail.
_MOST_REQUESTS, _MOST_TOKENS = 150, 10_000
_TOKENS_ACROSS = 300


class Slice(NamedTuple):
    """A stretch of a run that a swim-lane has room for. `of`: how many requests the run had."""

    start: float
    end: float
    requests: list[Digest]
    lanes: list[int]
    window: Interval | None
    of: int


def slice_of(requests: Sequence[Digest], window: Interval | None) -> Slice:
    """From a little before the window's start (or from the run's), as long as single tokens can be
    told apart, but at least two typical requests; and no more than a page can hold."""
    sent = sorted(
        (each for each in requests if each.record.sent_first is not None),
        key=lambda each: (each.record.sent_first or 0.0, each.record.id),
    )
    if not sent:
        return Slice(0.0, 1.0, [], [], window, len(requests))
    lengths = [_over(each) - each.record.due for each in sent]
    between = np.concatenate([each.gaps for each in sent])
    typical = float(np.median(between)) if len(between) else 0.0
    span = max(2.0 * median(lengths), _TOKENS_ACROSS * typical) or 1.0
    start = max(window[0] - 0.04 * span, 0.0) if window else min(e.record.due for e in sent)
    end = min(start + span, max(map(_over, sent)))
    shown: list[tuple[Digest, int]] = []
    tokens = 0
    for each, lane in zip(sent, _lanes(sent), strict=True):
        if _over(each) <= start or each.record.due >= end:
            continue
        tokens += len(each.at)
        if len(shown) == _MOST_REQUESTS or (shown and tokens > _MOST_TOKENS):
            end = each.record.due
            break
        shown.append((each, lane))
    lanes = [lane for _, lane in shown]
    return Slice(start, end, [each for each, _ in shown], lanes, window, len(requests))


def swim_lane(shown: Slice) -> alt.LayerChart:
    """When each request of a run was due and sent, its first token, its tokens. A lane is a place
    in the batch: the next request takes the first that is free."""
    count = max(shown.lanes, default=0) + 1
    step = min(max(360 / count, 7.0), 24.0)
    bars, ticks, failures = _swimmers(shown)
    x = alt.X(
        "from:Q",
        title="seconds from the start of the run; "
        f"{len(shown.requests)} of its {shown.of:,} requests",
        scale=alt.Scale(domain=[shown.start, shown.end], nice=False),
        axis=alt.Axis(grid=False),
    )
    y = alt.Y("lane:Q", scale=alt.Scale(domain=[0, count], nice=False, reverse=True), axis=None)
    shade = [{"from": shown.window[0], "to": shown.window[1]}] if shown.window else []
    layers = [
        marks(shade)
        .mark_rect(color=COLOURS["rule"], opacity=0.5, clip=True)
        .encode(x=x, x2="to:Q"),
        marks(bars)
        .mark_rect(clip=True, aria=True)
        .encode(
            x=x,
            x2="to:Q",
            y=y,
            y2="bottom:Q",
            color=alt.Color(
                "part:N",
                title=None,
                scale=alt.Scale(
                    domain=["not sent yet", "waits for its first token", "streams", "failed"],
                    range=[COLOURS[name] for name in ("held", "wait", "stream", "bad")],
                ),
                legend=alt.Legend(orient="top", symbolType="square", columnPadding=28),
            ),
            **SAYS,
        ),
        # one path for each request, with a stroke for each token: thousands of marks would make
        # the file many times as large
        marks(ticks)
        .transform_flatten(["at"])
        .transform_flatten(["tick"])
        .mark_line(
            strokeWidth=0.8,
            color=COLOURS["accent"],
            invalid="break-paths-filter-domains",
            aria=False,
            clip=True,
        )
        .encode(x="at:Q", y="tick:Q", detail="id:N", order=alt.value(0)),
        marks(failures)
        .mark_point(
            shape=CROSS,
            size=50,
            strokeWidth=2,
            stroke=COLOURS["bad"],
            opacity=1,
            clip=True,
            aria=True,
        )
        .encode(x="at:Q", y="tick:Q", **SAYS),
    ]
    return styled(layers, width=1100, height=90 + step * count)


def _lanes(requests: Sequence[Digest]) -> list[int]:
    """The first lane that is free for each of the requests, which are as they were sent."""
    free_at: list[float] = []
    lanes = []
    for each in requests:
        record, end = each.record, _over(each)
        start = min(record.due, record.sent_first or record.due)
        lane = next((n for n, free in enumerate(free_at) if free <= start), len(free_at))
        if lane == len(free_at):
            free_at.append(end)
        free_at[lane] = end
        lanes.append(lane)
    return lanes


def _over(each: Digest) -> float:
    record = each.record
    last = float(each.at[-1]) if len(each.at) else 0.0
    return max(record.closed_at or 0.0, last, record.sent_first or record.due)


def _swimmers(shown: Slice) -> tuple[Rows, Rows, Rows]:
    """The bars, the strokes for tokens, and the crosses of failures."""
    bars: Rows = []
    ticks: Rows = []
    failures: Rows = []
    for each, lane in zip(shown.requests, shown.lanes, strict=True):
        record = each.record
        sent, end = record.sent_first or record.due, _over(each)
        first, last = (float(each.at[0]), float(each.at[-1])) if len(each.at) else (end, end)
        parts = [
            ("not sent yet", record.due, sent),
            ("waits for its first token", sent, first),
            ("failed" if record.error else "streams", first, max(last, end)),
        ]
        says = _said_of_stream(each)
        bars += [
            {
                "from": a,
                "to": b,
                "lane": lane + 0.12,
                "bottom": lane + 0.88,
                "part": p,
                "says": says,
            }
            for p, a, b in parts
            if b > a
        ]
        stroke = [lane + 0.2, lane + 0.8, None]
        ticks.append({"id": record.id, "at": each.at.tolist(), "tick": stroke})
        if record.error is not None:
            failures.append({"at": end, "tick": lane + 0.5, "says": says})
    return bars, ticks, failures


def _said_of_stream(each: Digest) -> str:
    record = each.record
    lines = [
        f"request {record.id}, sent at {figure(record.sent_first)} s",
        f"first token after {spoken(each.metrics['ttft'])}",
        f"{len(each.at)} token events, over at {figure(_over(each))} s",
    ]
    if record.error is not None:
        lines.append(f"failed: {record.error.kind}: {record.error.text}")
    return "\n".join(map(printable, lines))
