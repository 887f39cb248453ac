"""latok explain against servers that tell their times as vLLM, SGLang, TGI and Ollama do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from latok.analysis.explain import Explanation, Waterfall
from latok.load.golden import golden
from tests.golden.servers import CACHED, PREFILL, QUEUE, TOKEN

OUT = 20


def latok(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "latok", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


class Told:
    """What `latok explain` says of a server, and where its runs are."""

    def __init__(self, server: str, runs: Path, *more: str) -> None:
        self.runs = str(runs)
        with golden(f"tests.golden.servers:{server}") as url:
            said = latok(
                *("explain", url, "-c", "3", "--duration", "2s", "--runs", self.runs, "--json"),
                *("--input-tokens", "40", "--output-tokens", str(OUT), *more),
            )
        assert said.returncode == 0, said.stderr
        self.found = msgspec.json.decode(said.stdout, type=Explanation)

    def again(self, *more: str) -> Explanation:
        """The newest of its runs, read again."""
        said = latok("explain", "last", "--runs", self.runs, "--json", *more)
        assert said.returncode == 0, said.stderr
        return msgspec.json.decode(said.stdout, type=Explanation)


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told("vllm", tmp_path_factory.mktemp("vllm"))


@pytest.fixture(scope="module")
def sglang(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told("sglang", tmp_path_factory.mktemp("sglang"))


@pytest.fixture(scope="module")
def sglang_own(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told("sglang", tmp_path_factory.mktemp("sglang-own"), "--dialect", "sglang")


@pytest.fixture(scope="module")
def tgi_buffered(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told("tgi_buffered", tmp_path_factory.mktemp("tgi-buffered"))


@pytest.fixture(scope="module")
def tgi(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told("tgi", tmp_path_factory.mktemp("tgi"))


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told("ollama", tmp_path_factory.mktemp("ollama"))


def seconds(waterfall: Waterfall | None) -> dict[str, Any]:
    assert waterfall
    return {part.name: pytest.approx(part.seconds, abs=1e-6) for part in waterfall.components}


def together(found: Explanation) -> None:
    for each in found.loads:
        for waterfall in each.waterfalls:
            assert sum(p.seconds for p in waterfall.components) == pytest.approx(waterfall.seconds)


@pytest.mark.parametrize("server", ["vllm", "ollama", "sglang_own"])
def test_what_the_server_tells_of_each_request_is_joined_with_our_own_clock(
    server: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(server).found
    assert found.grade == "told"
    assert [str(each.load) for each in found.loads] == ["1 at a time", "3 at a time"]
    together(found)
    for each in found.loads:
        first, whole = seconds(each.waterfall("ttft")), seconds(each.waterfall("e2e"))
        assert first["queue"] == QUEUE
        assert first["prefill"] == PREFILL
        assert whole["decode"] == (OUT - 1) * TOKEN
    # its steps are sent a little late, never early
    alone = found.loads[0].waterfall("ttft")
    assert alone.seconds - QUEUE - PREFILL > 0.0
    assert found.loads[0].unexplained["ttft"] < 0.05


def test_vllms_counters_are_read_by_their_names(vllm: Told) -> None:
    counters = vllm.found.loads[-1].counters
    assert counters is not None
    assert counters.server == "vLLM"
    values = counters.values
    assert values["queue"] == pytest.approx(QUEUE)
    assert values["prefill"] == pytest.approx(PREFILL)
    assert values["decode"] == pytest.approx((OUT - 1) * TOKEN)
    assert values["kv"] == pytest.approx(0.3)  # of two engines
    assert values["acceptance"] == pytest.approx(0.75)
    assert values["acceptance_length"] == pytest.approx(4.0)
    assert values["preemptions"] == 0
    assert 0 < values["prefix_hits"] < 1
    assert 0 < values["running"] + values["waiting"] <= 3
    assert any(moment.running for moment in counters.moments)


def test_counters_alone_explain_too(vllm: Told) -> None:
    found = vllm.again("--grade", "counters")
    assert found.grade == "counters"
    together(found)
    first = seconds(found.loads[0].waterfall("ttft"))
    assert first["queue"] == QUEUE
    assert first["prefill"] == PREFILL


def test_a_server_that_tells_only_counters_is_explained_by_them(sglang: Told) -> None:
    found = sglang.found
    assert found.grade == "counters"
    together(found)
    for each in found.loads:
        first = seconds(each.waterfall("ttft"))
        assert first["queue"] == QUEUE
        assert first["prefill"] == PREFILL
        assert seconds(each.waterfall("e2e"))["decode"] == (OUT - 1) * TOKEN
        assert each.counters
        values = each.counters.values
        # by tokens, not by the gauge that it also has
        assert values["prefix_hits"] < 0.9
        assert values["acceptance_length"] == 3.5
        assert values["acceptance"] == 0.625
        assert values["ttft"] == pytest.approx(QUEUE + PREFILL)
        assert values["kv"] == pytest.approx(0.4)


def test_tgis_counters_do_not_split_prefill_from_decode(tgi: Told) -> None:
    found = tgi.found
    assert found.grade == "counters"
    whole = seconds(found.loads[-1].waterfall("e2e"))
    assert whole["queue"] == QUEUE
    assert whole["compute"] == PREFILL + (OUT - 1) * TOKEN
    assert "prefill" not in whole
    assert "compute" not in seconds(found.loads[-1].waterfall("ttft"))
    counters = found.loads[-1].counters
    assert counters is not None
    assert counters.values["prefill_batch"] == pytest.approx(PREFILL)


def test_tgis_headers_tell_the_times_of_an_answer_that_came_whole(tgi_buffered: Told) -> None:
    found = tgi_buffered.found
    assert found.grade == "told"
    assert found.loads[0].server == "TGI"
    together(found)
    for of in ("ttft", "e2e"):  # its first token is its last
        parts = seconds(found.loads[0].waterfall(of))
        assert parts["queue"] == QUEUE
        assert parts["front_end"] == 0.001
        assert parts["compute"] == PREFILL + (OUT - 1) * TOKEN
    assert found.loads[0].unexplained["e2e"] < 0.05


def test_sglangs_own_stream_tells_what_its_openai_paths_do_not(
    sglang: Told, sglang_own: Told
) -> None:
    assert sglang.found.grade == "counters"
    assert sglang_own.found.loads[0].server == "SGLang"
    typical = sglang_own.found.loads[0].waterfall("ttft")
    assert typical
    assert typical.cached_tokens == CACHED
    assert sglang_own.found.loads[-1].counters


def test_without_counters_ollama_has_none(ollama: Told) -> None:
    assert ollama.found.loads[-1].counters is None
    said = latok("explain", "last", "--runs", ollama.runs, "--grade", "counters")
    assert said.returncode == 2
    assert "no counters" in said.stderr


def test_the_findings_name_the_part_the_lever_and_what_it_could_win(vllm: Told) -> None:
    (prefill,) = (f for f in vllm.found.findings if f.name == "prefill" and f.quantile == "p50")
    assert prefill.most_s == pytest.approx(PREFILL, abs=1e-6)
    assert prefill.speedup == pytest.approx(1 / (1 - prefill.share))
    assert any("prefix cache" in lever for lever in prefill.levers)
    sizes = [f.most_s for f in vllm.found.findings]
    assert sizes == sorted(sizes, reverse=True)


def test_the_cached_tokens_are_not_prefill(vllm: Told) -> None:
    typical = vllm.found.loads[0].waterfall("ttft")
    assert typical
    assert typical.cached_tokens == CACHED
    law = vllm.found.laws["prefill_s_per_token"]
    assert typical.prompt_tokens
    assert law.value == pytest.approx(PREFILL / (typical.prompt_tokens - CACHED), rel=0.1)


def test_the_terminal_shows_shares_waterfalls_findings_and_counters(vllm: Told) -> None:
    said = latok("explain", "last", "--runs", vllm.runs)
    assert said.returncode == 0, said.stderr
    for words in ("prefill", "queue", "█", "What would help", "Meanwhile the server counted"):
        assert words in said.stdout


def test_an_option_for_a_target_is_refused_for_a_stored_run(vllm: Told) -> None:
    said = latok("explain", "last", "--runs", vllm.runs, "-c", "4")
    assert said.returncode == 2
    assert "stored run" in said.stderr
    assert latok("explain", "--grade", "guessed").returncode == 2


def test_the_explanation_has_a_page_with_every_section(vllm: Told) -> None:
    page = (Path(vllm.found.report)).read_text("utf-8")
    for words in (
        "part by part",
        "What load does",
        "What would help",
        "Through the run",
    ):
        assert words in page
    assert "The laws" not in page  # all prompts and answers have one length
    assert "requests in the server (vLLM)" in page
    assert len(page) < 1_000_000


def test_a_dry_run_says_what_it_would_send_and_sends_nothing() -> None:
    words = ("explain", "openvino", "--dry-run")
    said = latok(*words, "--grade", "inferred")
    assert said.returncode == 0, said.stderr
    assert "at most 200 requests of 100,000 tokens" in said.stdout
    assert "$" not in said.stdout  # what runs here costs nobody
    said = latok(*words, "--json")
    assert json.loads(said.stdout)["sent"] == 0


def test_a_dry_run_of_an_inference_says_what_it_may_cost_at_the_most() -> None:
    words = ("explain", "https://api.openai.com", "--model", "gpt-4o-mini", "--dry-run")
    inferred = (*words, "--grade", "inferred", "--json")
    # 100,000 tokens at $0.60 a million, were all of them written
    assert json.loads(latok(*inferred).stdout)["most_usd"] == pytest.approx(0.06)
    assert "at most $0.06" in latok(*words, "--grade", "inferred").stdout
    fewer = latok(*inferred, "--max-tokens-spent", "50000")
    assert json.loads(fewer.stdout)["most_usd"] == pytest.approx(0.03)
    capped = latok(*inferred, "--max-cost", "0.01")
    assert json.loads(capped.stdout)["most_usd"] == 0.01


def test_one_json_object_is_printed(vllm: Told) -> None:
    said = latok("explain", "last", "--runs", vllm.runs, "--json")
    assert json.loads(said.stdout)["schema"] == "latok.explain/1"
