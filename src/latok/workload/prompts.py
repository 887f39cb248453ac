"""Prompts of real words and code, of an asked number of tokens, no two alike.

The words come from what every CPython carries: its language reference (`pydoc_data`) and the
sources of its standard library, both under the PSF licence. They are cut into pieces where
tokenisers cut too, each piece is counted once, and a prompt is put together by sums:

    start   id words                          link                  pieces, in order   question
    About   amber kettle river lamp stone   - this is what I have.       …           What now?

The id words give every prompt first tokens of its own, so that no prefix cache can help it. Where
one shall help (`latok.workload.ask`), a prompt stands behind text that it shares with others:
blocks that are the same wherever their key is the same, or the beginning of one common text.
"""

from __future__ import annotations

import importlib.util
import json
import random
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.abc import InspectLoader
from itertools import accumulate, chain, islice
from math import ceil, log2
from typing import NamedTuple

from latok.errors import TargetError, UsageError

# Tokens of each text by the target's own tokeniser, which may be far away: a maker calls it twice,
# with some 1,500 texts and then with five.
Count = Callable[[Sequence[str]], list[int]]


class _Kind(NamedTuple):
    """How prompts of one kind read. Link and questions are pieces too: they begin with a space."""

    pieces: Callable[[], list[str]]
    starts: tuple[str, ...]
    link: str
    questions: tuple[str, ...]


def prompt_maker(kind: str, *, seed: int, count: Count | None) -> PromptMaker:
    """A maker of one kind of text (see `latok.workload.apps.TEXTS`); `count` None: estimate."""
    if kind not in _KINDS:
        raise UsageError(f"no kind of text {kind!r}; there are {', '.join(_KINDS)}")
    return PromptMaker(_KINDS[kind], f"{kind} {seed}", count)


class PromptMaker:
    """Makes prompts of one kind. Same seed, n, tokeniser and Python version: same prompt.

    `exact`: whether the target's tokeniser counted some prompts as we do, within 1 % or 2 tokens.
    """

    def __init__(self, kind: _Kind, seed: str, count: Count | None) -> None:
        self._seed = seed
        pieces, words = kind.pieces(), _common_words()
        behind = [*pieces, *(f" {word}" for word in words), kind.link, *kind.questions]
        # Each is counted behind a letter, as it will stand: many tokenisers put something of
        # their own at the start of a text.
        texts = [*kind.starts, "a", *(f"a{piece}" for piece in behind)]
        counted = iter((count or estimate)(texts))
        self._starts = [(start, next(counted)) for start in kind.starts]
        letter = next(counted)
        costs = [next(counted) - letter for _ in pieces]
        word_costs = [next(counted) - letter for _ in words]
        if min(*costs, *word_costs) < 1:
            raise TargetError("the target's tokeniser finds no tokens in some plain English words")
        self._link = (kind.link, next(counted) - letter)
        self._questions = [(text, next(counted) - letter) for text in kind.questions]

        self._text = "".join(pieces)
        self._chars = list(accumulate(map(len, pieces), initial=0))
        self._tokens = list(accumulate(costs, initial=0))
        by_cost = defaultdict(list)
        for piece, cost in zip(pieces, costs, strict=True):
            by_cost[cost].append(piece)
        self._by_cost = dict(by_cost)
        self._costs = sorted(by_cost)

        self._word_cost = min(word_costs)
        alike = zip(words, word_costs, strict=True)
        self._words = [f" {word}" for word, cost in alike if cost == self._word_cost]
        # Ids for 2^40 prompts: with 350 words that are one token each, five words.
        self._id_words = ceil(40 / log2(len(self._words)))
        self._ids = len(self._words) ** self._id_words
        self._first_id = random.Random(seed).randrange(self._ids)

        self.exact = count is not None and self._agrees(count)

    def make(self, tokens: int, n: int, *, behind: bool = False) -> str:
        """The nth prompt, so many tokens long. Below about ten there is no room to be unique.

        `behind`: it goes on from text that another call gave, so it begins with a space.
        """
        rng = random.Random(f"{self._seed} {n}")
        start, cost = ("", 0) if behind else rng.choice(self._starts)
        rest = tokens - cost - self._id_words * self._word_cost
        body: list[str] = []
        link, linking = self._link
        question, asking = rng.choice(self._questions)
        if rest >= linking + asking:
            body, rest = self._body(rest - linking - asking, rng)
            body = [link, *body, question]
        # What no piece fits into becomes more words behind the id; a prompt too short for its id
        # gets the beginning of it.
        words = max(0, self._id_words + round(rest / self._word_cost))
        more = rng.choices(self._words, k=max(0, words - self._id_words))
        return "".join([start, *islice(chain(self._id(n), more), words), *body])

    def block(self, tokens: int, key: str, *, behind: bool) -> str:
        """Text of so many tokens that is another for another key; blocks may follow each other."""
        rng = random.Random(f"{self._seed} block {key}")
        start, cost = ("", 0) if behind else self._starts[0]
        words = min(self._id_words, max(tokens - cost, 0) // self._word_cost)
        body, rest = self._body(max(tokens - cost - words * self._word_cost, 0), rng)
        more = max(round(rest / self._word_cost), 0)
        return "".join([start, *self._choose(words, rng), *body, *self._choose(more, rng)])

    def common(self, tokens: int) -> str:
        """The first so many tokens of one text, the same for all; words, so that it may end
        anywhere."""
        start, cost = self._starts[0]
        rng = random.Random(f"{self._seed} common")
        return "".join([start, *self._choose(max(tokens - cost, 0) // self._word_cost, rng)])

    def _choose(self, words: int, rng: random.Random) -> list[str]:
        return rng.choices(self._words, k=words)

    def _body(self, tokens: int, rng: random.Random) -> tuple[list[str], int]:
        """Pieces as they follow each other in the source, then some that fit; and what is left."""
        body, first, last = [], rng.randrange(len(self._chars) - 1), len(self._chars) - 1
        while True:
            end = bisect_right(self._tokens, self._tokens[first] + tokens) - 1
            body.append(self._text[self._chars[first] : self._chars[end]])
            tokens -= self._tokens[end] - self._tokens[first]
            if end < last:
                break
            first = 0
        while at := bisect_right(self._costs, tokens):
            body.append(rng.choice(self._by_cost[self._costs[at - 1]]))
            tokens -= self._costs[at - 1]
        return body, tokens

    def _id(self, n: int) -> Iterator[str]:
        """Words that no other n has: a step that shares no divisor with the number of ids."""
        number = (self._first_id + n * (2**61 - 1)) % self._ids
        for _ in range(self._id_words):
            number, digit = divmod(number, len(self._words))
            yield self._words[digit]

    def _agrees(self, count: Count) -> bool:
        sizes = (20, 50, 200, 500, 2000)
        counted = count([self.make(size, n) for n, size in enumerate(sizes)])
        return all(
            abs(got - size) <= max(2, size / 100) for got, size in zip(counted, sizes, strict=True)
        )


def estimate(texts: Sequence[str]) -> list[int]:
    """Words of up to ten letters, digits, signs by twos: over our pieces this is within 2 % of the
    tokeniser of SmolLM2 and within 10 % of GPT-4's, for English, code and JSON alike."""
    return [len(_TOKEN_LIKE.findall(text)) for text in texts]


_TOKEN_LIKE = re.compile(r" ?[A-Za-z]{1,10}|\d| ?[^\sA-Za-z\d]{1,2}|\s+(?!\S)|\s")


# --- where the words come from -------------------------------------------------------------------
# A piece begins with white space at which a tokeniser starts anew, whatever came before: a space
# and a letter, a space and a line's end, or, behind a letter or digit alone, a line's end (GPT-4's
# pre-tokeniser joins ")" with a line's end, GPT-2's a line's end with the indentation after it).


@cache
def _sources() -> str:
    """Code of the standard library, for its variety; empty where only byte code is installed."""
    names = (
        "argparse textwrap heapq difflib csv configparser tarfile zipfile datetime statistics "
        "fractions shutil json.decoder"
    )
    specs = filter(None, map(importlib.util.find_spec, names.split()))
    sources = [
        spec.loader.get_source(spec.name)
        for spec in specs
        if isinstance(spec.loader, InspectLoader)
    ]
    return "\n".join(source for source in sources if source)


@cache
def sentences() -> list[str]:
    """The sentences of Python's language reference, or else of its docstrings."""
    try:
        from pydoc_data.topics import topics

        texts = list(topics.values())
    except ImportError:  # some distributions leave it out
        texts = re.findall(r'"""(.*?)"""', _sources(), re.DOTALL)
    paragraphs = [" ".join(part.split()) for text in texts for part in text.split("\n\n")]
    prose = dict.fromkeys(filter(_is_prose, paragraphs))
    if not prose:
        raise UsageError(
            "this Python carries neither pydoc_data nor the sources of its standard library, "
            "of which prompts are made; install them, or give prompts of your own"
        )
    return [f" {sentence}" for part in prose for sentence in re.split(r"(?<=\.) (?=[A-Z])", part)]


def _is_prose(text: str) -> bool:
    letters = sum(c.isalpha() or c == " " for c in text)
    return (
        text.isascii()
        and re.match(r"[A-Z][a-z]* \w+ \w+", text) is not None
        and text.endswith(".")
        and letters > 0.88 * len(text)  # else it is code, a table or a grammar
    )


@cache
def _common_words() -> list[str]:
    words = Counter(re.findall(r"\b[a-z]{3,8}\b", " ".join(sentences())))
    return [word for word, _ in words.most_common(500)]


@cache
def _spoken() -> list[str]:
    """As speech recognition writes it: no capitals, no signs."""
    plain = (re.sub("[^a-z]+", " ", sentence.lower()).strip() for sentence in sentences())
    return [f" {sentence}" for sentence in plain]


@cache
def _code() -> list[str]:
    """Lines of code from one that may end a piece to the next."""
    pieces = re.split(r"(?<=[A-Za-z0-9])(?=\n[ \t]*[A-Za-z@])", _sources())
    short = [piece for piece in pieces if piece.startswith("\n") and len(piece) < 600]
    return short[:1000] or sentences()


@cache
def _steps() -> list[str]:
    """An agent's context: tools that it may call, calls that it made, and what they returned."""
    functions = re.findall(
        r'^ *def ([a-z]\w+)\((.*?)\):\n +"""(\w.*?)(?:\.|"""|\n)((?:.*\n){1,8})', _sources(), re.M
    )
    pieces = []
    for name, arguments, what, code in functions:
        words = [word.split("=")[0].strip(" *") for word in arguments.split(",")]
        properties = {word: {"type": "string"} for word in words if word.isidentifier()}
        tool = {"name": name, "description": what, "parameters": {"properties": properties}}
        call = {"call": name, "arguments": dict.fromkeys(properties, what.split()[-1])}
        for value in ({"type": "function", "function": tool}, call, {"tool": name, "result": code}):
            pieces.append(f" \n{json.dumps(value)}")
    return pieces[:1200] or sentences()


_KINDS = {
    "chat": _Kind(
        sentences,
        ("About", "Regarding", "Concerning", "Since"),
        " - I have read this and would like to understand it.",
        (
            " Can you explain that to me with an example?",
            " What is the point here, and when does it matter?",
            " How would you put this to somebody who is new to it?",
            " What would go wrong if I ignored it?",
        ),
    ),
    "voice": _Kind(
        _spoken,
        ("hey", "okay", "so", "hello"),
        " and then they told me this",
        (
            " can you say that again in a few words",
            " what do they mean by that",
            " so what should I do now",
        ),
    ),
    "document": _Kind(
        sentences,
        ("Report", "Manual", "Chapter", "Minutes"),
        " - the document follows, and a question about it at its end.",
        (
            " \n\nQuestion: what are the main points of the document, and which depend on others?",
            " \n\nQuestion: which rules does the document give, and what are their exceptions?",
            " \n\nQuestion: write a summary of the document for somebody who has no time.",
        ),
    ),
    "code": _Kind(
        _code,
        ("#",),
        " - complete the code that follows, with nothing else",
        ("",),
    ),
    "agent": _Kind(
        _steps,
        ("Agent", "Task", "Session"),
        " - here are your tools, and the steps that you have taken with them.",
        (
            " \nWhat is the next step? Answer with one call, as JSON.",
            " \nGo on: one call as JSON, or the answer if you know it.",
        ),
    ),
    "batch": _Kind(
        sentences,
        ("Record", "Entry", "Item"),
        " - a text to be filed.",
        (
            " \n\nGive its topic, its key terms and a summary of two sentences, as JSON.",
            " \n\nWhich category does it belong to, and which names does it mention? Use JSON.",
        ),
    ),
}
