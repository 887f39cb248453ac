"""How good a point's answers were: what was graded in its load, summed up."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from latok.analysis.digest import Digest
from latok.analysis.metrics import cut_short, judged
from latok.analysis.point import Point, Quality, TaskQuality
from latok.analysis.stats import share_interval
from latok.quality.items import Graded
from latok.quality.judge import Judgement, judging
from latok.records import Manifest, Open
from latok.workload.slo import parse_slo

Answer = tuple[Digest, Graded]


def with_quality(
    point: Point, manifest: Manifest, answers: Sequence[Answer], words: Sequence[Judgement] = ()
) -> Point:
    """The point with its quality, from the graded requests of its whole run: an answer is no worse
    for standing outside the window. What we cut off ourselves is no answer, and is left out.
    `words`: what a judge said of them, if one was asked."""
    answers = [each for each in answers if not cut_short(each[0].record)]
    if not answers:
        return point
    n = len(answers)
    whole = _scored([graded.score for _, graded in answers])
    clauses, open_loop = parse_slo(manifest.slo).clauses, isinstance(manifest.load, Open)
    good = sum(
        graded.right
        and graded.finish != "length"
        and not any(judged(digest, clause, open_loop) is False for clause in clauses)
        for digest, graded in answers
    )
    tasks: dict[str, list[float]] = {}
    for _, graded in answers:
        tasks.setdefault(graded.task, []).append(graded.score)
    cost = point.cost.usd_per_request if point.cost is not None else None
    offered = point.counts.offered / point.throughput.window_s if point.throughput.window_s else 0.0
    return msgspec.structs.replace(
        point,
        quality=Quality(
            items=n,
            accuracy=whole.accuracy,
            ci95=whole.ci95,
            tasks={name: _scored(found) for name, found in sorted(tasks.items())},
            good=good / n,
            good_ci95=share_interval(good, n),
            good_per_s=good / n * offered,
            usd_per_thousand_good=1000.0 * cost * n / good if cost is not None and good else None,
            cut=sum(graded.finish == "length" for _, graded in answers) / n,
            failed=sum(graded.failed for _, graded in answers),
            judge=judging(words),
        ),
    )


def _scored(scores: Sequence[float]) -> TaskQuality:
    """A score between is never more uncertain than right or wrong with the same mean."""
    n, right = len(scores), sum(scores)
    return TaskQuality(items=n, accuracy=right / n, ci95=share_interval(right, n))
