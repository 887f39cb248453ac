"""What all tests need of the machine."""

from __future__ import annotations

import signal

from hypothesis import settings

# `make test` tries the same examples each time, so that what fails there fails for what was
# changed; `make long` draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", settings.get_profile("default"))
settings.load_profile("same")

# A shell that runs us in the background has us ignore Ctrl-C, and so would all that we start:
# tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
