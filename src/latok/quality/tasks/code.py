"""Graded tasks for the app `code`."""

from __future__ import annotations

from latok.quality.task import Task

TASKS: tuple[Task, ...] = ()
