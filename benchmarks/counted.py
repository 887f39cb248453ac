"""Runs a command; writes the CPU seconds of it and of all that it started to a file.

    python benchmarks/counted.py FILE COMMAND …

Tools start helpers and do not always wait for them. Here what is orphaned becomes our own child
(PR_SET_CHILD_SUBREAPER), so that its time is counted when it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    code = subprocess.run(sys.argv[2:], check=False).returncode
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(sys.argv[1]).write_text(str(used.ru_utime + used.ru_stime))
    return code


if __name__ == "__main__":
    sys.exit(main())
