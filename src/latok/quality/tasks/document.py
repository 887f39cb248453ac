"""Graded tasks for the app `document`: a text that holds the answer, and a question about it.

The size is the length of the document in tokens, as `latok.workload.prompts.estimate` counts them;
how many facts stand in it is the task's own and does not grow with it. So one task, at several
lengths, makes a map of depth × length (`latok.quality.depth`). (In `lookup` and `often` the facts
are the whole document.) The text around the facts is the five sentences of RULER's noise (Hsieh et
al. 2024, arXiv 2404.06654, Apache-2.0), or prose: the running Python's language reference, without
its code, in which a search has something to choose from. Prompts end with the beginning of the
answer, as RULER's do. Shorter than its facts no document is.

Measured once, on the embedded engine (chat, greedy, 8 at a time, 16 items a task, documents of 200
tokens): needle 0.88, needle_keys 0.44, lookup 0.19. The other tasks and lengths are not measured.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import cycle, islice
from typing import NamedTuple

from latok.quality.task import Made, Task
from latok.quality.tasks.words import CITIES, HOBBIES, JOBS, NAMES, OBJECTS
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate, sentences

# --- documents -----------------------------------------------------------------------------------

_GRASS = (
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
)
_PARAGRAPH = 6  # sentences


class _Document(NamedTuple):
    text: str
    depths: list[float]  # of each fact; 0: the first sentence, 1: the last


def _document(rng: random.Random, tokens: int, facts: Sequence[str], noise: str) -> _Document:
    """Facts in their order, at random places among sentences; so many tokens together."""
    around: list[str] = []
    room = tokens - sum(estimate(facts))
    for sentence in _noise(rng, noise):
        room -= estimate([f" {sentence}"])[0]
        if room < 0:
            break
        around.append(sentence)
    places = sorted(rng.randrange(len(around) + 1) for _ in facts)
    lines = list(around)
    for k, (place, fact) in enumerate(zip(places, facts, strict=True)):
        lines.insert(place + k, fact)
    last = max(len(lines) - 1, 1)
    return _Document(_paragraphs(lines), [(place + k) / last for k, place in enumerate(places)])


def _paragraphs(lines: Sequence[str]) -> str:
    starts = range(0, len(lines), _PARAGRAPH)
    return "\n\n".join(" ".join(lines[start : start + _PARAGRAPH]) for start in starts)


def _noise(rng: random.Random, noise: str) -> Iterator[str]:
    """Sentences without an end, from a random one on, in the order of their text."""
    source = _GRASS if noise == "grass" else _prose()
    return islice(cycle(source), rng.randrange(len(source)), None)


@cache
def _prose() -> Sequence[str]:
    """Sentences without code, numbers or quotes: a small model goes on to write code behind it."""
    plain = [s.strip() for s in sentences() if all(c.isalpha() or c in " ,.;'-()" for c in s)]
    return plain or [s.strip() for s in sentences()]


def _made(
    document: str,
    question: str,
    start: str,
    answer: str | list[str],
    family: str,
    *,
    scorer: str = "contains",
    instruction: str = "Read the text, then answer the question about it.",
    max_tokens: int = 16,
    depth: float | None = None,
) -> Made:
    """`depth` None: the answer stands in no one place."""
    parts = Parts(
        pieces=(
            Piece("instruction", instruction, shared=True),
            Piece("context", document),
            Piece("question", f"Question: {question}\nAnswer: {start}"),
        ),
        max_tokens=max_tokens,
    )
    about: dict[str, float | str] = {"tokens": float(sum(estimate([document])))}
    if depth is not None:
        about["depth"] = depth
    return Made(parts, scorer, answer, family, about)


# --- needles: one fact is asked for --------------------------------------------------------------


class _Form(NamedTuple):
    """How a fact reads, how one asks for it, how the answer begins, and of whom or what it is."""

    fact: str
    question: str
    start: str
    keys: Sequence[str]


# From the words of the question down to almost none of them: a search by words finds the first
# three, the others only by the name.
_FORMS = {
    "magic": _Form(
        "One of the special magic numbers for {} is: {}.",
        "What is the special magic number for {} mentioned in the text?",
        "The special magic number for {} mentioned in the text is",
        OBJECTS,
    ),
    "museum": _Form(
        "The museum of {} opened in the year {}.",
        "In which year did the museum of {} open?",
        "The museum of {} opened in the year",
        CITIES,
    ),
    "locker": _Form(
        "The locker of {} has the number {}.",
        "What is the number of the locker of {}?",
        "The locker of {} has the number",
        NAMES,
    ),
    "lake": _Form(
        "In {}, the lake is {} metres deep.",
        "How much water does one find at the deepest point near {}? Give metres.",
        "Near {} the water has a depth of",
        CITIES,
    ),
    "telephone": _Form(
        "{} can be reached by dialling {} on any telephone.",
        "What is the phone extension that calls {}?",
        "The phone extension of {} is",
        NAMES,
    ),
}


def _needle(keys: int) -> Callable[[random.Random, int], Made]:
    """One of so many facts that differ only in whom they are of."""

    def make(rng: random.Random, size: int) -> Made:
        name, noise = rng.choice(tuple(_FORMS)), rng.choice(("grass", "prose"))
        form = _FORMS[name]
        whose = rng.sample(form.keys, keys)
        values = [str(value) for value in rng.sample(range(1000, 10_000), keys)]
        facts = [form.fact.format(key, value) for key, value in zip(whose, values, strict=True)]
        document = _document(rng, size, facts, noise)
        at = rng.randrange(keys)
        return _made(
            document.text,
            form.question.format(whose[at]),
            form.start.format(whose[at]),
            values[at],
            f"{name} in {noise}",
            depth=document.depths[at],
        )

    return make


# --- lookup: nothing but pairs -------------------------------------------------------------------

_PAIRS = {
    "part": _Form(
        "The part number of the {} is {}.",
        "What is the part number of the {}?",
        "The part number of the {} is",
        OBJECTS,
    ),
    "area": _Form(
        "The area code of {} is {}.",
        "What is the area code of {}?",
        "The area code of {} is",
        CITIES,
    ),
    "badge": _Form(
        "The badge of {} has number {}.",
        "Which number has the badge of {}?",
        "The badge of {} has number",
        NAMES,
    ),
}


def _lookup(rng: random.Random, size: int) -> Made:
    """As many pairs as fit; where names run out, a number behind them tells them apart."""
    name = rng.choice(tuple(_PAIRS))
    form = _PAIRS[name]
    pairs = max(2, size // sum(estimate([form.fact.format(form.keys[0], 1234)])))
    rounds = -(-pairs // len(form.keys))
    keys = [f"{key} {k}" if k else key for k in range(rounds) for key in form.keys]
    keys = rng.sample(keys[: max(pairs, len(form.keys))], pairs)
    values = [str(rng.randrange(1000, 10_000)) for _ in keys]
    at = rng.randrange(pairs)
    return _made(
        _paragraphs([form.fact.format(k, v) for k, v in zip(keys, values, strict=True)]),
        form.question.format(keys[at]),
        form.start.format(keys[at]),
        values[at],
        name,
        depth=at / (pairs - 1),
    )


# --- facts: several about each of three people ---------------------------------------------------

# What is asked, how the answer begins, and which of a person's facts it is.
_ASKED = {
    "room": ("What is the room number of {name}?", "The room number of {name} is", "room"),
    "city": ("In which city does {name} live?", "{name} lives in", "city"),
    "hobby": ("What does {name} do on Sundays?", "On Sundays {name} enjoys", "hobby"),
    "job": ("What is the job of {name}?", "{name} works as a", "job"),
    "room by job": ("Which room does the {job} have?", "The {job} has room", "room"),
}


def _facts(rng: random.Random, size: int) -> Made:
    family, noise = rng.choice(tuple(_ASKED)), rng.choice(("grass", "prose"))
    question, start, what = _ASKED[family]
    drawn = (rng.sample(words, 3) for words in (NAMES, JOBS, CITIES, HOBBIES))
    people = [
        {"name": name, "job": job, "city": city, "hobby": hobby, "room": str(rng.randrange(10, 99))}
        for name, job, city, hobby in zip(*drawn, strict=True)
    ]
    told = [
        "{name} works as a {job} and has room {room}. {name} lives in {city} and enjoys {hobby} "
        "on Sundays.".format(**person)
        for person in people
    ]
    document = _document(rng, size, told, noise)
    at = rng.randrange(3)
    return _made(
        document.text,
        question.format(**people[at]),
        start.format(**people[at]),
        people[at][what],
        f"{family} in {noise}",
        depth=document.depths[at],
    )


# --- aggregation: the answer stands in several places --------------------------------------------

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def _list(rng: random.Random, size: int) -> Made:
    """All who are somewhere, or do something, on one of two days; four in all."""
    noise, (day, other) = rng.choice(("grass", "prose")), rng.sample(_DAYS, 2)
    form, words, question, start = rng.choice(
        (
            ("{} comes on {}.", NAMES, "Who comes on {}?", "On {}, those who come are"),
            ("{} is taught on {}.", HOBBIES, "What is taught on {}?", "On {}, they teach"),
            ("The train to {} leaves on {}.", CITIES, "Where do trains go on {}?", "On {}, to"),
        )
    )
    asked = rng.sample(words, 4)
    days = rng.sample((day, day, other, other), 4)
    facts = [form.format(who, when).capitalize() for who, when in zip(asked, days, strict=True)]
    return _made(
        _document(rng, size, facts, noise).text,
        f"{question.format(day)} List all, separated by commas.",
        start.format(day),
        [who for who, when in zip(asked, days, strict=True) if when == day],
        f"{words[0]} in {noise}",
        scorer="contains",
    )


def _often(rng: random.Random, size: int) -> Made:
    """The word that comes most often, like RULER's common words: half of all are that one."""
    family = rng.choice(("objects", "cities", "hobbies"))
    words = {"objects": OBJECTS, "cities": CITIES, "hobbies": HOBBIES}[family]
    most, *others = rng.sample(words, 9)
    n = max(4, size // 2)
    said = rng.sample([most] * (n // 2) + list(islice(cycle(others), n - n // 2)), n)
    return _made(
        ", ".join(said) + ".",
        "Which word comes most often in the list?",
        "The word that comes most often is",
        most,
        family,
        instruction="Read the list of words, then answer the question about it.",
        max_tokens=10,
    )


def _task(
    name: str,
    what: str,
    make: Callable[[random.Random, int], Made],
    sizes: tuple[int, ...],
    *,
    swept: bool = False,
) -> Task:
    return Task(
        name=name,
        app="document",
        what=what,
        make=make,
        sizes=sizes,
        usual=sizes[1],
        swept=swept,
    )


_LENGTHS = (100, 200, 400, 800, 1600, 3200)
TASKS: tuple[Task, ...] = (
    _task("needle", "one number in a text", _needle(1), _LENGTHS, swept=True),
    _task("needle_keys", "one of four numbers in a text", _needle(4), _LENGTHS, swept=True),
    _task("lookup", "one of many pairs of name and number", _lookup, (60, *_LENGTHS)),
    _task("facts", "one of several facts about three people in a text", _facts, _LENGTHS),
    _task("list_all", "all that a text says of one day", _list, _LENGTHS),
    _task("often", "the most frequent word of a list", _often, (40, *_LENGTHS)),
)
