"""The command that lists what can be turned."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from latok.cli.app import app
from latok.cli.options import Json
from latok.cli.saying import new_table, page, print_json
from latok.engines.table import lever_of
from latok.errors import UsageError
from latok.levers.spelling import ENGINES, spelt
from latok.levers.table import LEVERS, WHERE, Lever, lever_named


@app.command(rich_help_panel="What there is")
def levers(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="All that is known of one.", show_default=False),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help=f"Those of one engine: {', '.join(ENGINES)}.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """What can be turned, where, what one gets and what one pays.

    Examples:

      latok levers
      latok levers speculation
      latok levers --engine vllm
    """
    if engine is not None and engine not in ENGINES:
        raise UsageError(f"no engine '{engine}' in the table; there are {', '.join(ENGINES)}")
    rows = list(LEVERS.values()) if name is None else [lever_named(name)]
    if engine is not None:
        rows = [row for row in rows if spelt(row.name, engine)]
        if not rows:
            raise UsageError(f"{engine} has no {name} that we know of")
    if json:
        found = [_json(row, [engine] if engine else list(ENGINES)) for row in rows]
        print_json({"schema": "latok.levers/1", "levers": found})
    elif name is not None:
        _print_one(rows[0], [engine] if engine else list(ENGINES))
    else:
        _print_all(rows, engine)


def _json(row: Lever, engines: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = row._asdict()
    said["effects"] = [effect._asdict() for effect in row.effects]
    said["engines"] = {each: _json_of(row.name, each) for each in engines}
    return said


def _json_of(lever: str, engine: str) -> dict[str, Any] | None:
    """`spelling` and whether that is sure; what it takes, of an engine that latok starts."""
    if (spelling := spelt(lever, engine)) is None:
        return None
    own = lever_of(engine, lever)
    taken = {"default": own.default, "choices": own.choices, "remark": own.remark} if own else {}
    return {"spelling": spelling.text, "sure": spelling.sure, **taken}


def _print_all(rows: list[Lever], engine: str | None) -> None:
    for where, title in WHERE.items():
        group = [row for row in rows if row.where == where]
        if not group:
            continue
        page().print(f"[bold]{title}[/]")
        if engine is None:
            table = new_table("lever", "what it turns", "what it trades", "answers")
            for row in group:
                same = "the same" if row.lossless else "change"
                table.add_row(f"[bold]{row.name}[/]", row.what, row.trades, same)
        else:
            table = _folding("lever", f"how {engine} spells it", "latok gives it")
            for row in group:
                own = lever_of(engine, row.name)
                spelling = escape(str(spelt(row.name, engine)))
                table.add_row(f"[bold]{row.name}[/]", spelling, own.taken if own else "")
        page().print(table)
    page().print("All of one, with what to expect and each engine's flag: latok levers NAME")


def _print_one(row: Lever, engines: list[str]) -> None:
    console = page()
    console.print(f"[bold]{row.name}[/]: {row.what}")
    same = "the same, up to what batching alone changes" if row.lossless else "may change"
    for title, text in (
        ("where", WHERE[row.where].lower()),
        ("values", row.values),
        ("trades", row.trades),
        ("moves", ", ".join(row.moves)),
        ("answers", same),
    ):
        console.print(f"{title:8} {escape(text)}", soft_wrap=True)
    console.print("\n[bold]What to expect[/]")
    if not row.effects:
        console.print("no figure that we would repeat: measure it")
    for effect in row.effects:
        console.print(f"{effect.grade}: {escape(effect.says)} ({escape(effect.source)})")
    table = _folding("engine", "its spelling", "latok gives it", "remark")
    for each in engines:
        if spelling := spelt(row.name, each):
            own = lever_of(each, row.name)
            cells = (own.taken, own.remark) if own else ()
            table.add_row(f"[bold]{each}[/]", escape(str(spelling)), *cells)
    if table.row_count:
        console.print()
        console.print(table)
    if any((spelling := spelt(row.name, each)) and not spelling.sure for each in engines):
        console.print("?: as we recall it, found in no source or documentation")
    if row.name == "weights":
        _print_variants()


def _folding(*columns: str) -> Any:
    """A table that cuts no flag short, however narrow the terminal."""
    table = new_table(*columns)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _print_variants() -> None:
    """What is made here, of what, and how: nobody should take it for a file that a maker gave."""
    from latok.engines.variants import VARIANTS

    console = page()
    console.print("[bold]Made here[/], of the model's own file, without calibration:")
    for name, each in VARIANTS.items():
        console.print(f"{name:8} {each.what}")
