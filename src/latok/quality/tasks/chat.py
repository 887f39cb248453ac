"""Graded tasks for the app `chat`."""

from __future__ import annotations

from latok.quality.task import Task

TASKS: tuple[Task, ...] = ()
