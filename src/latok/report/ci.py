"""Results for a build server: a summary in Markdown and cases in JUnit's XML. Values → strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from latok.analysis.capacity import Capacity
from latok.analysis.compare import Comparison, metric_of
from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.decide.thresholds import Threshold, broken
from latok.report.compare import headline, row
from latok.report.text import (
    capacity_lines,
    figure,
    in_order,
    met_word,
    milliseconds,
    printable,
    share,
    spoken,
    spread,
    target_line,
    title,
)

Outcome = Literal["passed", "failed", "skipped", "error"]

_MET: dict[bool | None, Outcome] = {True: "passed", False: "failed", None: "skipped"}
_COMPARED: dict[str, Outcome] = {
    "better": "passed",
    "same": "passed",
    "worse": "failed",
    "undecided": "skipped",
}
_SIGNS = {"passed": "✅", "failed": "❌", "skipped": "❔", "error": "⚠️"}


class Case(NamedTuple):
    """One thing that holds or does not, at a load: an SLO clause, a threshold, or that a metric is
    no worse. `skipped`: the requests were too few to decide; `error`: the client itself may have
    bent the numbers."""

    load: str
    name: str
    outcome: Outcome
    why: str


class Result(NamedTuple):
    """What one command found, as a build server shows it."""

    title: str
    lines: tuple[str, ...]
    points: tuple[Point, ...]
    cases: tuple[Case, ...]


def of_point(point: Point, thresholds: Sequence[Threshold] = ()) -> Result:
    """Each clause of the SLO is a case, and each threshold."""
    own = [_threshold_case(each, point) for each in thresholds]
    heading = f"{point.app}: {point.load} on {target_line(point)}"
    return Result(heading, (), (point,), (*_cases(point), *own))


def of_map(map: Map) -> Result:
    """The clauses are judged at the load that is advised."""
    advised = [point for point in map.points if point.id == map.advice.point]
    lines = (map.advice.text, *map.advice.levers)
    return Result(title(map), lines, map.points, tuple(c for p in advised for c in _cases(p)))


def of_capacity(found: Capacity) -> Result:
    """The clauses are judged at the lightest load of each loop: whether they can be met at all."""
    ordered = in_order([point for point in found.points if point.valid])
    lightest = {type(point.load): point for point in reversed(ordered)}
    cases = tuple(case for point in lightest.values() for case in _cases(point))
    heading = f"Capacity for {found.app} on {found.target}"
    return Result(heading, tuple(capacity_lines(found)), found.points, cases)


def of_comparison(found: Comparison) -> Result:
    """Each metric is a case: that B is no worse."""
    cases = []
    for name, one in found.metrics.items():
        metric = metric_of(name)
        load = name.removesuffix(metric).rstrip(".")
        _, a, b, ratio, interval, verdict, more = row(name, one)
        why = f"A {a}, B {b}, ratio {ratio} [{interval}]: {verdict[2:]}"
        why += f"; {more} requests on each side would decide" if more else ""
        cases.append(Case(load, metric, _COMPARED[one.verdict], why))
    heading = f"B ({found.b}) against A ({found.a})"
    return Result(heading, (headline(found), *found.notes), (), tuple(cases))


def _cases(point: Point) -> list[Case]:
    cases = []
    for clause in point.goodput.clauses:
        outcome = "error" if point.bent else _MET[clause.met]
        within = f" [{share(clause.ci95[0])}, {share(clause.ci95[1])}]" if clause.ci95 else ""
        why = f"{share(clause.share)}{within} of the requests are within {clause.clause}"
        if point.bent:
            why = "; ".join(point.instrument.why)
        cases.append(Case(str(point.load), clause.clause, outcome, why))
    return cases


def _threshold_case(threshold: Threshold, point: Point) -> Case:
    verdict = broken(threshold, point)
    met = None if verdict is None else not verdict
    why = f"{threshold.axis} is {_value(threshold, point)}"
    return Case(str(point.load), f"not {threshold.text}", _MET[met], why)


def _value(threshold: Threshold, point: Point) -> str:
    first, _, last = threshold.axis.partition(".")
    part = point.metrics[first] if first in point.metrics else getattr(point, first)
    value = getattr(part, last)
    if value is None:
        return "not known from so few requests"
    return spoken(value) if first in point.metrics and first != "speed" else figure(value)


def markdown(results: Sequence[Result]) -> str:
    """For a pull request or a job's summary (GitHub's flavour)."""
    return "\n".join(_section(result) for result in results)


def _section(result: Result) -> str:
    parts = [f"## {_plain(result.title)}", ""]
    parts += [line for text in result.lines for line in (_plain(text), "")]
    if result.cases:
        rows = [
            (_SIGNS[c.outcome], _code(c.name), _plain(c.load), _plain(c.why)) for c in result.cases
        ]
        parts += [_table(("", "asked", "load", "found"), rows), ""]
    if not result.points:
        return "\n".join(parts)
    heads = ("load", "requests", "ttft p50 ms", "ttft p95 ms", "tpot p50 ms", "tokens/s", "SLO")
    parts += [_table(heads, [_row(point) for point in in_order(result.points)]), ""]
    return "\n".join(parts)


def _row(point: Point) -> tuple[str, ...]:
    ttft, tpot, rate = point.metrics["ttft"], point.metrics["tpot"], point.throughput
    around = f" ({spread(rate.ci95)})" if rate.ci95 else ""
    slo = f"{share(point.goodput.attainment)} {met_word(point.goodput.met)}"
    return (
        str(point.load) + (" (invalid)" if point.bent else ""),
        f"{point.counts.ok} of {point.counts.offered}",
        milliseconds(ttft.p50),
        milliseconds(ttft.p95),
        milliseconds(tpot.p50),
        figure(rate.output_tokens_per_s) + around,
        slo if point.goodput.clauses else "",
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Names come from servers: nothing in them may become a table's cell, a link or HTML."""
    return "".join(f"\\{letter}" if letter in "|<>[]`*" else letter for letter in printable(text))


def _code(text: str) -> str:
    return f"`{printable(text).replace('|', ' ').replace('`', ' ')}`"


def junit(results: Sequence[Result]) -> str:
    """JUnit's XML, as build servers read it: a suite for each result, a case for each clause."""
    root = ElementTree.Element("testsuites", name="latok")
    for result in results:
        counts = {kind: sum(c.outcome == kind for c in result.cases) for kind in _SIGNS}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=printable(result.title),
            tests=str(len(result.cases)),
            failures=str(counts["failed"]),
            errors=str(counts["error"]),
            skipped=str(counts["skipped"]),
        )
        for case in result.cases:
            found = ElementTree.SubElement(
                suite, "testcase", classname=f"latok.{printable(case.load)}", name=case.name
            )
            tag = {"failed": "failure", "error": "error", "skipped": "skipped"}.get(case.outcome)
            if tag:
                ElementTree.SubElement(found, tag, message=printable(case.why))
            else:
                ElementTree.SubElement(found, "system-out").text = printable(case.why)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
