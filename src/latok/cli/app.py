"""The one application, to which the commands are added."""

from __future__ import annotations

from typing import Annotated

import typer

from latok.version import VERSION

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _latok(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """[bold]latok[/bold] maps where a language-model deployment stands between latency and tokens,
    says why, and where to run it.

    First minute: [bold]latok map[/bold] starts a small real model here and maps it;
    [bold]latok map http://127.0.0.1:8000[/bold] maps an endpoint of yours.
    """
    if version:
        print(VERSION)
        raise typer.Exit
