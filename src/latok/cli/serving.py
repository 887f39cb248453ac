"""Commands that serve, and that list what there is."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.markup import escape

from latok.cli.app import app
from latok.cli.options import (
    Json,
    option,
)
from latok.cli.saying import (
    new_table,
    page,
    print_json,
)
from latok.engines.table import ENGINES, Engine, parse_levers, require
from latok.levers.spelling import spelt

engine_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Start an engine here, as an OpenAI-compatible server; Ctrl-C ends it.",
)
app.add_typer(engine_app, name="engine", rich_help_panel="Serve")


def _engine_command(row: Engine) -> Callable[..., None]:
    """A command whose options are the engine's levers, in latok's words."""
    options: dict[str, Any] = {
        "host": Annotated[str, typer.Option(help="Address to listen on: this machine alone.")],
        "port": Annotated[int, typer.Option(help="0: any that is free.")],
    }
    defaults: dict[str, Any] = {"host": "127.0.0.1", "port": 8000}
    if row.program:
        text = "Print the command that this would be, and start nothing."
        options["print_it"] = Annotated[bool, option(text, "Options", "--print")]
        defaults["print_it"] = False
    for lever in row.levers:
        choices = f" ({', '.join(lever.choices)})" if lever.choices else ""
        trades = f"{lever.trades[:1].upper()}{lever.trades[1:]}"
        text = f"{lever.what[:1].upper()}{lever.what[1:]}{choices}. [dim]{escape(trades)}.[/]"
        options[lever.name] = Annotated[
            str | None,
            option(text, "Levers", lever.option, default=lever.shown, metavar="VALUE"),
        ]
        defaults[lever.name] = None

    def command(**given: Any) -> None:
        host, port, print_it = given.pop("host"), given.pop("port"), given.pop("print_it", False)
        words = {name: word for name, word in given.items() if word is not None}
        levers = parse_levers(row.name, words)
        if print_it:
            from latok.engines.external import command as command_of

            print(shlex.join(command_of(row.name, levers, host=host, port=port)))
            return
        require(row)
        row.server()(
            host=host,
            port=port,
            levers=levers,
            until_stdin_closes=False,
            announce=lambda line: print(line, file=sys.stderr, flush=True),
        )

    command.__doc__ = f"{row.what[:1].upper()}{row.what[1:]}."
    command.__annotations__ = options
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # read by typer
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation
            )
            for name, annotation in options.items()
        ]
    )
    return command


for _row in ENGINES.values():
    engine_app.command(_row.name)(_engine_command(_row))


@app.command(rich_help_panel="What there is")
def engines(json: Json = False) -> None:
    """The engines that latok can start, and their levers."""
    if json:
        rows = [
            {
                "name": row.name,
                "what": row.what,
                "installed": row.installed,
                "install": f"pip install {row.install}",
                "levers": [
                    {
                        "name": lever.name,
                        "what": lever.what,
                        "trades": lever.trades,
                        "default": lever.default,
                        "choices": lever.choices,
                        "spelling": str(spelt(lever.name, row.name)),
                    }
                    for lever in row.levers
                ],
            }
            for row in ENGINES.values()
        ]
        print_json({"schema": "latok.engines/1", "engines": rows})
        return
    table = new_table("engine", "here", "what it is", "levers")
    for row in ENGINES.values():
        here = "yes" if row.installed else escape(f"pip install {row.install}")
        table.add_row(f"[bold]{row.name}[/]", here, row.what, ", ".join(x.name for x in row.levers))
    page().print(table)
    page().print("What each lever does: latok levers NAME")


@app.command(rich_help_panel="What there is")
def apps(json: Json = False) -> None:
    """The application profiles: lengths, SLO, and where each figure comes from."""
    from latok.workload.apps import APPS

    rows = [
        {
            "name": each.name,
            "what": each.what,
            "input_tokens": str(each.input),
            "output_tokens": str(each.output),
            "mean_tokens": [each.input.mean(), each.output.mean()],
            "slo": str(each.slo),
            "matters": each.matters,
            "sources": dict(each.sources),
        }
        for each in APPS.values()
    ]
    if json:
        print_json({"schema": "latok.apps/1", "apps": rows})
        return
    table = new_table("app", "tokens in / out (mean)", "SLO", "what it is")
    for row in rows:
        tokens = "{:,.0f} / {:,.0f}".format(*row["mean_tokens"])
        table.add_row(f"[bold]{row['name']}[/]", tokens, row["slo"], row["what"])
    page().print(table)
    page().print("Sources of each figure: latok apps --json. Your own: a TOML file with --app.")


@app.command(rich_help_panel="What there is")
def dialects(json: Json = False) -> None:
    """The ways to speak to a target."""
    from latok.wire.dialects import DIALECTS

    if json:
        rows = [{"name": d.name, "what": d.what, "path": d.path} for d in DIALECTS.values()]
        print_json({"schema": "latok.dialects/1", "dialects": rows})
        return
    table = new_table("dialect", "path", "what it is")
    for row in DIALECTS.values():
        table.add_row(f"[bold]{row.name}[/]", row.path, row.what)
    page().print(table)
