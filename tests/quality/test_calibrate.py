import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from latok.quality.calibrate import HIGH, ITEMS, LOW, ROUNDS, calibrate
from latok.quality.items import Graded
from latok.quality.tasks import TASKS, tasks_of

KV = TASKS["kv"]


class Model:
    """Is right with a chance that each task and size has; `exact`: its scores are that chance."""

    def __init__(self, chance, *, exact=False, failing=()):
        self.chance, self.exact, self.failing = chance, exact, failing
        self.asked = []
        self.rng = random.Random(7)

    def __call__(self, items):
        self.asked.append(items)
        return [self.answer(item) for item in items]

    def answer(self, item):
        chance = self.chance(item.task, item.about["size"])
        score = chance if self.exact else float(self.rng.random() < chance)
        failed = item.task in self.failing
        return Graded(
            item=item.id,
            task=item.task,
            family=item.family,
            score=0.0 if failed else score,
            failed=failed,
        )


FALLING = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda all: sorted(all)[::-1])


@given(FALLING, st.sampled_from([2, 4, 8, 16]))
def test_a_size_within_the_band_is_found_where_there_is_one(chances, usual):
    task = replace(KV, sizes=(2, 4, 8, 16), usual=usual)
    known = dict(zip(task.sizes, chances, strict=True))
    (found,) = calibrate([task], Model(lambda _, size: known[size], exact=True), seed=1)
    within = [size for size, chance in known.items() if LOW <= chance <= HIGH]
    if within:
        assert found.size in within
    assert len(found.seen) <= ROUNDS


@given(st.floats(0, 1), st.floats(0.3, 1), st.integers(0, 99))
def test_no_item_is_asked_twice_and_none_of_those_that_are_graded_later(first, falls, seed):
    tasks = tasks_of("chat")
    model = Model(lambda name, size: first * falls ** (TASKS[name].sizes.index(size)))
    found = calibrate(tasks, model, seed=seed)
    ids = [item.id for items in model.asked for item in items]
    assert len(ids) == len(set(ids))
    assert not set(ids) & {task.item(seed, n).id for task in tasks for n in range(100)}
    assert len(ids) <= len(tasks) * ROUNDS * ITEMS
    assert [each.task for each in found] == [task.name for task in tasks]
    for each in found:
        assert each.size is None or each.size in each.seen


def test_what_is_always_or_never_right_is_left_out_by_name():
    easy, hard = calibrate(
        [KV, TASKS["rewrite"]], Model(lambda name, _: float(name == "kv")), seed=0
    )
    assert easy.size is None
    assert "kv (too easy for this model: 1.00 of 20" in easy.said
    assert hard.size is None
    assert "rewrite (too hard for this model: 0.00 of 20" in hard.said


def test_failed_requests_are_no_wrong_answers():
    model = Model(lambda *_: 0.8, failing=("kv",))
    failed, known = calibrate([KV, TASKS["rewrite"]], model, seed=0)
    assert failed.size is None
    assert failed.said == "kv (no answer came)"
    assert known.size == TASKS["rewrite"].usual


def test_a_kept_size_is_seldom_one_that_tells_little():
    """Of models that differ in all that a logistic curve can, each asked with real chance."""
    rng, bad, kept = random.Random(3), 0, 0
    for _ in range(200):
        at, steep = rng.uniform(0, 6), rng.uniform(0.5, 2)
        chance = {s: 1 / (1 + 2.718 ** (steep * (n - at))) for n, s in enumerate(KV.sizes)}
        model = Model(lambda _, size, chance=chance: chance[size])
        model.rng = rng
        (found,) = calibrate([KV], model, seed=0)
        if found.size is not None:
            kept += 1
            bad += not 0.4 <= chance[found.size] <= 0.97
    assert kept > 150
    assert bad / kept < 0.05
