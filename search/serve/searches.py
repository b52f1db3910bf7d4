"""What requests ask of an index, and processes that help this one to answer.

Python runs one thread at a time, and most of a search is Python: more threads answer little more
than one, while other cores are idle.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...index import memory
from ...index.errors import portable
from ..rerank import PairScorer
from ..searcher import Searcher
from . import heaps
from .errors import log_unexpected, problem_of
from .indexes import Indexes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WARM_UP = "a query that makes everything warm"
# Times the memory of this process, which may have a large model, that is left to the system.
SPARE = 4
# What a terminal or systemd sends to all processes, of which one is to end the others in its time.
ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Found:
    """Hits as JSON has them, for each text; milliseconds by stage."""

    hits: list[list[dict[str, Any]]]
    times_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """Texts to search for, as `Searcher.answer_many` takes them."""

    texts: list[str]
    k: int
    mode: Literal["hybrid", "dense", "lexical"]
    where: str | None
    min_score: float
    group: Literal["passage", "document"]

    def of(self, searcher: Searcher, reranker: PairScorer | None = None) -> Found:
        """What the searcher finds; errors as of `Searcher.answer_many`."""
        answers = searcher.answer_many(
            self.texts,
            self.k,
            self.mode,
            where=self.where,
            rerank=reranker,
            min_score=self.min_score,
            group=self.group,
        )
        times: Any = answers[0].explanation["times_ms"]
        return Found([[hit.to_json() for hit in answer.hits] for answer in answers], times)


@dataclass(frozen=True, slots=True)
class Similar:
    """A document whose like is asked for, as `Searcher.similar` takes it."""

    document: str
    k: int
    where: str | None

    def of(self, searcher: Searcher, reranker: PairScorer | None = None) -> Found:
        """What the searcher finds, which nothing orders anew; errors as of `Searcher.similar`."""
        hits = searcher.similar(self.document, self.k, where=self.where)
        return Found([[hit.to_json() for hit in hits]])


class Question(Protocol):
    """A `Search` or a `Similar`: it can be sent to another process."""

    def of(self, searcher: Searcher, reranker: PairScorer | None = None) -> Found:
        """What the searcher finds."""


def warm(indexes: Indexes) -> Iterator[tuple[str, Exception]]:
    """Ask each index once, so that models are loaded and segments are opened -> what went wrong.

    By the name of the index.
    """
    for served in indexes:
        try:
            served.read(lambda searcher: searcher.search(WARM_UP))
        except Exception as error:  # whatever it is, a server starts, and says so
            yield served.name, error


class Processes:
    """Processes beside this one that answer questions about the same indexes, each one at a time.

    One more is started, up to `most`, whenever there was none to take a question; it takes some
    later one, once it is warm. They are not forked, for this process has threads. They end with it.
    """

    def __init__(
        self, paths: Sequence[Path], most: int, batched: Callable[[int], None] = lambda texts: None
    ) -> None:
        """Of the indexes in the folders `paths`; `batched` as of `Indexes`."""
        self._paths = [*paths]
        self._most = most
        self._batched = batched
        self._lock = threading.Lock()
        self._all: list[_Process] = []
        self._free: list[_Process] = []  # the last one in is the first one out: its caches are warm
        self._starting: threading.Thread | None = None

    def answer(self, index: str, question: Question) -> Found | None:
        """What one of them finds in the index of this name; errors as of the question's `of`.

        None where none of them is free, and where it was ended by something else.
        """
        with self._lock:
            if not self._free:
                self._start_one()
                return None
            process = self._free.pop()
        try:
            found, batches = process.answer(index, question)
        except BaseException as error:
            self._drop(process)
            if isinstance(error, (EOFError, OSError)):
                return None
            raise
        with self._lock:
            self._free.append(process)
        for texts in batches:
            self._batched(texts)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """End them. Nobody may ask any more."""
        with self._lock:
            self._most = 0
            starting = self._starting
            for process in self._all:
                process.kill()
        if starting is not None:
            starting.join()
        for process in [*self._all]:
            self._drop(process)

    def _start_one(self) -> None:
        """Begin to, where there may be one more. By a thread: it takes a second."""
        if len(self._all) >= self._most or (self._starting and self._starting.is_alive()):
            return
        if not _has_room():
            return
        starting = threading.Thread(target=self._bring_up, name="clsearch-start", daemon=True)
        try:
            starting.start()
        except RuntimeError as error:  # the system has no more of them
            self._give_up(error)
            return
        self._starting = starting

    def _bring_up(self) -> None:
        """Let one more be asked, once it is warm."""
        process = None
        try:
            process = _Process(self._paths)
            with self._lock:
                self._all.append(process)
                if not self._most:  # `close` did not know of it
                    process.kill()
            process.wait()
        except Exception as error:
            if process is not None:
                self._drop(process)
            with self._lock:
                if self._most:
                    self._give_up(error)
            return
        with self._lock:
            self._free.append(process)

    def _give_up(self, error: Exception) -> None:
        """Start no more of what does not come up; who asks is answered by the server itself."""
        log_unexpected(error)
        self._most = len(self._all)

    def _drop(self, process: _Process) -> None:
        process.end()
        with self._lock:
            self._all.remove(process)


class _Process:
    """One of them, and the connection to it. One thread uses it at a time."""

    def __init__(self, paths: list[Path]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, its = context.Pipe()
        self._process = context.Process(
            target=_search, args=(paths, its), name="clsearch-search", daemon=True
        )
        with _deaf():
            self._process.start()
        its.close()
        # Python waits for it at its own end, where nobody has closed this.
        atexit.register(self._process.kill)

    def wait(self) -> None:
        """Return once it is warm. EOFError or OSError where it ended before that."""
        self._connection.recv()

    def answer(self, index: str, question: Question) -> tuple[Found | Exception, list[int]]:
        """What it finds, or its error; of how many texts were the batches that it encoded.

        EOFError or OSError where it has ended.
        """
        self._connection.send((index, question))
        found: tuple[Found | Exception, list[int]] = self._connection.recv()
        return found

    def kill(self) -> None:
        """Let it end, whatever it does: it only reads. Any thread may do so."""
        self._process.kill()

    def end(self) -> None:
        """See to it that it has ended, and let go of it."""
        atexit.unregister(self._process.kill)
        self._process.kill()
        self._process.join()
        self._connection.close()


def _has_room() -> bool:
    """Whether the system has free SPARE times what this process has; True where it does not say."""
    free = memory.available()
    return not free or free > SPARE * memory.anonymous()


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started in the block is not stopped by ENDING, not even before it can say so."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    # Python's own process beside those that it starts: starting it would lift what is blocked here.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _search(paths: list[Path], connection: Connection) -> None:
    """In a process of its own: answer each question that comes, until nobody can ask any more."""
    heaps.limit()
    for name in ENDING:
        signal.signal(name, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's, if it is needed: a core for each
    batches: list[int] = []
    indexes = Indexes(paths, batched=batches.append)
    with suppress(EOFError, OSError):
        for _ in warm(indexes):
            pass  # the server has told it
        connection.send(None)
        while True:
            index, question = connection.recv()
            batches.clear()
            found: Found | Exception
            try:
                found = indexes.get(index).read(question.of)
            except Exception as error:
                if problem_of(error).is_unexpected:  # what it has beside its words stays here
                    log_unexpected(error)
                found = portable(error)
            connection.send((found, batches))
