"""The levers that act in the client before it sends, by name: what their values say."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from latok.errors import UsageError


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What a client does before it sends. `cache`: answers are kept for the same request, or from a
    `likeness` on for a question that is alike; `cap`: requests that it has open at once, None:
    any number; `warm`: shared beginnings are sent before the users come."""

    cache: bool = False
    likeness: float | None = None
    cap: int | None = None
    warm: bool = False


PLAIN = Client()  # sends all that it is asked to, at once
CLIENT_LEVERS = (
    *("response_cache", "semantic_cache", "warm_prefix", "concurrency_cap", "offline_batch"),
)


def client(levers: Mapping[str, str]) -> Client:
    """What these of `CLIENT_LEVERS` make of a client that does nothing. Raises UsageError for a
    value that a lever does not have, and for what cannot be together."""
    if levers.get("offline_batch", "off") != "off":
        raise UsageError(
            "offline_batch is a plan, not a setting to compare: latok batch MAP --requests 10k "
            "--deadline 1h says how many at a time, and how long that takes"
        )
    exact = _on("response_cache", levers)
    likeness = _likeness(levers.get("semantic_cache", "off"))
    if exact and likeness is not None:
        raise UsageError("response_cache and semantic_cache are one cache: turn one of them")
    cap = levers.get("concurrency_cap", "off")
    if cap != "off" and not (cap.isdecimal() and int(cap) > 0):
        raise UsageError(f"concurrency_cap is off or a whole number of at least 1, not '{cap}'")
    return Client(
        cache=exact or likeness is not None,
        likeness=likeness,
        cap=None if cap == "off" else int(cap),
        warm=_on("warm_prefix", levers),
    )


def _on(name: str, levers: Mapping[str, str]) -> bool:
    value = levers.get(name, "off")
    if value not in ("on", "off"):
        raise UsageError(f"{name} is on or off, not '{value}'")
    return value == "on"


def _likeness(value: str) -> float | None:
    if value == "off":
        return None
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise UsageError(
            f"semantic_cache is off or a likeness above 0 and at most 1, not '{value}'"
        )
    return found
