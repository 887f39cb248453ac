"""Commands that measure."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from latok.cli.app import app
from latok.cli.options import (
    CAPACITY_BUDGET,
    HOW,
    WHAT,
    WHERE,
    WHOM,
    Concurrency,
    DryRun,
    FailIf,
    Json,
    Junit,
    Markdown,
    Precision,
    Quiet,
    Rate,
    Runs,
    Words,
    experiment,
    option,
    sends_load,
)
from latok.cli.saying import (
    following,
    for_ci,
    judge,
    page,
    print_capacities,
    print_json,
    print_maps,
    print_outlooks,
    report_of,
    talk,
)
from latok.errors import UsageError


@app.command(rich_help_panel="Measure")
@sends_load
def map(  # the command's name, not the builtin
    context: typer.Context,
    words: Words = None,
    budget: Annotated[
        str | None, option("Measuring time, start-up apart.", HOW, default="2m")
    ] = None,
    highest: Annotated[
        str | None, option("Never more than this many at a time.", HOW, default="256")
    ] = None,
    settings: Annotated[
        list[str] | None,
        option(
            "Also try it with these levers turned, such as 'kv_cache=u4 batch_limit=8' or "
            "'context=bm25:256' (repeatable); or auto: what is promising for the app.",
            HOW,
            "--levers",
        ),
    ] = None,
    dry_run: DryRun = False,
    precision: Precision = None,
    markdown: Markdown = None,
    junit: Junit = None,
    runs: Runs = None,
    resume: Annotated[
        str | None, option("Go on with an interrupted map: its folder, or 'last'.", WHERE)
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The main job: map the frontier of latency and tokens, find the knee, advise where to run.

    It measures alone, then twice as many at a time and so on until throughput stops growing or the
    SLO is far gone, then in between. Ctrl-C keeps what was measured; [bold]--resume last[/bold]
    goes on.

    With [bold]--levers[/bold] each setting gets its share of the budget at the loads of the engine
    as it is, a part of the answers is graded, and the advice says which levers to turn.

    Examples:

      latok map --app chat --budget 2m
      latok map http://127.0.0.1:8000 --app agent
      latok map openvino kv_cache=u4 batch_limit=8
      latok map openvino --levers auto --budget 10m
      latok map https://api.example.com --key-env API_KEY --model m --scale 0.2
    """
    from latok.jobs.map import map_
    from latok.jobs.map import resume as go_on
    from latok.jobs.runs import folder_named
    from latok.report.ci import of_map

    if dry_run and resume is None:
        print_outlooks(context, "map")
        return
    console = talk(quiet or json)
    with following(console) as watcher:
        if resume is None:
            mapped = map_(experiment(context), watcher)
        else:
            may = ("resume", "runs", "json", "quiet", "markdown", "junit")
            for name, value in context.params.items():
                if value and name not in may:
                    raise UsageError(f"--resume repeats what was asked; {name} cannot change")
            mapped = go_on(folder_named(resume, runs or "runs"), watcher)
    report_of(mapped)
    print_maps(mapped.maps, json)
    for_ci([of_map(each) for each in mapped.maps], markdown, junit)
    if not mapped.complete:
        console.print(f"interrupted; [bold]latok map --resume {mapped.folder}[/bold] goes on")
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
@sends_load
def measure(
    context: typer.Context,
    words: Words = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    arrivals: Annotated[
        str | None,
        option(
            "With --rate: constant, poisson, 'gamma(2.5)' (its CV), 'onoff(on=2s,off=8s)', "
            "'ramp(0.5,2)'.",
            HOW,
            default="the app's",
        ),
    ] = None,
    requests: Annotated[
        str | None, option("Measure so many (a warm-up comes before them).", HOW)
    ] = None,
    duration: Annotated[
        str | None, option("Measure so long, warm-up apart.", HOW, default="30s")
    ] = None,
    dry_run: DryRun = False,
    precision: Precision = None,
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
    from latok.report.point import print_point

    if dry_run:
        print_outlooks(context, "measure")
        return
    thresholds = parse_thresholds(fail_if) if fail_if else ()
    with following(talk(quiet or json)) as watcher:
        found, complete = job(experiment(context), say=watcher.say, watch=watcher.progress)
    if json:
        print_json(found)
    else:
        print_point(found, page())
    for_ci([of_point(found, thresholds)], markdown, junit)
    if not complete:
        raise typer.Exit(130)
    if not found.valid:
        raise typer.Exit(5)
    judge(found, thresholds)


@app.command(rich_help_panel="Measure")
@sends_load
def capacity(
    context: typer.Context,
    words: Words = None,
    budget: Annotated[
        str | None, option("Measuring time, start-up apart.", HOW, default="3m")
    ] = None,
    precision: Annotated[
        str | None, option("Stop once the interval is within ± this.", HOW, default="10%")
    ] = None,
    highest: Annotated[
        str | None, option("Never more than this many at a time.", HOW, default="256")
    ] = None,
    closed: Annotated[bool, option("Only how many at a time.", HOW, "--closed")] = False,
    open: Annotated[bool, option("Only how many a second.", HOW, "--open")] = False,
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

    asked = experiment(context, budget=CAPACITY_BUDGET)
    loops = tuple(name for name, given in (("closed", closed), ("open", open)) if given)
    if loops:
        asked = dataclasses.replace(asked, loops=loops)
    with following(talk(quiet or json)) as watcher:
        found = job(asked, watcher)
    print_capacities(found.capacities, json)
    for_ci([of_capacity(each) for each in found.capacities], markdown, junit)
    if not found.complete:
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
def doctor(
    quick: Annotated[
        bool, option("About 10 s instead of a minute; coarser.", HOW, "--quick")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What this machine can measure, and how exactly.

    latok drives a server of its own that knows when it sent each token, and looks at the system's
    limits. It says what to do about each.

    Exit code 5 if not even the smallest load was measured with an error under 1 ms.
    """
    from latok.jobs.doctor import doctor as job
    from latok.report.doctor import print_diagnosis, step_line

    console = talk(quiet or json)
    found = job(quick=quick, say=lambda step: console.print(f"[dim]{step_line(step)}[/]"))
    if json:
        print_json(found)
    else:
        print_diagnosis(found, page())
    if not found.complete:
        raise typer.Exit(130)
    if found.calibration is None or found.calibration.streams is None:
        raise typer.Exit(5)


@app.command(rich_help_panel="Measure")
@sends_load
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
        option("told, counters or inferred.", WHAT, default="the best that is there"),
    ] = None,
    concurrency: Annotated[
        str | None,
        option(
            "Of a target: after one alone, so many at a time.",
            HOW,
            "--concurrency",
            "-c",
            default="8",
        ),
    ] = None,
    rate: Annotated[
        float | None, option("Of a target: after one alone, so many requests a second.", HOW)
    ] = None,
    arrivals: Annotated[
        str | None, option("With --rate: as of latok measure.", HOW, default="the app's")
    ] = None,
    requests: Annotated[str | None, option("Measure so many at each load.", HOW)] = None,
    duration: Annotated[
        str | None, option("Measure so long at each load.", HOW, default="20s")
    ] = None,
    budget: Annotated[
        str | None,
        option("With --grade inferred: measuring time, start-up apart.", HOW, default="2m"),
    ] = None,
    dry_run: DryRun = False,
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
    from latok.jobs.account import account_of_stored, checked, stored_runs
    from latok.jobs.explain import explain as job
    from latok.jobs.infer import probing_outlook
    from latok.jobs.report import write_account
    from latok.report.explain import print_explanation

    if checked(grade) != "inferred" and budget is not None:
        raise UsageError("--budget is for --grade inferred; other grades take --duration")
    asked = experiment(context)
    if dry_run and grade == "inferred":
        probing = probing_outlook(asked)
        if json:
            print_json({"schema": "latok.outlook/1", "sent": 0, **probing._asdict()})
        else:
            print(f"{probing.outlook}\nNothing was sent.")
        return
    stored = stored_runs(asked.targets[0] if asked.targets else None, asked.runs)
    if stored is not None:
        for name, value in context.params.items():
            if value and name not in ("words", "grade", "runs", "json", "quiet"):
                raise UsageError(f"--{name.replace('_', '-')} is for a target, not a stored run")
        found, complete = account_of_stored(stored, grade=grade), True
    elif dry_run:
        print_outlooks(context, "explain")
        return
    else:
        with following(talk(quiet or json)) as watcher:
            found, complete = job(asked, grade, watcher)
    write_account(found)
    if json:
        print_json(found.explanation)
    else:
        print_explanation(found.explanation, page())
    if not complete:
        raise typer.Exit(130)


@app.command(rich_help_panel="Measure")
@sends_load
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
    concurrency: Concurrency = None,
    rate: Rate = None,
    arrivals: Annotated[
        str | None, option("With --rate: as of latok measure.", HOW, default="the app's")
    ] = None,
    budget: Annotated[
        str | None, option("Measuring time of two targets, start-up apart.", HOW, default="2m")
    ] = None,
    margin: Annotated[
        str | None, option("Within so much both are the same.", WHAT, default="5%")
    ] = None,
    any_model: Annotated[bool, option("Also where their models differ.", WHOM)] = False,
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

    with following(talk(quiet or json)) as watcher:
        found, complete = job(a, b, experiment(context), watcher)
    report = None
    if found.design == "interleaved":
        report = write_report([Path(found.runs[0][0]).parent], None)
    if json:
        print_json(found)
    else:
        print_comparison(found, page())
        if report is not None:
            print(f"Report: {report}")
    for_ci([of_comparison(found)], markdown, junit)
    if not complete:
        raise typer.Exit(130)
    raise typer.Exit({"worse": 1, "undecided": 4}.get(found.verdict, 0))


@app.command("try", rich_help_panel="Measure")
@sends_load
def try_(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LEVER=VALUE… [TARGET]",
            help="What to turn ([bold]latok levers[/bold]); [bold]lever=from..to[/bold] where "
            "'without' shall not be the default. Without a target the embedded engine is started.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        str | None,
        option("Closed loop: so many at a time.", HOW, "--concurrency", "-c", default="8"),
    ] = None,
    budget: Annotated[
        str | None, option("Measuring time, start-up apart.", HOW, default="2m")
    ] = None,
    margin: Annotated[
        str | None, option("Within so much a figure is the same.", WHAT, default="5%")
    ] = None,
    quality_margin: Annotated[
        str | None, option("By so much the accuracy may fall.", WHAT, default="2%")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn levers and see: latency, tokens, cost and answers, with and without.

    Both settings are asked the same requests in turns; some of them have one right answer and are
    graded. Of two levers each is tried alone, too, and what they do to each other is said.

    Examples:

      latok try kv_cache=u4 prefix_cache=on --app document
      latok try batch_limit=4..64 -c 32
      latok try context=bm25:256 --app document
      latok try response_cache=on --repeats 30%
      latok try compaction=on http://127.0.0.1:8000 --app batch
    """
    from latok.jobs.report import write_report
    from latok.jobs.try_ import try_ as job
    from latok.report.tried import print_tried

    with following(talk(quiet or json)) as watcher:
        found, folder, complete = job(experiment(context), watcher)
    report = write_report([folder], None)
    if json:
        print_json(found)
    else:
        print_tried(found, page())
        print(f"Report: {report}")
    if not complete:
        raise typer.Exit(130)
