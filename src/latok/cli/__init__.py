"""The command line: argv → one call of a job → text. stdout is data, stderr is talk."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from latok.cli import levers, measuring, reading, serving  # noqa: F401  # they add their commands
from latok.cli.app import app
from latok.errors import LatokError, UsageError

__all__ = ["app", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. One line on stderr for what went wrong."""
    try:
        code = app(args=list(argv) if argv is not None else None, standalone_mode=False)
    except LatokError as why:
        print(f"latok: {why}", file=sys.stderr)
        return why.exit_code
    except typer.TyperException as why:
        print(f"latok: {getattr(why, 'format_message', why.__str__)()}", file=sys.stderr)
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("latok: interrupted before anything was measured", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `latok runs | head`
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0
