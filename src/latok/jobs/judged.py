"""A judge, found before any load, so that a wrong one is known early, and asked after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from msgspec.structs import replace

from latok.analysis.cost import Tokens, usd_of
from latok.errors import TargetError
from latok.jobs.experiment import Experiment
from latok.jobs.prices import in_force
from latok.load.asking import Asking, asking
from latok.load.probe import find, model_at, site
from latok.quality.items import Item
from latok.quality.judge import JUDGE, Judgement, asked_of_judge, verdict
from latok.records import Hosted, Prices, Usage
from latok.workload.parts import Parts, Piece

_AT_ONCE = 8  # answers that it grades at a time
_FAILURES = 3  # one after the other: then it is gone; one alone may be of the answer that it read
_STOPPED = "it was not asked: interrupted"
_TRIAL = Item(
    id="trial",
    task="trial",
    family="trial",
    parts=Parts(pieces=(Piece("question", "What is two plus two?"),), max_tokens=8),
    scorer=JUDGE,
    answer="It says that the sum is four.",
)
_ANSWER = "Two plus two is four."


class Answered(NamedTuple):
    """An answer to be judged. `request`: its id."""

    item: Item
    request: int
    text: str


class Judge:
    """Grades answers, each by itself; `name`: its model and where that is. The same answer to the
    same item is graded once: so it costs once, and gets no two grades."""

    def __init__(self, name: str, asking: Asking, prices: Prices | None) -> None:
        self.name = name
        self._asking = asking
        self._prices = prices
        self._failures: list[str] = []  # since it answered last
        self._known: dict[tuple[str, str], Judgement] = {}

    def judged(
        self, answers: Sequence[Answered], stopped: Callable[[], bool] = lambda: False
    ) -> list[Judgement]:
        """One judgement for each, in their order. Once `stopped`, or once it failed to answer
        several times in a row, nothing more is asked, and what is left has no grade."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda each: self._judged(each, stopped), answers))

    def _judged(self, answered: Answered, stopped: Callable[[], bool]) -> Judgement:
        said = Judgement(
            judge=self.name, item=answered.item.id, request=answered.request, score=None
        )
        known = self._known.get((answered.item.id, answered.text))
        if known is not None:
            return replace(
                known,
                request=answered.request,
                input_tokens=0,
                output_tokens=0,
                usd=known.usd and 0.0,
            )
        if stopped():
            return replace(said, why=_STOPPED, usd=0.0)
        if len(self._failures) >= _FAILURES:
            return replace(said, why=self._failures[-1], usd=0.0)
        request = asked_of_judge(answered.item, answered.text, answered.request)
        try:
            reply = self._asking.ask(request)
        except TargetError as failed:
            why = f"it did not answer: {failed}"
            self._failures.append(why)
            return replace(said, why=why)
        self._failures.clear()
        usage, text = reply.usage or Usage(), "".join(reply.text)
        score = verdict(text)
        found = replace(
            said,
            score=score,
            reply=text,
            why="" if score is not None else _no_grade(text, reply.finish_reason),
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            usd=self._usd(usage),
        )
        self._known[answered.item.id, answered.text] = found
        return found

    def _usd(self, usage: Usage) -> float | None:
        asked, said = usage.prompt_tokens, usage.completion_tokens
        if not isinstance(self._prices, Hosted) or asked is None or said is None:
            return None
        return usd_of(self._prices, Tokens(asked, usage.cached_tokens or 0, said))


def _no_grade(text: str, finish: str | None) -> str:
    if finish == "length":
        return "its reply was cut at its length"
    lines = text.strip().splitlines()
    return f"its reply ends with {lines[-1][:60]!r}" if lines else "its reply was empty"


@contextmanager
def judge_named(asked: Experiment, say: Callable[[str], None]) -> Iterator[Judge | None]:
    """The judge that was asked for, None if none was. It grades a trial answer first; if it gives
    no grade, that is said.

    Raises UsageError for a wrong URL or key, TargetError if no model answers there.
    """
    if asked.judge is None:
        yield None
        return
    url, _, named = asked.judge.partition("#")
    where = site(url, headers=asked.judge_headers())
    model = named or model_at(where)
    bare = Experiment()  # the prices that were given are the target's
    prices = in_force(bare, where.url, model).prices
    found = find(where, _TRIAL.parts.request(0, 8), model=model)
    with asking(found) as questions:
        judge = Judge(f"{model} at {where.url}", questions, prices)
        (first,) = judge.judged([Answered(_TRIAL, 0, _ANSWER)])
        if first.score is None:
            say(f"the judge {judge.name} gave a trial answer no grade: {first.why}")
        yield judge
