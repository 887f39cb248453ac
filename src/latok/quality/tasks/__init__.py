"""All tasks, and items of them: one row for each task, in the module of its app."""

from __future__ import annotations

from collections.abc import Mapping

from latok.errors import UsageError
from latok.quality.items import Item
from latok.quality.task import Task
from latok.quality.tasks import agent, batch, chat, code, document

TASKS = {task.name: task for app in (chat, document, code, agent, batch) for task in app.TASKS}


def tasks_of(app: str) -> tuple[Task, ...]:
    """The tasks of an app. Raises UsageError if it has none."""
    found = tuple(task for task in TASKS.values() if task.app == app)
    if not found:
        apps = ", ".join(dict.fromkeys(task.app for task in TASKS.values()))
        raise UsageError(f"no graded tasks for the app {app!r}; there are some for {apps}")
    return found


def items(
    name: str, *, seed: int, n: int, size: int | Mapping[str, int] | None = None
) -> list[Item]:
    """n items of a task, or of an app's tasks by turns, so that any beginning is a fair mixture.

    `size` None: each task's usual one. A mapping (`latok.quality.calibrate`) gives each task its
    own, and tasks that are not in it are left out. Raises UsageError if there is no such name.
    """
    tasks = (TASKS[name],) if name in TASKS else tasks_of(name)
    if isinstance(size, Mapping):
        tasks = tuple(task for task in tasks if task.name in size)
        if not tasks:
            raise UsageError(f"no task of {name} is left to ask")
    sizes = [size[task.name] if isinstance(size, Mapping) else size for task in tasks]
    return [
        tasks[k % len(tasks)].item(seed, k // len(tasks), sizes[k % len(tasks)]) for k in range(n)
    ]
