"""One point in the terminal: everything that a run says."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latok.analysis.cost import dollars
from latok.analysis.point import Point, Quality, Users
from latok.quality.judge import judging_line
from latok.records import Owned
from latok.report.text import (
    UNKNOWN,
    between,
    bullet,
    client_error,
    figure,
    met_sign,
    met_word,
    milliseconds,
    price_line,
    printable,
    share,
    spoken,
    spread,
    target_line,
    throughput,
)

# `speed` has its bad tail at the low end, so it gets a line of its own.
_LATENCIES = ("ttft", "ttft_user", "ttfv", "ttfb", "tpot", "gap", "e2e", "e2e_close")


def point_line(point: Point) -> str:
    """A finished point in one line, for a log."""
    metrics, counts = point.metrics, point.counts
    parts = [
        f"ttft {spoken(metrics['ttft'].p50)} (p95 {spoken(metrics['ttft'].p95)})",
        f"tpot {spoken(metrics['tpot'].p50)} (p95 {spoken(metrics['tpot'].p95)})",
        f"speed {figure(metrics['speed'].p50)} tok/s",
        f"throughput {throughput(point)} tok/s",
        f"{counts.ok} requests" + (f", {counts.failed} failed" if counts.failed else ""),
    ]
    if point.goodput.clauses:
        met = met_word(point.goodput.met)
        parts.append(f"{share(point.goodput.attainment)} within SLO ({met})")
    if point.bent:
        parts.append(f"INVALID: {'; '.join(point.instrument.why)}")
    return printable(f"{point.load}: {', '.join(parts)}")


def print_point(point: Point, console: Console) -> None:
    """Everything that one run says."""
    console.print(Text(f"{point.load} on {target_line(point)}", style="bold"))
    console.print(Text(_counted(point)))
    console.print()
    console.print(_latencies(point))
    console.print()
    lines = [_speed_line(point), _throughput_line(point), _tokens_line(point)]
    for line in (*lines, *_cost_lines(point), *_energy_lines(point)):
        console.print(Text(line))
    if point.quality is not None:
        console.print(Text(answers_line(point.quality)))
        if point.quality.judge is not None:
            console.print(Text(f"            {printable(judging_line(point.quality.judge))}"))
        if len(point.quality.tasks) > 1:
            console.print()
            console.print(_tasks(point.quality))
    if point.goodput.clauses:
        console.print()
        console.print(_clauses(point))
    if point.users is not None:
        console.print()
        for line in _users(point, point.users):
            console.print(Text(line))
    console.print()
    console.print(_checks(point))
    console.print()
    console.print(Text(_verdict(point), style="bold" if point.bent else ""))
    for why in point.instrument.why:
        console.print(bullet(why))
    if point.instrument.verdict != "unknown":
        console.print(Text(_client(point), style="dim"))
    if point.run:
        console.print(Text(f"Run: {printable(point.run)}"), soft_wrap=True)


def _counted(point: Point) -> str:
    counts = point.counts
    said = f"{counts.offered} requests in a window of {spoken(point.throughput.window_s)}"
    said += f": {counts.ok} ok, {counts.failed} failed, {counts.unfinished} unfinished"
    if counts.cancelled:
        said += f", {counts.cancelled} cancelled by their clients"
    kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(point.errors.items()))
    ended = f"; ended because {point.ended_by}" if point.ended_by else ""
    return printable((f"{said} ({kinds})" if kinds else said) + ended)


def _latencies(point: Point) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("ms")
    for heading in ("p50", "95 % interval", "p95", "p99", "n", "effective", "client ±"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in _LATENCIES:
        found = point.metrics[name]
        bent = " ✗" if name in point.instrument.bent else ""
        table.add_row(
            name,
            milliseconds(found.p50),
            spread(found.ci95.get("p50"), 1e3) or UNKNOWN,
            milliseconds(found.p95),
            milliseconds(found.p99),
            f"{found.n:,}",
            UNKNOWN if found.ess is None else f"{found.ess:,.0f}",
            milliseconds(client_error(point, name)) + bent,
        )
    if any(point.metrics[name].p99 is None for name in _LATENCIES):
        table.caption = f"{UNKNOWN} too few to tell: a p95 asks for 20, a p99 for 100"
        table.caption_justify = "left"
    return table


def _speed_line(point: Point) -> str:
    found = point.metrics["speed"]
    slow = f", the slowest 5 % below {figure(found.p5)}" if found.p5 is not None else ""
    return f"speed       {figure(found.p50)} tok/s for one user{slow}"


def _throughput_line(point: Point) -> str:
    found = point.throughput
    return (
        f"throughput  {throughput(point)} tok/s out, {figure(found.input_tokens_per_s)} in, "
        f"{figure(found.requests_per_s)} requests/s"
    )


def _tokens_line(point: Point) -> str:
    got = {name: figure(value) for name, value in point.tokens.items()}
    return (
        f"tokens      mean {got['input']} in (asked {got['input_asked']}), {got['output']} out "
        f"(asked {got['output_asked']}), counted by {printable(point.token_source)}"
    )


def _cost_lines(point: Point) -> list[str]:
    found = point.cost
    if found is None:
        return []
    per_million = (
        f"per million tokens {dollars(found.usd_per_million_tokens)} "
        f"({dollars(found.usd_per_million_input_tokens)} in, "
        f"{dollars(found.usd_per_million_output_tokens)} out)"
    )
    if isinstance(found.prices, Owned):
        per_million = (
            f"per million tokens {dollars(found.usd_per_million_tokens)}, "
            f"of output alone {dollars(found.usd_per_million_output_tokens)}"
        )
    return [
        f"cost        {dollars(_thousand(found.usd_per_good_request))} for 1,000 good requests, "
        f"{dollars(_thousand(found.usd_per_request))} for any 1,000; {per_million}",
        f"price       {printable(price_line(found.prices))}",
    ]


def _thousand(usd: float | None) -> float | None:
    return None if usd is None else 1000 * usd


def answers_line(found: Quality) -> str:
    """How good the answers were, and how many good ones came."""
    said = (
        f"answers     {share(found.accuracy)} right ({between(found.ci95)}), "
        f"{found.items:,} graded; {figure(found.good_per_s)} good answers/s within the SLO"
    )
    if found.usd_per_thousand_good is not None:
        said += f"; {dollars(found.usd_per_thousand_good)} per thousand good"
    wrong = [
        f"{share(found.cut)} cut at their length" if found.cut else "",
        f"{found.failed} failed" if found.failed else "",
    ]
    return "; ".join([said, *filter(None, wrong)])


def _tasks(found: Quality) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("task", "right", "95 % interval", "graded"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for name, one in found.tasks.items():
        table.add_row(
            Text(printable(name)), share(one.accuracy), between(one.ci95), f"{one.items:,}"
        )
    return table


def _energy_lines(point: Point) -> list[str]:
    found = point.energy
    if found is None:
        return []
    return [
        f"energy      {figure(found.joules_per_token)} J a token "
        f"({figure(found.joules_per_output_token)} of output alone), "
        f"{figure(found.joules_per_good_request)} J a good request, {figure(found.mean_w)} W, "
        f"by {printable(found.source)}"
    ]


def _clauses(point: Point) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("SLO", "share", "95 % interval", ""):
        table.add_column(heading, justify="left" if heading in ("SLO", "") else "right")
    for found in point.goodput.clauses:
        table.add_row(
            found.clause,
            share(found.share),
            between(found.ci95),
            f"{met_sign(found.met)} {met_word(found.met)}",
        )
    goodput = point.goodput
    table.add_row(
        "all at once",
        share(goodput.attainment),
        between(goodput.ci95),
        f"{met_sign(goodput.met)} {met_word(goodput.met)}; "
        f"goodput {figure(goodput.requests_per_s)} requests/s",
    )
    return table


def _users(point: Point, users: Users) -> Iterator[str]:
    """What people saw, beside what the server did."""
    if users.waits is not None:
        stalled = point.metrics["stall"].mean
        yield (
            f"readers     {share(users.waits)} ever wait ({between(users.waits_ci95)}) at "
            f"{users.reading:g} tok/s, {share(stalled)} of the time"
        )
    if users.on_time is not None:
        yield (
            f"deadlines   {share(users.on_time)} had each token by its time "
            f"({between(users.on_time_ci95)})"
        )
    firsts = [
        f"first {what} {spoken(found.p50)} (p95 {spoken(found.p95)})"
        for what in ("sentence", "line")
        if (found := point.metrics[f"first_{what}"]).n
    ]
    if firsts:
        yield f"shown       {', '.join(firsts)}"


def _checks(point: Point) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for check in point.checks:
        sign = {True: "✓", False: "✗", None: UNKNOWN}[check.ok]
        table.add_row(sign, check.name, Text(printable(check.detail)))
    return table


def _verdict(point: Point) -> str:
    if point.instrument.verdict == "unknown":
        return "Another tool measured this; its client's error is not known."
    if point.valid:
        return "Valid: the client did not bend the numbers."
    return "INVALID: the client itself may have bent the numbers."


def _client(point: Point) -> str:
    """What the instrument was doing."""
    found = point.instrument
    lag = f"{spoken(found.lag_s.get('p50'))} (p99 {spoken(found.lag_s.get('p99'))})"
    stamps = "kernel time stamps" if found.kernel_stamps else "no kernel time stamps"
    return (
        f"{stamps}; read {lag} after arrival; {found.coalesced} of {found.chunks} events shared "
        f"a read; {figure(found.client_cpu_s)} s of CPU"
    )
