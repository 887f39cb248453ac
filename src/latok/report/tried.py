"""What levers did, in the terminal: one table, each figure with its interval and a verdict."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latok.analysis.compare import SHARES
from latok.analysis.point import Interval
from latok.analysis.stats import share_interval
from latok.quality.distance import LENGTHS
from latok.quality.hits import Hits
from latok.quality.tried import Delta, Interaction, Setting, Tried
from latok.quality.verdict import Verdict
from latok.report.text import UNKNOWN, between, figure, milliseconds, printable, share

# An interval as wide as this is of two or three rounds that differ: its ends say nothing.
_TELLS_NOTHING = 100.0
SIGNS = {
    "better": "✓ better",
    "worse": "✗ worse",
    "same": "= same",
    "undecided": "? undecided",
    "non-inferior": "✓ non-inferior",
    "inferior": "✗ inferior",
    "inconclusive": "? inconclusive",
}
# What is no latency: its name, its unit, and how many times the figure is shown.
_COUNTED = {
    "throughput": ("throughput", "tok/s", 1),
    "input_tokens": ("tokens in", "", 1),
    "output_tokens": ("tokens out", "", 1),
    "cached_tokens": ("of them cached", "", 1),
    "usd_per_request": ("1,000 requests", "$", 1000),
    "capacity": ("capacity", "", 1),
    "attainment": ("within the SLO", "", 1),
    "failures": ("failed", "", 1),
}
# What leads a page.
LEADING = ("ttft.p50", "tpot.p50", "throughput", "capacity", "input_tokens", "usd_per_request")
_ANSWERS = {
    "non-inferior": "The answers are as good.",
    "inferior": "The answers are worse.",
    "inconclusive": "Whether the answers are as good is not known yet.",
}


class Row(NamedTuple):
    """One figure without and with, in words; the `unit` is of both. `more`: requests that would
    probably decide."""

    name: str
    unit: str
    without: str
    with_: str
    change: str
    interval: str
    verdict: str
    more: str


def print_tried(found: Tried, console: Console) -> None:
    """All levers together against none; then each of two alone, and what they do to each other."""
    console.print(Text(title(found), style="bold"))
    console.print(Text(counted(found)))
    whole, *alone = settings(found)
    _print_setting(whole, console)
    for setting in alone:
        _print_setting(setting, console)
    if found.interactions:
        console.print()
        console.print(Text("Both, beyond what each does alone", style="bold"))
        for name, each in found.interactions.items():
            console.print(Text(f"{name:12}{together(each)}"))
    for line in depth_lines(found):
        console.print(Text(line))
    for note in found.notes:
        console.print(Text(f"Note: {printable(note)}."))


def _print_setting(setting: Setting, console: Console) -> None:
    console.print()
    console.print(Text(printable(setting.name), style="bold"))
    cells = [(f"{row.name} {row.unit}".strip(), *row[2:]) for row in setting_rows(setting)]
    headings = ["", "without", "with", "change", "95 % interval", "verdict", "more requests"]
    breadth = [max(map(len, column)) + 2 for column in zip(headings, *cells, strict=True)]
    if sum(breadth) - 2 > console.width or not any(row[-1] for row in cells):
        headings.pop()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        left = heading in ("", "verdict")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for shown in cells:
        table.add_row(*shown[: len(headings)])
    console.print(table)
    console.print()
    console.print(Text(figures(setting, setting.deltas), style="bold"))
    for sentence in (*hit_sentences(setting), *quality_sentences(setting)):
        console.print(Text(sentence))


# --- in words ------------------------------------------------------------------------------------


def title(found: Tried) -> str:
    """Which levers, of which app on which target."""
    levers = " ".join(f"{name}={value}" for name, value in found.levers.items())
    target = found.target.name or found.target.model
    return printable(f"{levers} for {found.app} on {target}, {found.load}")


def counted(found: Tried) -> str:
    return (
        f"{found.requests:,} requests of each setting, in turns, in {found.rounds} rounds; "
        f"what changes by less than {share(found.margin)} is the same; the verdicts hold for all "
        "rows at once, so an interval may leave out 0 and its row be undecided"
    )


def settings(found: Tried) -> list[Setting]:
    """All levers together, then each of two alone."""
    whole = Setting(
        name=" ".join(f"{name}={value}" for name, value in found.levers.items()),
        levers=found.levers,
        deltas=found.deltas,
        quality=found.quality,
        identity=found.identity,
        hits=found.hits,
    )
    return [whole, *found.alone]


def setting_rows(setting: Setting) -> list[Row]:
    """Every figure of a setting, that of the answers last."""
    rows = [row(name, delta) for name, delta in setting.deltas.items()]
    if setting.hits is not None:
        rows += _hit_rows(setting.hits)
    return rows if setting.quality is None else [*rows, _quality_row(setting.quality)]


def row(name: str, delta: Delta) -> Row:
    label, unit, scale = _COUNTED.get(name, (name, "ms", 1))
    sides = (delta.without, delta.with_)
    if name in SHARES:
        without, with_ = map(share, sides)
        change = UNKNOWN if None in sides else _points((sides[1] or 0.0) - (sides[0] or 0.0))
        interval = "" if delta.ci95 is None else _points(*delta.ci95)
    else:
        write = figure if name in _COUNTED else milliseconds
        without, with_ = (UNKNOWN if side is None else write(side * scale) for side in sides)
        change = UNKNOWN if delta.ratio is None else changed(delta.ratio)
        interval = "" if delta.ci95 is None else changes(delta.ci95)
    return Row(
        label, unit, without, with_, change, interval, SIGNS[delta.verdict], _more(delta.needed)
    )


def _hit_rows(found: Hits) -> list[Row]:
    """What a cache did; without it there is neither a hit nor a false one."""
    shares: list[tuple[str, float, int, Interval]] = [
        ("from the cache", found.hits, found.requests, found.ci95)
    ]
    if found.near_misses is not None:
        near = found.near_misses * found.pairs
        shares += [
            ("false, of these", found.false, found.hits, found.false_ci95),
            ("near misses hit", near, found.pairs, share_interval(near, found.pairs)),
        ]
    return [
        Row(
            name,
            "",
            share(0.0),
            share(some / of) if of else UNKNOWN,
            _points(some / of) if of else UNKNOWN,
            _points(*interval) if of else "",
            "",
            "",
        )
        for name, some, of, interval in shares
    ]


def hit_sentences(setting: Setting) -> list[str]:
    """Which requests a cache answered, at what cost, and what became of near misses."""
    found = setting.hits
    if found is None:
        return []
    if not found.hits or found.seconds is None:
        return ["The cache answered nothing: nothing was asked twice, or answers are drawn."]
    said = [
        f"{found.hits:,} of {found.requests:,} requests were answered from the cache and never "
        f"reached the target; their times are what the look-up took, "
        f"{milliseconds(found.seconds)} ms (median). Each round begins with an empty cache."
    ]
    if found.near_misses is not None and found.paraphrases is not None:
        said.append(
            f"{found.borrowed:,} of them were the answer to another question, {found.false:,} a "
            f"wrong one. Near misses are generated: {found.pairs} questions that are like another "
            f"and are not the same; of as many paraphrases {share(found.paraphrases)} hit."
        )
    return said


def _quality_row(found: Verdict) -> Row:
    return Row(
        "right answers",
        "",
        share(found.base.accuracy),
        share(found.with_.accuracy),
        _points(found.delta),
        _points(*found.ci95),
        SIGNS[found.verdict],
        f"{_more(found.needed)} pairs" if found.needed else "",
    )


def changed(ratio: float) -> str:
    """A ratio as one says it: −62 %, +8.3 %, and ×3.4 from twice as much on."""
    if ratio >= 2.0:
        return f"×{figure(ratio)}"
    percent = 100.0 * (ratio - 1.0)
    digits = 0 if abs(percent) >= 9.95 else 1
    return _minus(f"{percent:+.{digits}f} %")


def changes(interval: Interval) -> str:
    """The interval of a ratio."""
    if interval[1] > _TELLS_NOTHING * interval[0]:
        return "too few rounds"
    low, high = map(changed, interval)
    return f"{low.removesuffix(' %') if high.endswith('%') else low} … {high}"


def _points(*values: float) -> str:
    """In percentage points."""
    shown = (_minus(f"{round(100.0 * value, 1) + 0.0:+.1f}") for value in values)
    return f"{' … '.join(shown)} pt"


def _minus(said: str) -> str:
    return said.replace("-", "−")


def _more(needed: int | None) -> str:
    return f"about {needed:,}" if needed else ""


def headline(setting: Setting) -> str:
    """What became better, what worse, and what of the answers; of latencies the medians."""
    found = figures(setting, setting.deltas.keys() & LEADING)
    if setting.quality is not None:
        found += f" {_ANSWERS[setting.quality.verdict]}"
    return found.replace(" %", "\N{NO-BREAK SPACE}%")


def figures(setting: Setting, names: Collection[str]) -> str:
    """What of these became better, and what worse."""
    named: dict[str, list[str]] = {}
    for name, delta in setting.deltas.items():
        if name not in names:
            continue
        each = row(name, delta)
        named.setdefault(delta.verdict, []).append(f"{each.name} {each.change}")
    parts = [
        f"{verdict.capitalize()}: {', '.join(named[verdict])}."
        for verdict in ("better", "worse")
        if verdict in named
    ]
    if not parts and named:
        alike = "same" in named and "undecided" not in named
        parts = ["All is the same." if alike else "Nothing is shown to be better or worse yet."]
    return " ".join(parts)


def quality_sentences(setting: Setting) -> list[str]:
    """What stands behind the verdict on the answers."""
    found = setting.quality
    if found is None:
        return []
    said = [
        f"Answers: {found.verdict}, of {found.pairs:,} pairs: {found.why}.",
        f"{share(found.flips.share)} of the answers flipped: {found.flips.regress} from right to "
        f"wrong, {found.flips.improve} from wrong to right"
        + (f"; {share(found.floor.flips)} flip without any lever" if found.floor else "")
        + ".",
    ]
    if found.verdict == "non-inferior":
        said.append(
            "The smallest difference that so many pairs find four times in five: "
            f"{100.0 * found.detectable:.1f} points."
        )
    if found.worst is not None and len(found.tasks) > 1:
        worst = found.tasks[found.worst]
        said.append(f"It costs most in {printable(found.worst)}: {_points(worst.delta)}.")
    if setting.identity is not None:
        said.append(f"Texts: {setting.identity.verdict}: {setting.identity.why}.")
    return said + [f"Note: {note}." for note in found.notes]


def evidence(setting: Setting) -> list[tuple[str, str]]:
    """What else tells whether the answers are as good: each thing and what was found."""
    found, said = setting.quality, []
    if found is None:
        return []
    texts = setting.identity
    if texts is not None:
        said.append(("the same texts", f"{texts.verdict}: {texts.why}"))
        for name, part in (("with against without", texts.identical), ("floor", texts.floor)):
            if part is not None:
                of = f"{share(part.share)} of {part.n} ({between(part.ci95)}) are identical"
                said.append((f"texts, {name}", of))
    if found.floor is not None:
        said.append(
            (
                "floor: without against itself",
                f"{found.floor.pairs} pairs: {share(found.floor.flips)} flip, "
                f"{_points(found.floor.delta)} of accuracy",
            )
        )
    if found.first_token is not None:
        kl = f"{figure(found.first_token.kl)} nats"
        same = share(found.first_token.top1.share)
        said.append(("first token", f"divergence {kl}; the likeliest is the same in {same}"))
    if found.length_ratio is not None:
        low, high = LENGTHS
        word = "within" if low <= found.length_ratio <= high else "outside"
        said.append(
            ("length of the answers", f"×{found.length_ratio:.2f}, {word} {low:g} to {high:g}")
        )
    said.append(
        ("detectable, four times in five", f"a difference of {100.0 * found.detectable:.1f} points")
    )
    for name, side in (("without", found.base), ("with", found.with_)):
        said.append(
            (
                f"right {name}",
                f"{share(side.accuracy)} ({between(side.ci95)}); {share(side.truncated)} cut at "
                f"their length, {side.failed} failed",
            )
        )
    return said


def together(each: Interaction) -> str:
    """What two levers do to each other, in one figure."""
    low, high = each.ci95
    if low > 1.0:
        what = "more than their product"
    elif high < 1.0:
        what = "less than their product"
    else:
        what = "nothing beyond what each does alone is shown"
    return f"{changed(each.ratio)} ({changes(each.ci95)}): {what}"


def depth_lines(found: Tried) -> list[str]:
    """How long a document may be, without and with."""
    if found.depths is None:
        return []
    lengths = [each.effective for each in found.depths]
    if None in lengths:
        return ["Effective context length: too few answers at each length to tell."]
    without, with_ = (f"{figure(length)} tokens" for length in lengths)
    return [
        f"Effective context length (85 % of the shortest's score): {without} without, {with_} with."
    ]
