"""What a terminal shows, with and without room, colour or enough requests."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from latok.analysis import metrics
from latok.analysis.capacity import Capacity, Rate, Slots
from latok.analysis.frontier import Saturation, Setting
from latok.analysis.point import Point, Quality, TaskQuality
from latok.report import text
from latok.report.live import LiveMap
from latok.report.point import point_line, print_point
from tests.report.samples import Measured, drive, manifest_of, map_of


def shown(thing: object, width: int = 100) -> str:
    """What lands on a terminal without colours, `width` columns wide."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    if isinstance(thing, Point):
        print_point(thing, console)
    elif isinstance(thing, Measured):
        text.print_map(thing.map, console)
    else:
        console.print(thing)
    return out.getvalue()


def invalid(point: Point) -> Point:
    bent = msgspec.structs.replace(
        point.instrument, verdict="invalid", why=("the client may have moved ttft by 9 ms",)
    )
    return msgspec.structs.replace(point, instrument=bent)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.0004, "<0.001"),
        (0.0213, "0.021"),
        (5.613, "5.61"),
        (41.23, "41.2"),
        (212.4, "212"),
        (1430.2, "1,430"),
    ],
)
def test_a_figure_has_the_digits_that_count(value: float | None, said: str) -> None:
    assert text.figure(value) == said


def test_seconds_are_written_as_a_person_would() -> None:
    assert [text.spoken(s) for s in (2.5, 0.0123, 0.00004, 0.0, None)] == [
        "2.50 s",
        "12.3 ms",
        "40.0 µs",
        "0",
        "–",
    ]


def test_a_share_is_never_rounded_up_to_everything() -> None:
    assert [text.share(part) for part in (1.0, 0.99996, 0.984, 0.14, 0.0)] == [
        "100 %",
        "99.9 %",
        "98.4 %",
        "14 %",
        "0 %",
    ]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_map_says_where_to_run_and_why_at_any_width(chat: Measured, width: int) -> None:
    said = shown(chat, width)
    rows = [line.split() for line in said.splitlines()]
    for point in chat.map.points:
        assert any(text.milliseconds(point.metrics["ttft"].p50) in row for row in rows)
    flat = " ".join(said.split())
    for part in (chat.map.advice.text, chat.map.stopped, chat.map.report):
        assert part in flat
    assert "★ advised" in said
    assert "◆ knee" in said
    assert "● frontier" in said
    assert max(len(line) for line in said.splitlines()) <= width


def test_a_wide_terminal_shows_the_clients_error_and_a_narrow_one_drops_it(chat: Measured) -> None:
    assert "client" in shown(chat, 100)
    assert "client" not in shown(chat, 80)
    assert "SLO" in shown(chat, 80)


def test_percentiles_are_shown_and_means_are_not(chat: Measured) -> None:
    said = shown(chat)
    assert "p50" in said
    assert "p95" in said
    assert "mean" not in said


def test_an_invalid_point_is_crossed_out_and_says_why(chat: Measured) -> None:
    bad = invalid(chat.map.points[0])
    found = Measured(map_of([bad, *chat.map.points[1:]]), {}, {})
    said = shown(found)
    assert "✗ invalid" in said
    assert "moved ttft by 9 ms" in shown(bad)
    assert "INVALID" in point_line(bad)


def test_several_targets_are_told_apart(two_targets: Measured) -> None:
    said = shown(two_targets)
    assert said.count("openvino  ") >= 7
    assert said.count("llamacpp  ") >= 7


def test_a_point_shows_its_percentiles_clauses_checks_and_client(chat: Measured) -> None:
    said = shown(chat.map.points[3])
    for word in (
        "ttft",
        "tpot",
        "e2e",
        "p99",
        "95 % interval",
        "littles_law",
        "kernel time stamps",
    ):
        assert word in said
    for clause in chat.map.points[3].goodput.clauses:
        assert clause.clause in said
    assert "Valid" in said


def test_a_quantile_that_too_few_requests_tell_is_a_dash_with_its_reason(chat: Measured) -> None:
    alone = chat.map.points[0]
    assert alone.metrics["ttft"].p99 is None
    assert "a p99 for 100" in shown(alone)


def test_a_point_of_which_nothing_is_known_is_still_shown() -> None:
    manifest = msgspec.structs.replace(manifest_of(1), window=None)
    nothing = metrics.point(manifest, [])
    assert "0 requests" in shown(nothing)
    assert point_line(nothing).startswith("1 at a time: ttft – (p95 –)")
    assert "–" in shown(Measured(map_of([nothing]), {}, {}))


def test_a_servers_name_cannot_steer_the_terminal() -> None:
    manifest = manifest_of(2, model="\x1b[2J\x1b]0;owned\x07[red]model")
    point = metrics.point(manifest, drive(2, seconds=6.0))
    for said in (
        shown(point),
        shown(Measured(map_of([point]), {}, {})),
        point_line(point),
    ):
        assert "\x1b" not in said
        assert "\x07" not in said
    assert "[red]model" in shown(point)


def test_a_finished_point_is_one_line(chat: Measured) -> None:
    for point in chat.map.points:
        said = point_line(point)
        assert "\n" not in said
        assert said.startswith(str(point.load))


def test_the_live_view_grows_with_the_map(chat: Measured) -> None:
    live = LiveMap("chat on openvino")
    assert "chat on openvino" in shown(live)
    live.begin("8 at a time", why="the SLO's edge", seconds=12.0, left=48.0)
    live.progress(5.0, "measuring", in_flight=8, sent=41, ended=33, failed=0, reads=1432)
    said = shown(live)
    assert "8 at a time" in said
    assert "measuring · 5 of about 12 s" in said
    assert "43 s of the budget left" in said
    assert "8 in flight · 41 sent · 33 ended · 0 failed · 1,432 reads" in said
    for point in chat.map.points:
        live.finished(point)
    said = shown(live)
    assert "choosing the next load" in said
    assert "throughput ↑" in said
    for point in chat.map.points:
        assert text.milliseconds(point.metrics["ttft"].p50) in said


# --- a capacity, and how sure a map is -----------------------------------------------------------


def capacity(closed: Slots | None, rate: Rate | None, headroom: float | None = None) -> list[str]:
    return text.capacity_lines(
        Capacity(
            app="chat",
            target="server",
            slo="ttft.p95<1s",
            closed=closed,
            open=rate,
            tightest="ttft.p95<1s",
            headroom=headroom,
            points=(),
        )
    )


def slots(value: int, low: int, high: int | None, stopped: str = "the budget is spent") -> Slots:
    return Slots(concurrency=value, ci95=(low, high), tightest="ttft.p95<1s", stopped=stopped)


def test_a_capacity_is_said_with_its_interval_and_what_ends_it() -> None:
    (line,) = capacity(slots(14, 12, 16), None)
    assert line == (
        "Closed loop: 14 at a time (95 %: 12 to 16); then ttft.p95<1s is missed (the budget is "
        "spent)."
    )


def test_no_capacity_and_no_limit_are_said() -> None:
    assert "none" in capacity(slots(0, 0, 0), None)[0]
    assert "0 at a time (95 %: 0 to 1)" in capacity(slots(0, 0, 1), None)[0]
    why = "the limit of 64 was not reached by the SLO"
    (line,) = capacity(slots(64, 60, None, why), None)
    assert line == f"Closed loop: about 64 at a time (95 %: 60 or more); {why}."
    assert capacity(None, None) == ["Nothing valid was measured."]


def test_headroom_is_said_where_there_is_some() -> None:
    rate = Rate(rate=10.0, ci95=(9.0, 11.0), arrivals="poisson", tightest="x", stopped="y")
    assert "; 8.00 a second keeps" in capacity(None, rate, 0.2)[1]
    assert len(capacity(None, rate, 0.001)) == 1


def test_a_map_says_how_sure_its_knee_and_its_saturation_are(chat: Measured) -> None:
    found = chat.map
    sure = msgspec.structs.replace(
        found, knee_ci=(4.0, 12.0), saturation=Saturation(812.4, (790.0, 850.0), found.points[0].id)
    )
    knee, saturation = text.map_lines(sure)
    assert knee.startswith("Knee: ")
    assert knee.endswith("at a time (95 %: 4 to 12).")
    assert saturation == "Saturation: 812 tokens/s (95 %: 790 to 850)."
    assert text.map_lines(msgspec.structs.replace(found, knee_ci=None)) == []


def graded(point: Point) -> Point:
    """As if some of its requests had been graded."""
    return msgspec.structs.replace(
        point,
        quality=Quality(
            items=34,
            accuracy=0.71,
            ci95=(0.54, 0.83),
            tasks={
                "lookup": TaskQuality(items=17, accuracy=0.6, ci95=(0.36, 0.8)),
                "needle": TaskQuality(items=17, accuracy=0.82, ci95=(0.59, 0.94)),
            },
            good=0.6,
            good_ci95=(0.42, 0.75),
            good_per_s=2.1,
            usd_per_thousand_good=0.52,
            cut=0.1,
            failed=1,
        ),
    )


def test_the_answers_are_told_only_where_they_were_graded(chat: Measured) -> None:
    plain, point = chat.map.points[3], graded(chat.map.points[3])
    said = shown(point, width=200)
    for words in (
        "71 % right (54 %–83 %), 34 graded; 2.10 good answers/s within the SLO",
        "$0.52 per thousand good",
        "10 % cut at their length; 1 failed",
        "59 %–94 %",
    ):
        assert words in said
    assert "graded" not in shown(plain)
    table = shown(Measured(map_of([plain, point]), {}, {}), width=120)
    assert "right" in table
    assert "71 %" in table
    assert "right" not in shown(Measured(map_of([plain]), {}, {}), width=120)


def test_a_setting_with_worse_answers_is_marked_and_its_levers_are_named() -> None:
    replace = msgspec.structs.replace
    base = metrics.point(manifest_of(8), drive(8))
    fast = metrics.point(manifest_of(8, target="openvino kv_cache=u4"), drive(8, slow=0.5))
    found = map_of([base])
    setting = Setting(
        name="kv_cache=u4",
        levers={"kv_cache": "u4"},
        target="openvino kv_cache=u4",
        base="openvino",
        lossless=False,
        points=(fast.id,),
        load="8 at a time",
        gains={},
        margin=0.02,
        verdict="inferior",
    )
    advice = replace(found.advice, levers=("Leave kv_cache=u4, it harms the answers",))
    whole = replace(found, points=(base, fast), settings=(setting,), advice=advice)
    out = io.StringIO()
    text.print_map(whole, Console(file=out, width=120, color_system=None))
    said = out.getvalue()
    assert "and 1 setting of levers" in said
    assert "○ worse answers" in said
    assert "Leave kv_cache=u4" in said
    (row,) = [line for line in said.splitlines() if " kv_cache=u4 " in line and "○" in line]
    assert "★" not in row
