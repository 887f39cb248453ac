"""Graded tasks for the app `document`: a text that holds the answer, and a question about it.

The size is the length of the document in tokens, as `latok.workload.prompts.estimate` counts them;
how many facts stand in it is the task's own and does not grow with it. So one task, at several
lengths, makes a map of depth × length (`latok.quality.depth`). (In `lookup` and `often` the facts
are the whole document.) The text around the facts is sentences of everyday things, or prose: the
running Python's language reference, without its code, in which a search has something to choose
from. Shorter than its facts no document is.

Measured on the embedded engine (SmolLM2-135M-Instruct Q4_1, OpenVINO), each task at its usual size
(prompts of 185 to 443 tokens): `latok measure openvino --app document -c 8 --graded 100% --requests
48 --seed 7`, 63 items: needle 0.60, needle_keys 0.60, lookup 0.45, facts 0.70, list_all 0.58, often
0.55. Of ten items a task each figure is uncertain by 0.3. Beginning the answer in the prompt, as
RULER does, and its noise of five sentences did worse: 0.25 over all (71 items, same seed).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import cycle, islice
from typing import Any, NamedTuple

from latok.quality.task import Made, Task
from latok.quality.tasks.words import ANIMALS, CITIES, COLOURS, HOBBIES, JOBS, NAMES, OBJECTS, shown
from latok.workload.parts import Parts, Piece
from latok.workload.prompts import estimate, sentences

# --- documents -----------------------------------------------------------------------------------

# Something somewhere: sentences that say nothing about what is asked.
_FILLERS = (
    "There is a {colour} {thing} on the table near the door.",
    "Somebody has left a {colour} {thing} in the garden.",
    "An old {thing} stands beside the {colour} house.",
    "The {animal} sleeps next to the {colour} {thing}.",
    "A {animal} ran past the {thing} this morning.",
    "It rained all night, and the {thing} got wet.",
)
_PARAGRAPH = 6  # sentences
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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
    if noise == "fillers":
        return _fillers(rng)
    return islice(cycle(_prose()), rng.randrange(len(_prose())), None)


def _fillers(rng: random.Random) -> Iterator[str]:
    while True:
        words = {"colour": COLOURS, "thing": OBJECTS, "animal": ANIMALS}
        drawn = {what: rng.choice(some) for what, some in words.items()}
        yield rng.choice(_FILLERS).format(**drawn)


@cache
def _prose() -> Sequence[str]:
    """Sentences without code, numbers or quotes: a small model goes on to write code behind it."""
    plain = [s.strip() for s in sentences() if all(c.isalpha() or c in " ,.;'-()" for c in s)]
    return plain or [s.strip() for s in sentences()]


def _made(
    document: str,
    question: str,
    answer: Any,
    family: str,
    *,
    scorer: str,
    max_tokens: int = 24,
    depth: float | None = None,
    worked: Sequence[tuple[str, str, str]] = (),
) -> Made:
    """`worked`: documents, a question of each, and what it got. `depth` None: the answer stands in
    no one place."""

    def pieces(text: str, question: str) -> tuple[Piece, ...]:
        return (
            Piece("instruction", "Read the text, then answer the question.", shared=True),
            Piece("context", text),
            Piece("question", question),
        )

    before = shown(
        ("\n\n".join(piece.text for piece in pieces(text, asked)), said)
        for text, asked, said in worked
    )
    parts = Parts(before=before, pieces=pieces(document, question), max_tokens=max_tokens)
    about: dict[str, float | str] = {"tokens": float(sum(estimate([document])))}
    if depth is not None:
        about["depth"] = depth
    return Made(parts, scorer, answer, family, about)


# --- needles: one fact is asked for --------------------------------------------------------------


class _Form(NamedTuple):
    """How a fact reads, how one asks for it, and of whom or what it is."""

    fact: str
    question: str
    keys: tuple[str, ...]

    def told(self, pairs: Iterable[tuple[str, int]]) -> list[str]:
        return [self.fact.format(key, value) for key, value in pairs]

    def worked(self) -> list[tuple[str, str, str]]:
        """About those whom no document has."""
        one, other = _STRANGERS[self.keys]
        facts = self.told([(one, 4172), (other, 9035)])
        text = f"It rained all night. {facts[0]} A goat sleeps in the garden. {facts[1]}"
        return [
            (text, self.question.format(one), facts[0]),
            (text, self.question.format(other), facts[1]),
        ]


_STRANGERS = {NAMES: ("Rita", "Hugo"), CITIES: ("Naples", "Bergen"), OBJECTS: ("anchor", "ladder")}

# From the words of the question down to almost none of them: a search by words finds the first
# three, the others only by the name.
_FORMS = {
    "magic": _Form(
        "One of the special magic numbers for {} is: {}.",
        "What is the special magic number for {} mentioned in the text?",
        OBJECTS,
    ),
    "museum": _Form(
        "The museum of {} opened in the year {}.",
        "In which year did the museum of {} open?",
        CITIES,
    ),
    "locker": _Form(
        "The locker of {} has the number {}.",
        "Which number does the locker of {} have?",
        NAMES,
    ),
    "lake": _Form(
        "In {}, the lake is {} metres deep.",
        "How many metres of water are there at the deepest point near {}?",
        CITIES,
    ),
    "telephone": _Form(
        "{} can be reached by dialling {} on any telephone.",
        "What is the phone extension that calls {}?",
        NAMES,
    ),
}


def _needle(keys: int) -> Callable[[random.Random, int], Made]:
    """One of so many facts that differ only in whom they are of."""

    def make(rng: random.Random, size: int) -> Made:
        name, noise = rng.choice(tuple(_FORMS)), rng.choice(("fillers", "prose"))
        form = _FORMS[name]
        whose = rng.sample(form.keys, keys)
        values = rng.sample(range(1000, 10_000), keys)
        document = _document(rng, size, form.told(zip(whose, values, strict=True)), noise)
        at = rng.randrange(keys)
        return _made(
            document.text,
            form.question.format(whose[at]),
            {"value": values[at], "which": "first"},
            f"{name} in {noise}",
            scorer="number",
            worked=form.worked() if keys > 1 else (),
            depth=document.depths[at],
        )

    return make


# --- lookup: nothing but pairs -------------------------------------------------------------------

_PAIRS = {
    "part": _Form(
        "The part number of the {} is {}.", "What is the part number of the {}?", OBJECTS
    ),
    "area": _Form("The area code of {} is {}.", "What is the area code of {}?", CITIES),
    "badge": _Form(
        "The badge of {} has number {}.", "Which number does the badge of {} have?", NAMES
    ),
}


def _lookup(rng: random.Random, size: int) -> Made:
    """As many pairs as fit; where names run out, a number behind them tells them apart."""
    name = rng.choice(tuple(_PAIRS))
    form = _PAIRS[name]
    pairs = max(2, size // sum(estimate(form.told([(form.keys[0], 1234)]))))
    rounds = -(-pairs // len(form.keys))
    keys = [
        f"{key} {_LETTERS[k % 26] * (k // 26 + 1)}" if k else key
        for k in range(rounds)
        for key in form.keys
    ]
    keys = rng.sample(keys[: max(pairs, len(form.keys))], pairs)
    values = [rng.randrange(1000, 10_000) for _ in keys]
    at = rng.randrange(pairs)
    return _made(
        _paragraphs(form.told(zip(keys, values, strict=True))),
        form.question.format(keys[at]),
        {"value": values[at], "which": "first"},
        name,
        scorer="number",
        depth=at / (pairs - 1),
    )


# --- facts: several about one person -------------------------------------------------------------

# How a fact reads, how one asks for it, what it may be, and what it is of somebody else.
_ABOUT = {
    "city": ("{} lives in {}.", "In which city does {} live?", CITIES, "Naples"),
    "job": ("{} works as a {}.", "What does {} work as?", JOBS, "tailor"),
    "hobby": ("{} likes {}.", "What does {} like?", HOBBIES, "rowing"),
    "room": ("{} has room {}.", "Which room does {} have?", tuple(map(str, range(11, 99))), "9"),
}


def _facts(rng: random.Random, size: int) -> Made:
    family, noise = rng.choice(tuple(_ABOUT)), rng.choice(("fillers", "prose"))
    name = rng.choice(NAMES)
    values = {what: rng.choice(words) for what, (_, _, words, _) in _ABOUT.items()}
    told = [fact.format(name, values[what]) for what, (fact, *_) in _ABOUT.items()]
    document = _document(rng, size, told, noise)
    fact, question, _, other = _ABOUT[family]
    strangers = " ".join(fact.format("Rita", other) for fact, _, _, other in _ABOUT.values())
    return _made(
        document.text,
        question.format(name),
        values[family],
        f"{family} in {noise}",
        scorer="contains",
        worked=[(strangers, question.format("Rita"), fact.format("Rita", other))],
        depth=document.depths[tuple(_ABOUT).index(family)],
    )


# --- aggregation: the answer stands in several places --------------------------------------------

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

# How a fact reads, how one asks, of whom or what, and three that no document has.
_LISTS = {
    "people": ("On {}, {}, {} and {} come.", "Who comes on {}?", NAMES, ("Rita", "Hugo", "Olga")),
    "lessons": (
        "On {}, they teach {}, {} and {}.",
        "What do they teach on {}?",
        HOBBIES,
        ("law", "art", "music"),
    ),
    "trains": (
        "On {}, trains go to {}, {} and {}.",
        "Where do trains go on {}?",
        CITIES,
        ("Naples", "Bergen", "Turin"),
    ),
}


def _list(rng: random.Random, size: int) -> Made:
    """All three of one of two days."""
    family, noise = rng.choice(tuple(_LISTS)), rng.choice(("fillers", "prose"))
    form, question, words, strangers = _LISTS[family]
    whose, days = rng.sample(words, 6), rng.sample(_DAYS, 2)
    told = [form.format(day, *some) for day, some in zip(days, (whose[:3], whose[3:]), strict=True)]
    document = _document(rng, size, told, noise)
    at = rng.randrange(2)
    example = form.format("Sunday", *strangers)
    return _made(
        document.text,
        question.format(days[at]),
        {"right": whose[3 * at :][:3], "among": whose},
        f"{family} in {noise}",
        scorer="set_f1",
        max_tokens=40,
        worked=[(f"It rained all night. {example}", question.format("Sunday"), example)],
        depth=document.depths[at],
    )


def _often(rng: random.Random, size: int) -> Made:
    """The word that comes most often, like RULER's common words: three of five are that one."""
    family = rng.choice(("objects", "cities", "hobbies"))
    words = {"objects": OBJECTS, "cities": CITIES, "hobbies": HOBBIES}[family]
    most, *others = rng.sample(words, 9)
    n = max(5, size // 2)
    said = rng.sample([most] * (n * 3 // 5) + list(islice(cycle(others), n - n * 3 // 5)), n)
    question = "Which word comes most often in the text? Answer with the word only."
    return _made(
        ", ".join(said) + ".",
        question,
        most,
        family,
        scorer="contains",
        max_tokens=12,
        worked=[
            ("violin, lantern, lantern, compass, lantern, anchor.", question, "lantern"),
            ("Naples, rowing, compass, rowing, rowing, Naples, rowing.", question, "rowing"),
        ],
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
        name=name, app="document", what=what, make=make, sizes=sizes, usual=sizes[1], swept=swept
    )


_LENGTHS = (100, 200, 400, 800, 1600, 3200)
TASKS: tuple[Task, ...] = (
    _task("needle", "one number in a text", _needle(1), _LENGTHS, swept=True),
    _task("needle_keys", "one of two numbers in a text", _needle(2), _LENGTHS, swept=True),
    _task("lookup", "one of many pairs of name and number", _lookup, (60, 140, *_LENGTHS[1:])),
    _task("facts", "one of several facts about one person in a text", _facts, _LENGTHS),
    _task("list_all", "all that a text says of one day", _list, _LENGTHS),
    _task("often", "the most frequent word of a list", _often, _LENGTHS),
)
