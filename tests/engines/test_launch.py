"""Whatever dies, and however, nothing of an engine is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from latok.engines.launch import Running, launched
from latok.errors import TargetError, UsageError

engine = pytest.mark.engine


def children(pid: int) -> list[int]:
    """All processes below one, as /proc has them."""
    below = [int(word) for word in _proc(pid, f"task/{pid}/children").split()]
    return below + [pid for child in below for pid in children(child)]


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    return _proc(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.02)
    return False


def started(run: Running) -> list[int]:
    return [run.pid, *children(run.pid)]


@engine
@pytest.mark.parametrize("name", ["openvino", "llamacpp"])
def test_leaving_the_block_ends_everything_even_with_streams_in_flight(name: str) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(launched(name, {}, say=print))
        pids = started(running)
        stack.enter_context(_asking(running.url))
        stack.pop_all().__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not any(is_alive(pid) for pid in pids)
    assert not running.alive()


def _asking(url: str) -> socket.socket:
    """A connection with a long stream on it, of which the first token has come."""
    host, _, port = url.removeprefix("http://").partition(":")
    asked = {"prompt": "Once", "max_tokens": 3000, "ignore_eos": True, "stream": True}
    body = json.dumps(asked).encode()
    sock = socket.create_connection((host, int(port)))
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    sock.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    seen = b""
    while b"data:" not in seen:
        seen += sock.recv(4096)
    return sock


@engine
@pytest.mark.parametrize("name", ["openvino", "llamacpp"])
def test_kill_9_of_the_one_who_launched_ends_everything_within_five_seconds(name: str) -> None:
    program = (
        "import sys, time\n"
        "from latok.engines.launch import launched\n"
        "with launched(sys.argv[1], {}, say=lambda line: None) as running:\n"
        "    print(running.pid, running.url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, name], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid, url = parent.stdout.readline().split()
        pids = [int(pid), *children(int(pid))]
        with _asking(url):
            parent.kill()
            parent.wait()
            assert within(5, lambda: not any(is_alive(pid) for pid in pids))


@engine
def test_kill_9_during_the_start_leaves_nothing_either() -> None:
    program = (
        "from latok.engines.launch import launched\n"
        "with launched('openvino', {}, say=lambda line: print(line, flush=True)): pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        parent.stdout.readline()
        assert within(20, lambda: len(children(parent.pid)) >= 2)  # the core is loading
        pids = children(parent.pid)
        parent.kill()
        parent.wait()
        assert within(5, lambda: not any(is_alive(pid) for pid in pids))


@engine
def test_kill_9_of_the_api_ends_its_core() -> None:
    with launched("openvino", {}, say=print) as running:
        pids = started(running)
        assert len(pids) == 2
        with _asking(running.url):
            os.kill(running.pid, signal.SIGKILL)
            assert within(2, lambda: not any(is_alive(pid) for pid in pids))
        assert within(1, lambda: not running.alive())


@engine
def test_when_the_core_dies_streams_say_so_and_the_api_ends() -> None:
    with launched("openvino", {}, say=print) as running:
        [core] = children(running.pid)
        with _asking(running.url) as sock:
            os.kill(core, signal.SIGKILL)
            seen = b""
            while data := sock.recv(65536):
                seen += data
        assert b'data: {"error":{"message":"the engine\'s core is gone' in seen
        assert within(3, lambda: not running.alive())
        assert "the engine's core is gone: it was ended by SIGKILL" in running.log_tail()


@engine
def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name in ("openvino", "llamacpp"):
            program = (
                f"from latok.engines.{name} import serve\n"
                f"serve(host='127.0.0.1', port={port}, levers={{}}, until_stdin_closes=False,"
                " announce=print)"
            )
            run = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, check=False
            )
            last = run.stderr.strip().splitlines()[-1]
            assert last.endswith(
                f"UsageError: cannot listen on 127.0.0.1:{port}: Address already in use"
            )


@engine
def test_an_engine_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF and nothing more")
    monkeypatch.setenv("LATOK_MODEL", str(model))
    with (
        pytest.raises(TargetError, match=r"openvino did not start: .{20}"),
        launched("openvino", {}, say=print),
    ):
        raise AssertionError("it should not start")


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there are openvino"), launched("vlm", {}, say=print):
        raise AssertionError("it should not start")
