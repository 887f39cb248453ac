"""llama.cpp's own server, in this very process: it brings its API, we set it up and end it."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latok.engines.launch import announce_ready, cannot_listen, when_stdin_closes
from latok.engines.model import model_name
from latok.engines.table import ENGINES, effective, require
from latok.engines.variants import model_file
from latok.errors import TargetError


def serve(
    *,
    host: str,
    port: int,
    levers: Mapping[str, Any],
    until_stdin_closes: bool,
    announce: Callable[[str], None],
) -> None:
    """As `latok.engines.openvino.serve`, but never returns: the library cannot stop a server."""
    values = effective("llamacpp", levers)
    require(ENGINES["llamacpp"])
    path = model_file(values, announce)
    _check_free(host, port)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    if until_stdin_closes:
        when_stdin_closes(stopped.set)
    # untyped, and its names come from a compiled part that type checkers do not see
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = _params(xllamacpp, path, values)
    params.hostnames, params.port = [host], port
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as why:
        raise TargetError(f"llama.cpp did not start: {why}") from None
    announce_ready(server.listening_address, model_name(path), until_stdin_closes, announce)
    stopped.wait()
    # Its own end waits for the streams in flight, up to half a minute.
    sys.stderr.flush()
    os._exit(0)


def _check_free(host: str, port: int) -> None:
    """Raises UsageError if the port is taken; the library would only log that."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as why:
            raise cannot_listen(host, port, why) from None


def _params(xllamacpp: Any, path: Path, levers: Mapping[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {model_name(path)}  # else /v1/models shows the file's path
    params.n_parallel = levers["batch_limit"]
    params.n_ctx = levers["context_limit"] * levers["batch_limit"]
    # One cache for all slots would let one request take another's room, and fail it.
    params.kv_unified = False
    params.n_batch = params.n_ubatch = levers["step_tokens"]
    params.cache_prompt = levers["prefix_cache"]
    params.cache_ram_mib = 0  # no copies of idle slots: by default it grows to 8 GiB
    kind = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{levers['kv_cache'].upper()}")
    params.cache_type_k = params.cache_type_v = kind
    if levers["speculation"] != "off":
        word = f"COMMON_SPECULATIVE_TYPE_{levers['speculation'].upper()}"
        params.speculative.types = [getattr(xllamacpp.common_speculative_type, word)]
    threads = levers["threads"] or os.cpu_count() or 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # A request that waits for a slot holds a thread, and so does one for /metrics.
    params.n_threads_http = max(64, 4 * levers["batch_limit"])
    params.endpoint_metrics = True
    params.verbosity = 0
    return params
