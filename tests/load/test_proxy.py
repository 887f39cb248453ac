"""Proxies that the environment names: which target goes through which, and what is sent there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from latok.errors import TargetError, UsageError
from latok.load.golden import golden
from latok.load.probe import find, site
from latok.load.proxy import Proxy, proxy_for
from latok.records import Closed, Request
from tests.load.test_drive import driven

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")
CERTIFICATE = Path(__file__).parent.parent / "golden" / "localhost.pem"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_target_goes_through_its_schemes_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert proxy_for("https", "api.example.com") == Proxy("proxy.example", 3128)
    assert proxy_for("http", "api.example.com") is None


def test_all_proxy_is_for_both_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "proxy.example:3128")
    assert proxy_for("http", "a.example") == proxy_for("https", "a.example")
    assert proxy_for("http", "a.example") == Proxy("proxy.example", 3128)


@pytest.mark.parametrize("host", ["api.example.com", "127.0.0.1", "::1", "localhost"])
def test_no_proxy_and_this_machine_are_spared(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".example.com")
    assert proxy_for("http", host) is None


def test_a_proxy_that_we_cannot_speak_to_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(UsageError, match="not by socks5"):
        proxy_for("http", "api.example.com")


def test_a_proxys_password_is_sent_to_it_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s%20ecret@proxy.example:3128")
    found = proxy_for("https", "api.example.com")
    assert found is not None
    assert b"Proxy-Authorization: Basic bWU6cyBlY3JldA==\r\n" in found.tunnel("a.example", 443)
    assert "ecret" not in repr(found) + found.url
    assert "bWU6" not in repr(found)


def plain(data: bytes) -> bytes:
    """What a proxy that is no tunnel hands on: it takes scheme and host off again."""
    return data.replace(b" http://model.test/", b" /")


class Relay:
    """A proxy that leads every name to one server. `heads`: the first line of all it was asked."""

    def __init__(self, to: tuple[str, int], answer: bytes) -> None:
        self.heads: list[bytes] = []
        self._to, self._answer = to, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(65536)
                if not more:
                    return
                head += more
            self.heads.append(head.partition(b"\r\n")[0])
            with socket.create_connection(self._to) as server:
                if head.startswith(b"CONNECT"):
                    client.sendall(self._answer)
                else:
                    server.sendall(plain(head))
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(plain(data))
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def relayed(
    certificate: Path | None = None, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
) -> Iterator[Relay]:
    with golden("tests.golden.scripts:by_model", certificate) as url:
        there = site(url)
        with closing(Relay((there.host, there.port), answer)) as relay:
            yield relay


def test_a_plain_target_is_asked_for_by_its_whole_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with relayed() as relay:
        monkeypatch.setenv("HTTP_PROXY", relay.url)
        url = "http://model.test"
        found = find(site(url), Request(id=0, prompt="hi", prompt_tokens=1, max_tokens=2),
                     model="steady:ttft=0.01,gap=0.001")  # fmt: skip
        _, records, _ = driven(url, tmp_path / "log", Closed(2), requests=6)
        assert found.dialect.name == "openai-chat"
        assert sum(r.ok for r in records) >= 6
        assert b"POST http://model.test/v1/chat/completions HTTP/1.1" in relay.heads


def test_tls_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The certificate is for `localhost`, which no proxy is used for, so here the site says it."""
    with relayed(CERTIFICATE) as relay:
        port = int(relay.url.rsplit(":", 1)[1])
        proxy = Proxy("127.0.0.1", port)
        _, records, _ = driven(
            "https://localhost:443", tmp_path / "log", Closed(2), requests=6,
            proxy=proxy, tls=True, ca=str(CERTIFICATE),
        )  # fmt: skip
        assert sum(r.ok for r in records) >= 6
        assert relay.heads[0] == b"CONNECT localhost:443 HTTP/1.1"
        fresh = [r.connection for r in records if not r.connection.reused]
        assert fresh
        assert all(c.connect is not None and c.tls is not None for c in fresh)


def test_a_proxy_that_refuses_is_a_failed_request(tmp_path: Path) -> None:
    with relayed(CERTIFICATE, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as relay:
        proxy = Proxy("127.0.0.1", int(relay.url.rsplit(":", 1)[1]))
        _, records, _ = driven(
            "https://localhost:443", tmp_path / "log", Closed(1), requests=1,
            proxy=proxy, tls=True, ca=str(CERTIFICATE),
        )  # fmt: skip
    failures = [r.error for r in records if r.error and r.error.kind != "cut"]
    assert failures
    assert {f.kind for f in failures} == {"proxy"}
    assert "407" in failures[0].text


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    request = Request(id=0, prompt="hi", prompt_tokens=1, max_tokens=2)
    with pytest.raises(TargetError, match=f"through the proxy http://127.0.0.1:{port}"):
        find(site("http://model.test"), request)
