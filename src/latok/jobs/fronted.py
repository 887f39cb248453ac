"""A trial of what stands in front of the target: as its users see it, and what a cache answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from latok.levers.warm_prefix import prefixes
from latok.quality.hits import Use
from latok.quality.items import Item
from latok.records import Record
from latok.workload.parts import Parts, Piece

_LEAST = 32  # tokens, of which a prefix cache keeps whole blocks (OpenVINO: 32, vLLM: 16)


def as_users(records: Iterable[Record]) -> list[Record]:
    """The records with their times from when each was wanted: what waits in the client waits, too,
    and a look-up takes its time. What was never sent stays so."""
    return [record if record.sent_first is None else _waited(record) for record in records]


def _waited(record: Record) -> Record:
    first, last = record.sent_first, record.sent_last
    # how long sending took stays the doubt of it
    last = None if first is None or last is None else record.due + (last - first)
    return msgspec.structs.replace(record, sent_first=record.due, sent_last=last)


def uses(
    records: Iterable[Record], item: Callable[[int], Item | None], origin: Callable[[int], int]
) -> list[Use]:
    """What the cache did for each request that was answered. By id: `origin`, which of all the
    different requests it is; `item`, what is graded in it, None where nothing is."""
    found = []
    for record in records:
        if not record.ok:
            continue
        source = record.answered_by
        if source is None or record.closed_at is None or record.sent_first is None:
            found.append(Use())
            continue
        borrowed = origin(source) != origin(record.id)
        asked, answered = item(record.id), item(source)
        alike = (
            asked
            and answered
            and (asked.scorer, asked.answer)
            == (
                answered.scorer,
                answered.answer,
            )
        )
        found.append(Use(record.closed_at - record.sent_first, borrowed, borrowed and not alike))
    return found


def to_warm(parts: Sequence[Parts], count: Callable[[list[str]], list[int]]) -> list[Item]:
    """Requests of one token with the beginnings that these share, in the place of items."""
    found = []
    for n, warm in enumerate(prefixes(parts, _LEAST, count)):
        asking = warm.parts
        if not asking.pieces:  # some servers refuse a message without any text
            asking = msgspec.structs.replace(asking, pieces=(Piece("question", "…"),))
        found.append(
            Item(id=f"warm/{n}", task="warm", family="", parts=asking, scorer="exact", answer="…")
        )
    return found


def salted(parts: Parts, salt: str) -> Parts:
    """The parts with first words of their own, which no prefix cache knows from a round before."""
    if parts.before:
        first, *rest = parts.before
        first = msgspec.structs.replace(first, content=f"{salt}\n{first.content}")
        return msgspec.structs.replace(parts, before=(first, *rest))
    first_piece, *others = parts.pieces
    first_piece = msgspec.structs.replace(first_piece, text=f"{salt}\n{first_piece.text}")
    return msgspec.structs.replace(parts, pieces=(first_piece, *others))
