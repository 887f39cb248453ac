"""The proxies that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

As curl reads them (the lower-case names win), and as in Go never for this machine itself: a proxy
between a client and a server of one machine would be measured instead of the server.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from latok.errors import UsageError


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. `credentials`: what stands after `Proxy-Authorization:`, if anything."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("Proxy-Authorization", self.credentials),) if self.credentials else ()

    def tunnel(self, host: str, port: int) -> bytes:
        """The request for a tunnel to a target that speaks TLS."""
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """The environment's proxy for a target. Raises UsageError for one that we cannot speak to."""
    said = getproxies_environment()
    url = said.get(scheme) or said.get("all")
    if not url or _here(host) or proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    name = f"{scheme.upper()}_PROXY"
    if parts.scheme != "http":
        raise UsageError(f"{name}: latok speaks to proxies by http, not by {parts.scheme}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise UsageError(f"{name} is not a URL; it would look like http://proxy.example:3128")
    credentials = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = "Basic " + b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port, credentials)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
