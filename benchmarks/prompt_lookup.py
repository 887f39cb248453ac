"""What prompt lookup wins alone, and why its texts are not always those without it.

    python benchmarks/prompt_lookup.py [--items 3] [--seed 101] [--tokens 60]

The embedded model in OpenVINO GenAI's pipeline, one request at a time, greedy, without our server.
First the task `edit`, whose answers repeat their prompts: tokens in a step and how many times as
fast, by tokens that are guessed. Then tasks whose answers do not, under three settings of the
arithmetic: on how many items both give the same tokens. A step that checks guesses has several
tokens, one without guesses has one, and the kernels for these round differently, so that where two
tokens are all but as likely another one may win; with exact arithmetic (f32, f32 cache, activations
not quantised) both are the same. It fails if they are not, or if lookup is not 1.5 times as fast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import openvino
import openvino_genai as genai

from latok.engines.model import model_path
from latok.engines.openai import Message
from latok.engines.openvino_text import Text
from latok.quality.items import Item
from latok.quality.tasks import TASKS

ARITHMETIC: dict[str, dict[str, Any]] = {
    "as it is": {"KV_CACHE_PRECISION": "u8"},
    "f32, f32 cache": {"KV_CACHE_PRECISION": "f32", "INFERENCE_PRECISION_HINT": "f32"},
    "that, activations not quantised": {
        "KV_CACHE_PRECISION": "f32",
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    },
}
DRAFTS = (5, 16)
LEAST = 1.5


class Said(NamedTuple):
    """`steps` and `seconds`: after the first token."""

    tokens: list[int]
    steps: int
    seconds: float


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--items", type=int, default=3, help="of each task")
    asked.add_argument("--seed", type=int, default=101)
    asked.add_argument("--tokens", type=int, default=60, help="of an answer that is compared")
    options = asked.parse_args()
    model = str(model_path(print))
    text = Text(model)
    failed = False

    plain, lookup = (_pipeline(model, ARITHMETIC["as it is"], guesses=g) for g in (False, True))
    edits = [TASKS["edit"].item(options.seed, n) for n in range(options.items)]
    base = [_said(plain, text, item, 1000) for item in edits]
    print(f"edit, alone: {sum(len(each.tokens) for each in base) / len(base):.0f} tokens an answer")
    for draft in DRAFTS:
        with_ = [_said(lookup, text, item, 1000, draft) for item in edits]
        faster = _pace(with_) / _pace(base)
        steps = sum(len(each.tokens) for each in with_) / sum(each.steps for each in with_)
        print(f"  {draft:2} guessed: {steps:.1f} tokens in a step, {faster:.2f} times as fast")
        failed |= faster < LEAST

    others = [
        TASKS[name].item(options.seed, n, size)
        for n in range(options.items)
        for name, size in (("body", 3), ("rewrite", None), ("follow", None))
    ]
    for name, arithmetic in ARITHMETIC.items():
        plain, lookup = (_pipeline(model, arithmetic, guesses=g) for g in (False, True))
        pairs = [
            [_said(each, text, item, options.tokens, d).tokens for each, d in _sides(plain, lookup)]
            for item in others
        ]
        same = sum(one == other for one, other in pairs)
        print(f"{name}: the same tokens on {same} of {len(pairs)} other items")
    return int(failed or same < len(pairs))


def _sides(plain: Any, lookup: Any) -> Iterator[tuple[Any, int]]:
    yield plain, 0
    yield lookup, DRAFTS[0]


def _pace(every: list[Said]) -> float:
    """Tokens a second."""
    return sum(len(each.tokens) - 1 for each in every) / sum(each.seconds for each in every)


def _pipeline(model: str, properties: dict[str, Any], *, guesses: bool) -> Any:
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 1
    more = {"prompt_lookup": True} if guesses else {}
    return genai.ContinuousBatchingPipeline(model, scheduler, "CPU", properties | more)


def _said(pipeline: Any, text: Text, item: Item, most: int, draft: int = 0) -> Said:
    last = Message(role="user", content=item.parts.text)
    before = [Message(role=each.role, content=each.content) for each in item.parts.before]
    ids = text.chat([*before, last])
    config = genai.GenerationConfig(
        max_new_tokens=min(most, item.parts.max_tokens), do_sample=False
    )
    if draft:
        config.num_assistant_tokens, config.max_ngram_size = draft, 3
    handle = pipeline.add_request(0, openvino.Tensor(np.array([ids], dtype=np.int64)), config)
    tokens: list[int] = []
    steps, began = 0, 0.0
    while pipeline.has_non_finished_requests():
        pipeline.step()
        steps += bool(tokens)
        while handle.can_read():
            for output in handle.read().values():
                tokens += output.generated_ids
        began = began or (time.monotonic() if tokens else 0.0)
    return Said(tokens, max(steps, 1), max(time.monotonic() - began, 1e-9))


if __name__ == "__main__":
    raise SystemExit(main())
