"""A mirror of OpenVINO's prefix cache, which does not say what it found. Pure.

Follows its block manager (2026.4): blocks of 32 tokens, each known by the hash of all tokens up to
its end; the last block of a request is known by what is in it so far, and is found only by a prompt
that goes on from exactly there. What nobody uses stays until its room is needed, the longest unused
first.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

BLOCK = 32  # tokens


class _Block:
    __slots__ = ("key", "used", "users")

    def __init__(self, key: int, used: int) -> None:
        self.key = key
        self.users = 1
        self.used = used


class _Held:
    """The blocks of one request. `tokens`: prompt and answer so far; `keys`: of its full blocks."""

    __slots__ = ("blocks", "keys", "tokens")

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.keys: list[int] = []
        self.blocks: list[_Block] = []

    def key(self, end: int) -> int:
        """Of the tokens before `end`."""
        full = end // BLOCK
        while len(self.keys) < full:
            at = len(self.keys) * BLOCK
            before = self.keys[-1] if self.keys else 0
            self.keys.append(hash((before, *self.tokens[at : at + BLOCK])))
        if end % BLOCK == 0:
            return self.keys[full - 1] if full else 0
        return hash((self.keys[full - 1] if full else 0, *self.tokens[full * BLOCK : end]))


class PrefixMirror:
    """What a cache of `size` blocks holds, told of each request's life in the order of events."""

    def __init__(self, size: int) -> None:
        self.size = self._unused = size
        self._known: dict[int, _Block] = {}
        self._idle: list[tuple[int, int]] = []  # heap of (last used, key); may be out of date
        self._idle_blocks: dict[int, _Block] = {}
        self._held: dict[int, _Held] = {}
        self._clock = 0

    @property
    def in_use(self) -> int:
        """Blocks that requests hold now; what the engine calls cache usage."""
        return self.size - self._unused - len(self._idle_blocks)

    def add(self, request: int, prompt: Sequence[int]) -> int:
        """How many tokens of the prompt need no work. At least one always does."""
        held = self._held[request] = _Held(list(prompt))
        self._clock += 1
        end, size = 0, len(prompt)
        while end < size:
            start, end = end, min(end + BLOCK, size)
            if self._take(held, held.key(end)):
                continue
            for part in range(start + 1, end):
                if self._take(held, held.key(part)):
                    return part
            return start
        return size - 1

    def fill(self, request: int, processed: int) -> None:
        """A step begins that will have worked on so many tokens of the prompt."""
        self._clock += 1
        self._reach(self._held[request], processed)

    def extend(self, request: int, tokens: Sequence[int]) -> None:
        """A step begins that works on the tokens which the one before gave."""
        held = self._held[request]
        held.tokens += tokens
        self._clock += 1
        self._reach(held, len(held.tokens))

    def _reach(self, held: _Held, end: int) -> None:
        """Blocks for the tokens before `end`, each known by all that is known to come into it."""
        size = len(held.tokens)
        if held.blocks:
            key = held.key(min(len(held.blocks) * BLOCK, size))
            if held.blocks[-1].key != key:
                self._rename(held, key)
        while len(held.blocks) * BLOCK < end:
            held.blocks.append(self._new(held.key(min((len(held.blocks) + 1) * BLOCK, size))))

    def drop(self, request: int) -> None:
        """The request has ended; its blocks can be found until their room is needed."""
        for block in self._held.pop(request).blocks:
            block.users -= 1
            if block.users:
                continue
            mine = self._known.get(block.key) is block
            twin = self._idle_blocks.get(block.key)
            if mine and twin is None:
                self._idle_blocks[block.key] = block
                heapq.heappush(self._idle, (block.used, block.key))
                continue
            self._unused += 1  # another block has the same content
            if mine and twin is not None:
                self._known[block.key] = twin

    def _take(self, held: _Held, key: int) -> bool:
        block = self._known.get(key)
        if block is None:
            return False
        block.users += 1
        block.used = self._clock
        if self._idle_blocks.get(key) is block:
            del self._idle_blocks[key]
        held.blocks.append(block)
        return True

    def _rename(self, held: _Held, key: int) -> None:
        block = held.blocks[-1]
        if block.users > 1:  # others read it too: go on in a copy
            block.users -= 1
            held.blocks[-1] = self._new(key)
            return
        if self._known.get(block.key) is block:
            del self._known[block.key]
        block.key, block.used = key, self._clock
        self._known[key] = block

    def _new(self, key: int) -> _Block:
        if self._unused:
            self._unused -= 1
        else:
            self._evict()
        block = _Block(key, self._clock)
        self._known[key] = block
        return block

    def _evict(self) -> None:
        while self._idle:
            used, key = heapq.heappop(self._idle)
            block = self._idle_blocks.get(key)
            if block is not None and block.used == used:
                del self._idle_blocks[key]
                if self._known.get(key) is block:
                    del self._known[key]
                return
