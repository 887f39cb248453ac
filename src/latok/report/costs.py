"""What runs cost, in the terminal: each point on own hardware, hosted, and which is cheaper; and
what a run would cost."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latok.analysis.cost import BreakEven, Costs, Month, PointCost, dollars
from latok.analysis.point import Cost
from latok.decide.outlook import Outlook, spend_line
from latok.records import Closed
from latok.report.text import UNKNOWN, figure, met_sign, price_line, printable, share


def print_costs(found: Costs, console: Console) -> None:
    """A line for each point; the prices above, what they mean below."""
    console.print(Text(f"{found.app}: {printable(found.run)}", style="bold"))
    for name, prices in (("own", found.own), ("hosted", found.hosted)):
        if prices is not None:
            console.print(Text(f"{name:8}{printable(price_line(prices))}"))
    rate = found.traffic_requests_per_s
    if rate is not None:
        console.print(Text(f"traffic {figure(rate)} requests/s, taken to come evenly"))
    console.print()
    console.print(_table(found))
    console.print()
    months = "that traffic" if rate is not None else "each load, held all of the time"
    legend = f"a month is {found.hours_per_month:g} hours of {months}"
    if found.own is not None and found.hosted is not None:
        legend = f"1,000: good requests; {legend}; own wins above so many requests/s"
    console.print(Text(legend, style="dim"))
    for line in dict.fromkeys(_verdicts(found)):
        console.print(Text(line))


def _table(found: Costs) -> Table:
    """With one price all that it says; with two what compares them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    both = found.own is not None and found.hosted is not None
    several = len({point.target for point in found.points}) > 1
    headings = ["load", "SLO"]
    for name, prices in (("own", found.own), ("hosted", found.hosted)):
        if prices is not None:
            columns = ["1,000", "month"] if both else ["1M tokens", "1,000 requests"]
            columns += [] if both else ["1,000 good", "month"]
            headings += [f"{name}\n{column}" for column in columns]
    if both:
        headings += ["own wins\nabove", "of what\nit serves"]
    for heading in headings:
        left = heading == "load"
        table.add_column(Text(heading), justify="left" if left else "right", no_wrap=left)
    for point in sorted(found.points, key=lambda point: (point.target, _load(point))):
        name = f"{printable(point.target)} {point.load}" if several else str(point.load)
        cells = [name, met_sign(point.meets_slo)]
        if found.own is not None:
            cells += _cells(point.own, point.own_month, brief=both)
        if found.hosted is not None:
            cells += _cells(point.hosted, point.hosted_month, brief=both)
        if both:
            cells += _above(point.break_even)
        table.add_row(*map(Text, cells))
    return table


def _load(point: PointCost) -> float:
    return point.load.concurrency if isinstance(point.load, Closed) else point.load.rate


def _cells(cost: Cost | None, month: Month | None, *, brief: bool) -> list[str]:
    if cost is None:
        return [UNKNOWN] * (2 if brief else 4)
    machines = f"{month.machines} × " if month and (month.machines or 0) > 1 else ""
    cells = [
        dollars(cost.usd_per_million_tokens),
        *(
            dollars(None if usd is None else 1000 * usd)
            for usd in (cost.usd_per_request, cost.usd_per_good_request)
        ),
        machines + dollars(month.usd / (month.machines or 1) if month else None),
    ]
    return cells[2:] if brief else cells


def _above(found: BreakEven | None) -> list[str]:
    if found is None:
        return [UNKNOWN, UNKNOWN]
    if found.never:
        return ["never", ""]
    return [figure(found.requests_per_s), share(found.share_of_capacity)]


def _verdicts(found: Costs) -> list[str]:
    """Which is cheaper at the cheapest point that is not known to miss the SLO."""
    if found.own is None or found.hosted is None:
        return []
    standing = [p for p in found.points if p.meets_slo is not False and p.break_even] or [
        p for p in found.points if p.break_even
    ]
    if not standing:
        return ["Hosted cost cannot be said: the run does not tell the tokens of its requests."]
    best = min(standing, key=lambda p: p.break_even.share_of_capacity if p.break_even else 0.0)
    even = best.break_even
    assert even is not None
    if even.never:
        return [
            f"Hosted is cheaper at any load: even full, at {best.load}, own hardware takes "
            f"{figure(even.share_of_capacity)} times as much for the same requests."
        ]
    above = f"{figure(even.requests_per_s)} requests/s ({figure(even.tokens_per_s)} tokens/s)"
    return [
        f"Own hardware run at {best.load} is cheaper above {above}, "
        f"{share(even.share_of_capacity)} of what it serves there; below that, hosted."
    ]


def print_outlook(found: Outlook, console: Console) -> None:
    """What would be sent, and what it would cost; nothing was."""
    where = f"{printable(found.model)} at " if found.model else ""
    console.print(Text(f"{found.app} on {where}{printable(found.target)}", style="bold"))
    read, written = found.mean_tokens
    console.print(
        Text(
            f"requests  up to about {found.requests:,.0f}, of {read:,.0f} tokens in and "
            f"{written:,.0f} out in the mean, if it never tires"
        )
    )
    if found.prices is not None:
        console.print(Text(f"price     {printable(price_line(found.prices))}"))
        console.print(Text(f"cost      {spend_line(found) or 'that of its time'}"))
    else:
        console.print(Text("price     not known"))
    if found.note:
        console.print(Text(f"Note: {printable(found.note)}."))
    console.print(Text("Nothing was sent.", style="dim"))
