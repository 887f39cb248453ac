"""What our server costs: its tokens per second over the bare pipeline's, at so many streams.

    python benchmarks/engine_overhead.py [--streams 32] [--alternations 10] [--tokens 64]

Both engines are loaded all the time and used in turn, with the same prompts, each prompt once on
each side. Bare: the library, a loop and detokenisation, in a process of its own, with the token ids
given. Server: `latok engine openvino` as it is started by `latok map`, asked over HTTP for chat
streams; this process is its client, and does nothing but read what comes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import select
import socket
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from latok.engines.launch import launched
from latok.engines.model import model_path
from latok.engines.table import effective
from latok.engines.text import Detokeniser

WORDS = ["river", "market", "garden", "engine", "letter", "window", "morning", "council", "signal"]


def bare(pipe: Connection, levers: dict[str, Any], tokens: int) -> None:
    """Answers each list of prompts with (seconds, tokens, CPU seconds)."""
    import numpy as np
    import openvino
    import openvino_genai as genai

    from latok.engines.openvino_core import pipeline_of
    from latok.engines.openvino_text import Text

    path = str(model_path(print))
    pieces = Text(path).pieces
    pipeline = pipeline_of(path, levers)
    pipe.send("ready")
    next_id = 1
    while prompts := pipe.recv():
        before, cpu = time.perf_counter(), time.process_time()
        streams = []
        for ids in prompts:
            tensor = openvino.Tensor(np.array([ids], dtype=np.int64))
            config = genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True)
            handle = pipeline.add_request(next_id, tensor, config)
            streams.append((handle, Detokeniser(pieces), []))
            next_id += 1
        count = 0
        while pipeline.has_non_finished_requests():
            pipeline.step()
            for handle, detokeniser, texts in streams:
                while handle.can_read():
                    ids = handle.read()[0].generated_ids
                    texts.append(detokeniser.push(ids))
                    count += len(ids)
        pipe.send((time.perf_counter() - before, count, time.process_time() - cpu))


def post(url: str, path: str, body: Any) -> Any:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    connection.request("POST", path, json.dumps(body))
    return json.loads(connection.getresponse().read())


def asked(words: str, tokens: int) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": words}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def served(url: str, bodies: list[dict[str, Any]]) -> tuple[float, int, float]:
    """All streams at once: (seconds, tokens, CPU seconds of this client)."""
    where = urlsplit(url)
    requests = []
    for body in bodies:
        data = json.dumps(body).encode()
        requests.append(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        requests[-1] += b"content-length: %d\r\n\r\n%b" % (len(data), data)
    sockets = [socket.create_connection((where.hostname, where.port)) for _ in bodies]
    poll = select.epoll()
    got = {sock.fileno(): bytearray() for sock in sockets}
    by_number = {sock.fileno(): sock for sock in sockets}
    for sock in sockets:
        poll.register(sock, select.EPOLLIN)
    before, cpu = time.perf_counter(), time.process_time()
    for sock, request in zip(sockets, requests, strict=True):
        sock.sendall(request)
    left = len(sockets)
    while left:
        for number, _ in poll.poll():
            data = by_number[number].recv(65536)
            got[number] += data
            if data.endswith(b"0\r\n\r\n") or not data:
                left -= 1
                poll.unregister(number)
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    tokens = 0
    for data in got.values():
        tokens += int(data.rpartition(b'"completion_tokens":')[2].partition(b",")[0])
    for sock in sockets:
        sock.close()
    return seconds, tokens, cpu


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, as Linux has it; 10 ms exact."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--streams", type=int, default=32)
    words.add_argument("--alternations", type=int, default=10)
    words.add_argument("--tokens", type=int, default=64, help="generated in each stream")
    words.add_argument("--words", type=int, default=190, help="in each prompt; 190 are 230 tokens")
    arguments = words.parse_args()
    draw = random.Random(0)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=bare, args=(theirs, effective("openvino", {}), arguments.tokens), daemon=True
    )
    process.start()
    ours.recv()
    ratios, rows, api_cpu = [], [], []
    with launched("openvino", {}, say=lambda line: print(line, file=sys.stderr)) as engine:
        for number in range(arguments.alternations + 1):
            bodies = [
                asked(" ".join(draw.choices(WORDS, k=arguments.words)), arguments.tokens)
                for _ in range(arguments.streams)
            ]
            prompts = [
                post(engine.url, "/tokenize", {"messages": body["messages"]})["tokens"]
                for body in bodies
            ]

            def run_bare(prompts: list[list[int]] = prompts) -> tuple[float, int, float]:
                ours.send(prompts)
                return ours.recv()

            def run_served(bodies: list[dict[str, Any]] = bodies) -> tuple[float, int, float]:
                before = cpu_seconds(engine.pid)
                result = served(engine.url, bodies)
                api_cpu.append(cpu_seconds(engine.pid) - before)
                return result

            sides = {"bare": run_bare, "server": run_served}
            order = list(sides) if number % 2 else list(reversed(sides))
            took = {side: sides[side]() for side in order}
            if number == 0:
                continue  # the first round warms both
            speed = {side: count / seconds for side, (seconds, count, _) in took.items()}
            ratios.append(speed["server"] / speed["bare"])
            rows.append((speed["bare"], speed["server"], took["server"][2], took["server"][0]))
            print(
                f"{number:3}  bare {speed['bare']:6.1f} tok/s   server {speed['server']:6.1f} tok/s"
                f"   ratio {ratios[-1]:.3f}   client {took['server'][2]:.3f} CPU s"
                f" of {took['server'][0]:.2f} s",
                flush=True,
            )
    ours.send([])
    process.join(5)
    bare_median, server_median, cpu, wall = (
        statistics.median(row) for row in zip(*rows, strict=True)
    )
    print(
        f"\n{arguments.streams} streams, {len(prompts[0])} tokens in, {arguments.tokens} out,"
        f" {len(rows)} alternations (medians):\n"
        f"bare {bare_median:.1f} tok/s, server {server_median:.1f} tok/s,"
        f" ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f});"
        f" the client took {cpu:.3f} CPU s of {wall:.2f} s,"
        f" the server's API {statistics.median(api_cpu):.2f} CPU s (tokenising, text, HTTP)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
