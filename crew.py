"""Many batches of work for one command: by a process for each core, printed in their order."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar, cast

from . import terminal
from .index.errors import portable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")

MOST = 8  # processes: each has some 60 MB of its own


def in_order(work: Callable[[T], R], batches: Iterable[T], most: int = MOST) -> Iterator[R]:
    """What `work` returns of each batch, in their order, as is what it prints by `terminal`.

    Where there are several batches and cores, processes work, `most` of them, that are forked from
    this one; they end with it. Not so where that is not safe: elsewhere than on Linux, and where
    this process has threads, or libraries that start some. What `work` raises is raised here, and
    `MemoryError` or `ChildProcessError` where a process was ended. Where the batches themselves end
    with an error or an interrupt, it is raised once all before it are printed.
    """
    rest = iter(batches)
    first = list(islice(rest, min(_cores(), most)))
    if len(first) < 2:  # of one process, too
        yield from map(work, chain(first, rest))
        return
    crew: list[_Member[T, R]] = []
    failed: list[BaseException] = []

    def until_it_fails() -> Iterator[T]:
        try:
            yield from rest
        except (Exception, KeyboardInterrupt) as error:
            failed.append(error)

    try:
        for batch in first:
            crew.append(_Member(work, crew))
            crew[-1].send(batch)
        # Each has one batch at a time, which is printed before it gets the next.
        at = 0
        for batch in until_it_fails():
            yield crew[at].printed()
            crew[at].send(batch)
            at = (at + 1) % len(crew)
        for member in crew[at:] + crew[:at]:
            yield member.printed()
        if failed:
            raise failed[0]
    finally:
        for member in crew:
            member.end()


def _cores() -> int:
    """How many processes may work: one where this one cannot be forked."""
    safe = sys.platform == "linux" and threading.active_count() == 1 and "numpy" not in sys.modules
    return len(os.sched_getaffinity(0)) if safe else 1


class _Member(Generic[T, R]):
    """One of the processes, and the connection to it."""

    def __init__(self, work: Callable[[T], R], others: list[_Member[T, R]]) -> None:
        """Begin it. `others` were begun before: it lets go of what leads to them."""
        from multiprocessing import get_context

        fork = get_context("fork")
        self._connection, its = fork.Pipe()
        foreign = [self._connection, *(other._connection for other in others)]
        screen = terminal.colours(), shutil.get_terminal_size().columns
        self._process = fork.Process(target=_answer, args=(its, foreign, work, screen), daemon=True)
        self._process.start()
        its.close()

    def send(self, batch: T) -> None:
        """Give it a batch, once it has none."""
        try:
            self._connection.send(batch)
        except OSError as error:
            raise self._gone() from error

    def printed(self) -> R:
        """Wait for it; print what it has printed, return what it has returned, raise its error."""
        try:
            recorded, result, error = self._connection.recv()
        except (EOFError, OSError) as gone:
            raise self._gone() from gone
        for stream, text in recorded:
            terminal.echo(text.decode("utf-8"), nl=False, err=stream == 2, color=True)
        if error is not None:
            raise error
        return cast(R, result)

    def _gone(self) -> Exception:
        """Why it is no longer there."""
        self._process.join()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:  # by the system, which does so where memory runs out
            return MemoryError()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ChildProcessError(f"a process that answered queries ended with {how}; run it again")

    def end(self) -> None:
        """It only reads: nothing is lost where it is in the middle of a batch."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def _answer(
    connection: Connection,
    foreign: list[Connection],
    work: Callable[[Any], Any],
    screen: tuple[bool, int],
) -> None:
    """In a new process: do the work of each batch that comes, until nobody can send any more."""
    for one in foreign:
        one.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that prints ends all
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a core for each
    while True:
        try:
            batch = connection.recv()
        except (EOFError, OSError):
            return
        recorded: list[tuple[int, bytes]] = []
        out, err = (cast(TextIO, terminal.Stream(number, recorded)) for number in (1, 2))
        result, failed = None, None
        try:
            with terminal.printing_on(terminal.Screen(out, err, *screen)):
                result = work(batch)
        except Exception as error:
            error.add_note(traceback.format_exc())
            failed = portable(error)
        try:
            connection.send((recorded, result, failed))
        except OSError:
            return
