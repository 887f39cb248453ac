"""A target made ready: found or started, its model known, its tokeniser at hand."""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from latok.analysis.cost import most_usd_of
from latok.engines.launch import launched
from latok.engines.table import ENGINES, parse_levers
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.prices import ESTIMATED, in_force
from latok.load.drive import Prepared
from latok.load.energy import Meter, meters_here, prometheus_meter
from latok.load.probe import Found, find, model_at, site, tokeniser
from latok.load.socket import Address, resolve
from latok.records import Hosted, Prices, Request, Target
from latok.workload.apps import App, embedded_scale, fitted
from latok.workload.prompts import PromptMaker, prompt_maker, requests

Say = Callable[[str], None]

EMBEDDED = "openvino"  # what is started when no target is named
_HOST = re.compile(r"[\w.-]+:\d+(/\S*)?|localhost(/\S*)?|\[[0-9a-fA-F:]+\](:\d+)?(/\S*)?")
# Long enough to tell the chat template's tokens from the text's, short enough to cost nothing.
_PROBE = Request(id=0, prompt="Say hello in one word.", prompt_tokens=6, max_tokens=8)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A target that answers. `overhead`: prompt tokens that it adds to a text by itself."""

    target: Target
    found: Found
    address: Address
    levers: Mapping[str, Any]
    embedded: bool
    count: Callable[[Any], list[int]] | None
    overhead: int
    body: Mapping[str, Any]
    alive: Callable[[], bool]
    prices: Prices | None
    meters: Sequence[Meter]

    def fit(self, app: App, scale: float | None) -> tuple[App, str]:
        """The app as this target can bear it, and a sentence if that is not as it is defined."""
        context = self.found.context
        if scale is None:
            scale = embedded_scale(app, context) if self.embedded and context else 1.0
        return fitted(app, context_tokens=context, scale=scale)

    @property
    def margin(self) -> float:
        """How many times as many tokens as we think a prompt may have."""
        return ESTIMATED if self.count is None else 1.0

    def probed(self) -> float:
        """US dollars that the probe's one request may have cost."""
        if not isinstance(self.prices, Hosted):
            return 0.0
        return most_usd_of(
            self.prices, _PROBE.prompt_tokens + self.overhead, _PROBE.max_tokens, margin=self.margin
        )

    def maker(self, app: App, seed: int) -> PromptMaker:
        """Makes this app's prompts, counted by the target's own tokeniser where it has one."""
        return prompt_maker(app.text, seed=seed, count=self.count)

    def prepared(
        self, app: App, maker: PromptMaker, *, seed: int, first_id: int
    ) -> Iterator[Prepared]:
        """Requests without end, serialised. What the template adds is taken off the text."""
        dialect, model, accepts = self.found.dialect, self.found.model, self.found.accepts
        for request in requests(
            app, seed=seed, maker=maker, first_id=first_id, overhead=self.overhead
        ):
            body = {**dialect.body(request, model, accepts), **self.body}
            yield Prepared(_light(request), self.found.site.post(body))


def _light(request: Request) -> Request:
    """Without its text, which the driver does not need once it is serialised."""
    return Request(
        id=request.id,
        prompt="",
        prompt_tokens=request.prompt_tokens,
        max_tokens=request.max_tokens,
        app=request.app,
        session=request.session,
        turn=request.turn,
    )


@contextmanager
def opened(word: str, asked: Experiment, say: Say) -> Iterator[Session]:
    """Starts the engine of that name, or finds what is at that URL; stops what it started.

    Raises UsageError for a word that is neither, TargetError for a target that does not answer.
    """
    levers: Mapping[str, Any] = {}
    with ExitStack() as stack:
        if word in ENGINES:
            turned = parse_levers(word, _pairs(asked.levers))
            in_force(asked, word, "")  # what is wrong, before an engine starts
            running = stack.enter_context(launched(word, turned, say=say))
            url, levers, alive = running.url, running.levers, running.alive
        else:
            if asked.levers:
                raise UsageError(
                    f"{asked.levers[0]} is a lever of an engine that latok starts, not of a URL"
                )
            url, alive = target_url(word), lambda: True
        where = site(
            url,
            path=asked.path,
            headers=asked.headers(),
            ca=Path(asked.ca) if asked.ca else None,
        )
        through = f" through the proxy {where.proxy.url}" if where.proxy else ""
        say(f"asking {where.url}{through} what it serves")
        address = resolve(*where.peer)
        body = asked.more_body()
        model = asked.model or model_at(where, asked.dialect)
        known = in_force(asked, where.url, model)  # before anything is sent that costs
        if known.note:
            say(known.note)
        meters = _meters(asked.energy_metric, None if where.proxy else address)
        found = find(where, _PROBE, model=model, dialect=asked.dialect, body=body)
        count = stack.enter_context(tokeniser(found))
        yield Session(
            target=Target(
                name=word if word in ENGINES else found.model,
                url=where.url,
                model=found.model,
                dialect=found.dialect.name,
                server=found.server,
                proxy=where.proxy.url if where.proxy else "",
            ),
            found=found,
            address=address,
            levers=levers,
            # `latok engine …` started by hand is as small as when we start it
            embedded=word in ENGINES or found.server.startswith("latok/"),
            count=count,
            overhead=_overhead(found, count),
            body=body,
            alive=alive,
            prices=known.prices,
            meters=meters,
        )


def _meters(metric: str | None, address: Address | None) -> Sequence[Meter]:
    """What tells the energy: the user's metric, or our machine's counters if the target is here."""
    if metric is not None:
        return [prometheus_meter(metric)]
    here = address is not None and ip_address(address.sockaddr[0]).is_loopback
    return meters_here() if here else ()


def _overhead(found: Found, count: Any) -> int:
    """What the target's template adds, by the probe's usage less the text's own tokens."""
    if found.usage is None or found.usage.prompt_tokens is None:
        return 0
    own = count([_PROBE.prompt])[0] if count else _PROBE.prompt_tokens
    return max(found.usage.prompt_tokens - own, 0)


def target_url(word: str) -> str:
    """The URL that a word means. Raises UsageError if it means none."""
    if "://" in word:
        return word
    if _HOST.fullmatch(word):
        return f"http://{word}"
    raise UsageError(
        f"no target '{word}'; there are the engines {', '.join(ENGINES)}, or a URL such as "
        "http://127.0.0.1:8000"
    )


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


# --- where runs are kept -------------------------------------------------------------------------


def new_folder(runs: str, name: str) -> Path:
    """Makes a folder for a run or a map, never one that exists. Raises UsageError."""
    for n in itertools.count():
        folder = Path(runs) / (f"{name}-{n + 1}" if n else name)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as why:
            raise UsageError(f"cannot write to {runs}: {why.strerror}; choose --runs") from None
        return folder
    raise AssertionError("unreachable")


def command_line() -> str:
    """The command that was given, to do it again; the value of a header is not for reports."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    for n, word in enumerate(words):
        if words[n - 1] == "--header" or word.startswith("--header="):
            words[n] = word.partition(":")[0] + ": …"
    return shlex.join(words)
