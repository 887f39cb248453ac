"""Code that a model wrote is graded, and changes nothing but its grade."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from latok import sandbox
from latok.sandbox import inside, judge

TESTS = "assert add(1, 2) == 3\nassert add(-1, 1) == 0"
RIGHT = "def add(a, b):\n    {}\n    return a + b"  # and something else on the way

OPEN = Path("/proc/self/fd")


def add(first: str) -> str:
    return RIGHT.format(first)


def quietly(first: str) -> str:
    """The same, by a code that hears no word of refusal."""
    return add(f"try:\n        {first}\n    except BaseException:\n        pass")


@pytest.fixture(params=["seccomp", "audit hook"])
def fence(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both fences: the second as on a machine whose system calls we have no numbers of."""
    if request.param == "audit hook":
        text = Path(inside.__file__).read_text("utf-8")
        for machine in ("x86_64", "aarch64"):
            text = text.replace(f'"{machine}": (', f'"not {machine}": (')
        (tmp_path / "inside.py").write_text(text, "utf-8")
        monkeypatch.setattr(inside, "__file__", str(tmp_path / "inside.py"))
    return str(request.param)


def test_right_code_passes_and_wrong_code_does_not(fence: str) -> None:
    assert judge("def add(a, b): return a + b", TESTS) == (True, "", fence)
    verdict = judge("def add(a, b): return a - b", TESTS)
    assert verdict == (False, "AssertionError: assert add(1, 2) == 3", fence)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def add(a, b) return a", "SyntaxError"),
        ("sum = 1", "KeyError 'add'"),
        ("def add(a, b): return c", "NameError"),
        ("\x00", "null bytes"),
        ("(" * 10_000, "SyntaxError"),
    ],
)
def test_code_that_does_not_run_says_why(code: str, why: str) -> None:
    verdict = judge(code, TESTS)
    assert not verdict.passed
    assert why in verdict.why.replace('"', "")


@pytest.mark.parametrize(
    "code",
    [
        "import re, datetime\nfrom typing import List\n"
        "def f(x):\n"
        "    return [datetime.datetime.strptime(d, '%Y').year for d in re.findall('[0-9]+', x)]",
        "from collections import namedtuple, Counter\nP = namedtuple('P', 'a')\n"
        "def f(x): return [int(w) for w in sorted(Counter(x.split())) if P(w).a.isdigit()]",
        "import random\ndef f(x): random.random(); print(x); return [int(x.split()[-1])]",
    ],
)
def test_code_may_import_what_computes(fence: str, code: str) -> None:
    assert judge(code, "assert f('in 2024') == [2024]").passed


@pytest.mark.parametrize(
    "value",
    ["None", "-1.5", "'é\\n'", "b'x'", "(1, [2], {3: {4}})", "set()", "[]", "True", "2**100"],
)
def test_plain_data_goes_there_and_comes_back(value: str) -> None:
    assert judge(
        "def same(x): return x", f"assert same({value}) == {value}\nsame(x={value})"
    ).passed


def test_tests_may_have_functions_of_their_own() -> None:
    tests = "def check(same):\n    for n in range(3):\n        assert same(n) == n\ncheck(same)"
    assert judge("def same(x): return x", tests).passed
    assert not judge("def same(x): return 0", tests).passed


def test_an_exception_of_the_code_arrives_in_the_tests() -> None:
    tests = "try:\n    half(1)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError"
    assert judge("def half(x): raise ValueError('odd')", tests).passed
    assert not judge("def half(x): return x // 2", tests).passed


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        add("while True: pass"),
        add("sum(range(10**12))"),
        add("'a' * 10**5 in 'b' * 10**9 and (a ** b ** 10**9)"),
    ],
)
def test_code_without_an_end_is_ended(fence: str, code: str) -> None:
    began = time.monotonic()
    assert not judge(code, TESTS, seconds=1).passed
    assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    "first",
    [
        "x = bytearray(10**10)",
        "x = []\n    while True: x.append('a' * 10**6)",
        "x = list(range(10**8))",
    ],
)
def test_code_that_eats_memory_gets_none(first: str) -> None:
    assert "MemoryError" in judge(add(first), TESTS).why


def test_what_code_prints_goes_nowhere_and_its_answers_have_an_end(fence: str) -> None:
    assert judge(add("print('passed' * 10**6)"), TESTS).passed
    assert "more than it may" in judge("def add(a, b): return 'x' * 10**7", TESTS).why


REFUSED = [
    "import os; os.fork()",
    "import os\n        while True: os.fork()",
    "import subprocess; subprocess.run(['true'])",
    "import os; os.system('true')",
    "import os; os.execv('/bin/true', ['true'])",
    "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "import multiprocessing; multiprocessing.Process().start()",
    "import threading; threading.Thread(target=print).start()",
    "import ctypes; ctypes.CDLL(None).fork()",
    "import ctypes; ctypes.pythonapi.PyOS_BeforeFork(); ctypes.pythonapi.fork()",
    "import socket; socket.socket()",
    "import _socket; _socket.socket()",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "open('/etc/hostname').read()",
    "import io; io.FileIO('/etc/hostname')",
    "import os; os.open('/etc/hostname', os.O_RDONLY)",
    "import os; os.listdir('/')",
    "open(PLACE, 'w')",
    "open(PLACE, 'a').write('x')",
    "import os; os.remove(PLACE)",
    "import os; os.rename(PLACE, PLACE + 'x')",
    "import os; os.chmod(PLACE, 0)",
    "import os; os.symlink(PLACE, PLACE + 'x')",
    "import os; os.truncate(PLACE, 0)",
    "import shutil; shutil.rmtree(PLACE)",
    "import os; os.kill(PARENT, 9)",
    "import os; os.killpg(0, 9)",
    "input()",
]


@pytest.mark.parametrize("first", REFUSED)
def test_code_that_reaches_out_is_ended_whatever_it_catches(
    fence: str, first: str, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_text("as it was")
    first = first.replace("PLACE", repr(str(kept))).replace("PARENT", str(os.getpid()))
    verdict = judge(quietly(first), TESTS)
    assert not verdict.passed
    assert "refused" in verdict.why
    assert kept.read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} <= {"kept", "inside.py"}


@pytest.mark.parametrize(
    "first",
    [
        "import os; os.getppid()",
        "import _thread; _thread.start_new_thread(print, ())",
        "import time; time.sleep(1000)",
        "import os; os.stat('/')",
        "import os; os.setuid(0)",
        "import os; os.setsid()",
        "import os; os.nice(5)",
        "import os; os.pipe()",
        "import os; os.mkfifo('/x')",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
    ],
)
def test_the_kernel_refuses_also_what_the_interpreter_would_not(first: str) -> None:
    assert "refused" in judge(quietly(first), TESTS).why


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise SystemExit(0)",
        "def add(a, b):\n    import os\n    os._exit(0)",
        "def add(a, b): exit(0)",
        "class Same:\n    def __eq__(self, other): return True\ndef add(a, b): return Same()",
        "class Same(int):\n    def __eq__(self, other): return True\ndef add(a, b): return Same()",
        "import builtins\nbuiltins.AssertionError = builtins.exec = print\ndef add(a, b): return 0",
        "AssertionError = ast = tests = None\ndef add(a, b): return 0",
        # It knows how the sandbox works, and writes to all that is open there.
        "import os\nfor n in range(99):\n    try: os.write(n, b\"(True, '', 'seccomp')\\n\")\n"
        "    except OSError: pass\ndef add(a, b): return 0",
        "import sys\nmain = sys.modules['__main__']\n"
        "def add(a, b):\n    main.say(4, True, '', 'seccomp'); main.say(1, True, '', 'seccomp')",
        "import sys\ndef add(a, b):\n    frame = sys._getframe()\n"
        "    while frame:\n"
        "        frame.f_globals.update(hear=lambda s: ('value', 3))\n        frame = frame.f_back",
        "def add(a, b): return '('*5000",
    ],
)
def test_no_code_can_say_itself_that_it_passed(fence: str, code: str) -> None:
    verdict = judge(code, TESTS)
    assert not verdict.passed
    assert verdict.why


def test_the_code_never_sees_its_tests(fence: str) -> None:
    code = "import sys\ndef add(a, b): return [x for x in {} if 'se' + 'cret' in str(x)]"
    seen = code.format("sys._getframe().f_back.f_globals.values()")
    assert judge(seen, "found = add(1, 2)\nassert found == [], 'secret'").passed


def test_what_ends_the_judge_ends_the_code(tmp_path: Path) -> None:
    program = "from latok.sandbox import judge; judge('while True: pass', '', seconds=60)"
    with subprocess.Popen([sys.executable, "-c", program]) as judging:
        children = Path(f"/proc/{judging.pid}/task/{judging.pid}/children")
        until = time.monotonic() + 20
        while len(pids := children.read_text().split()) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)  # until they have begun
        judging.kill()
    assert len(pids) == 2
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """No process, no open file of ours, whatever the code did."""
    before = set(OPEN.iterdir()) if OPEN.exists() else None
    yield
    if before is not None:
        assert set(OPEN.iterdir()) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_plain_yes_or_no_is_enough_for_a_score() -> None:
    assert sandbox.run("def add(a, b): return a + b", TESTS) is True
    assert sandbox.run("def add(a, b): return b", TESTS) is False
