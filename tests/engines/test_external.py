"""The command lines of other people's programs."""

from __future__ import annotations

from latok.engines.external import command


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
