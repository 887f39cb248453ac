"""What a user types, and the one clear line for what was wrong with it."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import latok
from latok.cli import main
from latok.levers.table import LEVERS, WHERE


@pytest.fixture
def nothing() -> str:
    """A URL where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.fixture
def website() -> Iterator[str]:
    """A web server that is not a language model."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("map --budget banana", "--budget 'banana' is not a number"),
        ("map --app chatt", "no app 'chatt'; there are chat, voice, document"),
        ("map --slo ttft<1", "cannot read 'ttft<1' in the SLO"),
        ("map --budget 0s", "--budget 0 is not above 0"),
        (
            "map nosuch",
            "no target 'nosuch'; there are the engines openvino, llamacpp, vllm, sglang, or a URL",
        ),
        ("map ftp://x", "'ftp://x' is not a URL"),
        ("map http://u:p@x", "--key-env"),
        ("map http://127.0.0.1:99999", "the port"),
        ("map openvino kv_cache=u3", "kv_cache is one of f16, u8, u4, not 'u3'"),
        ("map openvino warp=9", "openvino has no lever 'warp'"),
        ("levers kv_cash", "no lever 'kv_cash'; there are batch_limit, step_tokens"),
        ("levers --engine vlm", "no engine 'vlm' in the table; there are openvino, llamacpp"),
        ("levers cache_eviction --engine vllm", "vllm has no cache_eviction that we know of"),
        ("map http://127.0.0.1:1 kv_cache=u4", "is a lever of an engine that latok starts"),
        ("map --input-tokens many", "many"),
        ("map --frobnicate", "--frobnicate"),
        ("map --resume nosuch", "no run or map 'nosuch'"),
        ("map --resume last --budget 3s", "budget cannot change"),
        ("measure --concurrency 2 --rate 3", "exclude each other"),
        ("measure --arrivals poisson", "give --rate too"),
        ("measure --rate 1 --arrivals sometimes", "no arrivals 'sometimes'"),
        ("measure --rate 1 --arrivals gamma(0)", "they read like gamma(2.5)"),
        ("measure --prompts nosuch.jsonl", "--prompts: cannot read nosuch.jsonl: No such file"),
        ("measure --trace nosuch.csv", "--trace: cannot read nosuch.csv: No such file"),
        ("measure --trace t --prompts p", "--trace and --prompts exclude each other"),
        ("measure --trace t --cache warm", "--trace and --cache exclude each other"),
        ("measure --prompts p --scale 0.5", "--prompts and --scale exclude each other"),
        ("measure --trace t --rate 1 --arrivals poisson", "a trace has its own"),
        ("measure --cache tepid", "no cache regime 'tepid'; there are cold, warm, or a share"),
        ("measure --prefix 4x400", "cannot read the prefix '4x400'; it reads like tree(4:400"),
        ("measure --think 3", "--think is the time between --turns"),
        ("measure --turns few", "no number"),
        ("measure --cancel soon", "cannot read --cancel 'soon'; it reads like after=1s, share=0.3"),
        ("measure --cancel after=1s,share=2", "the share in --cancel is 2"),
        ("measure --dialect telegraph http://127.0.0.1:1", "no dialect 'telegraph'"),
        ("measure --body [1] http://127.0.0.1:1", "--body must be a JSON object"),
        ("measure --key-env NO_SUCH_KEY http://127.0.0.1:1", "the environment has no NO_SUCH_KEY"),
        ("measure --price cheap", "cannot read the price 'cheap'"),
        ("measure --price input=1,output=2 --price-per-hour 2", "exclude each other"),
        ("measure --tier gold", "no tier 'gold'; there are standard, batch, priority"),
        ("measure --tier batch http://127.0.0.1:1 --model m", "so there is no --tier"),
        ("measure --max-cost 0", "--max-cost 0 is not above 0"),
        ("measure --max-cost 1", "--max-cost needs the price of a token at openvino"),
        ("measure --max-cost 1 http://127.0.0.1:1 --model m", "--max-cost needs the price"),
        ("map --max-cost 1 --price-per-hour 2", "own hardware costs by the hour"),
        ("map --dry-run --resume last", "dry_run cannot change"),
        ("cost nosuch", "no run or map 'nosuch'"),
        ("measure --app nosuch.toml", "cannot read the app's file nosuch.toml"),
        ("measure nosuch.toml", "cannot read nosuch.toml"),
        ("measure --ca nosuch.pem https://127.0.0.1:1", "cannot use the CA file"),
        ("show nosuch", "no run or map 'nosuch'"),
        ("runs --runs nosuch", "cannot read nosuch"),
        ("report nosuch", "no run or map 'nosuch'"),
        ("engine openvino --kv-cache u3", "kv_cache is one of"),
        ("frobnicate", "frobnicate"),
    ],
)
def test_what_is_wrong_is_one_clear_line_and_exit_code_2(
    words: str, line: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("latok: ")
    assert line in last


def test_nobody_there_is_one_line_and_exit_code_3(
    nothing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", nothing]) == 3
    assert f"latok: cannot reach {nothing}: Connection refused" in capsys.readouterr().err


def test_no_such_host_is_one_line_and_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "http://no-such-host.invalid"]) == 3
    assert "latok: cannot find the host 'no-such-host.invalid'" in capsys.readouterr().err


def test_a_server_that_is_not_a_model_is_one_line_and_exit_code_3(
    website: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", website]) == 3
    assert f"{website}/v1/models lists no model (HTTP 404)" in capsys.readouterr().err
    assert main(["measure", website, "--model", "m"]) == 3
    assert f"{website} does not serve a model" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["apps", "levers", "engines", "dialects"])
def test_json_is_one_object_with_a_schema(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == f"latok.{command}/1"
    assert main([command]) == 0


def test_levers_lists_each_under_where_it_is_turned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["levers"]) == 0
    said = capsys.readouterr().out
    titles = [said.index(title) for title in WHERE.values()]
    assert titles == sorted(titles)
    for row in LEVERS.values():
        at = said.index(f"\n  {row.name} ")
        assert titles[list(WHERE).index(row.where)] < at


def test_levers_of_one_name_says_what_to_expect_and_every_engine_s_flag(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["levers", "speculation"]) == 0
    said = capsys.readouterr().out
    for part in ("--speculative-config", "--spec-type", "prompt_lookup", "claimed: up to 2.8"):
        assert part in said
    assert main(["levers", "weights"]) == 0
    said = capsys.readouterr().out
    assert "Made here" in said
    assert "w3_sim" in said


def test_levers_of_one_engine_are_those_it_has_and_no_flag_is_cut_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["levers", "--engine", "openvino"]) == 0
    said = capsys.readouterr().out
    assert "…" not in said
    assert "cache_eviction" in said
    assert main(["levers", "--engine", "vllm"]) == 0
    said = capsys.readouterr().out
    assert "--max-num-seqs" in said
    assert "cache_eviction" not in said


def test_levers_json_has_the_flag_the_values_and_the_effects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["levers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["levers"]
    assert [row["name"] for row in rows] == list(LEVERS)
    assert main(["levers", "kv_cache", "--engine", "openvino", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["levers"]
    assert list(row["engines"]) == ["openvino"]
    assert row["engines"]["openvino"]["spelling"] == "KV_CACHE_PRECISION"
    assert row["engines"]["openvino"]["choices"] == ["f16", "u8", "u4"]
    assert [effect["grade"] for effect in row["effects"]] == ["claimed"]
    assert {"measured", "claimed", "independent"} == {
        effect["grade"] for each in rows for effect in each["effects"]
    }


def test_what_was_measured_names_the_command_or_the_page_that_shows_it() -> None:
    root = Path(__file__).parent.parent
    measured = [e for row in LEVERS.values() for e in row.effects if e.grade == "measured"]
    assert measured
    for effect in measured:
        assert (root / effect.source.partition(",")[0]).exists()


def test_every_figure_of_an_app_names_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    main(["apps", "--json"])
    for row in json.loads(capsys.readouterr().out)["apps"]:
        assert row["sources"].keys() >= {"input, output", "slo"}, row["name"]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from latok.cli import main; main(['--help']);"
        "heavy = {'numpy','scipy','pyarrow','altair','openvino','jinja2'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_these_and_all_of_them_load() -> None:
    assert sorted(latok.__all__) == dir(latok)
    for name in latok.__all__:
        assert getattr(latok, name) is not None
    with pytest.raises(AttributeError):
        latok.nosuch  # noqa: B018


def test_an_unknown_word_of_the_library_is_named() -> None:
    with pytest.raises(latok.UsageError, match="unknown: concurency"):
        latok.measure("http://127.0.0.1:1", concurency=3)
