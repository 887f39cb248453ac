"""M/D/c: a server whose capacity is known. Virtual time, first come first served.

Requests arrive at random (Poisson); each takes one of `servers` for `service` seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import poisson

from latok.decide.capacity import Bracket, Search, Seen, Stop, bracket, next_hold

Floats = NDArray[np.float64]


def waits(rate: float, servers: int, service: float, count: int, *, seed: int) -> Floats:
    """How long each of `count` requests waits for a server, seconds, from an empty queue.

    Services are equally long, so request n takes the server that n − c leaves (Lindley).
    """
    gaps = np.random.default_rng(seed).exponential(1.0 / rate, count)
    due = np.cumsum(gaps)
    started = np.empty(count)
    for first in range(min(servers, count)):
        lane = due[first::servers]
        steps = service * np.arange(len(lane))
        started[first::servers] = np.maximum.accumulate(lane - steps) + steps
    return started - due


def share_within(wait: float, rate: float, servers: int, service: float) -> float:
    """The long-run share of requests that wait no longer than `wait` seconds.

    Franx (2001), "A simple solution for the M/D/c waiting time distribution": with Q(n) the chance
    of at most n in the queue and k·D the next multiple of D after `wait`,
    P(W ≤ wait) = e^(−λu) Σ_{j<kc} Q(kc − 1 − j) (λu)^j / j!, u = kD − wait.
    """
    if rate * service >= servers:
        return 0.0
    queue = _queue(rate * service, servers)
    k = math.floor(wait / service) + 1
    u = rate * (k * service - wait)
    j = np.arange(k * servers)
    at_most = queue[np.minimum(k * servers - 1 - j, len(queue) - 1)]
    return float(np.sum(at_most * poisson.pmf(j, u)))


def _queue(load: float, servers: int) -> Floats:
    """Chances of at most n in the queue, n = 0, 1, …: the state a service later is what did not
    begin before, and what has arrived since (Crommelin 1932)."""
    size = servers + 60 + int(20 / (1.0 - load / servers))
    arrive = poisson.pmf(np.arange(size), load)
    step = np.zeros((size, size))
    for n in range(size):
        left = max(n - servers, 0)
        step[n, left:] = arrive[: size - left]
        step[n, -1] += 1.0 - step[n].sum()
    balance = step.T - np.eye(size)
    balance[-1] = 1.0  # one equation too many: the chances sum to 1
    state = np.linalg.solve(balance, np.eye(size)[-1])
    return np.cumsum(state)[servers:]


def capacity(wait: float, quantile: float, servers: int, service: float) -> float:
    """The rate, requests per second, at which the share `quantile` waits no longer than `wait`."""
    top = servers / service
    return float(
        brentq(
            lambda rate: share_within(wait, rate, servers, service) - quantile,
            1e-3 * top,
            0.98 * top,
            xtol=1e-6 * top,
        )
    )


# --- a search, played in virtual time ------------------------------------------------------------


class Law(NamedTuple):
    """An M/D/c server and a clause: the share `quantile` waits no longer than `wait` seconds.
    `easy`: so many clauses more, which every request meets."""

    servers: int
    service: float
    wait: float
    quantile: float
    easy: int = 0

    @property
    def capacity(self) -> float:
        return capacity(self.wait, self.quantile, self.servers, self.service)

    def held(self, rate: float, seconds: float, warm_up: float, *, seed: int) -> Seen:
        """A window of `seconds` after `warm_up` seconds, from an empty server; what is in flight at
        its end is awaited."""
        before, inside = int(rate * warm_up), max(int(rate * seconds), 1)
        waited = waits(rate, self.servers, self.service, before + inside, seed=seed)[before:]
        latency = self.service + float(np.median(waited))
        hits = (waited <= self.wait).astype(np.float64)
        easy = self.easy * (np.ones(inside),)
        held = seconds + warm_up
        return Seen(rate, (hits, *easy), latency, held, held + waited[-1] + self.service)


class Searched(NamedTuple):
    """What a search found, from how many requests, warm-up included."""

    found: Bracket
    requests: int
    seen: list[Seen]
    stopped: str


def search_of(law: Law, *, precision: float = 0.1, budget: float = math.inf) -> Search:
    return Search(
        quantiles=(law.quantile,) * (1 + law.easy),
        slacks=(law.wait,) * (1 + law.easy),
        whole=False,
        first=0.5 / law.service,
        highest=1e6,
        alone=law.service,
        budget=budget,
        precision=precision,
    )


def searched(law: Law, *, seed: int, precision: float = 0.1, budget: float = math.inf) -> Searched:
    """Plays a search to its end. Another `seed` is another world."""
    search, seen, requests = search_of(law, precision=precision, budget=budget), [], 0
    while not isinstance(step := next_hold(search, seen), Stop):
        took = law.held(step.load, step.seconds, step.warm_up, seed=seed * 1000 + len(seen))
        seen.append(took)
        requests += round(step.load * took.held)
    return Searched(bracket(search, seen), requests, seen, step.why)
