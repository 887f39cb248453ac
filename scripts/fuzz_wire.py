"""Fuzzes the wire room, outside CI: PYTHONPATH=src python scripts/fuzz_wire.py [MINUTES]

First hostile bodies at full size, and how long each took; then atheris (if it is installed) for so
many minutes (10), from the tests' golden answers: an exception other than ProtocolError, a hang of
ten seconds or 2 GB of memory ends it and leaves the input in the current folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

try:
    import atheris  # pyright: ignore[reportMissingImports]
except ImportError:
    atheris = None

with atheris.instrument_imports(include=["latok.wire"]) if atheris else nullcontext():
    from tests.golden.quirks import CASES, http

    from latok.wire.capture import Capture, pack_read, record_of
    from latok.wire.dialects import DIALECTS
    from latok.wire.http1 import ProtocolError, Response

NAMES = list(DIALECTS)
TYPES = ("text/event-stream", "application/json", "application/x-ndjson", "text/html")
HOSTILE = {
    "a line of 100 MB": ("openai-chat", [b"data: ", *[b"x" * 65536] * 1600]),
    "a JSON line of 100 MB": ("ollama-chat", [b'{"a":"', *[b"x" * 65536] * 1600]),
    "a body of 100 MB, unstreamed": ("anthropic", [b'{"a":"', *[b"x" * 65536] * 1600]),
    "a million empty events": ("openai-chat", [b"\n\n" * 1000] * 1000),
    "a million events without data": ("openai-chat", [b"data:\n\n" * 1000] * 1000),
    "a million comments": ("anthropic", [b":\n\n" * 1000] * 1000),
    "a million lines in one event": ("tgi", [b"data: x\n" * 1000] * 1000),
    "a million empty JSON lines": ("ollama-generate", [b"\n" * 1000] * 1000),
    "a million reads of one byte": ("llamacpp", [b"d"] * 1_000_000),
}


def read(dialect: str, pieces: list[bytes], content_type: str) -> None:
    capture = Capture(id=0, app="", session="", turn=0, prompt_tokens=1, max_tokens=2, due=0.0)
    capture.status, capture.headers = 200, [("content-type", content_type)]
    capture.packed = [pack_read(n * 10**9, 0, 0, 0) + piece for n, piece in enumerate(pieces)]
    record_of(capture, DIALECTS[dialect])


def one(data: bytes) -> None:
    """The first three bytes choose the dialect, the type and how the rest is cut."""
    if len(data) < 4:
        return
    dialect, kind, size = NAMES[data[0] % len(NAMES)], TYPES[data[1] % 4], data[2] % 64 + 1
    pieces = [data[n : n + size] for n in range(3, len(data), size)]
    read(dialect, pieces, kind)
    response = Response()
    with suppress(ProtocolError):
        read(dialect, [response.feed(piece) for piece in pieces], kind)
        response.eof()


def main() -> None:
    for what, (dialect, pieces) in HOSTILE.items():
        before = time.process_time()
        read(dialect, pieces, "application/json" if "unstreamed" in what else "")
        print(f"{time.process_time() - before:6.2f} s  {what}", flush=True)
    if atheris is None:
        sys.exit("atheris is not installed; the rest needs it")
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as corpus:
        for n, ((dialect, _), case) in enumerate(CASES.items()):
            start = bytes((NAMES.index(dialect), 0, 40))
            body = b"".join(step.data for step in case.steps)
            (Path(corpus) / f"body{n}").write_bytes(start + body)
            (Path(corpus) / f"http{n}").write_bytes(start + http(case))
        limits = [f"-max_total_time={minutes * 60:.0f}", "-timeout=10", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *limits, "-max_len=4096", corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
