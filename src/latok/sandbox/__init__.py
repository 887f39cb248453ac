"""Runs code that a model wrote against tests, where it can do no harm and forge no result."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from latok.sandbox import inside

# On a machine under load a process gets little of the processor: a clock on the wall must wait
# longer than the limit that really counts.
_WALL = 5


class Verdict(NamedTuple):
    """`why` it did not pass, empty if it did. `fence`: what stood around the code, "seccomp" (the
    kernel refuses) or "audit hook" (only the interpreter does); empty where nothing came back."""

    passed: bool
    why: str = ""
    fence: str = ""


def run(code: str, tests: str) -> bool:
    """Whether the code passes the tests, within the limits that `judge` has by default."""
    return judge(code, tests).passed


def judge(code: str, tests: str, *, seconds: int = 2, memory: int = 256 << 20) -> Verdict:
    """Runs Python code and the tests of it, each in a process of its own (`latok.sandbox.inside`).

    The tests are Python that raises nothing if all is well. The names in them that they do not
    define are functions of the code, called with plain data (what `ast.literal_eval` reads), and
    answering with plain data; so they cannot test what changes its arguments, nor classes.

    `seconds`: of processor time, and five times as many on the clock. `memory`: bytes of address
    space. What loops, forks, eats memory, opens a file or a socket is ended, and has not passed.
    """
    limits = (str(seconds), str(memory))
    with _start("code", *limits) as answering:
        assert answering.stdin
        assert answering.stdout
        ends = answering.stdin.fileno(), answering.stdout.fileno()
        with _start("tests", *map(str, ends), *limits, shared=ends) as testing:
            try:
                with suppress(BrokenPipeError):
                    answering.stdin.write(_line(code))
                    answering.stdin.flush()
                answering.stdin.close()  # from here on only the tests speak with the code
                answering.stdout.close()
                said, _ = testing.communicate(_line(tests), timeout=_WALL * seconds)
            except subprocess.TimeoutExpired:
                return Verdict(False, f"it took longer than {_WALL * seconds} s")
            else:
                return _verdict(said, answering, seconds)
            finally:
                for process in (answering, testing):
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)


def _start(*words: str, shared: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """A bare Python (-I -S) in a session of its own, without an environment."""
    # Where Python is built as a shared library, this may be the only way to it.
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(Path(inside.__file__).resolve()), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=shared,
        env=kept,
        cwd="/",
        start_new_session=True,
    )


def _line(text: str) -> bytes:
    return f"{(text,)!a}\n".encode()


def _verdict(said: bytes, answering: subprocess.Popen[bytes], seconds: int) -> Verdict:
    if not said:
        return Verdict(False, "the tests came to no end, or are no Python")
    verdict = Verdict(*ast.literal_eval(said.decode("ascii")))
    if verdict.why != inside.ENDED:
        return verdict
    # Its pipe is closed, so it is all but gone; what it died of says why.
    ended = {
        -signal.SIGSYS: "the code made a system call that is refused",
        -signal.SIGKILL: f"the code took longer than {seconds} s of processor time",
    }
    return verdict._replace(why=ended.get(answering.wait(), verdict.why))
