"""Many batches of work for one command: by a process for each core, printed in their order."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, TextIO, TypeVar, cast

from . import terminal

T = TypeVar("T")
R = TypeVar("R")

MOST = 8  # processes: each has some 60 MB of its own
AHEAD = 2  # batches for each process, done or under way, before the first of them is printed
_PR_SET_PDEATHSIG = 1

_work: Callable[..., Any]  # what the processes are forked with


def in_order(work: Callable[[T], R], batches: Iterable[T], most: int = MOST) -> Iterator[R]:
    """What `work` returns of each batch, in their order, as is what it prints by `terminal`.

    Where there are several batches and cores, processes work, `most` of them, that are forked from
    this one; they end with it. Not so where that is not safe: elsewhere than on Linux, and where
    this process has threads, or libraries that start some. What `work` raises is raised here, and
    `MemoryError` where the system ended a process.
    """
    rest = iter(batches)
    processes = min(_cores(), most)
    first = list(islice(rest, processes))
    if len(first) < 2:  # of one process, too
        yield from map(work, chain(first, rest))
        return
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    global _work
    _work = work
    colours, columns = terminal.colours(), shutil.get_terminal_size().columns
    waiting: deque[Future[tuple[list[tuple[int, bytes]], R]]] = deque()
    pool = ProcessPoolExecutor(processes, get_context("fork"), initializer=_begin)

    def printed() -> R:
        recorded, result = waiting.popleft().result()
        for stream, text in recorded:
            terminal.echo(text.decode("utf-8"), nl=False, err=stream == 2, color=True)
        return result

    try:
        for batch in chain(first, rest):
            waiting.append(pool.submit(_done, batch, colours, columns))
            if len(waiting) > AHEAD * processes:
                yield printed()
        while waiting:
            yield printed()
    except BrokenProcessPool as error:
        raise MemoryError from error
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """How many processes may work: one where this one cannot be forked."""
    safe = sys.platform == "linux" and threading.active_count() == 1 and "numpy" not in sys.modules
    return len(os.sched_getaffinity(0)) if safe else 1


def _begin() -> None:
    """In a new process: it ends with the one that began it, and has one core to itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that prints stops all
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _done(batch: object, colours: bool, columns: int) -> tuple[list[tuple[int, bytes]], Any]:
    """What is printed for a batch, by stream, and what the work returns."""
    recorded: list[tuple[int, bytes]] = []
    out, err = (cast(TextIO, terminal.Stream(number, recorded)) for number in (1, 2))
    with terminal.printing_on(terminal.Screen(out, err, colours, columns)):
        return recorded, _work(batch)
