"""`python -m latok`, and the `latok` command."""

from __future__ import annotations

import sys

from latok.cli import main


def run() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
