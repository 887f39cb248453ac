"""Our own non-blocking sockets: kernel receive time stamps, and TLS over memory buffers.

The kernel stamps a packet when it arrives, so a late read does not make the arrival late. Only our
own `recvmsg` can see the stamp, hence no asyncio transport and no `ssl.SSLSocket` here.
"""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path
from typing import Any, NamedTuple

from latok.errors import TargetError, UsageError

# Linux; Python's socket module does not name it. SCM_TIMESTAMPNS has the same number.
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)
# Larger than one TCP window of a busy stream, so that a read leaves nothing behind (a packet left
# behind would be stamped with the next read's last one).
READ_SIZE = 256 * 1024


class Address(NamedTuple):
    """Where to connect: resolved once, so that DNS is never in a latency."""

    family: int
    sockaddr: tuple[Any, ...]


def resolve(host: str, port: int) -> Address:
    """The first address of a host. Raises TargetError if the name does not resolve."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as why:
        reason = why.strerror if isinstance(why, OSError) else "not a host name"
        raise TargetError(f"cannot find the host '{host}': {reason}") from None
    family, _, _, _, sockaddr = found[0]
    return Address(int(family), tuple(sockaddr))


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """The system's trust, or a CA file of the user's. Raises UsageError for an unreadable file."""
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as why:
        raise UsageError(f"cannot use the CA file {ca}: {why}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def opened(address: Address) -> tuple[socket.socket, bool]:
    """A socket that is connecting, and whether this system stamps its packets."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stamped = True
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        stamped = False
    try:
        sock.connect(address.sockaddr)
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        raise
    return sock, stamped


# Shared by all: a fresh one for each read would cost more than the read.
_view = memoryview(bytearray(READ_SIZE))
_views = (_view,)


def receive(sock: socket.socket) -> tuple[memoryview, int]:
    """What has come, and the kernel's stamp of its last packet in nanoseconds (0: none).

    What has come lies there only until the next call. Raises BlockingIOError if nothing has come,
    OSError if the connection broke.
    """
    size, ancillary, _, _ = sock.recvmsg_into(_views, _ANCILLARY)
    if not ancillary:
        return _view[:size], 0
    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])  # we asked for nothing but stamps
    return _view[:size], seconds * 1_000_000_000 + nanoseconds


# In Linux's struct tcp_info: tcpi_bytes_received at 128, tcpi_data_segs_in at 152.
_TCP_INFO = struct.Struct("@128xQ16xI")


def segments(sock: socket.socket) -> tuple[int, int]:
    """Bytes and data segments that this connection has received so far, read or not.

    They tell whether a read was one segment: then all that is in it arrived at its stamp. Both are
    0 where the system does not say.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        received, count = _TCP_INFO.unpack(info)
        return received, count
    except (OSError, AttributeError, struct.error):
        return 0, 0


class Tls:
    """TLS between plain bytes and our socket's bytes; the socket stays ours, and so its stamps."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake(self) -> bool:
        """Goes on with the handshake; True when it is done. Raises ssl.SSLError if it fails."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def took(self, data: bytes | memoryview) -> None:
        """Bytes from the socket."""
        self._incoming.write(data)

    def plain(self) -> bytes:
        """All plain bytes that what we took makes."""
        parts: list[bytes] = []
        try:
            while part := self._tls.read(READ_SIZE):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(parts)

    def sealed(self, data: bytes) -> bytes:
        """`data` as it must go to the socket."""
        self._tls.write(data)
        return self._outgoing.read()

    def to_send(self) -> bytes:
        """What the handshake (or a key update) wants sent."""
        return self._outgoing.read()
