"""Connections to the database of an index that are kept open from one reader to the next.

Opening one costs a third of a millisecond; and one that was used has its statements prepared, and
the pages that most queries read at hand.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..files import DATABASE
from .connection import connect_to_read, may_be_written, reading
from .snapshot import Snapshot

# So many wait for a reader; those of more at once are closed.
IDLE = 8


class Connections:
    """For the readers of one index. Threads may share it; a connection serves one at a time."""

    def __init__(self, index: Path) -> None:
        """None is opened yet."""
        self._index = index
        self._process = os.getpid()
        self._idle: list[tuple[sqlite3.Connection, tuple[int, int]]] = []
        self._parents: list[object] = []
        self._closed = False
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """What is committed now, until the block ends; errors as of `Snapshot.open`."""
        with reading(self._index):
            connection, database = self._take()
        try:
            snapshot = Snapshot(self._index, connection)
            yield snapshot
            snapshot.detach()
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, database)

    def close(self) -> None:
        """Close those that wait; those in use are closed when their readers end."""
        self._closed = True
        _close_all(self._idle)

    def _take(self) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
        """A connection, and the file that it reads; None for one that is not to be kept."""
        if self._process != os.getpid():
            # SQLite forbids to use, and to close, what was open before a fork.
            self._parents.extend(self._idle)
            self._idle.clear()
            self._process = os.getpid()
        now = self._database()
        while self._idle:
            with suppress(IndexError):  # another thread took the last
                connection, database = self._idle.pop()
                if database == now:
                    return connection, database
                connection.close()
        # One that may not write may hold the database for one that never changes.
        kept = now if may_be_written(self._index) else None
        return connect_to_read(self._index), kept

    def _give_back(self, connection: sqlite3.Connection, database: tuple[int, int] | None) -> None:
        # Another index may have taken the place while the connection was opened, or since.
        if self._closed or database is None or database != self._database():
            connection.close()
            return
        self._idle.append((connection, database))
        if self._closed or len(self._idle) > IDLE:
            with suppress(IndexError):
                self._idle.pop(0)[0].close()

    def _database(self) -> tuple[int, int] | None:
        """Device and inode of the file; it keeps them as long as a connection has it open."""
        try:
            status = os.stat(self._index / DATABASE)
        except OSError:  # opening it says in words what is wrong
            return None
        return status.st_dev, status.st_ino


def _close_all(idle: list[tuple[sqlite3.Connection, tuple[int, int]]]) -> None:
    while idle:
        with suppress(IndexError):
            idle.pop()[0].close()
