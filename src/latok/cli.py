"""The command line: argv → one call of a job → text. stdout is data, stderr is talk."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.markup import escape

from latok.engines.table import ENGINES, Engine, parse_levers, require
from latok.errors import LatokError, UsageError
from latok.version import VERSION

if TYPE_CHECKING:
    from rich.console import Console

    from latok.analysis.capacity import Capacity
    from latok.analysis.frontier import Map
    from latok.analysis.point import Point
    from latok.decide.thresholds import Threshold
    from latok.jobs.experiment import Experiment
    from latok.jobs.map import Mapped, Watcher
    from latok.jobs.outlook import Command
    from latok.report.ci import Result

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# --- options that several commands share; a None is not given, and then the experiment's default --

_WHAT, _HOW, _WHOM, _WHERE = "What is asked", "How much", "To whom", "Where to"
_BILL = "What it costs"


def _option(
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
Runs = Annotated[str | None, _option("Folder where runs are kept.", _WHERE, default="runs")]
Json = Annotated[bool, _option("Print one JSON object on stdout.", _WHERE, "--json")]
PerHour = Annotated[float | None, _option("Of your own hardware, in $.", _BILL)]
Price = Annotated[
    str | None,
    _option("In $ per million tokens: 'input=0.15,cached=0.075,output=0.6'.", _BILL),
]
DryRun = Annotated[
    bool, _option("Say what would be sent and what it would cost; send nothing.", _HOW, "--dry-run")
]
Quiet = Annotated[bool, _option("No talk while it works.", _WHERE, "--quiet", "-q")]

Markdown = Annotated[
    str | None, _option("Also a summary in Markdown, such as $GITHUB_STEP_SUMMARY.", _WHERE)
]
Junit = Annotated[
    str | None, _option("Also JUnit XML: a case for each clause of the SLO.", _WHERE, "--junit")
]
FailIf = Annotated[
    str | None, _option("Exit code 1 if so, such as 'ttft.p95>500ms, speed.p5<10'.", _HOW)
]
_CAPACITY_BUDGET = 180.0  # two searches, of which each point is longer than a map's

# What every command that sends load takes beside its own: each name is a field of Experiment.
_SHARED: dict[str, Any] = {
    "app": _option(
        "A profile ([bold]latok apps[/bold]) or a TOML file.", _WHAT, "--app", default="chat"
    ),
    "slo": _option("Instead of the app's: 'ttft.p95<500ms, tpot.p99<50ms'.", _WHAT),
    "input_tokens": _option("Like 500, 'lognormal(1020,0.84)', 'uniform(64,256)'.", _WHAT),
    "output_tokens": _option("Likewise.", _WHAT),
    "prompts": _option("A file of prompts: JSONL, CSV, Parquet, ShareGPT.", _WHAT),
    "trace": _option("A file to replay, at its own rate or --rate: Azure, Mooncake, vLLM.", _WHAT),
    "turns": _option(
        "Requests in a session, each with the answers before it: 'uniform(2,6)'.", _WHAT
    ),
    "think": _option("Seconds between them: 5, 'lognormal(8,1)'.", _WHAT, default="the app's"),
    "prefix": _option(
        "Shared beginnings, branches:tokens of each level: 'tree(4:400,8:200)'.", _WHAT
    ),
    "cache": _option(
        "What a prefix cache knows: cold, warm, or a share like 0.5.", _WHAT, default="cold"
    ),
    "cancel": _option("Clients that go away: 'after=1s, share=0.3'.", _WHAT),
    "scale": _option("Shrinks all lengths with their ratios kept, such as 0.2.", _WHAT),
    "seed": _option("Same seed, same requests.", _WHAT, default="0"),
    "max_requests": _option("Send no more, warm-up included.", _HOW),
    "max_tokens_spent": _option("Ask for no more, prompts and answers together.", _HOW),
    "max_cost": _option("Dollars; no request is sent that might pass it.", _HOW),
    "tier": _option(
        "Of a hosted model's known price: standard, batch or priority.", _BILL, default="standard"
    ),
    "energy_metric": _option(
        "URL#METRIC of a Prometheus gauge (watts) or counter (joules).",
        _BILL,
        default="what this machine tells, if the target is here",
    ),
    "model": _option("Default: the first that /v1/models lists.", _WHOM),
    "dialect": _option(
        "Default: found by asking ([bold]latok dialects[/bold]).", _WHOM, "--dialect"
    ),
    "path": _option("Of the endpoint, if unusual.", _WHOM, "--path"),
    "header": _option("'Name: value'; repeatable.", _WHOM),
    "body": _option("JSON merged into each request.", _WHOM),
    "key_env": _option("Environment variable that holds the API key.", _WHOM),
    "ca": _option("CA file for TLS.", _WHOM),
    "timeout": _option(
        "Of a request; or 'connect=3s, first=10s, silence=5s'.", _WHOM, default="600s"
    ),
    "processes": _option("Of the load driver.", _WHERE, default="as many as it takes"),
}
_TYPES: dict[str, Any] = {
    "scale": float | None,
    "seed": int | None,
    "processes": int | None,
    "max_cost": float | None,
    "header": list[str] | None,
}


def _sends_load(command: Callable[..., None]) -> Callable[..., None]:
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
    panels = [None, _WHAT, _HOW, _WHOM, _BILL, _WHERE]
    own.sort(key=lambda each: panels.index(each.annotation.__metadata__[0].rich_help_panel))
    taken = [context.replace(annotation=hints[context.name]), *own]

    @functools.wraps(command)
    def with_shared(context: typer.Context, **given: Any) -> None:
        command(context, **{name: value for name, value in given.items() if name in names})

    with_shared.__annotations__ = {each.name: each.annotation for each in taken}
    with_shared.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]  # read by typer
    return with_shared


def _asked(context: typer.Context, **defaults: Any) -> Experiment:
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
@_sends_load
def map(  # the command's name, not the builtin
    context: typer.Context,
    words: Words = None,
    budget: Annotated[
        str | None, _option("Measuring time, start-up apart.", _HOW, default="2m")
    ] = None,
    highest: Annotated[
        str | None, _option("Never more than this many at a time.", _HOW, default="256")
    ] = None,
    dry_run: DryRun = False,
    precision: Annotated[
        str | None,
        _option("End a point once its SLO is decided, or its main metric as exact as 5%.", _HOW),
    ] = None,
    markdown: Markdown = None,
    junit: Junit = None,
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
    from latok.jobs.map import map_
    from latok.jobs.map import resume as go_on
    from latok.jobs.runs import folder_named
    from latok.report.ci import of_map

    if dry_run and resume is None:
        _print_outlooks(context, "map")
        return
    console = _talk(quiet or json)
    with _following(console) as watcher:
        if resume is None:
            mapped = map_(_asked(context), watcher)
        else:
            may = ("resume", "runs", "json", "quiet", "markdown", "junit")
            for name, value in context.params.items():
                if value and name not in may:
                    raise UsageError(f"--resume repeats what was asked; {name} cannot change")
            mapped = go_on(folder_named(resume, runs or "runs"), watcher)
    _write_report(mapped)
    _print_maps(mapped.maps, json)
    _for_ci([of_map(each) for each in mapped.maps], markdown, junit)
    if not mapped.complete:
        console.print(f"interrupted; [bold]latok map --resume {mapped.folder}[/bold] goes on")
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
@_sends_load
def measure(
    context: typer.Context,
    words: Words = None,
    concurrency: Annotated[
        str | None,
        _option("Closed loop: so many at a time.", _HOW, "--concurrency", "-c", default="1"),
    ] = None,
    rate: Annotated[
        float | None, _option("Open loop: so many requests a second, however slow.", _HOW)
    ] = None,
    arrivals: Annotated[
        str | None,
        _option(
            "With --rate: constant, poisson, 'gamma(2.5)' (its CV), 'onoff(on=2s,off=8s)', "
            "'ramp(0.5,2)'.",
            _HOW,
            default="the app's",
        ),
    ] = None,
    requests: Annotated[
        str | None, _option("Measure so many (a warm-up comes before them).", _HOW)
    ] = None,
    duration: Annotated[
        str | None, _option("Measure so long, warm-up apart.", _HOW, default="30s")
    ] = None,
    dry_run: DryRun = False,
    precision: Annotated[
        str | None,
        _option("End a point once its SLO is decided, or its main metric as exact as 5%.", _HOW),
    ] = None,
    fail_if: FailIf = None,
    markdown: Markdown = None,
    junit: Junit = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """One operating point: hold a load, print what users see, with the client's own error.

    Examples:

      latok measure http://127.0.0.1:8000 --concurrency 16 --requests 64
      latok measure http://127.0.0.1:8000 --rate 4 --duration 1m
    """
    from latok.decide.thresholds import parse_thresholds
    from latok.jobs.measure import measure as job
    from latok.report.ci import of_point
    from latok.report.text import print_point

    if dry_run:
        _print_outlooks(context, "measure")
        return
    thresholds = parse_thresholds(fail_if) if fail_if else ()
    with _following(_talk(quiet or json)) as watcher:
        found, complete = job(_asked(context), say=watcher.say, watch=watcher.progress)
    if json:
        _json(found)
    else:
        print_point(found, _page())
    _for_ci([of_point(found, thresholds)], markdown, junit)
    if not complete:
        raise typer.Exit(130)
    if not found.valid:
        raise typer.Exit(5)
    _judge(found, thresholds)


@app.command(rich_help_panel="Measure")
@_sends_load
def capacity(
    context: typer.Context,
    words: Words = None,
    budget: Annotated[
        str | None, _option("Measuring time, start-up apart.", _HOW, default="3m")
    ] = None,
    precision: Annotated[
        str | None, _option("Stop once the interval is within ± this.", _HOW, default="10%")
    ] = None,
    highest: Annotated[
        str | None, _option("Never more than this many at a time.", _HOW, default="256")
    ] = None,
    closed: Annotated[bool, _option("Only how many at a time.", _HOW, "--closed")] = False,
    open: Annotated[bool, _option("Only how many a second.", _HOW, "--open")] = False,
    markdown: Markdown = None,
    junit: Junit = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The highest load within the SLO: how many at a time, and how many a second.

    It doubles the load until the SLO is missed, then closes in on its edge until the 95 % interval
    is as narrow as asked or the budget is spent. Several targets share the budget, and who is
    clearly below another stops early. Ctrl-C keeps what was measured.

    Examples:

      latok capacity --app chat --budget 3m
      latok capacity http://127.0.0.1:8000 --slo 'ttft.p95<500ms' --open --precision 5%
    """
    from latok.jobs.capacity import capacity as job
    from latok.report.ci import of_capacity

    asked = _asked(context, budget=_CAPACITY_BUDGET)
    loops = tuple(name for name, given in (("closed", closed), ("open", open)) if given)
    if loops:
        asked = dataclasses.replace(asked, loops=loops)
    with _following(_talk(quiet or json)) as watcher:
        found = job(asked, watcher)
    _print_capacities(found.capacities, json)
    _for_ci([of_capacity(each) for each in found.capacities], markdown, junit)
    if not found.complete:
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
def doctor(
    quick: Annotated[
        bool, _option("About 10 s instead of a minute; coarser.", _HOW, "--quick")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What this machine can measure, and how exactly: latok drives a server of its own that knows
    when it sent each token, and looks at the system's limits. It says what to do about each.

    Exit code 5 if not even the smallest load was measured with an error under 1 ms.
    """
    from latok.jobs.doctor import doctor as job
    from latok.report.doctor import print_diagnosis, step_line

    console = _talk(quiet or json)
    found = job(quick=quick, say=lambda step: console.print(f"[dim]{step_line(step)}[/]"))
    if json:
        _json(found)
    else:
        print_diagnosis(found, _page())
    if not found.complete:
        raise typer.Exit(130)
    if found.calibration is None or found.calibration.streams is None:
        raise typer.Exit(5)


@app.command(rich_help_panel="Measure")
@_sends_load
def explain(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN | TARGET] [LEVER=VALUE…]",
            help="A stored run or map ([bold]last[/bold]: the newest), or what to measure: a URL, "
            "an engine's name. Without either the embedded engine is started.",
            show_default=False,
        ),
    ] = None,
    grade: Annotated[
        str | None,
        _option("told, counters or inferred.", _WHAT, default="the best that is there"),
    ] = None,
    concurrency: Annotated[
        str | None,
        _option(
            "Of a target: after one alone, so many at a time.",
            _HOW,
            "--concurrency",
            "-c",
            default="8",
        ),
    ] = None,
    rate: Annotated[
        float | None, _option("Of a target: after one alone, so many requests a second.", _HOW)
    ] = None,
    arrivals: Annotated[
        str | None, _option("With --rate: as of latok measure.", _HOW, default="the app's")
    ] = None,
    requests: Annotated[str | None, _option("Measure so many at each load.", _HOW)] = None,
    duration: Annotated[
        str | None, _option("Measure so long at each load.", _HOW, default="20s")
    ] = None,
    budget: Annotated[
        str | None,
        _option("With --grade inferred: measuring time, start-up apart.", _HOW, default="2m"),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Where the latency goes: queue, prefill, decode, network, and what would help.

    It joins what the server tells of each request with the client's own clock; where it tells
    nothing, its counters (/metrics) as they were seen through the run. With
    [bold]--grade inferred[/bold] it asks a target that tells nothing, at most 200 requests and
    100,000 tokens, and infers from when the answers came.

    Examples:

      latok explain last
      latok explain http://127.0.0.1:8000 -c 16
      latok explain runs/20260101-120000-chat-c8 --grade counters
      latok explain https://api.example.com --key-env API_KEY --grade inferred --max-cost 0.5
    """
    from latok.jobs.explain import checked, explain_runs, stored_runs
    from latok.jobs.explain import explain as job
    from latok.report.explain import print_explanation

    if checked(grade) != "inferred" and budget is not None:
        raise UsageError("--budget is for --grade inferred; other grades take --duration")
    asked = _asked(context)
    stored = stored_runs(asked.targets[0] if asked.targets else None, asked.runs)
    if stored is not None:
        for name, value in context.params.items():
            if value and name not in ("words", "grade", "runs", "json", "quiet"):
                raise UsageError(f"--{name.replace('_', '-')} is for a target, not a stored run")
        found, complete = explain_runs(*stored, grade=grade), True
    else:
        with _following(_talk(quiet or json)) as watcher:
            found, complete = job(asked, grade, watcher)
    if json:
        _json(found)
    else:
        print_explanation(found, _page())
    if not complete:
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
@_sends_load
def compare(
    context: typer.Context,
    a: Annotated[
        str,
        typer.Argument(
            help="A stored run or map, or a target; an engine with its levers is one word: "
            "[bold]'openvino kv_cache=u4'[/bold]."
        ),
    ],
    b: Annotated[str, typer.Argument(help="Likewise: it is judged against A.")],
    concurrency: Annotated[
        str | None,
        _option("Closed loop: so many at a time.", _HOW, "--concurrency", "-c", default="1"),
    ] = None,
    rate: Annotated[
        float | None, _option("Open loop: so many requests a second, however slow.", _HOW)
    ] = None,
    arrivals: Annotated[
        str | None, _option("With --rate: as of latok measure.", _HOW, default="the app's")
    ] = None,
    budget: Annotated[
        str | None, _option("Measuring time of two targets, start-up apart.", _HOW, default="2m")
    ] = None,
    margin: Annotated[
        str | None, _option("Within so much both are the same.", _WHAT, default="5%")
    ] = None,
    any_model: Annotated[bool, _option("Also where their models differ.", _WHOM)] = False,
    markdown: Markdown = None,
    junit: Junit = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """B against A: better, worse, the same, or undecided, and then what would decide.

    Two targets are measured in turns (A B B A), so that what drifts does so for both.
    Exit code: 0 better or the same, 1 worse, 4 undecided.

    Examples:

      latok compare runs/before runs/after
      latok compare http://127.0.0.1:8000 http://127.0.0.1:8001 -c 8 --budget 3m
      latok compare openvino 'openvino kv_cache=u4' --margin 3%
    """
    from latok.jobs.compare import compare as job
    from latok.jobs.report import write_report
    from latok.report.ci import of_comparison
    from latok.report.compare import print_comparison

    with _following(_talk(quiet or json)) as watcher:
        found, complete = job(a, b, _asked(context), watcher)
    report = None
    if found.design == "interleaved":
        report = write_report([Path(found.runs[0][0]).parent], None)
    if json:
        _json(found)
    else:
        print_comparison(found, _page())
        if report is not None:
            print(f"Report: {report}")
    _for_ci([of_comparison(found)], markdown, junit)
    if not complete:
        raise typer.Exit(130)
    raise typer.Exit({"worse": 1, "undecided": 4}.get(found.verdict, 0))


@app.command(rich_help_panel="Read")
def show(
    run: Annotated[str, typer.Argument(help="A run or a map: a folder, its name, or 'last'.")],
    price_per_hour: PerHour = None,
    price: Price = None,
    fail_if: FailIf = None,
    runs: Runs = None,
    json: Json = False,
) -> None:
    """Read a stored run, map, capacity or comparison again, by today's definitions. Also one cut
    short.

    With a price: what it would have cost at that.
    """
    from latok.decide.thresholds import parse_thresholds
    from latok.jobs.capacity import read_capacities
    from latok.jobs.cost import repriced, repriced_map
    from latok.jobs.map import read_maps
    from latok.jobs.runs import folder_named, kind, read_point
    from latok.jobs.versus import read_comparison
    from latok.report.compare import print_comparison
    from latok.report.text import print_point

    folder = folder_named(run, runs or "runs")
    thresholds = parse_thresholds(fail_if) if fail_if else ()
    if thresholds and kind(folder) != "run":
        raise UsageError(f"--fail-if judges a run, and {folder} is a {kind(folder)}")
    if kind(folder) == "map":
        maps = [repriced_map(each, price_per_hour, price) for each in read_maps(folder)]
        _print_maps(maps, json)
        return
    if kind(folder) == "capacity":
        _print_capacities(read_capacities(folder), json)
        return
    if kind(folder) == "compare":
        compared = read_comparison(folder)
        if json:
            _json(compared)
        else:
            print_comparison(compared, _page())
        return
    found = repriced(read_point(folder), price_per_hour, price)
    if json:
        _json(found)
    else:
        print_point(found, _page())
    _judge(found, thresholds)


@app.command(rich_help_panel="Read")
def cost(
    run: Annotated[str, typer.Argument(help="A run or a map: a folder, its name, or 'last'.")],
    traffic: Annotated[
        str | None,
        _option("'10 req/s', '2M requests/month', '5M tokens/day'.", _HOW, default="each load"),
    ] = None,
    price_per_hour: PerHour = None,
    price: Price = None,
    against: Annotated[
        str | None, _option("A hosted model by its known price: [PROVIDER/]MODEL.", _BILL)
    ] = None,
    tier: Annotated[
        str | None,
        _option("With --against: standard, batch or priority.", _BILL, default="standard"),
    ] = None,
    runs: Runs = None,
    json: Json = False,
) -> None:
    """What a stored run or map costs: by the request, by the month, own hardware against hosted.

    Examples:

      latok cost last --price-per-hour 2.5 --against gpt-4o-mini
      latok cost last --traffic '2M requests/month'
    """
    from latok.jobs.cost import costs
    from latok.jobs.runs import folder_named
    from latok.report.costs import print_costs

    found = costs(
        folder_named(run, runs or "runs"),
        traffic=traffic,
        price_per_hour=price_per_hour,
        price=price,
        against=against,
        tier=tier,
    )
    if json:
        _json(found[0] if len(found) == 1 else {"schema": "latok.costs/1", "costs": found})
        return
    for each in found:
        print_costs(each, _page())


@app.command(rich_help_panel="Read")
def report(
    run: Annotated[list[str], typer.Argument(help="Maps or runs: folders, names, or 'last'.")],
    out: Annotated[
        str | None, _option("The HTML file.", _WHERE, default="report.html beside the map")
    ] = None,
    charts: Annotated[str | None, _option("Also PNG and SVG of each chart, here.", _WHERE)] = None,
    compare: Annotated[
        bool,
        _option("Judge the others against the first, as latok compare does.", _WHAT, "--compare"),
    ] = False,
    margin: Annotated[
        str | None,
        _option("With --compare: within so much they are the same.", _WHAT, default="5%"),
    ] = None,
    any_model: Annotated[
        bool, _option("With --compare: also where their models differ.", _WHAT)
    ] = False,
    runs: Runs = None,
) -> None:
    """Write the HTML report of what is stored: one file, nothing from elsewhere.

    Maps, runs, capacities and comparisons, several in one page; or with --compare two runs or maps
    and more, the others judged against the first.

    Examples:

      latok report last
      latok report runs/before runs/after --compare --out before-after.html
    """
    from latok.jobs.experiment import Experiment, part
    from latok.jobs.report import write_charts, write_comparison, write_report
    from latok.jobs.runs import folder_named

    if not compare and (margin is not None or any_model):
        raise UsageError("--margin and --any-model say how to judge; give --compare too")
    if compare and charts is not None:
        raise UsageError("--charts draws maps and runs; a comparison has none of its own")
    folders = [folder_named(word, runs or "runs") for word in run]
    path = Path(out) if out else None
    if compare:
        share = Experiment.margin if margin is None else part(margin, "--margin")
        print(write_comparison(folders, path, margin=share, any_model=any_model))
        return
    print(write_report(folders, path))
    for path in write_charts(folders, Path(charts)) if charts else ():
        print(path)


@app.command("runs", rich_help_panel="Read")
def list_runs(runs: Runs = None, json: Json = False) -> None:
    """What has been measured, newest last."""
    from latok.jobs.runs import kind, stored

    found = stored(runs or "runs")
    if json:
        rows = [{"run": str(folder), "kind": kind(folder)} for folder in found]
        _json({"schema": "latok.runs/1", "runs": rows})
        return
    for folder in found:
        print(f"{kind(folder)}  {folder}")


@app.command("export", rich_help_panel="Read")
def export_run(
    run: Annotated[str, typer.Argument(help="A run: a folder, its name, or 'last'.")],
    format: Annotated[
        str,
        _option(
            "vllm, sglang, aiperf, guidellm, inference-perf, genai-bench, jsonl, csv, otel.", _WHERE
        ),
    ],
    runs: Runs = None,
) -> None:
    """Print a run in another tool's names and definitions (docs/crosswalk.md), or as rows."""
    from latok.jobs.exchange import export
    from latok.jobs.runs import folder_named

    sys.stdout.write(export(folder_named(run, runs or "runs"), format))


@app.command("import", rich_help_panel="Read")
def import_results(
    file: Annotated[Path, typer.Argument(help="A result file of one of those tools.")],
    app: Annotated[
        str | None, _option("Where a report puts it: beside this app's.", _WHAT, default="imported")
    ] = None,
    runs: Runs = None,
) -> None:
    """Take in another tool's results, to stand in the same report, marked as theirs."""
    from latok.jobs.exchange import import_

    for folder in import_(file, runs or "runs", app=app or "imported"):
        print(folder)


# --- engines: one command for each, its options made from the table ------------------------------

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
    for lever in row.levers:
        shown = lever.default
        if shown is None or isinstance(shown, bool):
            shown = {None: "auto", True: "on", False: "off"}[shown]
        choices = f" ({', '.join(lever.choices)})" if lever.choices else ""
        trades = f"{lever.trades[:1].upper()}{lever.trades[1:]}"
        text = f"{lever.what[:1].upper()}{lever.what[1:]}{choices}. [dim]{escape(trades)}.[/]"
        options[lever.name] = Annotated[
            str | None,
            _option(text, "Levers", lever.option, default=str(shown), metavar="VALUE"),
        ]
        defaults[lever.name] = None

    def command(**given: Any) -> None:
        host, port = given.pop("host"), given.pop("port")
        words = {name: word for name, word in given.items() if word is not None}
        require(row)
        importlib.import_module(row.module).serve(
            host=host,
            port=port,
            levers=parse_levers(row.name, words),
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
                "extra": row.extra,
                "levers": [
                    {
                        "name": lever.name,
                        "what": lever.what,
                        "trades": lever.trades,
                        "default": lever.default,
                        "choices": lever.choices,
                        "spelling": lever.spelling,
                    }
                    for lever in row.levers
                ],
            }
            for row in ENGINES.values()
        ]
        _json({"schema": "latok.engines/1", "engines": rows})
        return
    table = _table("engine", "here", "what it is", "levers")
    for row in ENGINES.values():
        here = "yes" if row.installed else f"pip install 'latok\\[{row.extra}]'"
        table.add_row(f"[bold]{row.name}[/]", here, row.what, ", ".join(x.name for x in row.levers))
    _page().print(table)
    _page().print("What each lever does: latok engine NAME --help")


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
        _json({"schema": "latok.apps/1", "apps": rows})
        return
    table = _table("app", "tokens in / out (mean)", "SLO", "what it is")
    for row in rows:
        tokens = "{:,.0f} / {:,.0f}".format(*row["mean_tokens"])
        table.add_row(f"[bold]{row['name']}[/]", tokens, row["slo"], row["what"])
    _page().print(table)
    _page().print("Sources of each figure: latok apps --json. Your own: a TOML file with --app.")


@app.command(rich_help_panel="What there is")
def dialects(json: Json = False) -> None:
    """The ways to speak to a target."""
    from latok.wire.dialects import DIALECTS

    if json:
        rows = [{"name": d.name, "what": d.what, "path": d.path} for d in DIALECTS.values()]
        _json({"schema": "latok.dialects/1", "dialects": rows})
        return
    table = _table("dialect", "path", "what it is")
    for row in DIALECTS.values():
        table.add_row(f"[bold]{row.name}[/]", row.path, row.what)
    _page().print(table)


# --- how it is said ------------------------------------------------------------------------------


def _page() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(*columns, box=box.SIMPLE_HEAD)


def _talk(quiet: bool) -> Console:
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)


def _json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _print_maps(maps: Sequence[Map], json: bool) -> None:
    from latok.report.text import print_map

    if not json:
        for each in maps:
            print_map(each, _page())
    elif len(maps) == 1:
        _json(maps[0])
    else:
        _json({"schema": "latok.maps/1", "maps": maps})


def _print_outlooks(context: typer.Context, command: Command) -> None:
    from latok.jobs.outlook import outlooks
    from latok.report.costs import print_outlook

    found = outlooks(_asked(context), command)
    if context.params["json"]:
        _json({"schema": "latok.outlook/1", "sent": 0, "outlooks": found})
        return
    for each in found:
        print_outlook(each, _page())


def _print_capacities(found: Sequence[Capacity], json: bool) -> None:
    from latok.report.text import print_capacity

    if not json:
        for each in found:
            print_capacity(each, _page())
    elif len(found) == 1:
        _json(found[0])
    else:
        _json({"schema": "latok.capacities/1", "capacities": found})


def _for_ci(results: Sequence[Result], markdown: str | None, junit: str | None) -> None:
    """The files that a build server reads; Markdown is added to what is there, as GitHub asks."""
    from latok.report import ci

    for name, render, mode in ((markdown, ci.markdown, "a"), (junit, ci.junit, "w")):
        if name is not None:
            try:
                with Path(name).open(mode, encoding="utf-8") as file:
                    file.write(render(results))
            except OSError as why:
                raise UsageError(f"cannot write {name}: {why.strerror}") from None


def _judge(point: Point, thresholds: Sequence[Threshold]) -> None:
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


def _write_report(mapped: Mapped) -> None:
    from latok.jobs.report import write_report

    write_report([mapped.folder], None)


@contextmanager
def _following(console: Console) -> Iterator[Watcher]:
    """A live view on a terminal, a line for each point elsewhere; silent where that was asked."""
    from latok.jobs.map import Watcher
    from latok.report.text import LiveMap, point_line

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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. One line on stderr for what went wrong."""
    try:
        code = app(args=list(argv) if argv is not None else None, standalone_mode=False)
    except LatokError as why:
        print(f"latok: {why}", file=sys.stderr)
        return why.exit_code
    except typer.TyperException as why:
        print(f"latok: {getattr(why, 'format_message', why.__str__)()}", file=sys.stderr)
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("latok: interrupted before anything was measured", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `latok runs | head`
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0
