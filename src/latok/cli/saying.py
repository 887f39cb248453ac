"""What a command says: to people on stderr and stdout, to programs as JSON, to build servers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from latok.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from latok.analysis.capacity import Capacity
    from latok.analysis.frontier import Map
    from latok.analysis.point import Point
    from latok.decide.thresholds import Threshold
    from latok.jobs.map import Mapped, Watcher
    from latok.jobs.outlook import Command
    from latok.report.ci import Result

from latok.cli.options import experiment


def page() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def new_table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(*columns, box=box.SIMPLE_HEAD)


def talk(quiet: bool) -> Console:
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)


def print_json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_maps(maps: Sequence[Map], json: bool) -> None:
    from latok.report.text import print_map

    if not json:
        for each in maps:
            print_map(each, page())
    elif len(maps) == 1:
        print_json(maps[0])
    else:
        print_json({"schema": "latok.maps/1", "maps": maps})


def print_outlooks(context: typer.Context, command: Command) -> None:
    from latok.jobs.outlook import outlooks
    from latok.report.costs import print_outlook

    found = outlooks(experiment(context), command)
    if context.params["json"]:
        print_json({"schema": "latok.outlook/1", "sent": 0, "outlooks": found})
        return
    for each in found:
        print_outlook(each, page())


def print_capacities(found: Sequence[Capacity], json: bool) -> None:
    from latok.report.text import print_capacity

    if not json:
        for each in found:
            print_capacity(each, page())
    elif len(found) == 1:
        print_json(found[0])
    else:
        print_json({"schema": "latok.capacities/1", "capacities": found})


def for_ci(results: Sequence[Result], markdown: str | None, junit: str | None) -> None:
    """The files that a build server reads; Markdown is added to what is there, as GitHub asks."""
    from latok.report import ci

    for name, render, mode in ((markdown, ci.markdown, "a"), (junit, ci.junit, "w")):
        if name is not None:
            try:
                with Path(name).open(mode, encoding="utf-8") as file:
                    file.write(render(results))
            except OSError as why:
                raise UsageError(f"cannot write {name}: {why.strerror}") from None


def judge(point: Point, thresholds: Sequence[Threshold]) -> None:
    """Exit code 1 for a threshold that is broken, 4 where too few requests tell."""
    from latok.decide.thresholds import broken

    verdicts = {each.text: broken(each, point) for each in thresholds}
    for text, verdict in verdicts.items():
        if verdict is not False:
            said = "it is so" if verdict else "too few requests to tell"
            print(f"latok: --fail-if {text}: {said}", file=sys.stderr)
    if True in verdicts.values():
        raise typer.Exit(1)
    if None in verdicts.values():
        raise typer.Exit(4)


def report_of(mapped: Mapped) -> None:
    from latok.jobs.report import write_report

    write_report([mapped.folder], None)


@contextmanager
def following(console: Console) -> Iterator[Watcher]:
    """A live view on a terminal, a line for each point elsewhere; silent where that was asked."""
    from latok.jobs.map import Watcher
    from latok.report.live import LiveMap
    from latok.report.point import point_line

    def say(text: str) -> None:
        console.print(f"[dim]{escape(text)}[/]")

    if not console.is_terminal or console.quiet:
        yield Watcher(
            say=say,
            level=lambda title, why, seconds, left: say(title),
            progress=lambda _: None,
            done=lambda point: console.print(point_line(point), markup=False),
        )
        return
    from rich.live import Live

    view = LiveMap("latok")
    with Live(view, console=console, refresh_per_second=4, transient=True) as live:
        yield Watcher(
            say=say,
            level=lambda title, why, seconds, left: view.begin(
                title, why=why, seconds=seconds, left=left
            ),
            progress=lambda seen: view.progress(
                seen.at,
                seen.phase,
                in_flight=seen.in_flight,
                sent=seen.sent,
                ended=seen.ended,
                failed=seen.failed,
                reads=seen.reads,
            ),
            done=view.finished,
        )
        live.update(view)
