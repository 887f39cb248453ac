"""Items have their place in a load: the share that was asked, the same ones whenever it is held."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from latok.quality.depth import depth_map
from latok.quality.items import Graded
from latok.quality.suite import Exam, suite_of
from latok.records import Request
from latok.workload.ask import Ask, Workload
from latok.workload.parts import Parts, Piece

SUITE = suite_of("chat", seed=3)


def others() -> Workload:
    def asks(first: int):  # type: ignore[no-untyped-def]
        for n in range(first, first + 10_000):
            yield Ask(Request(id=n, prompt=f"other {n}", prompt_tokens=9, max_tokens=5))

    return Workload(asks=asks)


def lengths(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def requests(exam: Exam, count: int, first: int = 1000) -> list[Request]:
    load = exam.into(others(), lengths, overhead=7, app="chat")
    return [ask.request for ask in islice(load.asks(first), count)]


@given(st.floats(0.01, 1.0), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_any_beginning_has_the_share_that_was_asked(share: float, count: int) -> None:
    exam = Exam(suite=SUITE, share=share)
    items = sum(exam.item(n) is not None for n in range(count))
    assert abs(items - share * count) < 1.0


@given(st.floats(0.05, 1.0), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_requests_are_numbered_one_after_another_and_name_their_items(
    share: float, start: int
) -> None:
    exam = Exam(suite=SUITE, share=share, start=start)
    asked = requests(exam, 60)
    assert [request.id for request in asked] == list(range(1000, 1060))
    for n, request in enumerate(asked):
        item = exam.item(n)
        assert (item is not None) == request.may_stop
        if item is not None:
            assert request.prompt == item.parts.text
            assert request.before == item.parts.before
            assert request.max_tokens == item.parts.max_tokens


def test_the_others_keep_their_order_and_their_answers_their_length() -> None:
    asked = requests(Exam(suite=SUITE, share=0.5), 40)
    rest = [request for request in asked if not request.may_stop]
    assert [request.prompt for request in rest] == [f"other {1000 + n}" for n in range(20)]


def test_the_items_of_two_starts_are_strangers_and_of_one_start_the_same() -> None:
    one, again, other = (
        [r.prompt for r in requests(Exam(suite=SUITE, start=start), 40)] for start in (0, 0, 500)
    )
    assert one == again
    assert len(set(one) & set(other)) < 10


def test_a_lever_changes_what_is_sent_and_not_what_is_right() -> None:
    def shout(parts: Parts) -> Parts:
        return Parts(pieces=(Piece("question", "WHAT?"),), max_tokens=parts.max_tokens)

    exam = Exam(suite=SUITE, change=shout)
    assert {request.prompt for request in requests(exam, 10)} == {"WHAT?"}
    assert exam.item(0) == SUITE.item(0)


def test_a_lever_changes_what_is_drawn_as_far_as_its_parts_are_known() -> None:
    def asks(first: int):  # type: ignore[no-untyped-def]
        for n in range(first, first + 100):
            prompt = " ".join(f"w{k}" for k in range(50))
            yield Ask(Request(id=n, prompt=prompt, prompt_tokens=57, max_tokens=5, app=APP))

    def without_context(parts: Parts) -> Parts:
        return Parts(pieces=parts.of("question"), max_tokens=3)

    for APP, kept in (("document", 16), ("chat", 50)):
        exam = Exam(suite=SUITE, share=0.5, change=without_context)
        load = exam.into(Workload(asks=asks), lengths, overhead=7, app=APP)
        drawn = [a.request for a in islice(load.asks(0), 20) if not a.request.may_stop]
        assert {request.prompt_tokens for request in drawn} == {kept + 7}
        assert {len(request.prompt.split()) for request in drawn} == {kept}
        assert {request.max_tokens for request in drawn} == {3}


def test_tokens_are_counted_with_what_the_template_adds() -> None:
    request = requests(Exam(suite=SUITE), 1)[0]
    said = "\n\n".join([*(m.content for m in request.before), request.prompt])
    assert request.prompt_tokens == len(said.split()) + 7


def test_needles_lie_in_documents_of_several_lengths_each_item_with_a_name_of_its_own() -> None:
    suite = suite_of("document", seed=1)
    items = [suite.item(n) for n in range(90)]
    assert len({item.id for item in items}) == 90
    sizes: dict[str, set[float | str]] = {}
    for item in items:
        sizes.setdefault(item.task, set()).add(item.about["size"])
    assert sizes["needle"] == sizes["needle_keys"] == {100, 200, 400}
    assert all(len(found) == 1 for task, found in sizes.items() if "needle" not in task)
    answers = [
        Graded(item=i.id, task=i.task, family=i.family, score=1.0, about=i.about) for i in items
    ]
    assert depth_map(answers).is_map


def test_at_the_end_of_its_sizes_a_swept_task_has_but_one_neighbour() -> None:
    task = next(task for task, _ in suite_of("document", seed=1).tasks if task.swept)
    assert {task.beside(task.sizes[0], n) for n in range(9)} == set(task.sizes[:2])
    assert {task.beside(task.sizes[-1], n) for n in range(9)} == set(task.sizes[-2:])
