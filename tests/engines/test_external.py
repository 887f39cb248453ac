"""The programs of others: their command lines, and how they are started, awaited and ended."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from latok.cli import main
from latok.engines.external import command
from latok.engines.launch import launched
from latok.errors import TargetError


def test_what_is_not_turned_is_left_to_the_program() -> None:
    assert command("vllm", {"model": "m"}, host="h", port=1) == (
        ["vllm", "serve", "m", "--host", "h", "--port", "1"]
    )


def test_each_lever_becomes_the_program_s_own_flag() -> None:
    said = command("vllm", {"prefix_cache": "off", "batch_limit": 8}, host="h", port=1)
    assert said[-3:] == ["--max-num-seqs", "8", "--no-enable-prefix-caching"] or said[-3:] == (
        ["--no-enable-prefix-caching", "--max-num-seqs", "8"]
    )
    said = command("sglang", {"prefix_cache": False, "speculation": "ngram"}, host="h", port=1)
    assert said[-3:] == ["--disable-radix-cache", "--speculative-algorithm", "NGRAM"]


STAND_IN = """\
#!{python}
import http.server, json, os, pathlib, signal, sys, time

place = pathlib.Path(__file__).parent
(place / "words").write_text(json.dumps(sys.argv[1:]))
(place / "pid").write_text(str(os.getpid()))
if (place / "crash").exists():
    print("loading")
    sys.exit("ValueError: no device found")

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/dies":
            os._exit(7)
        loaded = time.monotonic() > begun + 1
        self.send_response(200 if loaded and self.path == "/health" else 503)
        self.end_headers()

def stop(*_):
    (place / "stopped").touch()
    os._exit(0)

begun = time.monotonic()
signal.signal(signal.SIGTERM, stop)
at = sys.argv[sys.argv.index("--host") + 1], int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(at, Answers).serve_forever()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a program named vllm that serves nothing, but starts and ends like one."""
    file = tmp_path / "vllm"
    file.write_text(STAND_IN.format(python=sys.executable))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.status)


def gone(pid: int, within: float = 5.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def test_it_is_started_with_its_flags_awaited_until_it_answers_and_stopped(program: Path) -> None:
    levers = {"model": "some/model", "batch_limit": 8, "prefix_cache": "off"}
    with launched("vllm", levers, say=print) as running:
        assert running.model == "some/model"
        assert running.levers["batch_limit"] == 8
        assert running.alive()
        assert status(f"{running.url}/health") == 200  # for its first second it says 503
        host, port = urlsplit(running.url).netloc.split(":")
        words = json.loads((program / "words").read_text())
        assert words == command("vllm", levers, host=host, port=int(port))[1:]
        pid = int((program / "pid").read_text())
    assert gone(pid)
    assert (program / "stopped").exists()  # it was asked, not killed


def test_a_crash_at_its_start_is_one_line_with_its_last_word(program: Path) -> None:
    (program / "crash").touch()
    says = "^vllm did not start: vllm ended with exit code 1: ValueError: no device found$"
    with pytest.raises(TargetError, match=says), launched("vllm", {}, say=print):
        pass
    assert gone(int((program / "pid").read_text()))


def test_an_end_in_the_middle_is_seen(program: Path) -> None:
    with launched("vllm", {}, say=print) as running:
        with pytest.raises((http.client.HTTPException, OSError)):
            status(f"{running.url}/dies")
        until = time.monotonic() + 10
        while running.alive():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "vllm ended with exit code 7: " in running.log_tail()


def test_what_is_not_installed_is_one_line_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["map", "vllm"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "latok: vllm is not installed; pip install vllm brings it"
    )
