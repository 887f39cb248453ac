"""Commands that read what was measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latok.cli.app import app
from latok.cli.options import (
    BILL,
    HOW,
    WHAT,
    WHERE,
    FailIf,
    Json,
    PerHour,
    Price,
    Runs,
    option,
)
from latok.cli.saying import (
    judge,
    page,
    print_capacities,
    print_json,
    print_maps,
)
from latok.errors import UsageError


@app.command(rich_help_panel="Read")
def show(
    run: Annotated[str, typer.Argument(help="A run or a map: a folder, its name, or 'last'.")],
    price_per_hour: PerHour = None,
    price: Price = None,
    fail_if: FailIf = None,
    runs: Runs = None,
    json: Json = False,
) -> None:
    """Read what is stored again, by today's definitions: a run, map, capacity, comparison or trial.

    Also one that was cut short. With a price: what it would have cost at that.
    """
    from latok.decide.thresholds import parse_thresholds
    from latok.jobs.capacity import read_capacities
    from latok.jobs.cost import repriced, repriced_map
    from latok.jobs.map import read_maps
    from latok.jobs.runs import folder_named, kind, read_point
    from latok.jobs.tried import read_tried
    from latok.jobs.versus import read_comparison
    from latok.report.compare import print_comparison
    from latok.report.point import print_point
    from latok.report.tried import print_tried

    folder = folder_named(run, runs or "runs")
    thresholds = parse_thresholds(fail_if) if fail_if else ()
    if thresholds and kind(folder) != "run":
        raise UsageError(f"--fail-if judges a run, and {folder} is a {kind(folder)}")
    if kind(folder) == "map":
        maps = [repriced_map(each, price_per_hour, price) for each in read_maps(folder)]
        print_maps(maps, json)
        return
    if kind(folder) == "capacity":
        print_capacities(read_capacities(folder), json)
        return
    if kind(folder) == "compare":
        compared = read_comparison(folder)
        if json:
            print_json(compared)
        else:
            print_comparison(compared, page())
        return
    if kind(folder) == "try":
        trial = read_tried(folder)
        if json:
            print_json(trial)
        else:
            print_tried(trial, page())
        return
    found = repriced(read_point(folder), price_per_hour, price)
    if json:
        print_json(found)
    else:
        print_point(found, page())
    judge(found, thresholds)


@app.command(rich_help_panel="Read")
def cost(
    run: Annotated[str, typer.Argument(help="A run or a map: a folder, its name, or 'last'.")],
    traffic: Annotated[
        str | None,
        option("'10 req/s', '2M requests/month', '5M tokens/day'.", HOW, default="each load"),
    ] = None,
    price_per_hour: PerHour = None,
    price: Price = None,
    against: Annotated[
        str | None, option("A hosted model by its known price: [PROVIDER/]MODEL.", BILL)
    ] = None,
    tier: Annotated[
        str | None,
        option("With --against: standard, batch or priority.", BILL, default="standard"),
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
        print_json(found[0] if len(found) == 1 else {"schema": "latok.costs/1", "costs": found})
        return
    for each in found:
        print_costs(each, page())


@app.command(rich_help_panel="Read")
def batch(
    run: Annotated[str, typer.Argument(help="A run or a map: a folder, its name, or 'last'.")],
    requests: Annotated[str, option("So many are to be done: 800, 10k.", HOW)],
    deadline: Annotated[str, option("Within so long: 30m, 2h.", HOW)],
    fewest: Annotated[
        bool, option("The fewest at a time that fit, not the soonest.", HOW, "--fewest")
    ] = False,
    runs: Runs = None,
    json: Json = False,
) -> None:
    """Work that can wait: how many at a time are done by the deadline, and how long it takes.

    It chooses among the points of a stored map, of each target and setting in it, and keeps a
    tenth of the time free. The requests are taken to be like those of the map's app.
    Exit code 1 if the deadline cannot be kept.

    Examples:

      latok map --app batch --budget 5m
      latok batch last --requests 10k --deadline 2h
    """
    from latok.jobs.batch import batches_by
    from latok.jobs.experiment import count, seconds
    from latok.jobs.runs import folder_named
    from latok.report.batch import print_batches

    found = batches_by(
        folder_named(run, runs or "runs"),
        requests=count(requests, "--requests"),
        deadline=seconds(deadline, "--deadline"),
        fewest=fewest,
    )
    if json:
        print_json({"schema": "latok.batch/1", "batches": found})
    else:
        print_batches(found, page())
    if not found[0].fits:
        raise typer.Exit(1)


@app.command(rich_help_panel="Read")
def report(
    run: Annotated[list[str], typer.Argument(help="Maps or runs: folders, names, or 'last'.")],
    out: Annotated[
        str | None, option("The HTML file.", WHERE, default="report.html beside the map")
    ] = None,
    charts: Annotated[str | None, option("Also PNG and SVG of each chart, here.", WHERE)] = None,
    compare: Annotated[
        bool,
        option("Judge the others against the first, as latok compare does.", WHAT, "--compare"),
    ] = False,
    margin: Annotated[
        str | None,
        option("With --compare: within so much they are the same.", WHAT, default="5%"),
    ] = None,
    any_model: Annotated[
        bool, option("With --compare: also where their models differ.", WHAT)
    ] = False,
    runs: Runs = None,
) -> None:
    """Write the HTML report of what is stored: one file, nothing from elsewhere.

    Maps, runs, capacities, comparisons and trials, several in one page; or with --compare two runs
    or maps and more, the others judged against the first.

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
        print_json({"schema": "latok.runs/1", "runs": rows})
        return
    for folder in found:
        print(f"{kind(folder)}  {folder}")


@app.command("export", rich_help_panel="Read")
def export_run(
    run: Annotated[str, typer.Argument(help="A run: a folder, its name, or 'last'.")],
    format: Annotated[
        str,
        option(
            "vllm, sglang, aiperf, guidellm, inference-perf, genai-bench, jsonl, csv, otel.", WHERE
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
        str | None, option("Where a report puts it: beside this app's.", WHAT, default="imported")
    ] = None,
    runs: Runs = None,
) -> None:
    """Take in another tool's results, to stand in the same report, marked as theirs."""
    from latok.jobs.exchange import import_

    for folder in import_(file, runs or "runs", app=app or "imported"):
        print(folder)
