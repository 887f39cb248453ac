"""The least that a client of streams can do: epoll, recvmsg with the kernel's stamp, append.

    python benchmarks/bare.py URL STREAMS TOKENS RATE SECONDS

It knows a stream's end by its last bytes, parses nothing and writes nothing. What latok's driver
costs is compared with it. Prints, as JSON, the chunks that came in the window and the CPU seconds
that this process took for them; the window opens when the streams have been started one after
another over the time of one stream, as the driver's ramp does.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import struct
import sys
import time
from urllib.parse import urlsplit

from latok.load.calibrate import TTFT, posted
from latok.load.fleet import go_first
from latok.load.socket import SO_TIMESTAMPNS

_TIMESPEC = struct.Struct("@qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)


def main(url: str, streams: int, tokens: int, rate: float, seconds: float) -> None:
    where = urlsplit(url)
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}
    reads: list[tuple[int, bytes]] = []
    requests = posted(url, rate=rate, tokens=tokens)
    buffer = bytearray(256 * 1024)
    view = memoryview(buffer)
    for _ in range(streams):
        sock = socket.create_connection((where.hostname or "", where.port or 80))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        poll.register(sock.fileno(), select.EPOLLIN)
        socks[sock.fileno()] = sock
    stock = [next(requests).data for _ in range(int(2 * streams * (1 + seconds * rate / tokens)))]
    ramp = TTFT + tokens / rate
    start = time.time()
    opens, closes = start + 1.5 * ramp, start + 1.5 * ramp + seconds
    waiting = [(start + n * ramp / streams, sock) for n, sock in enumerate(socks.values())]
    waiting.reverse()
    go_first()
    gc.freeze()
    gc.disable()
    first, cpu = -1, 0.0
    while (now := time.time()) < closes:
        if first < 0 and now >= opens:
            first, cpu = len(reads), time.process_time()
        while waiting and waiting[-1][0] <= now:
            waiting.pop()[1].send(stock.pop())
        for fd, _ in poll.poll(0.001 if waiting else 0.1):
            sock = socks[fd]
            size, ancillary, _, _ = sock.recvmsg_into((buffer,), _ANCILLARY)
            data = bytes(view[:size])
            sec, nsec = _TIMESPEC.unpack(ancillary[0][2])
            reads.append((sec * 1_000_000_000 + nsec, data))
            if data.endswith(b"0\r\n\r\n"):
                sock.send(stock.pop())
    cpu = time.process_time() - cpu
    chunks = sum(data.count(b"\ndata: ") for _, data in reads[first:])
    print(json.dumps({"chunks": chunks, "cpu_s": cpu}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
