"""Writes the worked pages, docs/worked-*.md: runs what they show and puts the figures in.

    python docs/worked.py [chat] [document] [code] [context]        `make worked` writes all

Every figure comes from these runs on the machine where it is called, on the embedded engine; each
command stands beside its table. All four take about half an hour; let nothing else run meanwhile.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from latok.quality.tried import Setting, Tried
from latok.report.tried import quality_sentences, setting_rows, settings

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Step:
    """What a page says, then runs, then shows."""

    text: str
    command: str


@dataclass(frozen=True)
class Page:
    name: str
    title: str
    intro: str
    steps: tuple[Step, ...]
    after: Callable[[list[Any]], Iterator[str]] | None = None


def _written(page: Page) -> Iterator[str]:
    yield f"# {page.title}\n"
    yield f"{page.intro}\n"
    yield (
        f"Every figure below comes from one call of `python docs/worked.py {page.name}`, on "
        f"{datetime.now(UTC).date().isoformat()}, with {os.cpu_count()} cores of "
        f"{platform.machine()} and the embedded engine (SmolLM2-135M-Instruct, OpenVINO). It is a "
        "small model on a small machine: take the method from here, and the figures from your own "
        "target.\n"
    )
    found = []
    for step in page.steps:
        said = _run(step.command)
        found.append(said)
        yield f"{step.text}\n"
        yield f"```sh\n{step.command}\n```\n"
        yield from _map(said) if said["schema"] != "latok.try/1" else _table(said)
    if page.after is not None:
        yield from page.after(found)


def _run(command: str) -> Any:
    print(f"$ {command}", flush=True)
    words = [sys.executable, "-m", *shlex.split(command), "--json", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)


def _table(said: Any) -> Iterator[str]:
    tried = msgspec.convert(said, Tried)
    for setting in settings(tried):
        yield from _setting(setting)
    yield (
        f"{tried.requests} requests of each setting in {tried.rounds} rounds, "
        f"{tried.load}, margin {tried.margin:.0%}.\n"
    )


def _setting(setting: Setting) -> Iterator[str]:
    yield f"| {setting.name} | | without | with | change | 95 % interval | verdict |"
    yield "|---|---|---:|---:|---:|---:|---|"
    for row in setting_rows(setting):
        yield "| " + " | ".join(row[:7]) + " |"
    yield ""
    for sentence in quality_sentences(setting):
        yield f"- {sentence}"
    yield ""


def _map(said: Any) -> Iterator[str]:
    yield f"> {said['advice']['text']}\n"
    for sentence in said["advice"].get("levers", ()):
        yield f"- {sentence}"
    yield ""
    if tried := said.get("settings"):
        yield "| setting | answers | change of accuracy |"
        yield "|---|---|---:|"
        for each in tried:
            delta = each.get("delta")
            shown = "–" if delta is None else f"{100 * delta:+.1f} pt"
            yield f"| {each['name']} | {each.get('verdict') or '–'} | {shown} |"
        yield ""


def _which_pays(found: list[Any]) -> Iterator[str]:
    """The budgets beside each other, and the smallest whose answers are not surely worse."""
    yield "## Which budget pays\n"
    yield "| tokens in | first token, p50 | accuracy | against the whole | verdict |"
    yield "|---:|---:|---:|---:|---|"
    tries = [msgspec.convert(each, Tried) for each in found]
    for tried in tries:
        quality, ttft = tried.quality, tried.deltas["ttft.p50"]
        if quality is not None and ttft.with_ is not None:
            yield (
                f"| {tried.deltas['input_tokens'].with_:.0f} | {1e3 * ttft.with_:.0f} ms | "
                f"{quality.with_.accuracy:.1%} | {100 * quality.delta:+.1f} pt | "
                f"{quality.verdict} |"
            )
    whole = tries[-1]
    quality, ttft = whole.quality, whole.deltas["ttft.p50"]
    if quality is not None and ttft.without is not None:
        yield (
            f"| {whole.deltas['input_tokens'].without:.0f} (whole) | {1e3 * ttft.without:.0f} ms | "
            f"{quality.base.accuracy:.1%} | | |"
        )
    best = max(
        (t for t in tries if t.quality is not None),
        key=lambda t: (t.quality.with_.accuracy, -(t.deltas["ttft.p50"].with_ or 0.0)),  # type: ignore[union-attr]
        default=None,
    )
    if best is not None and best.quality is not None:
        yield (
            f"\nThe highest accuracy of these is that of {best.levers['context']}: "
            f"{best.quality.with_.accuracy:.1%}, its first token after "
            f"{1e3 * (best.deltas['ttft.p50'].with_ or 0.0):.0f} ms. Budgets whose intervals "
            "overlap are not told apart by so few pairs."
        )


PAGES = (
    Page(
        "chat",
        "Chat: latency first",
        "A reader waits for the first words and then reads at some 10 tokens a second. So the "
        "first token counts most, and after that nothing is won by more speed than reading "
        "takes: the rest of the machine belongs to other users.",
        (
            Step(
                "**Where it stands.** The map with settings of the engine tried beside it; its "
                "advice names those that pay.",
                "latok map openvino --app chat --levers auto --budget 120s --highest 16",
            ),
            Step(
                "**The prefix cache over shared beginnings.** Every chat begins with the same 400 "
                "tokens of instructions; with the cache their prefill is paid once.",
                "latok try prefix_cache=on --app chat --prefix 'tree(1:2000)' --graded 20% "
                "-c 4 --budget 60s",
            ),
            Step(
                "**Streaming.** The same work; only when the user sees the first word changes.",
                "latok try stream=off --app chat -c 4 --graded 30% --budget 40s",
            ),
            Step(
                "**Quantised weights.** Smaller weights are read faster, and answer worse.",
                "latok try weights=q4_0 --app chat -c 4 --graded 60% --budget 80s",
            ),
            Step(
                "**Guessing ahead.** Prompt lookup copies from the prompt; chat repeats little.",
                "latok try speculation=prompt_lookup --app chat -c 1 --graded 30% --budget 60s",
            ),
            Step(
                "**How many at a time.** A higher batch limit serves more users at once, each of "
                "them slower.",
                "latok try batch_limit=4..32 --app chat -c 32 --graded 20% --budget 60s",
            ),
        ),
    ),
    Page(
        "document",
        "Documents: fewer tokens first",
        "A question about a long text pays for every token of it. Most of them do not bear on the "
        "question.",
        (
            Step(
                "**Selection against the whole.** BM25 keeps the passages that share words with "
                "the question, within a budget of tokens.",
                "latok try context=bm25:256 --app document --item-size 1600 -c 4 --graded 100% "
                "--budget 80s",
            ),
            Step(
                "**Sparse attention** skips parts of long prompts inside the engine.",
                "latok try sparse_attention=xattention --app document --item-size 4200 -c 1 "
                "--graded 100% --budget 90s",
            ),
            Step(
                "**Batching.** Many documents at once, for whom it may take longer.",
                "latok try batch_limit=2..16 --app document -c 16 --graded 30% --budget 80s",
            ),
        ),
    ),
    Page(
        "code",
        "Code: a balance",
        "An editor asks often, about a little, inside a lot: the answer must come before the next "
        "key, and what it needs to know stands in other files.",
        (
            Step(
                "**Code context.** Only what the request touches of the files goes along: found by "
                "the grammar, not by likeness.",
                "latok try code_context=400 --app code --items across --item-size 1600 -c 2 "
                "--graded 100% --budget 80s",
            ),
            Step(
                "**Prompt lookup.** Edits repeat most of what they were given, so guesses from the "
                "prompt are often right, and the answer is the same.",
                "latok try speculation=prompt_lookup --app code --items edit -c 1 --graded 100% "
                "--budget 80s",
            ),
            Step(
                "**The prefix cache over edits.** Each request begins with the same files.",
                "latok try prefix_cache=on --app code --prefix 'tree(2:600)' -c 2 --graded 30% "
                "--budget 60s",
            ),
        ),
    ),
    Page(
        "context",
        "Accuracy against speed: the context that pays",
        "How many tokens of a document should go along with a question about it? Fewer are faster "
        "and cheaper, until what was asked for is no longer among them.",
        tuple(
            Step(
                f"**{budget} tokens.**",
                f"latok try context=bm25:{budget} --app document --item-size 800 -c 2 "
                "--graded 100% --budget 50s",
            )
            for budget in (64, 128, 256, 512)
        ),
        after=_which_pays,
    ),
)


def main() -> None:
    wanted = sys.argv[1:] or [page.name for page in PAGES]
    if unknown := set(wanted) - {page.name for page in PAGES}:
        sys.exit(f"no page {', '.join(unknown)}; there are {', '.join(p.name for p in PAGES)}")
    for page in PAGES:
        if page.name in wanted:
            lines = list(_written(page))
            (ROOT / "docs" / f"worked-{page.name}.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
