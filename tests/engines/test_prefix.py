"""The mirror of the prefix cache. That it mirrors the real one is shown in `test_openvino`."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from latok.engines.prefix import BLOCK, PrefixMirror


def answered(mirror: PrefixMirror, request: int, prompt: list[int], answer: list[int]) -> int:
    """A request from beginning to end; returns the cached tokens."""
    cached = mirror.add(request, prompt)
    mirror.fill(request, len(prompt))
    for token in answer[:-1]:  # the last token is never worked on
        mirror.extend(request, [token])
    mirror.drop(request)
    return cached


def test_whole_blocks_are_found_again_and_something_is_always_left_to_do() -> None:
    mirror, prompt = PrefixMirror(100), list(range(3 * BLOCK))
    assert answered(mirror, 1, prompt, [1, 2, 3]) == 0
    assert answered(mirror, 2, [*prompt, 7, 8], [1]) == 3 * BLOCK
    assert answered(mirror, 3, prompt, [1]) == 3 * BLOCK - 1
    assert answered(mirror, 4, [*prompt[:40], 9999], [1]) == BLOCK
    assert answered(mirror, 5, [9999, *prompt], [1]) == 0


def test_the_next_turn_of_a_conversation_finds_the_answer_too() -> None:
    mirror, prompt, answer = PrefixMirror(100), list(range(50)), [900, 901, 902, 2]
    answered(mirror, 1, prompt, answer)
    assert answered(mirror, 2, [*prompt, *answer[:-1], 5, 6, 7], [1]) == 53


def test_the_longest_unused_goes_first_when_room_is_needed() -> None:
    mirror = PrefixMirror(4)
    first, second, third = ([number] * (2 * BLOCK) for number in (1, 2, 3))
    answered(mirror, 1, first, [1])
    answered(mirror, 2, second, [1])
    answered(mirror, 3, third, [1])
    assert answered(mirror, 4, second, [1]) == 2 * BLOCK - 1
    assert answered(mirror, 5, first, [1]) == 0


@settings(max_examples=50)
@given(st.integers(0, 10**6))
def test_no_block_is_lost_or_made_up(seed: int) -> None:
    draw, mirror, live = random.Random(seed), PrefixMirror(30), {}
    for request in range(60):
        if len(live) == 3 or (live and draw.random() < 0.5):
            mirror.drop(live.pop(draw.choice(list(live))))
        prompt = [draw.randrange(2)] * draw.randrange(1, 2 * BLOCK + 5)
        assert 0 <= mirror.add(request, prompt) < len(prompt)
        mirror.fill(request, len(prompt))
        for token in range(draw.randrange(BLOCK)):
            mirror.extend(request, [token])
        live[request] = request
        assert 0 <= mirror.in_use <= mirror.size
    for request in live:
        mirror.drop(request)
    assert mirror.in_use == 0
