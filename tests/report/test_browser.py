"""The page as headless Chromium shows it, watched through the DevTools protocol over a pipe."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from latok.analysis.frontier import Saturation
from latok.jobs.report import write_report
from latok.jobs.runs import EXPLANATION
from latok.records import write_manifest, write_records
from latok.report import html
from latok.report.sections import Chapter
from tests.report.samples import Measured, drive, manifest_of, map_of, versus_of
from tests.report.trials import trial_of

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
# The protocol wants the pipes as file descriptors 3 and 4; dash knows no descriptor above 9.
WITH_PIPES = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 60.0


class Browser:
    """One page of a browser. `events`: everything that it said on its own."""

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write, self.serial = read, write, 0
        self.rest = b""
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        self.serial += 1
        said = {"id": self.serial, "method": method, "params": params}
        if self.session:
            said["sessionId"] = self.session
        os.write(self.write, json.dumps(said).encode() + b"\0")
        while (message := self.hear()).get("id") != self.serial:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def hear(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], until - time.monotonic())
            assert ready, "Chromium does not answer"
            got = os.read(self.read, 1 << 16)
            assert got, "Chromium has gone"
            self.rest += got
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path, *, dark: bool, width: int = 1280) -> None:
        """Shows the file and waits until it is loaded."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.hear())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is, in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """Errors and anything else on the console; a violated CSP is one of them."""
        loud = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event for event in self.events if event["method"] in loud]

    def requests(self) -> list[str]:
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program, f"none of {', '.join(NAMES)} is installed; see scripts/install-chromium"
    from_us, to_browser = os.pipe()
    from_browser, to_us = os.pipe()
    profile = tmp_path_factory.mktemp("profile")
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", WITH_PIPES, str(from_us), str(to_us)),
            *(program, f"--user-data-dir={profile}", *FLAGS),
        ],
        pass_fds=(from_us, to_us),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(from_us)
    os.close(to_us)
    try:
        found = Browser(from_browser, to_browser)
        yield found
        found.session = None
        found.ask("Browser.close")
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)


@pytest.fixture(scope="module")
def report(chat: Measured, two_targets: Measured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison, a map with its knee and saturation, and a map of two targets; of most runs the
    records are gone."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    sure = msgspec.structs.replace(
        chat.map, knee_ci=(8.0, 16.0), saturation=Saturation(497.0, (470.0, 510.0), "openvino-32")
    )
    page = html.report_html(
        [Chapter(sure), Chapter(map_of(two_targets.map.points[::2], app="voice"))],
        runs={id: run for id, run in chat.runs.items() if id in ("openvino-4", "openvino-12")},
        versus=[versus_of(1.3)],
    )
    path.write_text(page, "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_opens_without_a_complaint_and_asks_nobody(
    browser: Browser, report: Path, dark: bool
) -> None:
    browser.open(report, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [report.as_uri()]


def test_the_page_may_not_ask_anybody_even_if_it_tried(browser: Browser, report: Path) -> None:
    browser.open(report, dark=False)
    browser.value("document.body.append(Object.assign(new Image, {src: 'http://127.0.0.1:9/'}))")
    while not browser.complaints():
        browser.events.append(browser.hear())
    assert "Content Security Policy" in json.dumps(browser.complaints())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_chart_is_drawn_in_colours_that_can_be_seen(
    browser: Browser, report: Path, dark: bool
) -> None:
    browser.open(report, dark=dark)
    browser.value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    charts = browser.value(
        """[...document.querySelectorAll("figure:not(.narrow)")].map((figure) => {
          const mark = figure.querySelector('path[aria-roledescription]');
          const box = figure.querySelector("svg").getBoundingClientRect();
          return [box.width, box.height, getComputedStyle(mark).fill,
                  figure.querySelectorAll('[aria-label]').length];
        })"""
    )
    forests, frontier, against_load, spreads, streams, runs = 2, 1, 7, 4, 1, 2
    each_map = frontier + against_load + spreads + streams + runs
    assert len(charts) == forests + spreads + 2 * each_map
    assert all(width > 200 and height > 90 and marks > 2 for width, height, _, marks in charts)
    # a colour that the page does not know would come out black
    assert "rgb(0, 0, 0)" not in {fill for _, _, fill, _ in charts}
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 254)")


def pointed_at(browser: Browser, mark: str) -> str:
    """What is shown when the mouse is over the middle of a mark."""
    x, y = browser.value(
        f"""(() => {{
          const mark = document.querySelector(`{mark}`);
          mark.scrollIntoView({{block: "center", behavior: "instant"}});
          const box = mark.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
    )
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    return str(browser.value("document.getElementById('tip').innerText"))


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        (
            'figure.broad [aria-label*="8 at a time"][aria-label*="requests"]',
            ("8 at a time", "first token p50", "tokens/s", "requests"),
        ),
        ('.streams [aria-label^="request 60,"]', ("request 60", "first token after")),
        ('.forest.broad [aria-label^="tpot.p50"]', ("worse", "95 %: +")),
        ('#map-0 [aria-label*="half are within"]', ("at a time", "requests")),
        ('details[open] [aria-label*="median of ttft"]', (" s", "median of ttft")),
    ],
    ids=["point", "stream", "difference", "distribution", "course"],
)
def test_pointing_at_a_mark_shows_its_numbers(
    browser: Browser, report: Path, mark: str, words: tuple[str, ...]
) -> None:
    browser.open(report, dark=False)
    said = pointed_at(browser, mark)
    for word in words:
        assert word in said


def test_a_question_mark_opens_its_answer_with_the_keyboard(browser: Browser, report: Path) -> None:
    browser.open(report, dark=False)
    browser.value("document.querySelector('.help[popovertarget=\"word-ttft\"]').focus()")
    for kind in ("keyDown", "keyUp"):
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        browser.ask("Input.dispatchKeyEvent", type=kind, **key)
    said = browser.value("document.querySelector('[popover]:popover-open').innerText")
    assert "Time to first token" in said


def test_a_chart_is_one_stop_and_the_arrows_lead_through_its_marks(
    browser: Browser, report: Path
) -> None:
    browser.open(report, dark=False)
    stops = browser.value(
        "[...document.querySelectorAll('figure')].map((each) => "
        'each.querySelectorAll(\'[role="graphics-symbol"][tabindex="0"]\').length)'
    )
    assert set(stops) == {1}
    browser.value("document.querySelector('.forest.broad [tabindex=\"0\"]').focus()")
    said = [browser.value("document.getElementById('tip').innerText")]
    for key in ("ArrowRight", "ArrowLeft"):
        browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
        browser.ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        said.append(browser.value("document.getElementById('tip').innerText"))
    assert said[0].startswith("ttft.p50")
    assert said[1].startswith("ttft.p95")
    assert said[2] == said[0]


def test_a_run_opens_with_the_keyboard_and_shows_how_it_went(
    browser: Browser, report: Path
) -> None:
    browser.open(report, dark=False)
    first = "[...document.querySelectorAll('#runs-0 details')].find((each) => !each.open)"
    assert browser.value(f"{first}.querySelector('dl').checkVisibility()") is False
    browser.value(f"globalThis.run = {first}; run.querySelector('summary').focus()")
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    for kind in ("keyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, **key)
    assert browser.value("run.querySelector('dl').checkVisibility()") is True
    assert "Little’s law" in browser.value("run.innerText")


def test_a_telephone_gets_charts_of_its_own_size(browser: Browser, report: Path) -> None:
    browser.open(report, dark=False, width=400)
    wide = browser.value(
        """[...document.querySelectorAll("figure:not(.wide) svg")]
          .filter((svg) => svg.checkVisibility())
          .map((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"""
    )
    # not shrunk until their letters are too small
    assert len(wide) > 10
    assert min(wide) > 0.9
    for word in ("✗ worse", "Time to first token"):
        assert word in browser.value("document.body.innerText")


@pytest.mark.parametrize("width", [1280, 700, 400])
def test_the_page_is_never_wider_than_the_screen(
    browser: Browser, report: Path, width: int
) -> None:
    browser.open(report, dark=False, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_no_table_or_chart_is_wider_than_the_paper(browser: Browser, report: Path) -> None:
    a4_without_margins = 688
    browser.open(report, dark=False, width=a4_without_margins)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    wide = browser.value(
        f"""[...document.querySelectorAll("table, svg")]
          .map((thing) => thing.getBoundingClientRect().right)
          .filter((right) => right > {a4_without_margins + 1})"""
    )
    unseen = browser.value(
        "[...document.querySelectorAll('details figure')].filter((each) => "
        "each.getBoundingClientRect().height < 100).length"
    )
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert wide == []
    assert unseen == 0  # paper cannot be opened, so it shows what is closed


def test_without_scripts_everything_but_the_hover_is_there(browser: Browser, report: Path) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report, dark=False)
        assert browser.complaints() == []
        shot = browser.ask("Page.captureScreenshot")["data"]
        assert len(shot) > 20_000
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_an_explanation_shows_its_charts_without_a_complaint(
    browser: Browser, tmp_path: Path
) -> None:
    """Of two runs whose server tells its times as vLLM does."""
    for level in (1, 8):
        manifest, records = manifest_of(level), drive(level)
        told = [
            msgspec.structs.replace(r, server_timings=dict.fromkeys(TIMINGS, 5.0)) for r in records
        ]
        (tmp_path / "x" / manifest.id).mkdir(parents=True)
        write_manifest(tmp_path / "x" / manifest.id, manifest)
        write_records(tmp_path / "x" / manifest.id, told)
    (tmp_path / "x" / EXPLANATION).write_text("{}")
    path = write_report([tmp_path / "x"], None)
    browser.open(path, dark=False)
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    said = browser.value("document.body.innerText")
    for words in ("part by part", "What load does to the parts", "The laws, and what they rest on"):
        assert words in said
    assert browser.value("document.querySelectorAll('figure svg').length") >= 9


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two levers, of which the answers to documents of several lengths are known."""
    path = tmp_path_factory.mktemp("tried") / "report.html"
    found = trial_of({"kv_cache=u4": (1.04, 0.03), "prefix_cache=on": (0.6, 0.0)})
    path.write_text(html.report_html(trials=[found], runs={}), "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_was_tried_shows_its_charts_without_a_complaint(
    browser: Browser, trials: Path, dark: bool
) -> None:
    browser.open(trials, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [trials.as_uri()]
    drawn = browser.value(
        """[...document.querySelectorAll("figure:not(.narrow)")].map((figure) => {
          const mark = figure.querySelector('path[aria-roledescription]');
          const box = figure.querySelector("svg").getBoundingClientRect();
          return [box.width, box.height, getComputedStyle(mark).fill];
        })"""
    )
    settings, heat_maps, interactions = 3, 2, 1
    assert len(drawn) == settings * 3 + heat_maps + interactions
    assert all(width > 200 and height > 80 for width, height, _ in drawn)
    assert "rgb(0, 0, 0)" not in {fill for _, _, fill in drawn}


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ('.forest.broad [aria-label^="ttft.p50"]', ("better", "95 %: −")),
        ('.forest.broad [aria-label^="all answers"]', ("inconclusive, 400 pairs", "points")),
        ('.heat.broad [aria-label*="tokens, the fact"]', (" of ", "right")),
    ],
    ids=["difference", "answers", "cell"],
)
def test_pointing_at_what_was_tried_shows_its_numbers(
    browser: Browser, trials: Path, mark: str, words: tuple[str, ...]
) -> None:
    browser.open(trials, dark=False)
    said = pointed_at(browser, mark)
    for word in words:
        assert word in said.replace("-", "−")


@pytest.mark.parametrize("width", [1280, 700, 400])
def test_what_was_tried_is_never_wider_than_the_screen(
    browser: Browser, trials: Path, width: int
) -> None:
    browser.open(trials, dark=False, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width


TIMINGS = ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms")
