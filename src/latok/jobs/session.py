"""A target made ready: found or started, its model known, its tokeniser at hand."""

from __future__ import annotations

import itertools
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from latok.analysis.cost import most_usd_of
from latok.engines.external import command
from latok.engines.launch import launched
from latok.engines.table import ENGINES, parse_levers
from latok.errors import UsageError
from latok.jobs.experiment import Experiment
from latok.jobs.graded import suite_asked
from latok.jobs.judged import Judge, judge_named
from latok.jobs.prices import ESTIMATED, in_force
from latok.levers.client import PLAIN, Client
from latok.load.energy import Meter, meters_here, prometheus_meter
from latok.load.plan import Prepared
from latok.load.probe import Found, find, model_at, site, tokeniser
from latok.load.scrape import metrics_path
from latok.load.socket import Address, resolve
from latok.records import Hosted, Prices, Request, Target
from latok.wire.talk import Talk
from latok.workload.apps import App, embedded_scale, fitted, room_of
from latok.workload.ask import Counted, Workload, drawn, from_file, replayed, resembling
from latok.workload.given import Given, given
from latok.workload.prompts import PromptMaker, estimate, prompt_maker
from latok.workload.traces import Trace, read_trace

Say = Callable[[str], None]

EMBEDDED = "openvino"  # what is started when no target is named
_HOST = re.compile(r"[\w.-]+:\d+(/\S*)?|localhost(/\S*)?|\[[0-9a-fA-F:]+\](:\d+)?(/\S*)?")
# Long enough to tell the chat template's tokens from the text's, short enough to cost nothing.
_PROBE = Request(id=0, prompt="Say hello in one word.", prompt_tokens=6, max_tokens=8)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A target that answers. `overhead`: prompt tokens that it adds to a text by itself.
    `counters`: the path of its page of counters, empty where it has none. `body`, `stream` and
    `effort`: how it is asked (`latok.wire.talk.Talk`); `client`: what stands in front of it.
    `judge`: who grades the items that ask for one."""

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
    counters: str = ""
    trace: Trace | None = None
    prompts: Sequence[Counted] = ()
    stream: bool = True
    effort: str | None = None
    client: Client = PLAIN
    judge: Judge | None = None

    def fit(self, app: App, scale: float | None) -> tuple[App, str]:
        """The app as this target can bear it, and a sentence if that is not as it is defined."""
        if self.trace is not None:
            return app, self.fitting_trace(scale)[2]
        if self.prompts:
            return app, ""
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

    def fitting_trace(self, scale: float | None) -> tuple[Trace, int, str]:
        """The trace as this target can bear it, how many of its calls that leaves out, and a
        sentence that says so."""
        assert self.trace is not None
        room = room_of(self.found.context)
        if scale is None:
            scale = embedded_trace_scale(self.trace, room) if self.embedded and room else 1.0
        scaled = self.trace.scaled(scale)
        fitting = scaled if room is None else scaled.fitting(room)
        left_out = len(scaled.calls) - len(fitting.calls)
        if not fitting.calls:
            raise UsageError(f"no request of {self.trace.name} fits the context; try --scale 0.1")
        said = [f"lengths are {scale:g} of the trace's"] if scale != 1 else []
        if left_out:
            said.append(
                f"{left_out} of {len(scaled.calls)} requests of the trace are left out: with their "
                f"answers they pass the context of {self.found.context:,} tokens"
            )
        return fitting, left_out, "; ".join(said)

    def maker(self, app: App, seed: int) -> PromptMaker:
        """Makes this app's prompts, counted by the target's own tokeniser where it has one."""
        return prompt_maker(app.text, seed=seed, count=self.count)

    def workload(self, app: App, maker: PromptMaker, asked: Experiment) -> Workload:
        """What is asked: from the app, or from the file that was given instead."""
        room = room_of(self.found.context)
        if self.trace is not None:
            trace, left_out, _ = self.fitting_trace(asked.scale)
            return replayed(trace, app, maker, overhead=self.overhead, left_out=left_out)
        if self.prompts:
            name = Path(asked.prompts or "").name
            return from_file(self.prompts, app, seed=asked.seed, name=name, room=room)
        return drawn(
            app,
            maker,
            seed=asked.seed,
            overhead=self.overhead,
            room=room,
            cache=asked.cache_share(),
        )

    def prepared(self, workload: Workload, first_id: int) -> Iterator[Prepared]:
        """Requests, serialised. A session's later turns go along, to be built when it is time."""
        talk = self.talk()
        for request, later in workload.asks(first_id):
            kept = request if later else _light(request)
            yield Prepared(kept, talk.bytes_of(request), later)

    def talk(self) -> Talk:
        """How its requests are built."""
        found = self.found
        return Talk(
            dialect=found.dialect.name,
            model=found.model,
            accepts=found.accepts,
            more=dict(self.body),
            path=found.site.asked_for(found.site.path),
            authority=found.site.authority,
            headers=tuple(found.site.headers_sent),
            stream=self.stream,
            effort=self.effort,
        )


def _light(request: Request) -> Request:
    """Without its text, which the driver does not need once it is serialised."""
    return msgspec.structs.replace(request, prompt="", before=())


def embedded_trace_scale(trace: Trace, room: int) -> float:
    """1/k, k a power of two, so that 99 % of a trace's calls fit a small engine's context."""
    lengths = sorted(call.input + call.output for call in trace.calls)
    longest = lengths[int(0.99 * (len(lengths) - 1))]
    return 2.0 ** -max(math.ceil(math.log2(longest / room)), 0)


@contextmanager
def opened(word: str, asked: Experiment, say: Say, *, top_logprobs: int = 0) -> Iterator[Session]:
    """Starts the engine of that name, or finds what is at that URL; stops what it started.

    `top_logprobs`: of how many tokens requests will ask the log-probabilities; the probe then finds
    out whether the target gives them (`found.accepts`).
    Raises UsageError for a word that is neither, TargetError for a target that does not answer.
    """
    levers: Mapping[str, Any] = {}
    trace, brought = _brought(asked)  # a wrong file, before an engine starts
    if asked.items is not None:
        suite_asked(asked, asked.app)
    with ExitStack() as stack:
        judge = stack.enter_context(judge_named(asked, say))
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
        probe = msgspec.structs.replace(_PROBE, top_logprobs=top_logprobs)
        found = find(where, probe, model=model, dialect=asked.dialect, body=body)
        count = stack.enter_context(tokeniser(found))
        overhead = _overhead(found, count)
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
            embedded=found.server.startswith("latok/")
            or (word in ENGINES and ENGINES[word].embedded),
            count=count,
            overhead=overhead,
            body=body,
            alive=alive,
            trace=trace,
            prompts=_counted(brought, count or estimate, overhead),
            prices=known.prices,
            meters=meters,
            counters=metrics_path(found.site),
            judge=judge,
        )


def start_line(engine: str, asked: Experiment) -> str:
    """What would be started, in its own words; nothing for an engine of ours. Raises UsageError."""
    levers = parse_levers(engine, _pairs(asked.levers))
    if ENGINES[engine].embedded:
        return ""
    return f"starts {shlex.join(command(engine, levers, host='127.0.0.1', port=0))}"


def _meters(metric: str | None, address: Address | None) -> Sequence[Meter]:
    """What tells the energy: the user's metric, or our machine's counters if the target is here."""
    if metric is not None:
        return [prometheus_meter(metric)]
    here = address is not None and ip_address(address.sockaddr[0]).is_loopback
    return meters_here() if here else ()


def estimated(asked: Experiment, app: App, session: Session | None = None) -> App:
    """The app, or one with the lengths of the file that is asked instead: for what it will cost.

    Without a session nobody counts the prompts of a file, so they are estimated.
    """
    if session is None:
        trace, brought = _brought(asked)
        trace = trace and trace.scaled(asked.scale or 1.0)
        prompts: Sequence[Counted] = _counted(brought, estimate, 0)
    else:
        trace = session.trace and session.fitting_trace(asked.scale)[0]
        prompts = session.prompts
    if trace is not None:
        return resembling(app, [(call.input, call.output) for call in trace.calls])
    if prompts:
        usual = round(app.output.mean())
        return resembling(app, [(each.tokens, each.output or usual) for each in prompts])
    return app


def _brought(asked: Experiment) -> tuple[Trace | None, list[Given]]:
    """The trace or the prompts that were given as a file. Raises UsageError."""
    if asked.trace is not None:
        trace = read_trace(_content(asked.trace, "--trace"), Path(asked.trace).name)
        # of a closed loop `requests` counts those after its warm-up
        slice_ = asked.requests if asked.concurrency is None else None
        return (trace if slice_ is None else trace.first(slice_)), []
    if asked.prompts is not None:
        content, name = _content(asked.prompts, "--prompts"), Path(asked.prompts).name
        return None, given(content, name, seed=asked.seed)
    return None, []


def _content(file: str, option: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as why:
        raise UsageError(f"{option}: cannot read {file}: {why.strerror}") from None


def _counted(
    brought: Sequence[Given], count: Callable[[Any], list[int]], overhead: int
) -> list[Counted]:
    """How long the prompts of a file are, and their answers where only the text is known."""
    if not brought:
        return []
    texts = ["\n\n".join([*(m.content for m in each.before), each.prompt]) for each in brought]
    answered = [n for n, each in enumerate(brought) if each.output is None and each.answer]
    counts = count([*texts, *(brought[n].answer for n in answered)])
    answers = dict(zip(answered, counts[len(texts) :], strict=True))
    return [
        Counted(each, tokens + overhead, each.output or answers.get(n) or None)
        for n, (each, tokens) in enumerate(zip(brought, counts, strict=False))
    ]


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
