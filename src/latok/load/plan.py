"""What goes into a driver and what comes out: values, as they cross the pipe to its process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from latok.analysis.cost import most_usd_of
from latok.levers.client import PLAIN, Client
from latok.load.socket import Address
from latok.records import Hosted, Load, Request, Turn
from latok.wire.talk import Talk


class Patience(msgspec.Struct, frozen=True):
    """How long to wait, seconds: for a connection (TLS included), for the first bytes of an answer
    after the request was sent, between two reads of it, and for all of it."""

    connect: float = 10.0
    first: float = 600.0
    silence: float = 600.0
    total: float = 600.0

    @property
    def shortest(self) -> float:
        return min(self.connect, self.first, self.silence, self.total)


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """No request is sent that might pass `most_usd`: all that were sent count as the dearest that
    they may be. `margin`: how many times as many tokens as we think a prompt may have."""

    most_usd: float
    prices: Hosted
    margin: float

    def of(self, request: Request) -> float:
        """US dollars that a request may cost at the most."""
        return most_usd_of(
            self.prices, request.prompt_tokens, request.max_tokens, margin=self.margin
        )


class Cancelling(msgspec.Struct, frozen=True):
    """Clients that go away: a `share` of them, `after` so many seconds from when they asked."""

    after: float
    share: float
    seed: int

    def chosen(self, id: int) -> bool:
        """Whether this request's client goes away; any ten in a row have nearly the share."""
        # multiples of the golden ratio, in 64 bits: no float is fine enough for the largest ids
        return ((id + self.seed) * 0x9E3779B97F4A7C15 & (1 << 64) - 1) < self.share * (1 << 64)


class Later:
    """A following request that waits for its time; built in a quiet moment, at the latest then."""

    __slots__ = ("_build", "_built", "slot")

    def __init__(self, build: Callable[[], Prepared | None], slot: int | None) -> None:
        self._build: Callable[[], Prepared | None] | None = build
        self._built: Prepared | None = None
        self.slot = slot

    def built(self) -> Prepared | None:
        if self._build is not None:
            self._built, self._build = self._build(), None
        return self._built


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One load to hold on one address. Seconds; `None` means without that limit."""

    address: Address
    host: str
    tls: bool
    ca: str | None
    load: Load
    tunnel: bytes = b""  # what to ask a proxy for before anything else
    due: list[float] = []  # open loop: absolute due times, from when connections are open
    ramp: float = 0.0
    warm_up: int = 0
    duration: float | None = None
    requests: int | None = None
    patience: Patience = Patience()
    most_requests: int | None = None
    most_tokens: int | None = None  # asked of prompts and answers together
    spending: Spending | None = None
    limit: float | None = None  # the whole run, window or not
    cancel: Cancelling | None = None
    talk: Talk | None = None  # where requests depend on answers, or those are kept
    client: Client = PLAIN  # what stands in front of the load
    # One of several processes: which, of how many, and the wall-clock time that is zero for all.
    # `load`, `due`, `requests` and the rest are those of all together.
    part: int = 0
    parts: int = 1
    zero: float | None = None

    def mine(self, whole: int) -> int:
        """This process's share of so many."""
        return whole // self.parts + (self.part < whole % self.parts)


class Prepared(msgspec.Struct, frozen=True, array_like=True):
    """A request as it goes to the socket: serialised before the clock starts, or late (`built`, the
    seconds that it took) where it holds an answer. `later`: the rest of its session."""

    request: Request
    data: bytes
    later: tuple[Turn, ...] = ()
    built: float | None = None


class Following(NamedTuple):
    """A session's next request: when it is due after the end of the one before, in seconds, and
    what builds it; that gives None if the session is over after all."""

    think: float
    build: Callable[[], Prepared | None]


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """What the driver can say while it drives, without having decoded anything."""

    at: float
    phase: str
    in_flight: int
    sent: int
    ended: int
    failed: int
    reads: int


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """How a run went: times from its start; the driver's CPU time in the window, and the longest
    time there between two looks at its sockets."""

    started_at: float
    window: tuple[float, float] | None
    ended: Literal["complete", "interrupted", "unfinished"]
    clock_step: float
    kernel_stamps: bool
    client_cpu_s: float
    stall_s: float = 0.0
    why: str = ""
