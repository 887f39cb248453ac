"""Graded tasks for the app `chat`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from latok.quality.task import Made, Task
from latok.quality.tasks.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    FOODS,
    HOBBIES,
    JOBS,
    NAMES,
    OBJECTS,
    THINGS,
    plural,
    shown,
    spoken,
)
from latok.workload.parts import Parts, Piece

# --- kv: a code among pairs ----------------------------------------------------------------------

# What has a code, from which words; and two that the worked questions are about.
_KEYED = {
    "room": ("The code of {}", NAMES, "Rita", "Hugo"),
    "city": ("The area code of {}", CITIES, "Naples", "Bergen"),
    "object": ("The part number of the {}", OBJECTS, "anchor", "ladder"),
    "animal": ("The tag of the {}", (*ANIMALS, *FOODS, *JOBS), "camel", "otter"),
}


def _kv(rng: random.Random, size: int) -> Made:
    family = rng.choice(tuple(_KEYED))
    form, words, one, other = _KEYED[family]
    keys = _distinct(rng, words, size)
    codes = rng.sample(range(1000, 10_000), size)
    at = rng.randrange(size)

    def pairs(some: Sequence[tuple[str, int]]) -> str:
        return "\n".join(line(*each) for each in some)

    def line(key: str, code: int) -> str:
        return f"{form.format(key)} is {code}."

    def ask(key: str) -> str:
        return f"What is {form[0].lower()}{form[1:].format(key)}?"

    known = ((one, 4172), (other, 9035))
    parts = Parts(
        before=shown((f"{pairs(known)}\n\n{ask(each[0])}", line(*each)) for each in known[::-1]),
        pieces=(
            Piece("context", pairs(list(zip(keys, codes, strict=True)))),
            Piece("question", ask(keys[at])),
        ),
        max_tokens=24,
    )
    depth = at / max(size - 1, 1)
    return Made(parts, "contains", str(codes[at]), family, {"depth": depth})


def _distinct(rng: random.Random, words: tuple[str, ...] | list[str], n: int) -> list[str]:
    """n words; where there are fewer, some come again with another number."""
    rounds = -(-n // len(words))
    many = [w if k == 0 else f"{w} {k + 1}" for k in range(rounds) for w in words]
    return rng.sample(many[: max(n, len(words))], n)


# --- rewrite: one rule, shown by examples --------------------------------------------------------

# The rule, its examples, and from which words.
_ALL_THINGS = (*THINGS["s"], *THINGS["es"], *THINGS["ies"])
_RULES: dict[str, tuple[str, Callable[[str], str], tuple[str, ...], tuple[str, ...]]] = {
    "plural": ("Write the plural:", plural, ("cup", "tax", "penny", "door"), _ALL_THINGS),
    "upper": (
        "Write in capital letters:",
        str.upper,
        ("stone", "coffee", "hat", "planet"),
        (*_ALL_THINGS, *ANIMALS, *COLOURS),
    ),
    "first": (
        "Write the first letter:",
        lambda word: word[0],
        ("stone", "coffee", "hat", "planet"),
        (*_ALL_THINGS, *ANIMALS, *JOBS),
    ),
    "title": (
        "Begin with a capital letter:",
        str.capitalize,
        ("stone", "coffee", "hat", "planet"),
        (*_ALL_THINGS, *ANIMALS, *HOBBIES),
    ),
}


def _rewrite(rng: random.Random, size: int) -> Made:
    family = rng.choice(tuple(_RULES))
    rule, changed, shots, words = _RULES[family]
    asked = rng.sample(words, size)

    def ask(some: Sequence[str]) -> str:
        return f"{rule} {', '.join(some)}"

    def answer(some: Sequence[str]) -> str:
        return ", ".join(map(changed, some))

    # As many words at once as will be asked
    examples = [[shots[(k + j) % len(shots)] for j in range(size)] for k in range(len(shots))]
    parts = Parts(
        before=shown((ask(some), answer(some)) for some in examples),
        pieces=(Piece("question", ask(asked)),),
        max_tokens=4 + 5 * size,
    )
    return Made(parts, "verbatim", answer(asked), family)


# --- sentiment -----------------------------------------------------------------------------------

_PLACES = ("hotel", "restaurant", "film", "phone", "course", "book", "jacket", "concert", "app")
_GOOD = (
    "I loved every minute of it.",
    "It was excellent and I would buy it again.",
    "Best {} I have had in years.",
    "Everything about the {} was wonderful.",
    "I am very happy with this {}.",
    "What a great {}, thank you!",
    "The {} was better than I hoped.",
)
_BAD = (
    "I hated every minute of it.",
    "It was terrible and I want my money back.",
    "Worst {} I have had in years.",
    "Everything about the {} was awful.",
    "I am very unhappy with this {}.",
    "What a waste of money, avoid this {}.",
    "The {} was worse than I feared.",
)
_NEUTRAL = (
    "We went on a Tuesday with two friends.",
    "My sister had told me about it.",
    "It arrived in a brown box.",
    "It took us about an hour to get there.",
    "I had read some reviews before.",
    "There was a sign at the door.",
    "My brother has one too.",
    "It was raining that day.",
)
_REVIEWS = (
    ("The tea was cold and the waiter was rude.", "bad"),
    ("A lovely evening, we laughed a lot.", "good"),
    ("It broke after a day. I was so angry.", "bad"),
    ("It works perfectly, and it looks nice.", "good"),
    ("My uncle gave it to me. It was broken and ugly.", "bad"),
    ("We went there by car. The view was beautiful.", "good"),
)


def _sentiment(rng: random.Random, size: int) -> Made:
    place, label = rng.choice(_PLACES), rng.choice(("good", "bad"))
    said = rng.choice(_GOOD if label == "good" else _BAD).format(place)
    around = rng.sample(_NEUTRAL, min(size - 1, len(_NEUTRAL)))
    at = rng.randrange(len(around) + 1)
    review = " ".join((*around[:at], said, *around[at:]))
    parts = Parts(
        before=shown(_REVIEWS),
        pieces=(Piece("context", review),),
        max_tokens=4,
    )
    return Made(parts, "prefix", label, f"{place} {label}", {"depth": at / max(len(around), 1)})


# --- instructions that can be verified -----------------------------------------------------------

_TOPICS = (
    *("the sea", "winter", "a small garden", "old trains", "breakfast", "a quiet library"),
    *("the moon", "a rainy day", "learning to swim", "a good friend", "city parks", "honey"),
)


class _Ask(NamedTuple):
    """What is asked, how it is verified (`latok.quality.score.CHECKS`), and a text made to obey."""

    text: str
    check: dict[str, Any]
    obeyed: Callable[[str], str] = str


# In the order in which a text is made to obey several.
_ASKS: dict[str, _Ask] = {
    "includes": _Ask('Use the word "{}".', {}),
    "no_commas": _Ask("Use no commas.", {}),
    "at_most_words": _Ask("Use at most 12 words.", {"n": 12}),
    "sentences": _Ask("Write exactly one sentence.", {"n": 1}),
    "starts": _Ask('Begin with "Well".', {"word": "Well"}, lambda text: f"Well {text}"),
    "ends": _Ask('End with "That is all."', {"word": "That is all."}, "{} That is all.".format),
    "lower": _Ask("Use no capital letters.", {}, str.lower),
    "upper": _Ask("Use capital letters only.", {}, str.upper),
    "quoted": _Ask("Put it in double quotes.", {}, '"{}"'.format),
}
# What one cannot do both of
_CLASHES = ({"lower", "upper"}, {"sentences", "ends"})
_WRITTEN = (
    ("the dark", "anchor", "The anchor sank in the dark."),
    ("Sunday", "ladder", "On Sunday we clean the old ladder."),
    ("apples", "curtain", "An apple lies behind the curtain."),
)


def _follow(rng: random.Random, size: int) -> Made:
    word = rng.choice(OBJECTS)
    drawn: list[str] = []
    for kind in rng.sample(tuple(_ASKS), len(_ASKS)):
        if len(drawn) < size and not any({kind, one} in _CLASHES for one in drawn):
            drawn.append(kind)
    kinds = [kind for kind in _ASKS if kind in drawn]

    def ask(word: str) -> str:
        return " ".join(_ASKS[kind].text.format(word) for kind in kinds)

    def obeyed(text: str) -> str:
        for kind in kinds:
            text = _ASKS[kind].obeyed(text)
        return text

    checks = [{"kind": kind} | _ASKS[kind].check for kind in kinds]
    parts = Parts(
        before=shown(
            (f"Write about {topic}.\n\n{ask(used)}", obeyed(text)) for topic, used, text in _WRITTEN
        ),
        pieces=(
            Piece("question", f"Write about {rng.choice(_TOPICS)}."),
            Piece("instruction", ask(word)),
        ),
        max_tokens=40,
    )
    checks = [one | {"word": word} if one["kind"] == "includes" else one for one in checks]
    return Made(parts, "instructions", checks, " ".join(kinds))


# --- remember: a fact from the first turn --------------------------------------------------------

# What is said, from which words, and how one asks for it.
_FACTS = {
    "name": ("my name is {}", NAMES, "What is my name?"),
    "city": ("my city is {}", CITIES, "What is my city?"),
    "job": ("my job is {}", JOBS, "What is my job?"),
    "pet": ("my pet is a {}", ANIMALS, "What is my pet?"),
    "colour": ("my favourite colour is {}", COLOURS, "What is my favourite colour?"),
    "food": ("my favourite food is {}", FOODS, "What is my favourite food?"),
    "hobby": ("my hobby is {}", HOBBIES, "What is my hobby?"),
}
_FILLERS = (
    ("Is it better to walk in the morning or in the evening?", "Both are fine."),
    ("How many days has a week?", "A week has seven days."),
    ("Is tea made with hot or cold water?", "Tea is made with hot water."),
    ("What do bees make?", "Bees make honey."),
    ("Is the sun a star?", "Yes, the sun is a star."),
    ("Can fish swim?", "Yes, fish can swim."),
    ("How many legs has a spider?", "A spider has eight legs."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("Is ice made of water?", "Yes, ice is frozen water."),
    ("How many minutes has an hour?", "An hour has sixty minutes."),
    ("Do birds lay eggs?", "Yes, birds lay eggs."),
    ("What comes after Monday?", "Tuesday comes after Monday."),
)


def _remember(rng: random.Random, size: int) -> Made:
    family, other = rng.sample(tuple(_FACTS), 2)
    told, value = _told(rng, family)
    told_too, _ = _told(rng, other)
    pairs = [(f"Hello, {told} and {told_too}.", "Hello, nice to meet you.")]
    pairs += [(_FACTS[other][2], f"{_yours(told_too)}.")]
    pairs += rng.sample(_FILLERS, min(size, len(_FILLERS)))
    parts = Parts(
        before=spoken(pairs), pieces=(Piece("question", _FACTS[family][2]),), max_tokens=16
    )
    return Made(parts, "contains", value, family)


def _told(rng: random.Random, fact: str) -> tuple[str, str]:
    form, words, _ = _FACTS[fact]
    value = rng.choice(words)
    return form.format(value), value


def _yours(told: str) -> str:
    return told.replace("my", "Your", 1)


# SmolLM2-135M-Instruct Q4_1, embedded OpenVINO engine, greedy, 8 at once, all requests graded; mean
# score, by size: of n=170 each (seed 7, but items of their own) kv 2: 0.82; rewrite 1: 0.59;
# sentiment 4: 0.72; follow 3: 0.86 (0.64 all right); remember 1: 0.43. By `latok measure openvino
# --app chat -c 8 --graded 100% --requests 240 --seed 7`, when the usual sizes were others, n=50 to
# 52: kv 4: 0.37, rewrite 1: 0.58, sentiment 2: 0.90, follow 2: 0.96, remember 1: 0.46. Seed 9, n=23
# or 24: kv 3: 0.61, sentiment 1: 0.75, 2: 0.92, follow 2: 0.89, 4: 0.82. Of 5 wrong sentiments of
# seed 7 all were “bad” taken for “good”. kv with 2 pairs can be guessed half of the time.
TASKS: tuple[Task, ...] = (
    Task(
        name="kv",
        app="chat",
        what="a code among pairs, after two worked questions; size: pairs",
        make=_kv,
        sizes=(2, 4, 8, 16, 32, 64),
        usual=2,
    ),
    Task(
        name="rewrite",
        app="chat",
        what="words changed by a rule that four examples show; size: words",
        make=_rewrite,
        sizes=(1, 2, 3),
        usual=1,
    ),
    Task(
        name="sentiment",
        app="chat",
        what="whether a review is good or bad; size: sentences, of which one says it",
        make=_sentiment,
        sizes=(1, 2, 4, 8),
        usual=4,
    ),
    Task(
        name="follow",
        app="chat",
        what="instructions that a program can verify; size: how many at once",
        make=_follow,
        sizes=(1, 2, 3, 4),
        usual=3,
    ),
    Task(
        name="remember",
        app="chat",
        what="a fact of the first turn; size: turns in between",
        make=_remember,
        sizes=(1, 2, 4, 8),
        usual=1,
    ),
)
