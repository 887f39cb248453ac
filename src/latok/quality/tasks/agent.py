"""Graded tasks for the app `agent`."""

from __future__ import annotations

from latok.quality.task import Task

TASKS: tuple[Task, ...] = ()
