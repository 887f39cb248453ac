"""Sessions, whose next request holds the answer before it: built in the driver, while it drives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from latok.load.plan import Following, Prepared
from latok.records import Message, Request, Turn
from latok.wire.capture import Capture
from latok.wire.talk import Talk
from latok.workload.ask import next_id


class Sessions:
    """The sessions that are not over. `begun` hears of each, `follow` is the driver's hook."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._asked: dict[int, tuple[Request, tuple[Turn, ...]]] = {}  # by the request in flight

    def begun(self, supply: Iterator[Prepared]) -> Iterator[Prepared]:
        """The same requests; those that others will follow are remembered."""
        for prepared in supply:
            if prepared.later:
                self._asked[prepared.request.id] = prepared.request, prepared.later
            yield prepared

    def follow(self, capture: Capture) -> Following | None:
        """What comes after an answer; None where the session is over, or where the answer failed:
        its user goes away."""
        asked = self._asked.pop(capture.id, None)
        if asked is None or capture.error is not None or capture.status != 200:
            return None
        request, later = asked
        return Following(later[0].think, partial(self._build, request, later, capture))

    def _build(
        self, request: Request, later: tuple[Turn, ...], capture: Capture
    ) -> Prepared | None:
        """The next request, with what the target answered; None if that was an error."""
        began = time.perf_counter()
        reply = self._talk.heard(capture)
        if reply.error is not None:
            return None
        turn, rest = later[0], later[1:]
        # not an empty text: some servers refuse a message without any
        answer = Message("assistant", "".join(reply.text) or "…")
        usage = reply.usage
        read = usage.prompt_tokens if usage else None
        written = usage.completion_tokens if usage else None
        following = Request(
            id=next_id(request),
            prompt=turn.text,
            prompt_tokens=(read or request.prompt_tokens)
            + (written or request.max_tokens)
            + turn.tokens,
            max_tokens=turn.max_tokens,
            app=request.app,
            session=request.session,
            turn=request.turn + 1,
            before=(*request.before, Message("user", request.prompt), answer),
        )
        if rest:
            self._asked[following.id] = following, rest
        data = self._talk.bytes_of(following)
        return Prepared(following, data, built=time.perf_counter() - began)
