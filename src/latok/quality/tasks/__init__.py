"""All tasks: one row for each, in the module of its app."""

from __future__ import annotations

from latok.errors import UsageError
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
