"""The only load loop: epoll, our own sockets, due times. Closed and open loop are values of it.

The read path does `recvmsg`, append and HTTP framing (to know that a response has ended), nothing
else; a stream that has ended leaves as a Capture. All the rest (decoding, metrics, the screen)
happens elsewhere.

The phases of a run: requests start (a closed loop's slots one after another over `ramp`), the
window opens once `warm_up` of them have ended, it closes after `duration` or `requests`, and the
load is held until every request of the window has ended. So a window is steady at both ends.
"""

from __future__ import annotations

import heapq
import math
import select
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from latok.load.allowance import Allowance
from latok.load.connection import State, Stream, Way, refused
from latok.load.plan import Driven, Following, Later, Plan, Prepared, Progress
from latok.load.socket import READ_SIZE, opened, receive, tls_context
from latok.records import Closed, Connection, Failure
from latok.wire.capture import Capture, pack_read, retry_after
from latok.wire.http1 import ProtocolError

if TYPE_CHECKING:
    from latok.load.front import Front

_MS = 1_000_000  # nanoseconds
# Before a due time we wake a little early and poll: the scheduler takes up to so long to wake us.
_SPIN = 200_000  # nanoseconds
_HOUSEKEEPING = 0.1  # seconds between looks at time-outs and at what the owner wants
# An idle connection is not used after this: servers close theirs after 5 s (uvicorn, llama.cpp),
# and a request sent into a closing connection would be an error of our making.
_IDLE_LIMIT = 4.0
_GIVE_UP_AFTER = 20  # failures in a row without one success: the target is not there


class Driver:
    """Holds one load. `run()` blocks; `stop()` may be called from a signal handler."""

    def __init__(
        self,
        plan: Plan,
        supply: Iterator[Prepared],
        ended: Callable[[Capture], None],
        idle: Callable[[Progress], None],
        follow: Callable[[Capture], Following | None] = lambda _: None,
        front: Front | None = None,
    ) -> None:
        """`supply` gives requests, `ended` takes captures, `idle` is called ten times a second.
        `follow` says what a session asks after an answer; `front` answers what it knows."""
        self._plan = plan
        self._supply = supply
        self._ended = ended
        self._idle = idle
        self._follow = follow
        self._front = front
        self._held: deque[tuple[Capture, bytes]] = deque()  # more than may be open at once
        context = tls_context(Path(plan.ca) if plan.ca else None) if plan.tls else None
        self._way = Way(plan.host, context, plan.tunnel)
        self._epoll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._free: list[Stream] = []
        load, wanted = plan.load, plan.requests
        self._slots = plan.mine(load.concurrency) if isinstance(load, Closed) else 0
        self._warm_up = max(plan.mine(plan.warm_up), min(plan.warm_up, 1))
        self._wanted = None if wanted is None else max(plan.mine(wanted), 1)
        self._allowance = Allowance(plan)
        self._released = plan.parts == 1
        self._slots_due: list[tuple[float, int]] = []  # closed loop: when which slot may send
        self._slot_of: dict[int, int] = {}  # request id → slot
        self._slots_started = 0
        self._dues: Iterator[float] = iter(())  # open loop
        self._next_arrival = math.inf
        self._turns: list[tuple[float, int, Later]] = []  # heap: when, a serial, what
        self._unbuilt: deque[Later] = deque()
        self._leaving: list[tuple[float, int]] = []  # heap: when a client goes away, its request
        self._window_from: float | None = None
        self._window_to = math.inf
        self._window_sent = 0
        self._window_left: set[int] = set()
        self._window_cpu = 0.0
        self._sent = self._over = self._failed = self._reads = 0
        self._failed_in_a_row = 0
        self._exhausted = False  # there is nothing more to ask
        self._enough = False  # what was asked is known
        self._stopped: Literal["", "interrupted", "unfinished"] = ""
        self._why = ""
        self._kernel_stamps = True
        self._reusing = True
        self._stall = 0  # nanoseconds
        self._next_impatience = 0.0
        self._zero = self._poll_ended = self._ready_since = time.time_ns()

    def stop(self, *_: Any) -> None:
        """Ends the run now; what is in flight is kept as it is and marked `cut`."""
        self._stopped = self._stopped or "interrupted"

    def close_window(self, *_: Any) -> None:
        """Enough is known: the window closes now, and what was sent in it is waited for."""
        self._enough = True

    def release(self, *_: Any) -> None:
        """Of several processes: all have their windows, none needs to hold its load any longer."""
        self._released = True

    # --- the loop ---

    def run(self) -> Driven:
        """Drives until the window is done. Raises nothing for what the target does."""
        monotonic = time.monotonic_ns() - time.time_ns() + self._zero
        if self._plan.zero is not None:
            monotonic += int(self._plan.zero * 1e9) - self._zero
            self._zero = int(self._plan.zero * 1e9)
        self._open_connections()
        while (early := -self._clock()) > 0 and not self._stopped:
            time.sleep(min(early, 0.05))
        self._arm(self._clock())
        next_look = 0.0
        while not self._finished(now := self._clock()):
            self._start_due(now)
            if now >= next_look:
                self._look(now)
                next_look = now + _HOUSEKEEPING
            if self._unbuilt:  # all that had come is read: one of them, then look again
                self._unbuilt.popleft().built()
                self._wait(now, now)
            else:
                self._wait(next_look, self._next_due())
        end = self._clock()
        self._close_window(end)
        held, self._held = self._held, deque()
        for stream in list(self._streams.values()):
            self._drop(stream, Failure("cut", "the run ended"))
        for capture, _ in held:
            self._end(capture, Failure("cut", "the run ended"), end)
        self._epoll.close()
        step = (time.time_ns() - self._zero) - (time.monotonic_ns() - monotonic)
        window = None if self._window_from is None else (self._window_from, self._window_to)
        return Driven(
            started_at=self._zero * 1e-9,
            window=window,
            ended=self._stopped or "complete",
            clock_step=abs(step) * 1e-9,
            kernel_stamps=self._kernel_stamps,
            client_cpu_s=self._window_cpu,
            stall_s=self._stall * 1e-9,
            why=self._why,
        )

    def _seconds(self, wall: int) -> float:
        """Wall-clock nanoseconds as seconds from the start of the run."""
        return (wall - self._zero) * 1e-9

    def _clock(self) -> float:
        return (time.time_ns() - self._zero) * 1e-9

    def _wait(self, look: float, due: float) -> None:
        """Reads what comes until one of two times; less long if a request starts or ends.

        epoll waits in whole milliseconds and rounds up, so the last of them before a due time are
        slept in `select`, which is exact (it sees the epoll as one file), and the very last moment
        is polled.
        """
        until = self._zero + int(min(look * 1e9, due * 1e9 - _SPIN))
        # Looked up once: this is the hot loop.
        clock, poll, streams, over = time.time_ns, self._epoll.poll, self._streams, self._over
        read, busy, writable = self._read, State.BUSY, select.EPOLLOUT
        before, stall, reads, sooner = self._poll_ended, self._stall, 0, due < look
        while True:
            asked = clock()
            if asked - before > stall:  # noqa: PLR1730  `max` is a call, at each turn
                stall = asked - before
            left = until - asked
            if left > 2 * _MS:
                events = poll(left * 1e-9 - 1e-3)
            elif left > 0 and sooner:
                select.select((self._epoll,), (), (), left * 1e-9)
                events = poll(0)
            else:
                events = poll(0 if left <= 0 else left * 1e-9)
            now = clock()
            if not self._kernel_stamps:
                # What was ready at once may have been ready since the last poll; what woke us was
                # not ready when we asked.
                self._ready_since = asked if now - asked > 100_000 else before
            before = now
            for fd, mask in events:
                reads += 1
                stream = streams.get(fd)
                if stream is None:
                    continue
                if stream.state is busy:
                    if mask & writable:
                        self._push(stream)
                    if mask != writable:
                        read(stream)
                elif stream.state is State.IDLE:  # the server closed it, or talks out of turn
                    self._drop(stream, None)
                else:
                    self._greet(stream)
            if now >= until or self._over != over or self._stopped:
                break
        self._poll_ended, self._stall = before, stall
        self._reads += reads

    def _finished(self, now: float) -> bool:
        plan = self._plan
        if self._stopped:
            return True
        if plan.limit is not None and now >= plan.limit:
            self._stopped, self._why = "unfinished", f"the limit of {plan.limit:g} s was reached"
            return True
        lasting = math.inf if plan.duration is None else plan.duration
        since = self._window_from
        over = self._exhausted or self._enough
        if since is not None and (over or now >= since + lasting):
            self._close_window(now)
        if math.isinf(self._window_to):
            return self._exhausted and self._sent == self._over and not self._turns
        return self._released and not self._window_left

    # --- starting requests ---

    def _open_connections(self) -> None:
        """Connections are opened, and TLS shaken, before the load starts."""
        load = self._plan.load
        # An open loop opens more when it needs them; few of them are needed at low rates.
        for _ in range(self._slots if isinstance(load, Closed) else 8):
            self._connect(None)
        while any(not stream.state.ready for stream in self._streams.values()):
            self._wait(self._clock() + 0.01, math.inf)
            self._look(self._clock())
            if self._stopped:
                return

    def _arm(self, now: float) -> None:
        plan = self._plan
        if isinstance(plan.load, Closed):
            step = plan.ramp / plan.load.concurrency
            mine = range(plan.part, plan.load.concurrency, plan.parts)
            self._slots_due = [(now + n * step, n) for n in mine]
        else:
            self._dues = (now + due for due in plan.due[plan.part :: plan.parts])
            self._next_arrival = next(self._dues, math.inf)

        if not self._warm_up:  # before the first request: it is due now
            self._open_window(now)

    def _next_due(self) -> float:
        due = self._slots_due[0][0] if self._slots_due else self._next_arrival
        for waiting in (self._turns, self._leaving):
            due = min(due, waiting[0][0]) if waiting else due
        return due

    def _start_due(self, now: float) -> None:
        self._maybe_open_window(now)
        while self._slots_due and self._slots_due[0][0] <= now:
            due, slot = heapq.heappop(self._slots_due)
            self._slots_started += 1
            self._ask(due, slot)
        while self._next_arrival <= now:
            self._ask(self._next_arrival, None)
            self._next_arrival = next(self._dues, math.inf)
            self._exhausted = self._exhausted or math.isinf(self._next_arrival)
        while self._turns and self._turns[0][0] <= now:
            due, _, turn = heapq.heappop(self._turns)
            prepared = turn.built()
            if prepared is not None:
                self._ask(due, turn.slot, prepared)
            elif turn.slot is not None:
                heapq.heappush(self._slots_due, (due, turn.slot))
        while self._leaving and self._leaving[0][0] <= now:
            self._leave(heapq.heappop(self._leaving)[1])

    def _maybe_open_window(self, now: float) -> None:
        started = self._slots_started >= self._slots
        if self._window_from is None and started and self._over >= self._warm_up:
            self._open_window(now)

    def _open_window(self, now: float) -> None:
        self._window_from = now
        self._window_cpu = -time.process_time()
        self._stall = 0

    def _close_window(self, now: float) -> None:
        if self._window_from is not None and math.isinf(self._window_to):
            self._window_to = now
            self._window_cpu += time.process_time()

    def _leave(self, id: int) -> None:
        """The client of that request goes away, if it still waits for anything."""
        for stream in self._streams.values():
            if stream.capture is not None and stream.capture.id == id:
                self._drop(stream, Failure("cancelled", "its client went away"))
                return
        for held in self._held:
            if held[0].id == id:
                self._held.remove(held)
                self._end(held[0], Failure("cancelled", "its client went away"), self._clock())
                return

    def _ask(self, due: float, slot: int | None, prepared: Prepared | None = None) -> None:
        """Sends a request, by default the next, on a free connection, or opens one for it."""
        prepared = prepared or next(self._supply, None)
        why = "" if prepared is None else self._allowance.refuses(prepared.request)
        if prepared is None or why:
            self._exhausted, self._why = True, why or self._why
            return
        request = prepared.request
        self._allowance.take(request)
        if slot is not None:
            self._slot_of[request.id] = slot
        if self._window_sent == self._wanted:  # this one is only there to hold the load
            self._close_window(self._clock())
        if self._window_from is not None and math.isinf(self._window_to):
            self._window_sent += 1
            self._window_left.add(request.id)
        capture = Capture(
            id=request.id,
            app=request.app,
            session=request.session,
            turn=request.turn,
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.max_tokens,
            due=due,
            built=prepared.built,
            zero=self._zero,
        )
        if self._plan.cancel is not None and self._plan.cancel.chosen(request.id):
            heapq.heappush(self._leaving, (due + self._plan.cancel.after, request.id))
        self._sent += 1
        if self._front is not None and self._front.answer(prepared, capture):
            self._end(capture, None, capture.closed_at or due)
            return
        self._held.append((capture, prepared.data))
        self._open_held()

    def _open_held(self) -> None:
        """Sends what waits, as long as no more are open than may be."""
        cap = self._plan.client.cap
        while self._held and (cap is None or self._sent - self._over - len(self._held) < cap):
            capture, data = self._held.popleft()
            stream = self._free_stream() or self._connect(capture)
            if stream is not None:
                stream.capture, stream.data = capture, data
                if stream.state is State.IDLE:
                    self._send(stream)

    def _free_stream(self) -> Stream | None:
        now = self._clock()
        while self._free:
            stream = self._free.pop()
            if stream.sock.fileno() < 0:
                continue
            if now - self._seconds(stream.since) < _IDLE_LIMIT:
                return stream
            self._drop(stream, None)
        return None

    def _connect(self, capture: Capture | None) -> Stream | None:
        """Begins a connection; None, and the request has failed, if that is not even possible."""
        try:
            sock, stamped = opened(self._plan.address)
        except OSError as why:
            if capture is not None:
                self._end(capture, refused(why), self._clock())
            return None
        self._kernel_stamps = self._kernel_stamps and stamped
        stream = Stream(sock, self._way)
        self._streams[sock.fileno()] = stream
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return stream

    def _greet(self, stream: Stream) -> None:
        """Goes on with a connection that is not ready."""
        if stream.state is State.CONNECTING:
            self._epoll.modify(stream.sock.fileno(), select.EPOLLIN)
        try:
            if stream.greet():
                self._settle(stream)
        except OSError as why:
            self._drop(stream, refused(why, stream.state))

    def _settle(self, stream: Stream) -> None:
        """A connection is ready: for the request that waits for it, or for a later one."""
        stream.state = State.IDLE
        stream.since = time.time_ns()
        if stream.capture is not None:
            self._send(stream)
        else:
            self._free.append(stream)

    def _send(self, stream: Stream) -> None:
        capture = stream.capture
        assert capture is not None
        stream.state = State.BUSY
        stream.response.restart()
        data = stream.data if stream.tls is None else stream.tls.sealed(stream.data)
        stream.unsent = memoryview(data)
        capture.connection = stream.connection
        stream.since = time.time_ns()  # an answer may come before `send` returns
        capture.sent_first = self._seconds(stream.since)
        self._push(stream)

    def _push(self, stream: Stream) -> None:
        """Gives the kernel what it takes of the request; epoll says when it takes more."""
        capture = stream.capture
        assert capture is not None
        try:
            stream.unsent = stream.unsent[stream.sock.send(stream.unsent) :]
        except BlockingIOError:
            pass
        except OSError as why:
            self._drop(stream, Failure("reset", why.strerror or str(why)))
            return
        if bool(stream.unsent) != stream.writing:
            stream.writing = not stream.writing
            more = select.EPOLLOUT if stream.writing else 0
            self._epoll.modify(stream.sock.fileno(), select.EPOLLIN | more)
        if not stream.writing:
            capture.sent_last = self._clock()

    # --- reading ---

    def _read(self, stream: Stream) -> None:
        began = time.time_ns()
        try:
            data, stamp = receive(stream.sock)
        except BlockingIOError:
            return
        except OSError as why:
            self._drop(stream, Failure("reset", why.strerror or str(why)))
            return
        now, size = time.time_ns(), len(data)
        if stamp:
            lag = now - stamp
        else:
            stamp, lag = now, now - self._ready_since
            self._kernel_stamps = self._kernel_stamps and not size
        stream.received += size
        stream.reads += 1
        since, stream.since = stream.since, began
        if size == READ_SIZE:
            # It may have left packets behind: they came after this stamp, not after the read.
            stream.since = stamp
            stream.left_behind()
        capture, response = stream.capture, stream.response
        assert capture is not None
        try:
            body = b""
            if not size:
                response.eof()
            elif stream.tls is None:
                body = response.feed(data)
            else:
                stream.tls.took(data)
                if plain := stream.tls.plain():
                    body = response.feed(plain)
            if capture.status is None and response.status is not None:
                capture.headers_at = self._seconds(stamp)
                capture.status, capture.headers = response.status, response.headers
            if body:
                # One event that ends the read came at its stamp in any case: nearly all of them,
                # and most of those are one line, for which a search is cheaper.
                whole = len(body) - 2
                one = body.endswith(b"\n\n") and (
                    body.find(b"\n") == whole or body.find(b"\n\n") == whole
                )
                came = 0 if one else stream.segments()
                capture.packed.append(pack_read(stamp, lag, since, came) + body)
        except (ProtocolError, ssl.SSLError) as why:
            failure = Failure("protocol" if size else "closed", str(why))
            self._drop(stream, failure, self._seconds(stamp))
            return
        if response.complete:
            self._finish(stream, capture, self._seconds(stamp))

    # --- ending requests ---

    def _finish(self, stream: Stream, capture: Capture, at: float) -> None:
        """The response is whole: the connection is free, or of no more use."""
        stream.capture = None
        if stream.response.keep_alive and self._reusing and not stream.unsent:
            stream.state = State.IDLE
            stream.connection = Connection()
            self._free.append(stream)
        else:
            self._drop(stream, None)
        self._end(capture, None, at)

    def _drop(self, stream: Stream, failure: Failure | None, at: float | None = None) -> None:
        """Closes a connection; a request on it ends with `failure`."""
        del self._streams[stream.sock.fileno()]
        self._epoll.unregister(stream.sock.fileno())
        stream.sock.close()
        stream.response.release()
        capture, stream.capture = stream.capture, None
        if capture is None or failure is None:
            return
        unheard = stream.connection.reused and stream.response.status is None
        if unheard and failure.kind in ("closed", "reset"):
            # The server closed an idle connection just as we used it (llama.cpp does after every
            # stream, without a word): it never saw this request. From now on each gets its own.
            self._reusing = False
            fresh = self._connect(capture)
            if fresh is not None:
                fresh.capture, fresh.data = capture, stream.data
            return
        self._end(capture, failure, self._clock() if at is None else at)

    def _end(self, capture: Capture, failure: Failure | None, at: float) -> None:
        """A request is over, well or badly: hand it on and free its slot."""
        capture.error = failure
        capture.closed_at = at
        capture.kernel_stamps = self._kernel_stamps
        kind = failure.kind if failure is not None else ""
        ours = kind in ("client", "cancelled")  # which says nothing of the target
        bad = kind != "cancelled" and (failure is not None or (capture.status or 0) >= 400)
        self._over += 1
        self._failed += bad
        self._failed_in_a_row = self._failed_in_a_row + 1 if bad and not ours else 0
        self._window_left.discard(capture.id)
        if self._front is not None and capture.answered_by is None:
            self._front.keep(capture)
        self._ended(capture)
        if self._failed_in_a_row == self._over == _GIVE_UP_AFTER and not self._stopped:
            self._stopped = "unfinished"
            said = f": {failure.text}" if failure else f" (HTTP {capture.status})"
            self._why = f"the first {_GIVE_UP_AFTER} requests failed{said}"
        slot = self._slot_of.pop(capture.id, None)
        if (following := self._follow(capture)) is not None:
            turn = Later(following.build, slot)
            self._unbuilt.append(turn)
            heapq.heappush(self._turns, (at + following.think, self._over, turn))
        elif slot is not None:
            pause = self._pause(capture) if bad else 0.0
            heapq.heappush(self._slots_due, (self._clock() + pause, slot))
        self._open_held()

    def _pause(self, capture: Capture) -> float:
        """How long a slot rests after a failure: as asked, or doubling up to a second."""
        asked = retry_after(dict(reversed(capture.headers)))
        if asked is not None:
            return min(asked, 60.0)
        return min(0.05 * 2.0 ** min(self._failed_in_a_row, 5), 1.0)

    # --- quiet moments ---

    def _look(self, now: float) -> None:
        if now >= self._next_impatience:
            self._next_impatience = now + self._plan.patience.shortest / 20
            for stream in list(self._streams.values()):
                if failure := self._impatience(stream, now):
                    self._drop(stream, failure)
        phase = "warming up"
        if self._window_from is not None:
            phase = "measuring" if math.isinf(self._window_to) else "finishing"
            phase = phase if phase == "measuring" or self._window_left else "done"
        in_flight = self._sent - self._over
        self._idle(
            Progress(now, phase, in_flight, self._sent, self._over, self._failed, self._reads)
        )

    def _impatience(self, stream: Stream, now: float) -> Failure | None:
        patience, capture = self._plan.patience, stream.capture
        if not stream.state.ready:
            if stream.age > patience.connect:
                return Failure("connect", f"no connection within {patience.connect:g} s")
        elif capture is not None and capture.sent_first is not None:
            if now - capture.sent_first > patience.total:
                return Failure("timeout", f"no end within {patience.total:g} s")
            if not capture.packed and now - capture.sent_first > patience.first:
                return Failure("timeout", f"nothing within {patience.first:g} s")
            if capture.packed and now - self._seconds(stream.since) > patience.silence:
                return Failure("timeout", f"silent for {patience.silence:g} s")
        return None
