"""What the extra `context` brings, imported when a lever needs it."""

from __future__ import annotations

import importlib
from typing import Any

from latok.errors import UsageError


def from_extra(module: str) -> Any:
    """A module of the extra. Raises UsageError, with the command that helps, where it is not."""
    try:
        return importlib.import_module(module)
    except ImportError as why:
        raise UsageError(
            f"this lever needs {module}; pip install 'latok[context]' brings it"
        ) from why
