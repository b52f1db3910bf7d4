"""Documents into an index and out of it, by one thread for each index."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import TypeAlias

from ...index.errors import DocumentMissing, ModelError
from ...index.index import Index
from ...index.report import Put
from ...index.store.snapshot import Snapshot
from ...index.types import Document
from .indexes import Indexes, Served

# So many documents are committed together, unless one request has more.
TOGETHER = 512


@dataclass(frozen=True, slots=True)
class _Putting:
    """Documents to be added, and what becomes of each."""

    documents: Sequence[Document]
    done: Future[list[Put]] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Removing:
    """A document to be taken out."""

    document: str
    done: Future[None] = field(default_factory=Future)


Change: TypeAlias = _Putting | _Removing


class Writer:
    """The thread that writes to one index.

    It opens the index when there is something to do and closes it when nothing is left, so that
    other programs can write in between. What waits meanwhile is committed together, in the order in
    which it came. A change that is cancelled before the thread takes it up changes nothing.
    """

    def __init__(self, served: Served) -> None:
        """For an index of the server; the thread starts with the first change."""
        self._served = served
        self._changes: SimpleQueue[Change | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many changes the thread has not taken up."""
        return self._changes.qsize()

    def put(self, documents: Sequence[Document]) -> Future[list[Put]]:
        """Add documents, or bring those of the same id up to date; once that is committed, done.

        The future has the errors of `Index.open` and `Index.put`.
        """
        change = _Putting(documents)
        self._ask(change)
        return change.done

    def remove(self, document: str) -> Future[None]:
        """Take a document out; the future has DocumentMissing where there is none."""
        change = _Removing(document)
        self._ask(change)
        return change.done

    def close(self) -> None:
        """Wait until all that was asked for is written, and end the thread."""
        with self._starting:
            if self._thread is not None:
                self._changes.put(None)
                self._thread.join()

    def _ask(self, change: Change) -> None:
        self._changes.put(change)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"writer of {self._served.name}", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            changes = self._taken(wait=True)
            if changes:
                self._write(changes)

    def _taken(self, wait: bool) -> list[Change]:
        """What waits, up to TOGETHER documents; with `wait`, at least one unless it is closed."""
        taken: list[Change] = []
        size = 0
        while size < TOGETHER:
            try:
                change = self._changes.get(wait and not taken)
            except Empty:
                break
            if change is None:
                self._closed = True
                break
            if change.done.set_running_or_notify_cancel():
                taken.append(change)
                size += len(change.documents) if isinstance(change, _Putting) else 1
        return taken

    def _write(self, changes: list[Change]) -> None:
        """These, and what comes while they are written."""
        try:
            with Index.open(self._served.path, encoder=self._served.encoder.alone) as index:
                while changes:
                    for puts, some in groupby(changes, lambda one: isinstance(one, _Putting)):
                        if puts:
                            _put(index, [one for one in some if isinstance(one, _Putting)])
                        else:
                            _remove(index, [one for one in some if isinstance(one, _Removing)])
                    changes = self._taken(wait=False)
        except BaseException as error:
            for change in changes:
                if not change.done.done():
                    change.done.set_exception(error)


def _put(index: Index, changes: Sequence[_Putting]) -> None:
    try:
        puts = iter(index.put([one for change in changes for one in change.documents]))
    except ModelError as error:
        if len(changes) == 1:
            changes[0].done.set_exception(error)
            return
        for change in changes:  # one of them cannot be encoded: only that one is to hear of it
            _put(index, [change])
        return
    for change in changes:
        change.done.set_result([next(puts) for _ in change.documents])


def _remove(index: Index, changes: Sequence[_Removing]) -> None:
    named = {change.document for change in changes}
    with Snapshot.open(index.path) as snapshot:
        there = {one for one in named if snapshot.document(one) is not None}
    index.remove([*there])
    for change in changes:
        if change.document in there:
            there.remove(change.document)
            change.done.set_result(None)
        else:
            missing = DocumentMissing(f"the index has no document {change.document!r}")
            change.done.set_exception(missing)


class Writers:
    """A writer for each index."""

    def __init__(self, indexes: Indexes) -> None:
        """Their threads start as they are needed."""
        self._writers = {served.name: Writer(served) for served in indexes}

    def of(self, served: Served) -> Writer:
        """That of an index."""
        return self._writers[served.name]

    def __iter__(self) -> Iterator[Writer]:
        """All of them."""
        return iter(self._writers.values())

    def close(self) -> None:
        """Wait until all is written that was asked for."""
        for writer in self:
            writer.close()
