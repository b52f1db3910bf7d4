"""Batches by several processes, in a Python of their own: this one has threads."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from clsearch import crew

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process works")

BEFORE = """
import os, sys, time
from clsearch import crew, terminal
crew.os.sched_getaffinity = lambda _: range(3)
"""


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(code: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", BEFORE + code]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60)

    return run


def test_as_one_process_would(python) -> None:
    """The first batches take longest; results and both streams are in order all the same."""
    ended = python("""
def work(batch):
    time.sleep(0.02 * (20 - batch))
    terminal.echo(f"{batch} é\\x1b[1m", color=True)
    terminal.echo(f"said {batch}", err=True)
    return batch, os.getpid()
sys.stdout.reconfigure(errors="backslashreplace")
results = list(crew.in_order(work, range(20)))
assert [batch for batch, _ in results] == list(range(20)), results
pids = {pid for _, pid in results}
assert len(pids) == 3 and os.getpid() not in pids, pids
""")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "".join(f"{n} é\x1b[1m\n" for n in range(20))
    assert ended.stderr == "".join(f"said {n}\n" for n in range(20))


@pytest.mark.parametrize(
    ("batches", "before"),
    [
        ("[7]", ""),
        ("[]", ""),
        ("range(9)", "import numpy"),
        (
            "range(9)",
            "import threading; threading.Thread(target=time.sleep, args=[9], daemon=True).start()",
        ),
    ],
)
def test_one_process_where_more_are_not_wanted_or_not_safe(
    python, batches: str, before: str
) -> None:
    ended = python(f"""
{before}
pids = list(crew.in_order(lambda _: os.getpid(), {batches}))
assert pids == [os.getpid()] * len(list({batches}))
os._exit(0)
""")
    assert ended.returncode == 0, ended.stderr


def test_no_more_processes_than_asked_for(python) -> None:
    ended = python("""
assert set(crew.in_order(lambda _: os.getpid(), range(9), 1)) == {os.getpid()}
assert len(set(crew.in_order(lambda _: os.getpid(), range(9), 2))) == 2
""")
    assert ended.returncode == 0, ended.stderr


def test_what_fails_there_fails_here(python) -> None:
    """After what stands before it was printed, and nothing of what stands behind it."""
    ended = python("""
from clsearch.index.errors import IndexDamaged
def work(batch):
    if batch == 4:
        raise IndexDamaged("of the fifth")
    terminal.echo(str(batch))
try:
    list(crew.in_order(work, range(100)))
except IndexDamaged as error:
    print(error)
""")
    assert ended.stdout.splitlines() == ["0", "1", "2", "3", "of the fifth"], ended.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.kill(os.getpid(), 9)", "MemoryError: "),
        (
            "os.kill(os.getpid(), 11)",
            "ChildProcessError: a process that answered queries ended with",
        ),
        (
            "os._exit(3)",
            "ChildProcessError: a process that answered queries ended with exit code 3;",
        ),
    ],
)
def test_a_process_that_ends_is_an_error(python, code: str, said: str) -> None:
    """Of memory only where the system took it away."""
    ended = python(f"""
try:
    list(crew.in_order(lambda batch: {code}, range(5)))
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
""")
    assert ended.stdout.startswith(said), ended


def test_an_error_that_cannot_be_sent_is_told_in_words(python) -> None:
    """So is where it happened; what was printed before it is printed."""
    ended = python("""
import threading
class Odd(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")
class Held(Exception):
    lock = property(lambda self: 1)
    def __init__(self, text):
        super().__init__(text)
        self.held = threading.Lock()
def work(batch):
    terminal.echo("before")
    raise Odd("this", "that") if odd else Held("a lock")
for odd in (True, False):
    try:
        list(crew.in_order(work, range(5)))
    except RuntimeError as error:
        print(error)
def other(batch):
    raise ValueError("of a kind")
try:
    list(crew.in_order(other, range(5)))
except ValueError as error:
    print("in other" in "".join(error.__notes__))
""")
    expected = ["before", "Odd: this and that", "before", "Held: a lock", "True"]
    assert ended.stdout.splitlines() == expected, ended.stderr


@pytest.mark.parametrize("error", ["OSError", "KeyboardInterrupt"])
def test_where_the_batches_fail_all_before_are_printed(python, error: str) -> None:
    ended = python(f"""
def batches():
    yield from range(7)
    raise {error}("of the input")
done = []
try:
    for one in crew.in_order(lambda batch: terminal.echo(str(batch)) or batch, batches()):
        done.append(one)
except {error} as error:
    print(done, error)
""")
    assert ended.stdout == "".join(f"{n}\n" for n in range(7)) + f"{list(range(7))} of the input\n"


def test_no_more_is_read_than_is_soon_printed(python) -> None:
    """A file of any size, or a pipe without end."""
    ended = python("""
from itertools import count
taken = []
def batches():
    for n in count():
        taken.append(n)
        yield n
results = crew.in_order(lambda batch: batch, batches())
assert [next(results) for _ in range(50)] == list(range(50))
assert len(taken) <= 50 + 3, len(taken)
results.close()
""")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_they_end_with_the_first(how: signal.Signals) -> None:
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
def work(batch):
    terminal.echo(str(os.getpid()))
    if batch > 3:
        time.sleep(1)
for _ in crew.in_order(work, range(1000)):
    sys.stdout.flush()
"""
    argv = [sys.executable, "-c", BEFORE + code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        pids = {int(process.stdout.readline()) for _ in range(3)}
        process.send_signal(how)
        process.communicate(timeout=30)
    assert process.returncode != 0
    ends = time.monotonic() + 10
    while pids and time.monotonic() < ends:
        pids = {pid for pid in pids if os.path.exists(f"/proc/{pid}")}
        time.sleep(0.02)
    assert not pids


def test_this_one_has_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has loaded NumPy is not forked, whatever the cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert "numpy" in sys.modules
    assert crew._cores() == 1
