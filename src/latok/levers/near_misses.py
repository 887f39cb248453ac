"""Pairs of questions for a cache by likeness: paraphrases, which may share an answer, and near
misses, which may not: a number, unit, date, name, quote or identifier is another, a negation or an
opposite came in, two things changed places, or a small word is another (`plain`).

Generated from frames, each with several wordings. They were written beside the guard, so its rates
on them are the best that it will do: `false_hits` takes pairs of one's own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from latok.levers.semantic_cache import Pair


class _Frame(NamedTuple):
    """`says`: wordings of one question, with `{name}` of a slot twice at the most as `{name}` and
    `{name2}`; `misses`: wordings of another question, by kind."""

    says: tuple[str, ...]
    misses: tuple[tuple[str, str], ...] = ()


_SLOTS: dict[str, tuple[str, ...]] = {
    "number": ("3", "5", "12", "15", "40", "50", "120", "250", "1,000", "2.5"),
    "unit": ("kg", "miles", "USD", "EUR", "hours", "days", "cups", "litres"),
    "date": ("Q3 2024", "Q3 2025", "May 2023", "June 2023", "12 March", "Monday", "Friday"),
    "name": ("France", "Spain", "Paris", "Madrid", "Lisbon", "Acme", "Globex", "Nora", "Tom"),
    "quote": ('"hello"', '"good night"', '"thank you"', '"see you"'),
    "identifier": ("read_csv", "read_json", "os.path.join", "shutil.copy", "toString", "--force"),
    "plain": ("rice", "pasta", "lentils", "beans", "soup", "french", "spanish", "cat", "dog"),
}
_FRAMES = (
    _Frame(
        (
            "What was the revenue of {name} in {date}?",
            "What revenue did {name} have in {date}?",
            "In {date}, what was {name}'s revenue?",
            "Tell me the revenue of {name} in {date}.",
        ),
        (("negation", "What was not part of the revenue of {name} in {date}?"),),
    ),
    _Frame(
        (
            "How do I enable logging in {name} for {number} days?",
            "How can I enable logging in {name} for {number} days?",
            "What is the way to enable logging in {name} for {number} days?",
            "Please tell me how to enable logging in {name} for {number} days",
        ),
        (
            ("opposite", "How do I disable logging in {name} for {number} days?"),
            ("negation", "How do I not enable logging in {name} for {number} days?"),
        ),
    ),
    _Frame(
        (
            "Is it safe to take {number} {unit} on a flight to {name}?",
            "Can I safely take {number} {unit} on flights to {name}?",
            "Taking {number} {unit} on a flight to {name}: is it safe?",
            "Would it be safe to take {number} {unit} on a flight to {name}?",
        ),
        (
            ("opposite", "Is it unsafe to take {number} {unit} on a flight to {name}?"),
            ("negation", "Isn't it safe to take {number} {unit} on a flight to {name}?"),
        ),
    ),
    _Frame(
        (
            "What does {identifier} return when it is called {number} times?",
            "When called {number} times, what does {identifier} return?",
            "What is returned by {identifier} when it is called {number} times?",
            "What will {identifier} return if it is called {number} times?",
        ),
        (("negation", "What does {identifier} never return when it is called {number} times?"),),
    ),
    _Frame(
        (
            "How do I translate {quote} for a visitor from {name}?",
            "How can one translate {quote} for a visitor from {name}?",
            "For a visitor from {name}, how do I translate {quote}?",
            "What is the translation of {quote} for visitors from {name}?",
        ),
        (("negation", "How do I translate {quote} for nobody from {name}?"),),
    ),
    _Frame(
        (
            "How far is it from {name} to {name2}?",
            "What is the distance from {name} to {name2}?",
            "How far away from {name} is {name2}?",
            "From {name} to {name2}, how far is it?",
        ),
        (("places", "How far is it from {name2} to {name}?"),),
    ),
    _Frame(
        (
            "How long do I boil {plain} for {number} people?",
            "How long should I boil {plain} for {number} people?",
            "For {number} people, how long do I boil {plain}?",
            "Boiling {plain} for {number} people: how long?",
        ),
        (("opposite", "How short can I boil {plain} for {number} people?"),),
    ),
    _Frame(
        (
            "Which plan allows uploads of more than {number} files before {date}?",
            "What plan allows uploads of more than {number} files before {date}?",
            "Before {date}, which plan allows uploads of more than {number} files?",
            "Which plans allow more than {number} files to be uploaded before {date}?",
        ),
        (
            ("opposite", "Which plan allows uploads of less than {number} files before {date}?"),
            ("opposite", "Which plan allows downloads of more than {number} files before {date}?"),
            ("opposite", "Which plan allows uploads of more than {number} files after {date}?"),
            ("negation", "Which plan doesn't allow uploads of more than {number} files by {date}?"),
        ),
    ),
)


def pairs(seed: int, n: int) -> list[Pair]:
    """n of each sort by turns: a paraphrase, and a near miss of the same frame and wording."""
    found = []
    for number in range(n):
        rng = random.Random(f"{seed} {number}")
        frame = _FRAMES[number % len(_FRAMES)]
        slots = {name: rng.sample(values, 2) for name, values in _SLOTS.items()}
        filled = {name: values[0] for name, values in slots.items()} | {"name2": slots["name"][1]}
        one, other = rng.sample(frame.says, 2)
        found.append(Pair(one.format(**filled), other.format(**filled), True, "paraphrase"))
        found.append(_miss(frame, one, filled, slots, rng))
    return found


def _miss(
    frame: _Frame,
    one: str,
    filled: dict[str, str],
    slots: dict[str, list[str]],
    rng: random.Random,
) -> Pair:
    kinds: list[tuple[str, str | None]] = [*frame.misses]
    kinds += [(name, None) for name in slots if f"{{{name}}}" in one]
    kind, said = rng.choice(kinds)
    if said is not None:
        return Pair(one.format(**filled), said.format(**filled), False, kind)
    others: Sequence[str] = [v for v in _SLOTS[kind] if v not in filled.values()]
    return Pair(
        one.format(**filled), one.format(**{**filled, kind: rng.choice(others)}), False, kind
    )
