"""Graded tasks for the app `batch`."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from latok.quality.task import Made, Task
from latok.quality.tasks.words import CITIES, COLOURS, HOBBIES, JOBS, MONTHS, NAMES, listed, shown
from latok.workload.parts import Parts, Piece

# --- json: fields of a sentence ------------------------------------------------------------------

_PERSON = {
    "name": ("{}", NAMES),
    "age": ("{} years old", tuple(range(19, 80))),
    "city": ("lives in {}", CITIES),
    "job": ("works as a {}", JOBS),
    "likes": ("likes {}", HOBBIES),
    "colour": ("drives a {} car", COLOURS),
}
_ORDERS = ("{name} is {rest}.", "Our customer {name} is {rest}.", "We met {name}, who is {rest}.")


_KNOWN: tuple[dict[str, Any], ...] = (
    {"name": "Rita", "age": 88, "city": "Naples", "job": "tailor", "likes": "skiing"}
    | {"colour": "silver"},
    {"name": "Hugo", "age": 18, "city": "Bergen", "job": "judge", "likes": "sailing"}
    | {"colour": "golden"},
    {"name": "Lena", "age": 81, "city": "Dresden", "job": "butcher", "likes": "yoga"}
    | {"colour": "beige"},
)


def _sentence(form: str, values: dict[str, Any]) -> str:
    phrases = [_PERSON[field][0].format(value) for field, value in values.items()]
    return form.format(name=phrases[0], rest=listed(phrases[1:]))


def _json(rng: random.Random, size: int) -> Made:
    fields = ["name", "age", *rng.sample(list(_PERSON)[2:], min(max(size - 2, 0), 4))]
    values = {field: rng.choice(_PERSON[field][1]) for field in fields}
    form = rng.choice(_ORDERS)
    ask = f"Extract {listed(fields)} as JSON."
    parts = Parts(
        before=shown(
            (f"{ask}\n\n{_sentence(order, some)}", json.dumps(some))
            for order, some in zip(
                _ORDERS, ({field: one[field] for field in fields} for one in _KNOWN), strict=True
            )
        ),
        pieces=(
            Piece("instruction", ask),
            Piece("context", _sentence(form, values)),
        ),
        max_tokens=48,
    )
    return Made(parts, "json_fields", values, f"{' '.join(sorted(fields))} {_ORDERS.index(form)}")


# --- classify: a text into one of the labels -----------------------------------------------------

_LABELS = {
    "sport": (
        "The team won the final by two goals.",
        "She ran the marathon in under three hours.",
        "The player was sold to another club.",
        "The match ended after extra time.",
    ),
    "food": (
        "Add salt and butter, then bake the bread.",
        "The soup needs more pepper and an onion.",
        "This pasta is served with tomato sauce.",
        "Stir the eggs into the sugar.",
    ),
    "weather": (
        "Heavy rain and strong wind are expected.",
        "Tomorrow will be sunny and warm.",
        "Snow fell on the hills all night.",
        "The fog will clear by noon.",
    ),
    "money": (
        "The bank raised its interest rate.",
        "Shares of the company fell by five percent.",
        "Inflation and taxes went up this year.",
        "The loan must be paid back in ten years.",
    ),
    "music": (
        "The singer played a song on the guitar.",
        "The orchestra gave a concert in the hall.",
        "Their new album has twelve songs.",
        "He practises the piano every day.",
    ),
    "health": (
        "The doctor gave the patient a vaccine.",
        "Take this medicine twice a day for the cough.",
        "The nurse measured her blood pressure.",
        "He was taken to hospital with a fever.",
    ),
    "travel": (
        "The flight to Rome leaves from gate nine.",
        "We booked a hotel near the beach for a week.",
        "Tourists need a passport and a visa.",
        "Our train journey across the country took two days.",
    ),
    "school": (
        "The pupils wrote an exam in mathematics.",
        "The teacher gave the class some homework.",
        "She studies history at the university.",
        "The children learn to read and write.",
    ),
}
_LEADS = ("", "As we heard today: ", "A reader writes: ", "From the archive: ", "In short: ")


_SORTED = (
    (("animals", "cars"), "The dog sleeps in the garden.", "animals"),
    (("plants", "law"), "The judge sent him to prison.", "law"),
    (("law", "animals"), "The cat has four kittens.", "animals"),
    (("cars", "plants"), "The tulips need water and light.", "plants"),
)


def _classify(rng: random.Random, size: int) -> Made:
    labels = rng.sample(tuple(_LABELS), min(max(size, 2), len(_LABELS)))
    label = rng.choice(labels)
    text = rng.choice(_LEADS) + rng.choice(_LABELS[label])

    def ask(some: Sequence[str]) -> str:
        return f"Which label does the text have: {', '.join(some)}?"

    parts = Parts(
        before=shown((f"{ask(some)}\n\n{text}", label) for some, text, label in _SORTED),
        pieces=(Piece("question", ask(labels)), Piece("context", text)),
        max_tokens=6,
    )
    return Made(parts, "prefix", label, f"{label} {_LABELS[label].index(text.split(': ')[-1])}")


# --- arithmetic: word problems -------------------------------------------------------------------

_COUNTED = ("apples", "books", "cards", "coins", "pens", "eggs", "stamps", "tickets")


def _story(people: Sequence[str], counts: Sequence[int], things: str) -> tuple[str, str]:
    said = " ".join(f"{name} has {n} {things}." for name, n in zip(people, counts, strict=True))
    return said, f"How many {things} do {listed(people)} have?"


def _arithmetic(rng: random.Random, size: int) -> Made:
    things = rng.choice(_COUNTED)
    counts = [rng.randrange(1, 10) for _ in range(size + 1)]
    people = rng.sample(NAMES, size + 1)
    before = []
    for k, thing in enumerate(("keys", "cups", "maps", "nuts")):
        known = [(7, 3, 4, 8, 2, 6, 5, 9)[(3 * k + j) % 8] for j in range(size + 1)]
        others = [("Rita", "Hugo", "Lena", "Otto")[j % 4] for j in range(size + 1)]
        text, ask = _story(others, known, thing)
        before.append((f"{text}\n\n{ask}", f"{' + '.join(map(str, known))} = {sum(known)}"))
    text, ask = _story(people, counts, things)
    parts = Parts(
        before=shown(before),
        pieces=(Piece("context", text), Piece("question", ask)),
        max_tokens=16 + 8 * (size - 1),
    )
    return Made(parts, "number", sum(counts), things)


# --- date: one form into another -----------------------------------------------------------------

_FORMS = ("{month} {day}, {year}", "{day}. {month} {year}", "{day} {month} {year}")


_AS = "Write the date as year-month-day:"


def _date(rng: random.Random, size: int) -> Made:
    form = rng.choice(_FORMS[: min(size, len(_FORMS))])
    month, day, year = rng.randrange(12), rng.randrange(10, 29), rng.randrange(1950, 2030)
    asked = form.format(day=day, month=MONTHS[month], year=year)
    answer = f"{year}-{month + 1:02}-{day:02}"
    dates = (
        (24, "March", 1987),
        (11, "November", 2016),
        (19, "June", 2003),
        (27, "January", 1965),
        (12, "May", 1978),
        (26, "October", 2021),
    )
    parts = Parts(
        before=shown(
            (f"{_AS} {form.format(day=d, month=m, year=y)}", f"{y}-{MONTHS.index(m) + 1:02}-{d}")
            for d, m, y in dates
        ),
        pieces=(Piece("question", f"{_AS} {asked}"),),
        max_tokens=16,
    )
    return Made(parts, "prefix", answer, f"{form} {MONTHS[month]}")


# SmolLM2-135M-Instruct Q4_1, embedded OpenVINO engine, greedy, 8 at once, seed 8, all requests
# graded, n=44 or 45; mean score, by size: json 3: 0.95 (0.86 all right), classify 2: 0.64,
# arithmetic 1: 0.36, date 1: 0.61, 3: 0.50. Seed 9, n=11 to 13: json 3: 0.92, 4: 0.71, classify 2:
# 0.46, arithmetic 1: 0.58, date 1: 0.55, 2: 0.33, 3: 0.45. Earlier, n=24: classify 3: 0.42.
TASKS: tuple[Task, ...] = (
    Task(
        name="json",
        app="batch",
        what="fields of a sentence as JSON; size: fields",
        make=_json,
        sizes=(2, 3, 4, 5, 6),
        usual=3,
    ),
    Task(
        name="classify",
        app="batch",
        what="the label of a text; size: labels to choose from",
        make=_classify,
        sizes=(2, 4, 8),
        usual=2,
    ),
    Task(
        name="arithmetic",
        app="batch",
        what="word problems with small numbers; size: additions",
        make=_arithmetic,
        sizes=(1, 2, 3),
        usual=1,
    ),
    Task(
        name="date",
        app="batch",
        what="a date in ISO form; size: ways in which it may be written",
        make=_date,
        sizes=(1, 2, 3),
        usual=1,
    ),
)
