"""What all tests need of the machine."""

from __future__ import annotations

import signal

# A shell that runs us in the background has us ignore Ctrl-C, and so would all that we start:
# tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
