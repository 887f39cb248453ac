"""Other load generators on the same golden server: their error and their CPU beside ours.

Each runs from an environment of its own (made by pip where `--venvs` says, or under the user's
cache), pinned to the client's core like ours. Its result file is read as `latok import` does. The
truth of a first token is when the server sent it, from the kernel's stamp of the request. CPU per
chunk is that of all the tool's processes: of a long run less that of a short one, by the chunks
between them, so that start-up counts for nobody; the tool's own analysis does count.

They need a tokenizer offline: it is written from the embedded model's GGUF file.
AIPerf 0.13.0, GuideLLM 0.8.1 and vLLM 0.33.0 were run so (the latter two bring torch, gigabytes).
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from cores import CLIENT, SERVER, WHERE, on
from platformdirs import user_cache_path

from latok.analysis.imports import imported
from latok.analysis.metrics import ttft
from latok.analysis.point import Point
from latok.engines.model import model_path
from latok.load.calibrate import judge_at
from latok.load.golden import golden
from latok.records import Closed

STREAMS, TOKENS = 200, 200
SHORT, LONG = 200, 800  # requests
NAME = "steady"  # of the model: the golden server's default pace, 50 tokens/s after 50 ms


class Peer(NamedTuple):
    """A tool: what pip installs, and its command line for so many requests.

    `command` takes the URL, the requests, the tokenizer's folder and a folder for results; `result`
    is the file in it.
    """

    package: str
    command: Callable[[str, int, Path, Path], list[str]]
    result: str


def _aiperf(url: str, requests: int, tokenizer: Path, out: Path) -> list[str]:
    words = f"""aiperf profile --model {NAME} --url {url} --tokenizer local/smol
        --endpoint-type chat --streaming --concurrency {STREAMS} --request-count {requests}
        --use-server-token-count --ui none --isl 32 --osl {TOKENS}
        --extra-inputs max_tokens:{TOKENS} --output-artifact-dir {out}"""
    return words.split()


def _guidellm(url: str, requests: int, tokenizer: Path, out: Path) -> list[str]:
    words = f"""guidellm run --disable-console --tokenizer kind=huggingface_auto,model={tokenizer}
        --data kind=synthetic_text,prompt_tokens=32,output_tokens={TOKENS}
        --backend kind=openai_http,target={url},model={NAME},validate_backend=false
        --profile kind=concurrent,streams={STREAMS} --constraint kind=max_requests,count={requests}
        --output kind=json,path={out / "result.json"}"""
    return words.split()


def _vllm(url: str, requests: int, tokenizer: Path, out: Path) -> list[str]:
    words = f"""vllm bench serve --backend openai-chat --base-url {url}
        --endpoint /v1/chat/completions --model {NAME} --tokenizer {tokenizer}
        --dataset-name random --random-input-len 32 --random-output-len {TOKENS}
        --num-prompts {requests} --max-concurrency {STREAMS} --percentile-metrics ttft
        --metric-percentiles 50,99 --save-result --result-dir {out} --result-filename result.json"""
    return words.split()


PEERS = {
    "aiperf": Peer("aiperf", _aiperf, "profile_export_aiperf.json"),
    "guidellm": Peer("guidellm", _guidellm, "result.json"),
    "vllm": Peer("vllm", _vllm, "result.json"),
}


def compare(names: list[str], venvs: Path | None, tokenizer: Path | None) -> int:
    """Prints a row for each tool, and ours."""
    if unknown := set(names) - PEERS.keys():
        print(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}", file=sys.stderr)
        return 2
    venvs = venvs or user_cache_path("latok") / "peers"
    print(f"{STREAMS} streams × 50 tokens/s, {TOKENS} tokens each; {WHERE}")
    print(f"{'':10}{'ttft p50':>10}{'true':>10}{'ttft p99':>10}{'true':>10} ms{'CPU/chunk':>12}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        hub = home / "hub/models--local--smol"
        if tokenizer is None:
            write_tokenizer(model_path(print), hub / "snapshots/abc")
        else:
            shutil.copytree(tokenizer, hub / "snapshots/abc")
        (hub / "refs").mkdir()
        (hub / "refs/main").write_text("abc")
        for name in names:
            binaries = _installed(venvs / name, PEERS[name].package)
            _, _, less = _run(PEERS[name], binaries, home, SHORT)
            seen, true, more = _run(PEERS[name], binaries, home, LONG)
            first = seen.metrics["ttft"]
            _row(name, (first.p50, first.p99), true, (more - less) / ((LONG - SHORT) * TOKENS))
    with on(SERVER), golden() as url, on(CLIENT):
        found = judge_at(url, Closed(STREAMS), rate=50.0, tokens=TOKENS, seconds=8.0)
    good = [r for r in found.records if r.ok and r.server_timings is not None]
    known = [found.truth[r.server_timings["golden"]] for r in good if r.server_timings]
    p50, p99 = np.quantile([ttft(r) or 0.0 for r in good], (0.5, 0.99))
    _row("latok", (float(p50), float(p99)), _true(known), found.cpu)
    return 0


def _row(
    name: str, seen: tuple[float | None, float | None], true: tuple[float, float], cpu: float
) -> None:
    pairs = "".join(
        f"{(s or 0) * 1e3:10.3f}{t * 1e3:10.3f}" for s, t in zip(seen, true, strict=True)
    )
    print(f"{name:10}{pairs}   {cpu * 1e6:9.1f} µs", flush=True)


def _true(known: list[Any]) -> tuple[float, float]:
    """p50 and p99 of the first tokens' true times."""
    first = [next(s[0] for s in each["sent"] if s[2]) - each["arrived"] for each in known]
    p50, p99 = np.quantile(first, (0.5, 0.99))
    return float(p50), float(p99)


def _installed(folder: Path, package: str) -> Path:
    """The tool's environment; where its commands are."""
    if not (folder / "bin/pip").exists():
        subprocess.check_call([sys.executable, "-m", "venv", folder])
        subprocess.check_call([folder / "bin/pip", "install", "--quiet", package])
    return folder / "bin"


def _run(
    peer: Peer, binaries: Path, home: Path, requests: int
) -> tuple[Point, tuple[float, float], float]:
    """Its own summary, the true p50 and p99, and the CPU seconds of all its processes."""
    out = home / f"{peer.package}-{requests}"
    out.mkdir()
    offline = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with on(SERVER), golden() as url:
        with on(CLIENT):
            program, *words = peer.command(
                url, requests, home / "hub/models--local--smol/snapshots/abc", out
            )
            counted = [sys.executable, Path(__file__).with_name("counted.py"), out / "cpu"]
            done = subprocess.run(
                [*counted, binaries / program, *words],
                env=os.environ | offline,
                cwd=out,
                capture_output=True,
                text=True,
                check=False,
            )
        with urllib.request.urlopen(url + "/truth") as answer:
            truth = [each for each in json.load(answer) if any(step[2] for step in each["sent"])]
    found = next(out.rglob(peer.result), None)
    if done.returncode or found is None:
        sys.exit(f"{peer.package} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return imported(found.read_text())[0], _true(truth), float((out / "cpu").read_text())


# --- a tokenizer's folder from a GGUF file -------------------------------------------------------

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


def metadata(path: Path) -> dict[str, Any]:
    """The metadata of a GGUF file (its specification's little-endian key-value pairs)."""
    with path.open("rb") as file:
        magic, _, _, count = struct.unpack("<4sIQQ", file.read(24))
        if magic != b"GGUF":
            raise ValueError(f"{path} is no GGUF file")
        return {_text(file): _value(file, *_unpack(file, "I")) for _ in range(count)}


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))


def _text(file: BinaryIO) -> str:
    return file.read(*_unpack(file, "Q")).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == 8:
        return _text(file)
    if kind == 9:
        inner, count = _unpack(file, "IQ")
        return [_value(file, inner) for _ in range(count)]
    return _unpack(file, _SCALARS[kind])[0]


def write_tokenizer(gguf: Path, folder: Path) -> None:
    """A byte-level BPE as transformers loads it; good enough to count by, not the model's own."""
    known = metadata(gguf)
    tokens, kinds = known["tokenizer.ggml.tokens"], known["tokenizer.ggml.token_type"]
    special = [n for n, kind in enumerate(kinds) if kind == 3]
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "normalizer": None,
        "post_processor": None,
        "pre_tokenizer": level,
        "decoder": level,
        "added_tokens": [
            {
                "id": n,
                "content": tokens[n],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for n in special
        ],
        "model": {
            "type": "BPE",
            "vocab": {token: n for n, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in known["tokenizer.ggml.merges"]],
        },
    }
    end = tokens[known["tokenizer.ggml.eos_token_id"]]
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "bos_token": end,
        "model_max_length": 8192,
        "chat_template": template,
    }
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
