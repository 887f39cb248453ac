"""What goes wrong below HTTP or in it, for any dialect: steps over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from latok.load.golden import Asked, Step, chunked
from tests.golden.case import Case
from tests.golden.quirks import CASES, by_path, head

TAIL = b"0\r\n\r\n"
Fault = Callable[[Case], Iterator[Step]]


def begun(case: Case) -> Iterator[Step]:
    """The head and the first event, which is whole."""
    yield Step(0.0, head(case) + chunked(case.steps[0].data), None, case.steps[0].kind)


def body(case: Case) -> bytes:
    return b"".join(step.data for step in case.steps)


def whole(case: Case) -> bytes:
    return head(case) + chunked(body(case)) + TAIL


def late_head(case: Case) -> Iterator[Step]:
    yield Step(0.3, whole(case))


def slow_head(case: Case) -> Iterator[Step]:
    data = head(case)
    for n in range(len(data)):
        yield Step(n * 1e-3, data[n : n + 1])
    yield Step(len(data) * 1e-3, chunked(body(case)) + TAIL)


def byte_by_byte(case: Case) -> Iterator[Step]:
    for n, byte in enumerate(whole(case)):
        yield Step(n * 1e-4, bytes((byte,)))


def until_it_closes(case: Case) -> Iterator[Step]:
    plain = head(case).replace(b"Transfer-Encoding: chunked\r\n", b"")
    yield Step(0.0, plain + body(case), end="close")


def stalled(case: Case) -> Iterator[Step]:
    yield from begun(case)
    yield Step(60.0, TAIL)


def half_closed(case: Case) -> Iterator[Step]:
    yield from begun(case)
    yield Step(0.01, end="half")


def cut(case: Case) -> Iterator[Step]:
    yield from begun(case)
    yield Step(0.01, b"ff\r\nda", end="close")


def too_short(case: Case) -> Iterator[Step]:
    plain = head(case).replace(b"Transfer-Encoding: chunked", b"Content-Length: 9999")
    yield Step(0.0, plain + body(case), end="close")


def reset(case: Case) -> Iterator[Step]:
    yield from begun(case)
    yield Step(0.05, end="reset")


def mute(case: Case) -> Iterator[Step]:
    yield Step(0.0, end="close")


def not_http(case: Case) -> Iterator[Step]:
    yield Step(0.0, b"\x16\x03\x01 this is not HTTP\r\n\r\n", end="close")


def bad_chunk(case: Case) -> Iterator[Step]:
    yield from begun(case)
    yield Step(0.01, b"not a length\r\n", end="close")


def endless_head(case: Case) -> Iterator[Step]:
    yield Step(0.0, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, end="close")


def upgraded(case: Case) -> Iterator[Step]:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    yield Step(0.0, switch, end="close")


# What each is, and the kinds of Failure that say so (none: the answer is whole).
FAULTS: dict[str, tuple[Fault, str, set[str]]] = {
    "late_head": (late_head, "The head comes late", set()),
    "slow_head": (slow_head, "The head comes byte by byte", set()),
    "byte_by_byte": (byte_by_byte, "All comes byte by byte", set()),
    "until_it_closes": (until_it_closes, "A body without a length, ended by closing", set()),
    "stalled": (stalled, "It stalls", {"timeout"}),
    "half_closed": (half_closed, "It closes its half in the middle", {"closed"}),
    "cut": (cut, "It closes in the middle of an event", {"closed"}),
    "too_short": (too_short, "The body is shorter than it said", {"closed"}),
    "reset": (reset, "It resets the connection", {"reset"}),
    "mute": (mute, "It closes without a word", {"closed", "reset"}),
    "not_http": (not_http, "It does not speak HTTP", {"protocol"}),
    "bad_chunk": (bad_chunk, "Broken framing", {"protocol"}),
    "endless_head": (endless_head, "A head without end", {"protocol"}),
    "upgraded": (upgraded, "It changes protocols", {"protocol"}),
}


def played(asked: Asked) -> Iterable[Step]:
    """`/quirk/<dialect>/<name>` and `/fault/<dialect>/<name>`."""
    _, what, dialect, name = asked.path.split("/")
    return by_path(asked) if what == "quirk" else FAULTS[name][0](CASES[dialect, "plain"])


def mortal(asked: Asked) -> Iterator[Step]:
    """Answers in 20 ms; with the sixth request it dies for half a second."""
    case = CASES["openai-chat", "plain"]
    yield from begun(case)
    if asked.n == 5:
        yield Step(0.01, end="die")
        yield Step(0.5, end="rise")
    yield Step(0.02, b"".join(chunked(step.data) for step in case.steps[1:]) + TAIL)
