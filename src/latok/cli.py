"""The command line: argv → one call of a job → text. stdout is data, stderr is talk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latok.errors import LatokError, UsageError
from latok.version import VERSION

if TYPE_CHECKING:
    from rich.console import Console

    from latok.jobs.experiment import Experiment
    from latok.jobs.map import Mapped

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# --- options that several commands share; a None is not given, and then the experiment's default --

_WHAT, _HOW, _WHOM, _WHERE = "What is asked", "How much", "To whom", "Where to"


def _option(text: str, panel: str, *names: str, default: str | None = None) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=default or False)


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TARGET…] [LEVER=VALUE…]",
        help="A URL, an engine's name ([bold]latok engines[/bold]), a TOML file with these words; "
        "and levers of the engine. Without a target the embedded engine is started.",
        show_default=False,
    ),
]
AppName = Annotated[
    str | None,
    _option("A profile ([bold]latok apps[/bold]) or a TOML file.", _WHAT, "--app", default="chat"),
]
Slo = Annotated[
    str | None, _option("Instead of the app's: 'ttft.p95<500ms, tpot.p99<50ms'.", _WHAT)
]
InputTokens = Annotated[
    str | None, _option("Like 500, 'lognormal(1020,0.84)', 'uniform(64,256)'.", _WHAT)
]
OutputTokens = Annotated[str | None, _option("Likewise.", _WHAT)]
Scale = Annotated[
    float | None, _option("Shrinks all lengths with their ratios kept, such as 0.2.", _WHAT)
]
Seed = Annotated[int | None, _option("Same seed, same requests.", _WHAT, default="0")]
Model = Annotated[str | None, _option("Default: the first that /v1/models lists.", _WHOM)]
DialectName = Annotated[
    str | None,
    _option("Default: found by asking ([bold]latok dialects[/bold]).", _WHOM, "--dialect"),
]
UrlPath = Annotated[str | None, _option("Of the endpoint, if unusual.", _WHOM, "--path")]
Header = Annotated[list[str] | None, _option("'Name: value'; repeatable.", _WHOM)]
Body = Annotated[str | None, _option("JSON merged into each request.", _WHOM)]
KeyEnv = Annotated[str | None, _option("Environment variable that holds the API key.", _WHOM)]
Ca = Annotated[str | None, _option("CA file for TLS.", _WHOM)]
Timeout = Annotated[str | None, _option("Of one request, to its end.", _WHOM, default="600s")]
Runs = Annotated[str | None, _option("Folder where runs are kept.", _WHERE, default="runs")]
Json = Annotated[bool, _option("Print one JSON object on stdout.", _WHERE, "--json")]
Quiet = Annotated[bool, _option("No talk while it works.", _WHERE, "--quiet", "-q")]


def _asked(words: Sequence[str] | None, **given: Any) -> Experiment:
    """One frozen value from argv: a file's words, then what stands on the command line."""
    from latok.jobs.experiment import Experiment, from_toml, number

    words = list(words or ())
    files = [word for word in words if word.endswith(".toml")]
    targets = [w for w in words if w not in files and ("=" not in w or "://" in w)]
    levers = [w for w in words if w not in files and w not in targets]
    asked: dict[str, Any] = {}
    for file in files:
        asked |= from_toml(Path(file))
    given |= {"targets": targets or None, "levers": levers or None}
    for name, value in given.items():
        if value is None:
            continue
        if name in ("budget", "duration", "timeout"):
            asked[name] = number(value, f"--{name}")
        elif name in ("requests", "highest", "concurrency"):
            asked[name] = round(number(value, f"--{name}"))
        else:
            asked[name] = tuple(value) if isinstance(value, list) else value
    return Experiment(**asked)


def _talk(quiet: bool) -> Console:
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)


def _json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


# --- commands ------------------------------------------------------------------------------------


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


@app.command(rich_help_panel="Measure")
def map(  # the command's name, not the builtin
    words: Words = None,
    app: AppName = None,
    budget: Annotated[
        str | None, _option("Measuring time, start-up apart.", _HOW, default="2m")
    ] = None,
    highest: Annotated[
        str | None, _option("Never more than this many at a time.", _HOW, default="256")
    ] = None,
    slo: Slo = None,
    input_tokens: InputTokens = None,
    output_tokens: OutputTokens = None,
    scale: Scale = None,
    seed: Seed = None,
    model: Model = None,
    dialect: DialectName = None,
    path: UrlPath = None,
    header: Header = None,
    body: Body = None,
    key_env: KeyEnv = None,
    ca: Ca = None,
    timeout: Timeout = None,
    runs: Runs = None,
    resume: Annotated[
        str | None, _option("Go on with an interrupted map: its folder, or 'last'.", _WHERE)
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The main job: map the frontier of latency and tokens, find the knee, advise where to run.

    It measures alone, then twice as many at a time and so on until throughput stops growing or the
    SLO is far gone, then in between. Ctrl-C keeps what was measured; [bold]--resume last[/bold]
    goes on.

    Examples:

      latok map --app chat --budget 2m
      latok map http://127.0.0.1:8000 --app agent
      latok map openvino kv_cache=u4 batch_limit=8
      latok map https://api.example.com --key-env API_KEY --model m --scale 0.2
    """
    from latok.jobs import map as job
    from latok.jobs.runs import folder_named
    from latok.report.text import print_map

    given = dict(locals())
    for name in ("words", "json", "quiet", "resume", "job", "folder_named", "print_map"):
        given.pop(name)
    console = _talk(quiet or json)
    if resume is not None:
        stray = [name for name, value in given.items() if value is not None and name != "runs"]
        if stray or words:
            raise UsageError(f"--resume repeats what was asked; {(stray or words)[0]} cannot change")
        folder = folder_named(resume, runs or "runs")
        with _following(console) as watcher:
            mapped = job.resume(folder, watcher)
    else:
        asked = _asked(words, **given)
        with _following(console) as watcher:
            mapped = job.map_(asked, watcher)
    _report(mapped)
    if json:
        _json(mapped.maps[0] if len(mapped.maps) == 1 else {"schema": "latok.maps/1", "maps": mapped.maps})
    else:
        for each in mapped.maps:
            print_map(each, _page())
    if not mapped.complete:
        console.print(f"interrupted; [bold]latok map --resume {mapped.folder}[/bold] goes on")
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
def measure(
    words: Words = None,
    concurrency: Annotated[
        str | None, _option("Closed loop: so many at a time.", _HOW, "--concurrency", "-c", default="1")
    ] = None,
    rate: Annotated[
        float | None, _option("Open loop: so many requests a second, however slow.", _HOW)
    ] = None,
    arrivals: Annotated[
        str | None, _option("With --rate: constant or poisson.", _HOW, default="the app's")
    ] = None,
    requests: Annotated[
        str | None, _option("Measure so many (a warm-up comes before them).", _HOW)
    ] = None,
    duration: Annotated[
        str | None, _option("Measure so long, warm-up apart.", _HOW, default="30s")
    ] = None,
    app: AppName = None,
    slo: Slo = None,
    input_tokens: InputTokens = None,
    output_tokens: OutputTokens = None,
    scale: Scale = None,
    seed: Seed = None,
    model: Model = None,
    dialect: DialectName = None,
    path: UrlPath = None,
    header: Header = None,
    body: Body = None,
    key_env: KeyEnv = None,
    ca: Ca = None,
    timeout: Timeout = None,
    runs: Runs = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """One operating point: hold a load, print what users see, with the client's own error.

    Examples:

      latok measure http://127.0.0.1:8000 --concurrency 16 --requests 64
      latok measure http://127.0.0.1:8000 --rate 4 --duration 1m
    """
    given = dict(locals())
    for name in ("words", "json", "quiet"):
        given.pop(name)
    from latok.jobs.measure import measure as job
    from latok.report.text import print_point

    console = _talk(quiet or json)
    with _following(console) as watcher:
        found, complete = job(_asked(words, **given), say=watcher.say, watch=watcher.progress)
    if json:
        _json(found)
    else:
        print_point(found, _page())
    if not complete:
        raise typer.Exit(130)
    if not found.valid:
        raise typer.Exit(5)
