"""Questions that are asked beside any load, each for its whole answer; nothing here is timed.

As in the probe they go by the standard library; a server that is busy is asked again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from latok.errors import TargetError
from latok.load.probe import Conversation, Found, heard
from latok.records import Request
from latok.wire.reply import Reply

_BUSY = (429, 500, 502, 503, 529)  # 529: Anthropic's "overloaded"
_PAUSES = (2.0, 8.0)  # seconds before it is asked once more, where the server names none
_LONGEST = 60.0  # that we wait though it names more


class Asking:
    """Asks what was found at one site; a thread keeps its connection."""

    def __init__(self, found: Found, talk: Conversation) -> None:
        self._found = found
        self._talk = talk

    def ask(self, request: Request) -> Reply:
        """The whole answer. Raises TargetError if none comes, or the server breaks it off."""
        found = self._found
        body = found.dialect.body(request, found.model, found.accepts)
        answer = heard(self._talk, found.site, found.dialect, body)
        for pause in _PAUSES:
            if answer.status not in _BUSY:
                break
            named = answer.headers.get("retry-after", "")
            time.sleep(min(float(named), _LONGEST) if named.isdecimal() else pause)
            answer = heard(self._talk, found.site, found.dialect, body)
        if answer.reply is None:
            raise TargetError(f"HTTP {answer.status} {answer.said}".strip())
        if answer.reply.error is not None:
            raise TargetError(answer.reply.error.text)
        return answer.reply


@contextmanager
def asking(found: Found) -> Iterator[Asking]:
    with closing(Conversation(found.site)) as talk:
        yield Asking(found, talk)
