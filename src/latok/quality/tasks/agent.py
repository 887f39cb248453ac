"""Graded tasks for the app `agent`."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from latok.quality.task import Made, Task
from latok.quality.tasks.words import CITIES, JOBS, NAMES, OBJECTS, shown, spoken
from latok.workload.parts import Parts, Piece


class _Tool(NamedTuple):
    """A tool, and how somebody asks for it. Of each argument: its JSON type, and its values."""

    name: str
    what: str
    ask: str
    arguments: dict[str, tuple[str, tuple[Any, ...]]]


_NUMBERS = tuple(range(2, 10))
_PEOPLE, _TOWNS = tuple(NAMES), tuple(CITIES)
_TOOLS = (
    _Tool(
        "get_weather",
        "the weather in a city",
        "What is the weather in {city}?",
        {"city": ("string", _TOWNS)},
    ),
    _Tool(
        "send_message",
        "send a message to a person",
        'Send {person} the message "{text}".',
        {"person": ("string", _PEOPLE), "text": ("string", ("Hello", "See you", "Call me"))},
    ),
    _Tool(
        "set_timer",
        "start a timer",
        "Start a timer of {minutes} minutes.",
        {"minutes": ("number", (*_NUMBERS, 15, 20, 30))},
    ),
    _Tool(
        "book_table",
        "book a table at a restaurant",
        "Book a table in {city} for {guests} guests.",
        {"city": ("string", _TOWNS), "guests": ("number", _NUMBERS)},
    ),
    _Tool(
        "add_to_cart",
        "put a product into the cart",
        "Put {count} pieces of {product} into my cart.",
        {"product": ("string", OBJECTS), "count": ("number", _NUMBERS)},
    ),
    _Tool(
        "find_flight",
        "find a flight between two cities",
        "Find a flight from {start} to {end}.",
        {"start": ("string", _TOWNS), "end": ("string", _TOWNS)},
    ),
    _Tool(
        "call_person",
        "call a person by phone",
        "Call {person}.",
        {"person": ("string", _PEOPLE)},
    ),
    _Tool(
        "find_person",
        "find somebody by job and city",
        "Find a {job} in {city}.",
        {"job": ("string", tuple(JOBS)), "city": ("string", _TOWNS)},
    ),
    _Tool(
        "play_song",
        "play a song",
        'Play the song "{title}".',
        {"title": ("string", ("Yellow Moon", "Summer Rain", "Old Friends", "Blue Train"))},
    ),
    _Tool(
        "set_light",
        "set the light of a room",
        "Set the light in the {room} to {percent} percent.",
        {
            "room": ("string", ("kitchen", "bedroom", "garage", "office")),
            "percent": ("number", (10, 20, 40, 60, 80)),
        },
    ),
)


def _schema(tool: _Tool) -> str:
    properties = {name: {"type": kind} for name, (kind, _) in tool.arguments.items()}
    return json.dumps({"name": tool.name, "description": tool.what, "parameters": properties})


def _drawn(rng: random.Random, tool: _Tool) -> dict[str, Any]:
    """Arguments, no two alike."""
    while True:
        values = {name: rng.choice(some) for name, (_, some) in tool.arguments.items()}
        if len(set(map(str, values.values()))) == len(values):
            return values


def _call(name: str, arguments: dict[str, Any]) -> str:
    return json.dumps({"name": name, "arguments": arguments})


# Of the worked requests: a tool of another name, so that its call cannot be copied.
_SHOWN = (
    _Tool(
        "turn_on",
        "turn on a device in a room",
        "Turn on the {device} in the {room}.",
        {"device": ("string", ("fan",)), "room": ("string", ("attic",))},
    ),
    _Tool(
        "translate",
        "translate pages into a language",
        "Translate {pages} pages into {language}.",
        {"pages": ("number", (3,)), "language": ("string", ("Dutch",))},
    ),
    _Tool("open_door", "open a door", "Open the {door} door.", {"door": ("string", ("front",))}),
    _Tool(
        "buy_shares",
        "buy shares of a company",
        "Buy {shares} shares of {company}.",
        {"shares": ("number", (12,)), "company": ("string", ("Acme",))},
    ),
)


def _example(tool: _Tool) -> tuple[str, str]:
    values = {name: some[0] for name, (_, some) in tool.arguments.items()}
    return f"{tool.ask.format(**values)}\n\n{_schema(tool)}", _call(tool.name, values)


def _tool_call(rng: random.Random, size: int) -> Made:
    tools = rng.sample(_TOOLS, min(size, len(_TOOLS)))
    tool = rng.choice(tools)
    arguments = _drawn(rng, tool)
    parts = Parts(
        before=shown(map(_example, _SHOWN)),
        pieces=(
            Piece("question", tool.ask.format(**arguments)),
            *(Piece("data", _schema(one), name=one.name) for one in tools),
        ),
        max_tokens=48,
    )
    answer = {"name": tool.name, "arguments": arguments}
    return Made(parts, "tool_call", answer, tool.name)


_WHICH = "Which tool answers the request?"


def _choose(rng: random.Random, size: int) -> Made:
    tools = rng.sample(_TOOLS, min(size, len(_TOOLS)))
    tool = rng.choice(tools)

    def lines(some: Sequence[_Tool]) -> str:
        return "\n".join(f"{one.name}: {one.what}" for one in some)

    examples = (
        (f"{_WHICH}\n\n{lines(_SHOWN[:2])}\n\nTurn on the fan in the attic.", "turn_on"),
        (f"{_WHICH}\n\n{lines(_SHOWN[:2])}\n\nTranslate 3 pages into Dutch.", "translate"),
    )
    parts = Parts(
        before=shown(examples),
        pieces=(
            Piece("instruction", _WHICH, shared=True),
            Piece("data", lines(tools)),
            Piece("question", tool.ask.format(**_drawn(rng, tool))),
        ),
        max_tokens=10,
    )
    return Made(parts, "prefix", tool.name, tool.name)


# --- a value of one result is an argument of the next call ---------------------------------------

# First tool and what it is asked by, second tool, its argument, other fields of the result.
_CHAINS = {
    "order": ("find_order", "customer", "cancel_order", "order_id", "Cancel the order of {}."),
    "parcel": ("find_parcel", "receiver", "track_parcel", "parcel_id", "Track the parcel of {}."),
    "ticket": ("find_ticket", "reporter", "close_ticket", "ticket_id", "Close the ticket of {}."),
    "invoice": ("find_invoice", "client", "pay_invoice", "invoice_id", "Pay the invoice of {}."),
    "booking": ("find_booking", "guest", "move_booking", "booking_id", "Move the booking of {}."),
}
_FIELDS = (
    *("total", "weight", "floor", "shelf", "desk", "phone", "postcode", "version", "branch"),
    *("account", "batch", "price", "stock", "year", "line", "page"),
)


_FILE = {"file_id": 4388}
_FOUND = {"size": 7210, **_FILE, "folder": 1956}
_PAGE = {"page_id": 6145}
_SEEN = {**_PAGE, "width": 3302}
_NEXT = "Now call {} with the {} of the result."


def _then(result: dict[str, int], tool: str, wanted: str) -> str:
    return f"Result: {json.dumps(result)}\n\n{_NEXT.format(tool, wanted)}"


def _pass_on(rng: random.Random, size: int) -> Made:
    family = rng.choice(tuple(_CHAINS))
    first, by, second, wanted, ask = _CHAINS[family]
    person = rng.choice(NAMES)
    others = rng.sample(_FIELDS, min(size, len(_FIELDS)) - 1)
    fields = rng.sample([wanted, *others], len(others) + 1)
    result = dict(zip(fields, rng.sample(range(1000, 10_000), len(fields)), strict=True))
    parts = Parts(
        before=(
            *shown([("Delete the file of Rita.", _call("find_file", {"owner": "Rita"}))]),
            *shown([(_then(_FOUND, "delete_file", "file_id"), _call("delete_file", _FILE))]),
            *shown([("Print the page of Hugo.", _call("find_page", {"author": "Hugo"}))]),
            *shown([(_then(_SEEN, "print_page", "page_id"), _call("print_page", _PAGE))]),
            *spoken([(ask.format(person), _call(first, {by: person}))]),
        ),
        pieces=(
            Piece("data", f"Result: {json.dumps(result)}"),
            Piece("question", _NEXT.format(second, wanted)),
        ),
        max_tokens=32,
    )
    answer = {"name": second, "arguments": {wanted: result[wanted]}}
    depth = fields.index(wanted) / max(len(fields) - 1, 1)
    return Made(parts, "tool_call", answer, family, {"depth": depth})


# SmolLM2-135M-Instruct Q4_1, embedded OpenVINO engine, greedy, 8 at once, seed 7, all requests
# graded; share that is all right, by size: tool_call 1: 0.40 (n=45), choose_tool 2: 0.72 (n=47),
# pass_on 2: 0.64 (n=44). Earlier, n=24: pass_on 1: 0.88, 4: 0.25.
TASKS: tuple[Task, ...] = (
    Task(
        name="tool_call",
        app="agent",
        what="the call of a tool as JSON, every argument exact; size: tools to choose from",
        make=_tool_call,
        sizes=(1, 2, 4, 8),
        usual=1,
    ),
    Task(
        name="choose_tool",
        app="agent",
        what="which tool answers a request; size: tools to choose from",
        make=_choose,
        sizes=(2, 4, 8, 10),
        usual=2,
    ),
    Task(
        name="pass_on",
        app="agent",
        what="a value of one result as an argument of the next call; size: fields of the result",
        make=_pass_on,
        sizes=(1, 2, 4, 8, 16),
        usual=2,
    ),
)
