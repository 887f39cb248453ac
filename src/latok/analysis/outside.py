"""What was inferred from outside, in the same values as what a server tells."""

from __future__ import annotations

from collections.abc import Sequence

from latok.analysis import fits
from latok.analysis.explain import WHOLES, AtLoad, Component, Explanation, Waterfall
from latok.analysis.floor import Law
from latok.analysis.laws import Claim, Laws, Level
from latok.analysis.told import Whole
from latok.records import Closed, Target

_ALONE = (
    "the probes came to no load of more than one at a time: queueing and batching are not told; "
    "a higher -c or a longer --budget reaches them"
)


def explanation(target: Target, laws: Laws, claims: Sequence[Claim], *, run: str) -> Explanation:
    """Where the latency of typical requests goes at each load that was probed; nobody tells of slow
    ones from so few. What is not known is not there."""
    loads = tuple(_at_load(level, laws, run) for level in laws.levels)
    last = loads[-1].waterfalls if loads else ()
    return Explanation(
        grade="inferred",
        target=target,
        app="",
        at=str(loads[-1].load) if loads else "",
        components=tuple(part for waterfall in last for part in waterfall.components),
        laws=_numbers(laws),
        unexplained=None,
        loads=loads,
        inferred=laws,
        claims=tuple(claims),
        notes=(_ALONE,) if {level.concurrency for level in laws.levels} == {1} else (),
    )


def _numbers(laws: Laws) -> dict[str, Law]:
    named = {name: getattr(laws, name) for name in laws.__struct_fields__}
    return {name: _law(law) for name, law in named.items() if isinstance(law, fits.Law)}


def _at_load(level: Level, laws: Laws, run: str) -> AtLoad:
    return AtLoad(
        load=Closed(level.concurrency),
        run=run,
        grade="inferred",
        server="",
        offered=level.ttft.n,
        explained=level.ttft.n,
        waterfalls=tuple(waterfall for of in WHOLES if (waterfall := _waterfall(level, of))),
        unexplained={},
        error_s={},
        round_trip_s=laws.connect_s.value if laws.connect_s else None,
        laws={} if level.tpot is None else {"decode_s_per_token": _law(level.tpot)},
    )


def _law(law: fits.Law) -> Law:
    return Law(law.value, law.ci95)


def _waterfall(level: Level, of: Whole) -> Waterfall | None:
    parts = [part for part in level.parts if part.of == of]
    if not parts:
        return None
    return Waterfall(
        of=of,
        quantile="p50",
        requests=level.ttft.n,
        seconds=sum(part.seconds for part in parts),
        components=tuple(
            Component(
                name=p.name, of=of, seconds=p.seconds, share=p.share, ci95=p.ci95, source="fit"
            )
            for p in parts
        ),
    )
