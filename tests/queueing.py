"""M/D/c: a server whose capacity is known. Virtual time, first come first served.

Requests arrive at random (Poisson); each takes one of `servers` for `service` seconds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import poisson

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


def closed_times(users: int, servers: int, service: float, count: int) -> Floats:
    """Seconds that each of `count` whole requests takes where `users` ask one after another."""
    free = np.zeros(servers)
    ready = np.linspace(0.0, service, users, endpoint=False)
    taken = np.empty(count)
    for n in range(count):
        user, server = int(ready.argmin()), int(free.argmin())
        end = max(free[server], ready[user]) + service
        taken[n] = end - ready[user]
        free[server] = ready[user] = end
    return taken


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
