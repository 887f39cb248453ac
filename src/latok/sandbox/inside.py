"""What the two processes of the sandbox run: `code` answers the calls of `tests`.

    parent ── code ──▶ [code] ◀── calls, answers ──▶ [tests] ◀── tests, verdict ──▶ parent

They share nothing but two pipes of text, one Python literal a line, so that the code can forge no
verdict: it never sees the tests nor where their verdict goes, and what it says is compared as data.
Both build the fence around themselves before they run anything that they were given:

- Linux lets a process refuse system calls to itself for ever (seccomp). Left are those that
  compute, allocate and use what is open already; any other one, even root's, ends the process.
- The interpreter's audit hook refuses the same with a name to it. Where there is no seccomp it is
  the only fence besides the limits: it stops what programs do, not what an attacker might.

Run as a script by `latok.sandbox`, in a Python without site-packages; imports nothing of latok.
"""

import ast
import builtins
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any, NoReturn

ENDED = "the code ended its process"
LINE_BYTES = 1 << 20  # of an answer; longer ones are wrong whatever they say

# What code may import: what computes, and nothing that acts. All is imported before the fence.
_COMPUTING = (
    "abc array base64 binascii bisect calendar cmath collections colorsys copy dataclasses "
    "datetime decimal difflib enum fnmatch fractions functools hashlib heapq html itertools json "
    "keyword math numbers operator posixpath random re statistics string struct textwrap time "
    "types typing unicodedata"
)
COMPUTING = frozenset(_COMPUTING.split())
_HARMLESS = (
    "compile exec builtins.id object.__getattr__ object.__setattr__ object.__delattr__ "
    "sys._getframe array.__new__ code.__new__ function.__new__"
)
HARMLESS = frozenset(_HARMLESS.split())  # audit events

# <linux/audit.h>, and per machine the numbers of: read write close lseek mmap mprotect munmap brk
# rt_sigprocmask rt_sigreturn sigaltstack mremap madvise sched_yield getpid gettid futex
# clock_gettime gettimeofday restart_syscall exit exit_group getrandom.
_X86_64 = (0, 1, 3, 8, 9, 10, 11, 12, 14, 15, 131, 25, 28, 24, 39, 186, 202, 228, 96, 219, 60)
_AARCH64 = (63, 64, 57, 62, 222, 226, 215, 214, 135, 139, 132, 216, 233, 124, 172, 178, 98, 113)
_SYSTEM_CALLS = {
    "x86_64": (0xC000003E, (*_X86_64, 231, 318)),
    "aarch64": (0xC00000B7, (*_AARCH64, 169, 128, 93, 94, 278)),
}


class Refused(BaseException):
    """The code did what the fence refuses, or ended its process; no test may catch it."""


def limit(seconds: int, memory: int) -> None:
    """Limits that the kernel keeps: processor seconds, bytes of address space, no files."""
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def enclose(refuse: Callable[[str], NoReturn]) -> str:
    """Builds the fence; there is no way back. Returns the name of the strongest part of it."""
    fence = "seccomp" if _filter_system_calls() else "audit hook"

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in HARMLESS:
            refuse(f"{event} {arguments[0]}" if event == "import" else event)

    sys.addaudithook(hook)
    return fence


def _filter_system_calls() -> bool:
    """A seccomp filter (man 2 seccomp) of classic BPF: the architecture, then number by number."""
    architecture, allowed = _SYSTEM_CALLS.get(os.uname().machine, (0, ()))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if not allowed or prctl is None or sys.maxsize < 2**32:
        return False
    load, equal, answer = 0x20, 0x15, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    steps = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),
        *((equal, len(allowed) - at, 0, number) for at, number in enumerate(allowed)),
        (answer, 0, 0, kill),
        (answer, 0, 0, allow),
    ]

    class Step(ctypes.Structure):
        _fields_ = (
            ("code", ctypes.c_uint16),
            ("yes", ctypes.c_uint8),
            ("no", ctypes.c_uint8),
            ("value", ctypes.c_uint32),
        )

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(Step)))

    program = Program(len(steps), (Step * len(steps))(*(Step(*step) for step in steps)))
    die_with_parent, no_new_privileges, seccomp, by_filter = 1, 38, 22, 2
    prctl(die_with_parent, signal.SIGKILL, 0, 0, 0)
    prctl(no_new_privileges, 1, 0, 0, 0)
    return int(prctl(seccomp, by_filter, ctypes.byref(program), 0, 0)) == 0


def import_before(tree: ast.AST) -> None:
    """Imports what a text will import, as long as it may; the fence refuses the rest later."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            if name.split(".")[0] in COMPUTING:
                try:
                    __import__(name)
                except ImportError:
                    continue
                if name in {"datetime", "time"}:
                    __import__("_strptime")  # which they import when first needed


def say(to: int, *words: object) -> None:
    """One line, whole."""
    line = f"{words!a}\n".encode()
    while line:
        line = line[os.write(to, line) :]


def hear(source: IO[bytes]) -> tuple[Any, ...]:
    """The other side's line. Raises Refused where it is none, or none comes any more."""
    line = source.readline(LINE_BYTES)
    if not line:
        raise Refused(ENDED)
    if not line.endswith(b"\n"):
        raise Refused("the code answered more than it may")
    try:
        words = ast.literal_eval(line.decode("ascii"))
    except Exception as why:  # whatever a parser says to whatever text
        raise Refused("the code answered what is no plain data") from why
    if not isinstance(words, tuple) or not words:
        raise Refused("the code answered what is no answer")
    return words


def _own(number: int) -> int:
    """A standard stream under another number, and nothing in its old place."""
    kept = os.dup(number)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, number)
    os.close(nothing)
    return kept


def code(seconds: int, memory: int) -> None:
    """Runs the code that comes in the first line, then the calls that come in the others."""
    source, to = os.fdopen(_own(0), "rb"), _own(1)
    (text,) = hear(source)

    def refuse(what: str) -> NoReturn:
        say(to, "refused", what)
        os._exit(1)

    names: dict[str, Any] = {"__name__": "code"}
    try:
        tree = ast.parse(text)
        import_before(tree)
        program = compile(tree, "code", "exec")
    except Exception as why:  # a syntax error, or a text that the parser gives up on
        say(to, "raised", type(why).__name__, str(why))
        return
    limit(seconds, memory)
    enclose(refuse)

    def run(call: Callable[[], object]) -> None:
        try:
            value = call()
        except BaseException as why:  # SystemExit too: it is an answer like others
            say(to, "raised", type(why).__name__, str(why)[:200])
        else:
            say(to, "value", value)

    run(lambda: exec(program, names))
    while True:
        try:
            name, given, named = hear(source)
        except Refused:  # the tests are over
            os._exit(0)
        run(lambda name=name, given=given, named=named: names[name](*given, **named))  # type: ignore[misc]


def tests(calls: int, answers: int, seconds: int, memory: int) -> None:
    """Runs the tests that come in the first line; a function that they do not define themselves is
    the code's. Says `passed`, or why not, and by which fence."""
    source, to = os.fdopen(answers, "rb"), _own(1)
    (text,) = hear(os.fdopen(_own(0), "rb"))
    tree = ast.parse(text)
    import_before(tree)
    program = compile(tree, "tests", "exec")
    limit(seconds, memory)

    def refuse(what: str) -> NoReturn:
        say(to, False, f"the tests did what is refused: {what}", fence)
        os._exit(1)

    fence = "audit hook"
    fence = enclose(refuse)
    try:
        _answer(source)
        exec(program, {"__name__": "tests", **_callers(tree, calls, source)})
    except (Exception, Refused) as why:
        what = str(why) if isinstance(why, Refused) else f"{type(why).__name__} {why}".strip()
        line = _line_of(why.__traceback__, text)
        say(to, False, f"{what[:200]}: {line}" if line and what != ENDED else what[:200], fence)
    else:
        say(to, True, "", fence)
    os._exit(0)


def _line_of(trace: TracebackType | None, text: str) -> str:
    """The line of the tests that failed. (The module traceback would look for their file.)"""
    while trace and trace.tb_frame.f_code.co_filename != "tests":
        trace = trace.tb_next
    return text.splitlines()[trace.tb_lineno - 1].strip()[:100] if trace else ""


def _callers(tree: ast.AST, calls: int, source: IO[bytes]) -> Mapping[str, Callable[..., Any]]:
    """A function for each name that the tests use and do not define."""
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}

    def caller(name: str) -> Callable[..., Any]:
        def call(*given: object, **named: object) -> object:
            try:
                say(calls, name, given, named)
            except BrokenPipeError:
                raise Refused(ENDED) from None
            return _answer(source)

        return call

    return {name: caller(name) for name in used - set(dir(builtins))}


def _answer(source: IO[bytes]) -> object:
    match hear(source):
        case ("value", value):
            return value
        case ("raised", str(name), str(what)):
            kind = getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                raise kind(what)
            raise RuntimeError(f"{name}: {what}")
        case ("refused", what):
            raise Refused(f"the code did what is refused: {what}")
        case _:
            raise Refused("the code answered what is no answer")


if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    (code if role == "code" else tests)(*map(int, numbers))
