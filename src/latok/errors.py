"""The exceptions that latok raises on purpose. Anything else that escapes is a bug.

    LatokError
    ├── UsageError     the caller asked for something that is not there        exit code 2
    ├── TargetError    the target cannot be reached, or every request failed   exit code 3
    └── InvalidError   nothing that was measured can be trusted                exit code 5

A target that answers badly is not an exception: it is a Record with an error.
"""

from __future__ import annotations


class LatokError(Exception):
    """One line for the user: what was wrong, where, and what would be right."""

    exit_code = 1


class UsageError(LatokError):
    """The input is wrong: an unknown word, an unreadable file, a folder that cannot be written."""

    exit_code = 2


class TargetError(LatokError):
    """The target cannot be reached, is not what it should be, or failed every request."""

    exit_code = 3


class InvalidError(LatokError):
    """Every point was bent by the client itself; no answer would be honest."""

    exit_code = 5
