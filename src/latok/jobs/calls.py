"""What the commands do, as calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latok.analysis.capacity import Capacity
from latok.analysis.compare import Comparison
from latok.analysis.explain import Explanation
from latok.analysis.frontier import Map
from latok.analysis.point import Point
from latok.errors import UsageError
from latok.jobs.account import account_of_stored, stored_runs
from latok.jobs.capacity import capacity as capacity_
from latok.jobs.compare import compare as compare_
from latok.jobs.experiment import Experiment
from latok.jobs.explain import explain as explain_
from latok.jobs.map import Watcher, map_
from latok.jobs.measure import measure as measure_
from latok.jobs.report import write_report
from latok.jobs.try_ import try_
from latok.quality.tried import Tried


def map(
    *targets: str,
    app: str = "chat",
    budget: float = 120.0,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Map:
    """Maps an app on targets (URLs or engines; none: the embedded engine) and writes the report.

    `budget`: seconds of measuring. `options`: the words of the command line with underscores, such
    as `slo="ttft.p95<500ms"`, `scale=0.2`, `levers=("kv_cache=u4",)`, `runs="folder"`; see
    `latok.jobs.experiment.Experiment`. `say` hears what takes time.

    Raises UsageError (a wrong word), TargetError (no answer), InvalidError (nothing to trust), and
    KeyboardInterrupt where Ctrl-C came before the end; what was measured is in the runs' folder.
    """
    if app == "all":
        raise UsageError("one app at a time: call it for each")
    asked = _experiment(targets=targets, app=app, budget=budget, **options)
    mapped = map_(asked, Watcher(say=say))
    write_report([mapped.folder], None)
    if not mapped.complete:
        raise KeyboardInterrupt
    return mapped.maps[0]


def measure(
    target: str | None = None, *, say: Callable[[str], None] = lambda _: None, **options: Any
) -> Point:
    """Holds one load on a target and gives the point, valid or not (`point.valid`).

    `options`: `concurrency=8` or `rate=4.0`, `requests=64` or `duration=30.0` (seconds), and all
    that `map` takes. Raises as `map` does.
    """
    targets = () if target is None else (target,)
    point, complete = measure_(_experiment(targets=targets, **options), say=say)
    if not complete:
        raise KeyboardInterrupt
    return point


def compare(
    a: str, b: str, *, say: Callable[[str], None] = lambda _: None, **options: Any
) -> Comparison:
    """Judges B against A: two stored runs or maps, or two targets, which are measured in turns (an
    engine with its levers is one word, `"openvino kv_cache=u4"`).

    `options`: `margin=0.05`, `budget=120.0` (seconds), `concurrency=8` or `rate=4.0`, and all that
    `map` takes. Raises as `map` does; what is not comparable is a UsageError.
    """
    found, complete = compare_(a, b, _experiment(**options), Watcher(say=say))
    if not complete:
        raise KeyboardInterrupt
    return found


def explain(
    word: str | None = None,
    *,
    grade: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Explanation:
    """Where the latency goes: of a stored run or map (a folder, its name, `last`), or of a target,
    which is measured alone and at the load that is asked for.

    `grade`: `told`, `counters` or `inferred`; without one the best that is there. `options`:
    `concurrency=8` or `rate=4.0`, `requests=64` or `duration=20.0` (seconds) at each load, and all
    that `map` takes. Raises as `map` does; what tells nothing is a UsageError.
    """
    asked = _experiment(targets=() if word is None else (word,), **options)
    stored = stored_runs(word, asked.runs)
    if stored is not None:
        return account_of_stored(stored, grade=grade).explanation
    found, complete = explain_(asked, grade, Watcher(say=say))
    if not complete:
        raise KeyboardInterrupt
    return found.explanation


def capacity(
    target: str | None = None,
    *,
    budget: float = 180.0,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Capacity:
    """The highest load within the SLO, with an interval: how many at a time, how many a second.

    `budget`: seconds of measuring. `options`: `precision=0.1`, `highest=256`, `loops=("closed",)`
    for one of the two answers, and all that `map` takes. Raises as `map` does; an app without an
    SLO is a UsageError.
    """
    targets = () if target is None else (target,)
    asked = _experiment(targets=targets, budget=budget, **options)
    found = capacity_(asked, Watcher(say=say))
    if not found.complete:
        raise KeyboardInterrupt
    return found.capacities[0]


def try_levers(
    *levers: str,
    target: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Tried:
    """Turns levers (`"kv_cache=u4"`, `"context=bm25:256"`) and measures with and without, in turns:
    latency, tokens, cost, capacity and answers.

    `options`: `concurrency=8`, `budget=120.0` (seconds), `margin=0.05`, `quality_margin=0.02`,
    `graded=0.5`, and all that `map` takes. Raises as `map` does.
    """
    targets = () if target is None else (target,)
    found, _, complete = try_(
        _experiment(targets=targets, levers=levers, **options), Watcher(say=say)
    )
    if not complete:
        raise KeyboardInterrupt
    return found


def _experiment(**words: Any) -> Experiment:
    known = Experiment.__dataclass_fields__
    if unknown := words.keys() - known.keys():
        raise UsageError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return Experiment(**words)
