"""One connection: how it comes to be (TCP, a proxy, TLS), and what is known of its reads."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from enum import Enum
from typing import NamedTuple

from latok.load.socket import READ_SIZE, Tls, receive
from latok.load.socket import segments as count_segments
from latok.records import Connection, Failure
from latok.wire.capture import Capture
from latok.wire.http1 import Response

# What this machine ran out of, where it is not the target that refuses.
_OURS = {
    errno.EMFILE: "this process may open no more files; raise `ulimit -n`",
    errno.ENFILE: "this system has no more file handles",
    errno.EADDRNOTAVAIL: "no local port is left for another connection to the target",
    errno.ENOBUFS: "this system has no more memory for sockets",
    errno.ENOMEM: "this system has no more memory",
}


class State(Enum):
    """Where a connection is: the first three are not ready yet."""

    CONNECTING = "connect"
    TUNNELLING = "proxy"
    SHAKING = "tls"
    IDLE = "idle"
    BUSY = "busy"

    @property
    def ready(self) -> bool:
        """Whether requests can be sent on it."""
        return self in (State.IDLE, State.BUSY)


def refused(why: OSError, state: State = State.CONNECTING) -> Failure:
    """Why there is no connection: ours (`client`), or the other side's in the state it was in."""
    ours = _OURS.get(why.errno or 0)
    return Failure("client", ours) if ours else Failure(state.value, why.strerror or str(why))


class Way(NamedTuple):
    """How to speak to the target: what a proxy is asked for first, TLS if any, and as whom."""

    host: str
    tls: ssl.SSLContext | None
    tunnel: bytes


class Stream:
    """One connection, and the request that is on it or waits for it."""

    __slots__ = (
        "_head",
        "_opened_at",
        "_segments",
        "_way",
        "capture",
        "connection",
        "data",
        "reads",
        "received",
        "response",
        "since",
        "sock",
        "state",
        "tls",
        "unsent",
        "writing",
    )

    def __init__(self, sock: socket.socket, way: Way) -> None:
        self.sock = sock
        self.state = State.CONNECTING
        self.since = time.time_ns()  # when the last read or the sending began
        self.received = 0  # bytes read so far
        self.reads = 0  # since the kernel was last asked how many segments there were
        self.connection = Connection(reused=False)
        self.response = Response()
        self.tls: Tls | None = None
        self.capture: Capture | None = None
        self.data = b""
        self.unsent = memoryview(b"")
        self.writing = False  # epoll watches for room to send
        self._way = way
        self._opened_at = time.monotonic()
        self._head = b""  # of the proxy's answer
        self._segments: int | None = 0  # when last asked; None: more than we had read

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened_at

    def greet(self) -> bool:
        """Goes on as far as it can without waiting. Returns whether it is ready; raises OSError
        (as which `ssl.SSLError` counts) where it will never be."""
        if self.state is State.CONNECTING:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            if not self._way.tunnel:
                return self._through()
            self.sock.send(self._way.tunnel)  # so few bytes always fit into the socket
            self.state = State.TUNNELLING
            return False
        data = self._heard()
        if self.state is State.TUNNELLING:
            return self._tunnelled(data) and self._through()
        return self._shaken(data)

    def _heard(self) -> bytes:
        try:
            data, _ = receive(self.sock)
        except BlockingIOError:
            return b""
        self.received += len(data)
        self.reads += 1
        if not data:
            raise ConnectionResetError(0, "closed before the connection was ready")
        return bytes(data)

    def _tunnelled(self, data: bytes) -> bool:
        self._head += data
        line, _, _ = self._head.partition(b"\r\n")
        if b"\r\n\r\n" not in self._head and len(self._head) < READ_SIZE:
            return False
        if line.split(b" ")[1:2] != [b"200"]:
            raise OSError(0, f"the proxy answered '{line[:100].decode('latin-1')}'")
        return True

    def _through(self) -> bool:
        """There is a way to the target: begin with TLS, if it speaks that."""
        self.connection = Connection(reused=False, connect=self.age)
        if self._way.tls is None:
            return True
        self.tls = Tls(self._way.tls, self._way.host)
        self.state = State.SHAKING
        return self._shaken(b"")

    def _shaken(self, data: bytes) -> bool:
        tls, connect = self.tls, self.connection.connect
        assert tls is not None
        assert connect is not None
        tls.took(data)
        try:
            done = tls.shake()
        finally:  # an alert, too, must reach the server; a few kB always fit into the socket
            if out := tls.to_send():
                self.sock.send(out)
        if done:
            self.connection = Connection(False, connect, self.age - connect)
        return done

    def left_behind(self) -> None:
        """The last read was as large as a read can be: more may lie there, of unknown segments."""
        self._segments = None

    def segments(self) -> int:
        """How many TCP segments the last read came in; 0 if that cannot be known.

        It is known only if nothing had come that was not read yet, now and when it was last asked;
        and of several reads since then only if each was one segment.
        """
        received, segments = count_segments(self.sock)
        before, self._segments = self._segments, None
        reads, self.reads = self.reads, 0
        if received != self.received:
            return 0
        self._segments = segments
        if before is None:
            return 0
        came = segments - before
        return came if reads == 1 else int(came == reads)
