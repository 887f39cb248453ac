"""Programs of others that serve a model: their command line from latok's levers, start and end."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from latok.engines.launch import (
    announce_ready,
    cannot_listen,
    die_with_parent,
    tail,
    when_stdin_closes,
)
from latok.engines.table import effective, engine_named, require
from latok.errors import TargetError
from latok.levers.spelling import spelt

_GRACE = 10.0  # seconds to end by itself: it has a device's memory to give back
# vLLM's own example of it; with fewer guesses a long repetition gains less.
_NGRAM = {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4}
# How each is started where its program is not on the PATH, but its package is installed.
_MODULES = {
    "vllm": ["-m", "vllm.entrypoints.cli.main", "serve"],
    "sglang": ["-m", "sglang.launch_server"],
}


def command(engine: str, levers: Mapping[str, Any], *, host: str, port: int) -> list[str]:
    """The words that start it with these levers; what is the program's own default is not said."""
    values, defaults = effective(engine, levers), engine_named(engine).defaults
    model = values.pop("model")
    words = [engine, "serve"]
    words += [model] if engine == "vllm" else ["--model-path", model, "--enable-metrics"]
    words += ["--host", host, "--port", str(port)]
    for name, value in values.items():
        if value != defaults[name]:
            words += _flag(engine, name, value)
    return words


def _flag(engine: str, name: str, value: Any) -> list[str]:
    spelling = spelt(name, engine)
    assert spelling
    flag = spelling.text
    match engine, name:
        case "vllm", "prefix_cache":
            on, off = flag.split(", ")
            return [on if value == "on" else off]
        case "sglang", "prefix_cache":
            return [flag]  # the flag turns it off, and on is the default
        case "vllm", "speculation":
            return [flag, json.dumps(_NGRAM, separators=(",", ":"))]
        case "sglang", "speculation":
            return [flag, "NGRAM"]
        case _:
            return [flag, str(value)]


def serve(
    engine: str,
    *,
    host: str,
    port: int,
    levers: Mapping[str, Any],
    until_stdin_closes: bool,
    announce: Callable[[str], None],
) -> None:
    """As `latok.engines.openvino.serve`, for a program that is installed here.

    Raises TargetError if it ends by itself, with its last line where nobody else sees that.
    """
    row = engine_named(engine)
    words = command(engine, levers, host=host, port=port or _free_port(host))
    require(row)
    if not shutil.which(engine) and importlib.util.find_spec(row.needs):
        words[:2] = [sys.executable, *_MODULES[engine]]
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    if until_stdin_closes:
        when_stdin_closes(stopped.set)
    url = f"http://{host}:{words[words.index('--port') + 1]}"
    with tempfile.TemporaryFile() as log:
        # by hand one sees what it says; whoever launched us hears its end only if that was early
        to = log if until_stdin_closes else sys.stderr
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=to,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # our other thread only waits for stdin
        )
        try:
            ready = False
            while not stopped.wait(0.2):
                if process.poll() is not None:
                    print(tail(log, 10), file=sys.stderr)
                    # the last line alone could be of a request that it answered before
                    last = f": {line}" if (line := tail(log, 1)) else ""
                    raise TargetError(f"{engine} ended with exit code {process.returncode}{last}")
                if not ready and _answers(url):
                    ready = True
                    model = effective(engine, levers)["model"]
                    announce_ready(url, model, until_stdin_closes, announce)
        finally:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        try:
            trial.bind((host, 0))
        except OSError as why:
            raise cannot_listen(host, 0, why) from None
        port: int = trial.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
