"""How the tests of the engines speak to them, and look at their processes."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GREEDY = {"temperature": 0, "max_tokens": 24}
COLOURS = {"messages": [{"role": "user", "content": "Name three colours."}], **GREEDY}


class Client:
    """The few requests that these tests make, over plain HTTP."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.address = (where.hostname or "", where.port or 0)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, data)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def chat(self, **fields: Any) -> dict[str, Any]:
        status, _, data = self.call("POST", "/v1/chat/completions", {**COLOURS, **fields})
        assert status == 200, data
        said: dict[str, Any] = json.loads(data)
        return said

    def stream(self, path: str = "/v1/chat/completions", **fields: Any) -> list[dict[str, Any]]:
        options = {"include_usage": True, "continuous_usage_stats": True}
        body = {**COLOURS, "stream": True, "stream_options": options, **fields}
        status, headers, data = self.call("POST", path, body)
        assert status == 200, data
        assert headers["content-type"] == "text/event-stream"
        events = data.decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]

    def metrics(self) -> dict[str, float]:
        status, _, data = self.call("GET", "/metrics")
        assert status == 200
        lines = [line for line in data.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def text_in(events: list[dict[str, Any]]) -> str:
    return "".join(c["delta"].get("content", "") for e in events for c in e["choices"])


def anonymous_bytes(pid: int) -> int:
    """The memory that a process has for itself: not the files that it reads."""
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "RssAnon" in line
    ]
    return int(line.split()[1]) * 1024


def thread_ticks(pid: int) -> dict[int, int]:
    """Processor time of each thread of a process and of its children, in clock ticks."""
    found: dict[int, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[int(task.name)] = int(fields[11]) + int(fields[12])
        for child in (task / "children").read_text().split():
            found |= thread_ticks(int(child))
    return found


def busiest_share(before: dict[int, int], after: dict[int, int]) -> float:
    """The share of the processor time between two looks that one thread had.

    It does not depend on how busy the machine is, as a speed does.
    """
    grown = [ticks - before.get(thread, 0) for thread, ticks in after.items()]
    return max(grown) / sum(grown)
