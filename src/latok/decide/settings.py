"""What a setting of levers did against the same target without, and what to say of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from latok.analysis.frontier import Gain, Setting
from latok.analysis.point import Interval, Point
from latok.levers.table import LEVERS
from latok.quality.items import Graded
from latok.quality.verdict import judge
from latok.records import Closed

_LATER = 10**9  # pairs that are planned as long as more will come
_Z = 1.959963984540054  # of a two-sided 95 % interval of the normal distribution
# What is compared, in a reader's words, and whether more is better.
_FIGURES = {
    "speed": ("speed", True),
    "throughput": ("throughput", True),
    "ttft": ("first token", False),
}

Effect = Literal["pays", "trades", "costs", "unclear"]
Answered = Mapping[int, Sequence[Graded]]  # by how many at a time


def setting_found(
    levers: Mapping[str, str],
    *,
    target: str,
    base: str,
    ours: Sequence[Point],
    theirs: Sequence[Point],
    answers: Answered,
    base_answers: Answered,
    at: int | None,
    margin: float,
    over: bool,
) -> Setting:
    """`ours`: the points with the levers turned, `theirs` without. `at`: the load of most interest;
    the gains are taken there or at the nearest lower load that both have. `over`: no more pairs
    will come; before that only the test that may be looked at again and again has a say."""
    pair = _common(ours, theirs, at)
    found = Setting(
        name=" ".join(f"{name}={value}" for name, value in levers.items()),
        levers=dict(levers),
        target=target,
        base=base,
        lossless=all(LEVERS[name].lossless for name in levers),
        points=tuple(point.id for point in ours),
        load=str(pair[0].load) if pair else "",
        gains=_gains(*pair) if pair else {},
        margin=margin,
    )
    both = answers.keys() & base_answers.keys()
    mine, others = _paired_by_load(answers, both), _paired_by_load(base_answers, both)
    if not {each.item for each in mine} & {each.item for each in others}:
        return found
    said = judge(others, mine, margin=margin, planned=None if over else _LATER)
    return msgspec.structs.replace(
        found,
        verdict=said.verdict,
        delta=said.delta,
        ci95=said.ci95,
        pairs=said.pairs,
        needed=said.needed,
        why=said.why,
    )


def _paired_by_load(answers: Answered, loads: Iterable[int]) -> list[Graded]:
    """A user's few items come again at each load, and are a pair of each."""
    return [
        msgspec.structs.replace(each, item=f"{load}/{each.item}")
        for load in sorted(loads)
        for each in answers[load]
    ]


def _common(
    ours: Sequence[Point], theirs: Sequence[Point], at: int | None
) -> tuple[Point, Point] | None:
    mine, others = _by_load(ours), _by_load(theirs)
    both = sorted(mine.keys() & others.keys())
    if not both:
        return None
    load = max((each for each in both if at is None or each <= at), default=both[0])
    return mine[load], others[load]


def _by_load(points: Iterable[Point]) -> dict[int, Point]:
    return {
        p.load.concurrency: p
        for p in points
        if p.valid and p.counts.ok and isinstance(p.load, Closed)
    }


def _gains(with_: Point, without: Point) -> dict[str, Gain]:
    found = {}
    for name in _FIGURES:
        (a, its), (b, others) = _figure(with_, name), _figure(without, name)
        if a and b:
            found[name] = Gain(a / b, _ratio_interval(a / b, its, others))
    return found


def _figure(point: Point, name: str) -> tuple[float | None, Interval | None]:
    if name == "throughput":
        return point.throughput.output_tokens_per_s, point.throughput.ci95
    return point.metrics[name].p50, point.metrics[name].ci95.get("p50")


def _ratio_interval(ratio: float, one: Interval | None, other: Interval | None) -> Interval | None:
    """Of independent values: the logarithm of each is normal with the width of its interval."""
    if one is None or other is None or min(*one, *other) <= 0.0:
        return None
    half = math.hypot(*(0.5 * math.log(high / low) for low, high in (one, other)))
    return ratio * math.exp(-half), ratio * math.exp(half)


# --- what to make of it --------------------------------------------------------------------------


def effect(setting: Setting) -> Effect:
    """`pays`: something is better beyond doubt, nothing is worse beyond doubt; `costs`: the other
    way round; `trades`: both; `unclear`: neither."""
    signs = {
        _sign(gain.ci95, more_is_better=_FIGURES[name][1]) for name, gain in setting.gains.items()
    }
    if 1 in signs:
        return "trades" if -1 in signs else "pays"
    return "costs" if -1 in signs else "unclear"


def _sign(interval: Interval | None, *, more_is_better: bool) -> int:
    if interval is None or interval[0] <= 1.0 <= interval[1]:
        return 0
    return 1 if (interval[0] > 1.0) is more_is_better else -1


def answers_hold(setting: Setting) -> bool:
    """Whether its answers may be trusted: they are not worse as measured, or it changes none by
    its design and nothing measured speaks against that."""
    return setting.verdict == "non-inferior" or (setting.lossless and not setting.inferior)


def kept_out(settings: Sequence[Setting]) -> frozenset[str]:
    """Ids of the points that no advice rests on: of settings whose answers may be worse, and of
    those that bring nothing that is sure."""
    return frozenset(
        id
        for each in settings
        if not answers_hold(each) or effect(each) in ("costs", "unclear")
        for id in each.points
    )


def lever_sentences(settings: Sequence[Setting]) -> list[str]:
    """Which levers to turn and which not, each with what it did."""
    turn = [s for s in settings if answers_hold(s) and effect(s) == "pays"]
    others = [s for s in settings if s not in turn]
    none = ["None of the levers tried pays beyond doubt"] if settings and not turn else []
    return none + [f"{_advised(each)}: {effect_line(each)}" for each in (*turn, *others)]


def _advised(setting: Setting) -> str:
    found = effect(setting)
    if setting.inferior:
        return f"Leave {setting.name}, it harms the answers"
    if found == "costs":
        return f"Leave {setting.name}"
    if found == "unclear":
        return f"Nothing is sure of {setting.name}"
    if not answers_hold(setting):
        return f"Not {setting.name} before it is known whether it harms the answers"
    return f"{setting.name} trades" if found == "trades" else f"Turn {setting.name}"


def effect_line(setting: Setting) -> str:
    """Its gains, at which load, and what became of the answers."""
    gains = ", ".join(
        f"{_FIGURES[name][0]} ×{gain.ratio:.2f}{_between(gain.ci95)}"
        for name, gain in setting.gains.items()
    )
    measured = f"{gains} ({setting.load})" if gains else "nothing to compare was measured"
    return f"{measured}; {answers_line(setting)}"


def answers_line(setting: Setting) -> str:
    """What became of the answers, in a few words."""
    if setting.verdict is None:
        return "no pair of graded answers" + (
            ", by its design they are the same" if setting.lossless else ""
        )
    pairs = f"{setting.pairs} pairs"
    if setting.verdict == "inferior":
        return f"answers worse by {-100 * (setting.delta or 0.0):.1f} points ({pairs})"
    if setting.verdict == "non-inferior":
        return f"answers not worse by more than {100 * setting.margin:g} points ({pairs})"
    more = f", about {setting.needed:,} more would probably decide" if setting.needed else ""
    known = "the same by its design; measured, " if setting.lossless else ""
    return f"answers {known}inconclusive ({pairs}{more})"


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}–{interval[1]:.2f}]"
