"""The highest load that meets an SLO, in few requests. Pure: what was seen in, the next hold out.

A clause `m.pQ<x` is met as long as at least Q % of the requests are below x, and that share falls
as the load grows. So capacity is where a falling curve crosses Q, which is what a dose-finding
trial looks for: a posterior over the crossing (probit regression on the logarithm of the load,
Finney 1971) says where to measure next and when enough is known. What it does not take for granted:

- *The curve's form.* The slope below the crossing and that above it are unknown, each for itself;
  both are integrated out.
- *Independence.* Neighbouring requests share queues and batches, so n of them tell as much as
  n ÷ τ would; τ, the integrated autocorrelation time (Sokal 1997), is estimated from the windows.
- *That a window is the long run.* A rate δ above what is served lets the queue grow by δ seconds
  each second, and until that is the clause's slack nobody sees it. In a window that ends T seconds
  after an empty start, rates up to slack ÷ T too high go unseen, and as chance may empty the queue
  once more, the lower end is lowered by twice that, the middle once. Long windows count more.
- *That a window is typical.* Near saturation one long queue may be all that a window shows, so each
  is taken to be worth nothing with a chance of 3 %; what one window says, a second must repeat.
- *Which clause.* Each has a curve of its own; the capacity is the lowest crossing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latok.analysis.stats import Floats

_STEP = 0.01  # of the grid of crossings, in the logarithm of the load
# Slopes, in standard deviations of the probit for a load e times as high: from a share that hardly
# feels the load (1.6 points for 10 % at p95 are 1) to a cliff.
_SLOPES = np.append(np.geomspace(0.3, 300.0, 24), 1e4)
_CLIFF = 0.2  # the chance that it is a cliff on both sides, as where one more user starts a queue
_SLOPES_APART = 1.0  # standard deviation of the logarithm of the ratio of the two slopes
# Loads farther than this factor from the crossing say nothing about the curve's form there.
_NEAR = 1.5
_FAR = math.e  # a crossing so far below all that was held is not the data's word
_APART = 1.4  # a load at the SLO's edge is within this factor of the crossing
_LUCK = 0.03  # the chance that a window shows nothing of the long run
_ALIKE = 1.25  # loads within this factor share their autocorrelation time
_DOUBT = 1.0  # standard deviations by which an autocorrelation time is taken longer than estimated
_MISSES = 3  # a first window can tell a clause once it expects so many misses at its limit
_LEAST = 50
_FEW = 5  # requests of a window that is kept short for want of time; twice as many at the edge
_TAUS = 20.0  # a window this many autocorrelation times long is long
_SLACKS = 40.0  # and this many times as long as the clause's slack, so that little goes unseen
_MORE = 0.35  # of the requests near the crossing so far, what the next window adds
_GLANCES = (
    16  # before there is an edge a window takes no more of what is left: that is for the edge
)
_WINDOWS = 3  # on each side of the crossing at the least: one that was lucky does not decide
_P100 = 0.999  # no sample can show that none fails; a p100 is searched as a p99.9


class Seen(NamedTuple):
    """A load that was held. `hits`: for each clause whether the requests of the window met it, in
    the order of sending. `latency`: seconds of a typical whole request; `held`: seconds from the
    first request to the window's end; `cost`: seconds it took altogether."""

    load: float
    hits: tuple[Floats, ...]
    latency: float
    held: float
    cost: float


class Hold(NamedTuple):
    """What to hold next: `load` for a window of `seconds` after `warm_up` seconds."""

    load: float
    seconds: float
    warm_up: float
    why: str


class Stop(NamedTuple):
    """Why nothing more is measured."""

    why: str


class Bracket(NamedTuple):
    """A capacity and its 95 % interval. `high` is None where no load was seen to fail; `clause`:
    the number of the tightest one; `tau`: the autocorrelation time near it, in requests."""

    value: float
    low: float
    high: float | None
    clause: int
    tau: float

    @property
    def precision(self) -> float:
        """Half the interval's width as a share of the capacity."""
        if self.high is None or not self.value:
            return math.inf
        return (self.high - self.low) / 2.0 / self.value


class Search(NamedTuple):
    """What is searched. `quantiles`: what share each clause asks; `slacks`: by how many seconds a
    request may be slower than alone before it misses the clause; `whole`: loads are numbers of
    slots, not rates; `first`, `highest`: the loads to begin with and never to exceed; `alone`:
    seconds that one request takes, as far as is known; `budget`: seconds for all."""

    quantiles: tuple[float, ...]
    slacks: tuple[float, ...]
    whole: bool
    first: float
    highest: float
    alone: float
    budget: float
    precision: float = 0.1


def bracket(search: Search, seen: Sequence[Seen]) -> Bracket:
    """Where the SLO ceases to be met. Asks for one load at least."""
    rows = sorted((row for row in seen if len(row.hits[0])), key=lambda row: row.load)
    found = [
        _crossing(min(quantile, _P100), slack, rows, n)
        for n, (quantile, slack) in enumerate(zip(search.quantiles, search.slacks, strict=True))
    ]
    # the true capacity is below a value if any crossing is: the chances of the clauses add up
    unseen = [
        0.0 if search.whole else slack / each.held
        for each, slack in zip(found, search.slacks, strict=True)
    ]
    pairs = list(zip(found, unseen, strict=True))
    low = min(each.at(0.025 / len(found)) / (1.0 + 2.0 * more) for each, more in pairs)
    high = min(each.at(0.975) for each in found)
    tightest = min(range(len(found)), key=lambda n: found[n].at(0.5))
    crossing = found[tightest].at(0.5)
    value = max(crossing / min(1.0 + unseen[tightest], _APART), low)
    if search.whole:
        value, low, high = (math.floor(x + 1e-9) for x in (value, low, high))
    # what lies there is the grid's end, not the data's
    unbounded = all(each.beyond > 0.025 for each in found)
    return Bracket(
        min(value, rows[-1].load) if unbounded else value,
        low if low >= rows[0].load / _FAR else 0.0,
        None if unbounded else high,
        tightest,
        found[tightest].tau,
    )


def next_hold(search: Search, seen: Sequence[Seen]) -> Hold | Stop:
    """What to measure next: ever twice as much until the SLO is missed, then around its edge."""
    left = search.budget - sum(row.cost for row in seen)
    if not seen:
        return _hold(search, seen, search.first, left, "a light load")
    found = bracket(search, seen)
    loads = sorted(row.load for row in seen)
    if all(_holds(search, row) for row in seen if row.load == loads[-1]):
        if loads[-1] >= search.highest:
            return Stop(f"the limit of {search.highest:g} was not reached by the SLO")
        if found.high is None or found.value >= loads[-1] / 1.05:
            return _hold(search, seen, min(2.0 * loads[-1], search.highest), left, "twice the load")
    # once missed may have been bad luck: then there is no upper end yet
    high = loads[-1] if found.high is None else found.high
    if search.whole and loads[0] <= 1 and high < 1:
        return Stop("even one at a time does not meet it")
    if not search.whole and high * search.alone < 0.01:
        return Stop("even one request at a time with long pauses does not meet it")
    if found.value < loads[0] and not _met(search, seen):
        lower = max(math.floor(loads[0] / 4), 1) if search.whole else loads[0] / 4.0
        if lower < loads[0]:
            return _hold(search, seen, lower, left, "a quarter of the load")
    met, missed = _met(search, seen), _missed(search, seen)
    if 0.0 < 2.0 * met < missed:
        between = math.sqrt(met * missed)
        between = round(between) if search.whole else between
        return _hold(search, seen, between, left, f"between {met:.3g} and {missed:.3g}")
    if _known(search, seen, found):
        return Stop(f"the interval is within {search.precision:.0%}")
    load = _edge(search, seen, found)
    return _hold(search, seen, load, left, "the SLO's edge", found)


def spent(search: Search, seen: Sequence[Seen]) -> Stop:
    """The budget is, and for which end of the interval it was too short."""
    found = bracket(search, seen) if seen else None
    if found is None or (found.low > 0.0 and found.high is not None):
        return Stop("the budget is spent")
    if found.high is not None:
        return Stop("the budget is spent before a load surely met the SLO")
    if found.low > 0.0:
        return Stop("the budget is spent before a load surely missed the SLO")
    return Stop("the budget is spent before either end of the interval is known")


def _holds(search: Search, row: Seen) -> bool:
    return all(
        float(np.mean(hits)) >= quantile
        for hits, quantile in zip(row.hits, search.quantiles, strict=True)
    )


def _missed(search: Search, seen: Sequence[Seen]) -> float:
    """The lightest load that missed the SLO in any window."""
    return min((row.load for row in seen if not _holds(search, row)), default=math.inf)


def _met(search: Search, seen: Sequence[Seen]) -> float:
    """The heaviest load below that."""
    missed = _missed(search, seen)
    return max((row.load for row in seen if row.load < missed), default=0.0)


def _known(search: Search, seen: Sequence[Seen], found: Bracket) -> bool:
    """Whether the interval is as narrow as asked, and seen from both sides more than once."""
    if search.whole and found.low == found.high:
        return True
    below, above = _sides(search, seen, found.value)
    return found.precision <= search.precision and min(len(below), len(above)) >= _WINDOWS


def _sides(search: Search, seen: Sequence[Seen], value: float) -> tuple[list[Seen], list[Seen]]:
    """What was held near a crossing: below it, and above. The next whole number is near."""
    top = max(value * _NEAR, value + search.whole)
    near = [row for row in seen if value / _NEAR <= row.load <= top]
    return [r for r in near if r.load <= value], [r for r in near if r.load > value]


def _edge(search: Search, seen: Sequence[Seen], found: Bracket) -> float:
    """The side of the crossing without an end, or the less known one; within the interval but not
    closer than is asked: at the crossing itself nothing is told of the slope."""
    sides = _sides(search, seen, found.value)
    below, above = (sum(len(row.hits[0]) for row in side) for side in sides)
    apart, value = 1.0 + search.precision / 2.0, max(found.value, 1e-9)
    down = min(max(math.sqrt(value / max(found.low, 1e-9)), apart), _APART)
    up = min(max(math.sqrt((found.high or math.inf) / value), apart), _APART)
    endless = (found.low <= 0.0) - (found.high is None)  # 1: below; -1: above
    lower = below <= above if endless == 0 else endless > 0
    # what met it is not left for less: a lighter load has fewer requests a second
    less = max(value / down, min(_met(search, seen), value / apart))
    if not search.whole:
        load = less if lower else value * up
    elif lower:
        load = max(math.ceil(less), 1)
    else:  # the crossing lies between `value` and the next whole number
        load = max(math.floor((value + 1.0) * up), math.floor(value) + 1)
    return min(load, search.highest)


def _hold(
    search: Search,
    seen: Sequence[Seen],
    load: float,
    left: float,
    why: str,
    edge: Bracket | None = None,
) -> Hold | Stop:
    """A window long enough to tell something, and to be long beside what requests share. `edge`:
    what is known of it, if the load is one of those around it."""
    latency = _latency(search, seen, load)
    per_second = load / latency if search.whole else load
    wanted = max(_LEAST, *(_MISSES / (1.0 - min(q, _P100)) for q in search.quantiles))
    if search.whole:
        wanted = max(wanted, 2.0 * load)
    windows, few, queued = _GLANCES, _FEW, 1.0
    if edge is not None:
        near = [row for side in _sides(search, seen, edge.value) for row in side]
        sent = sum(len(row.hits[0]) for row in near)
        long = 0.0 if search.whole else _SLACKS * search.slacks[edge.clause] * per_second
        wanted = max(2.0 * wanted, long, min(_TAUS * edge.tau, sent), _MORE * sent)
        windows, few = max(2 * _WINDOWS - len(near), 1), 2 * _FEW
        if not search.whole:  # what arrives faster than it is served is waited for at the end
            queued = max(load / edge.value, 1.0)
    # as many windows as are still to come fit, each with what is in flight at its end
    most = (left / windows - latency) / queued
    room = min(0.8 * most, most - 2.0 * latency)
    seconds = max(min(wanted / per_second, room), few / per_second, 3.0 * latency)
    warm_up = max(min(0.25 * seconds, 0.2 * most), 2.0 * latency)
    if seen and seconds + warm_up > left - latency:
        return spent(search, seen)
    return Hold(load, seconds, warm_up, why)


def _latency(search: Search, seen: Sequence[Seen], load: float) -> float:
    """A typical request at a load: as at the nearest that was seen. Closed loops beyond the last
    wait in proportion, as if throughput grew no more (Little's law); an open loop's nearest is the
    lighter one, for beyond capacity its requests wait ever longer, as long as it is held."""
    if not seen:
        return search.alone
    if search.whole:
        near = min(seen, key=lambda row: abs(math.log(row.load / load)))
        return near.latency * max(load / near.load, 1.0)
    lighter = [row for row in seen if row.load <= load]
    near = max(lighter or seen, key=lambda row: row.load if lighter else -row.load)
    return near.latency


# --- the posterior of one clause's crossing ------------------------------------------------------


class _Crossing(NamedTuple):
    """A posterior over the logarithm of a load. `beyond`: its weight far above all that was held;
    `tau`, `held`: the autocorrelation time and the length of a window near it."""

    logs: Floats
    cumulated: Floats
    beyond: float
    tau: float = 1.0
    held: float = 1.0

    def at(self, chance: float) -> float:
        return float(np.exp(np.interp(chance, self.cumulated, self.logs)))


def _crossing(quantile: float, slack: float, rows: Sequence[Seen], clause: int) -> _Crossing:
    logs = np.log(np.asarray([row.load for row in rows]))
    hits = [row.hits[clause] for row in rows]
    held = np.asarray([row.held for row in rows])
    taus = _taus(logs, hits)
    counts = np.asarray([len(h) for h in hits]) / taus
    shares = np.asarray([float(np.mean(h)) for h in hits])
    everywhere = np.ones(len(logs), dtype=bool)
    rough = math.log(_posterior(quantile, logs, shares, counts, everywhere).at(0.5))
    around = np.abs(logs - rough) <= math.log(_NEAR)
    # a light load is held long for its few requests: that makes no other window a short one
    longest = (held[around] if around.any() else held).max()
    counts *= np.minimum(held / min(_SLACKS * slack, longest), 1.0)
    found = _posterior(quantile, logs, shares, counts, around)
    middle = math.log(found.at(0.5))
    near = np.abs(logs - middle) <= math.log(_NEAR)
    place = int(np.argmin(np.abs(logs - middle)))
    weights = counts[near] if near.any() else counts
    typical = np.average(held[near] if near.any() else held, weights=weights)
    return found._replace(tau=float(taus[place]), held=float(typical))


def _posterior(
    quantile: float, logs: Floats, shares: Floats, counts: Floats, near: NDArray[np.bool_]
) -> _Crossing:
    """The weight of each crossing, the slopes integrated out. Only the loads `near` form the curve;
    the others, each with the slope that suits it best, say on which side of it they lie."""
    from scipy.special import log_ndtr, ndtri, xlogy

    grid = np.arange(logs[0] - 2.0, logs[-1] + 1.0, _STEP)
    sides = np.zeros((2, len(grid), len(_SLOPES)))
    for log, share, count, formed in zip(logs, shares, counts, near, strict=True):
        away = log - grid
        probit = ndtri(quantile) - away[:, None] * _SLOPES
        fits = count * (share * log_ndtr(probit) + (1.0 - share) * log_ndtr(-probit))
        fits -= count * (xlogy(share, share) + xlogy(1.0 - share, 1.0 - share))
        fits = np.logaddexp(fits, math.log(_LUCK))  # so no window outweighs all the others
        if not formed:
            fits = np.repeat(fits.max(axis=1, keepdims=True), len(_SLOPES), axis=1)
        sides[0] += np.where(away[:, None] <= 0, fits, 0.0)
        sides[1] += np.where(away[:, None] > 0, fits, 0.0)
    best = sides.max(axis=2, keepdims=True)
    likely = np.exp(sides - best)
    ratio = np.log(_SLOPES[:, None] / _SLOPES)
    prior = np.exp(-0.5 * (ratio / _SLOPES_APART) ** 2)
    prior[-1] = prior[:, -1] = 0.0
    prior[-1, -1] = prior.sum() * _CLIFF / (1.0 - _CLIFF)
    log_weight = np.log(np.einsum("gb,bh,gh->g", likely[0], prior, likely[1]) + 1e-300)
    log_weight += best[0, :, 0] + best[1, :, 0]
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    beyond = float(weight[grid > logs[-1] + 0.5].sum())
    return _Crossing(grid, np.cumsum(weight), beyond, 1.0)


def _taus(logs: Floats, hits: Sequence[Floats]) -> Floats:
    """The autocorrelation time at each load, in requests, from the windows at loads alike that have
    both hits and misses; 1 where there are none (far below the crossing queues are short)."""
    varied = [n for n, h in enumerate(hits) if 0.0 < float(np.mean(h)) < 1.0]
    taus = np.ones(len(hits))
    for n, mine in enumerate(hits):
        alike = [m for m in varied if abs(logs[n] - logs[m]) <= math.log(_ALIKE)]
        if alike:
            taus[n] = min(_tau([hits[m] for m in alike]), max(len(mine) / 2.0, 1.0))
    return taus


def _tau(windows: Sequence[Floats]) -> float:
    """1 + 2 Σ ρ(k), summed as long as pairs of neighbouring lags are positive (Geyer 1992)."""
    longest = max(len(w) for w in windows) // 2
    total, pairs = np.zeros(longest), np.zeros(longest)
    for window in windows:
        count, rest = len(window), window - window.mean()
        spectrum = np.fft.rfft(rest, 2 * count)
        products = np.fft.irfft(spectrum * spectrum.conj())[: min(longest, count)]
        total[: len(products)] += products
        pairs[: len(products)] += count - np.arange(len(products))
    rho = total / pairs / (total[0] / pairs[0])
    sums = rho[: longest - longest % 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(sums <= 0.0)
    tau = 2.0 * float(sums[: ends[0] if len(ends) else len(sums)].sum()) - 1.0
    size = float(np.mean([len(w) for w in windows]))
    # a window's own mean takes τ ÷ n off each ρ
    tau = max(1.0, tau / (1.0 - min(tau / size, 0.5)))
    # and as misses come in clusters, too small a τ is likelier than too large a one: the variance
    # of the estimate, summed over some 3 τ lags, is about 12 τ ÷ n of its square (Sokal 1997)
    return tau * (1.0 + _DOUBT * math.sqrt(12.0 * tau / sum(map(len, windows))))
