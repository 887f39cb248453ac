"""A lever that should change no text, judged by texts."""

from __future__ import annotations

import numpy as np
import pytest

from latok.quality.identity import Identity, identity
from latok.quality.items import Graded


def said(changed: list[bool] | np.ndarray) -> list[Graded]:
    return [
        Graded(item=str(n), task="t", family="f", score=1.0, text="b" if c else "a")
        for n, c in enumerate(changed)
    ]


def judged(n: int, by_lever: int, by_itself: int | None) -> Identity:
    """The first texts change by the lever, the last by themselves."""
    floor = [] if by_itself is None else said([k >= n - by_itself for k in range(n)])
    return identity(said([False] * n), said([k < by_lever for k in range(n)]), floor)


@pytest.mark.parametrize("by_itself", [None, 0])
def test_without_a_change_149_texts_exclude_two_in_a_hundred(by_itself: int | None) -> None:
    assert judged(149, 0, by_itself).verdict == "identical"
    assert judged(148, 0, by_itself).verdict == "inconclusive"
    assert judged(148, 0, by_itself).at_most == pytest.approx(3 / 148, rel=0.02)


def test_what_changes_more_than_base_by_itself_is_changed() -> None:
    assert judged(100, 20, 5).verdict == "changed"
    assert judged(100, 6, 5).verdict == "inconclusive"
    assert judged(100, 6, 5).changed_more == pytest.approx(0.01)


def test_without_a_floor_a_change_is_not_blamed_on_the_lever() -> None:
    found = judged(100, 20, None)
    assert found.verdict == "inconclusive"
    assert "not asked twice" in found.why
    assert found.floor is None


def test_a_lever_with_no_more_noise_than_the_floor_is_seldom_called_changed() -> None:
    rng = np.random.default_rng(1)
    words = []
    for _ in range(200):
        ours, own = rng.random(120) < 0.1, rng.random(120) < 0.1
        words.append(identity(said([False] * 120), said(ours), said(own)).verdict)
    assert words.count("changed") <= 0.07 * len(words)


def test_texts_that_were_not_kept_say_nothing() -> None:
    mute = [Graded(item="a", task="t", family="f", score=1.0)]
    found = identity(mute, mute)
    assert (found.verdict, found.n, found.identical) == ("inconclusive", 0, None)
    assert "no texts are kept" in found.why


def test_failed_answers_are_no_changes() -> None:
    base, broken = said([False] * 200), said([False] * 200)
    broken[0] = Graded(item="0", task="t", family="f", score=0.0, failed=True)
    assert identity(base, broken, base).verdict == "identical"
    assert identity(base, broken, base).n == 199
