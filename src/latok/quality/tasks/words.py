"""The words that items are made of: common ones, that a small model knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from latok.records import Message


def _of(words: str) -> tuple[str, ...]:
    return tuple(words.split())


NAMES = _of(
    "Anna Ben Carla David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nina Oscar Paul Quinn "
    "Rosa Sam Tina Victor Wendy Alice Brian Clara Daniel Ella Felix Helen Ivan Julia Kevin Laura "
    "Martin Nora Peter Rachel Simon Teresa Walter"
)
CITIES = _of(
    "Paris London Berlin Madrid Rome Vienna Oslo Dublin Lisbon Athens Tokyo Cairo Boston Chicago "
    "Denver Seattle Toronto Sydney Lima Prague Warsaw Helsinki Munich Milan Geneva Austin"
)
JOBS = _of(
    "teacher doctor nurse baker lawyer driver farmer painter writer singer engineer waiter pilot "
    "plumber dentist gardener"
)
COLOURS = _of("red blue green yellow black white brown purple orange pink grey")
ANIMALS = _of("dog cat rabbit horse parrot turtle hamster goat pony duck")
FOODS = _of(
    "pizza pasta soup salad rice curry cake bread cheese apples grapes noodles pancakes oranges"
)
HOBBIES = _of(
    "chess tennis painting cooking fishing swimming gardening hiking football reading dancing "
    "cycling"
)
MONTHS = _of(
    "January February March April May June July August September October November December"
)
# Things with a regular plural, by its rule.
THINGS = {
    "s": _of(
        "book chair lamp window garden river bridge flower letter candle mirror pencil ticket "
        "bottle carpet basket hammer blanket engine pillow shirt table spoon kettle"
    ),
    "es": _of("box dish brush glass match bus class bench fox wish church dress"),
    "ies": _of("city baby party story lady berry puppy family country cherry"),
}
OBJECTS = (*THINGS["s"], "box", "dish", "brush", "glass")


def plural(word: str) -> str:
    """Of one of THINGS."""
    if word in THINGS["ies"]:
        return word.removesuffix("y") + "ies"
    return word + ("es" if word in THINGS["es"] else "s")


def shown(pairs: Iterable[tuple[str, str]]) -> tuple[Message, ...]:
    """Worked questions as turns that came before: to a model that was tuned to chat, examples
    inside one text are a text to comment on (SmolLM2-135M-Instruct: 0 of 24 right in ten tasks)."""
    return spoken(pairs, examples=True)


def spoken(pairs: Iterable[tuple[str, str]], *, examples: bool = False) -> tuple[Message, ...]:
    """Turns of a conversation, which the question needs unless they are `examples`."""
    return tuple(
        Message(role, text, examples)
        for ask, answer in pairs
        for role, text in (("user", ask), ("assistant", answer))
    )


def listed(words: Sequence[str]) -> str:
    """As in a sentence: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
