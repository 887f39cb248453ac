"""When a test does not apply."""

from __future__ import annotations

import sys

import pytest

# What only Linux has: /proc, a fence in the kernel. There it must hold, and is never skipped.
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
