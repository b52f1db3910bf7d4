"""A connection to `index.db`, and SQLite's errors in our own words."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ..errors import IndexDamaged, IndexLocked, IndexMissing, IndexUnwritable
from ..files import DATABASE

BUSY_SECONDS = 30.0

REBUILD = "Move the index away and run `clsearch index SOURCE` again, or bring back a copy of it."


def journal_mode(version: tuple[int, int, int]) -> tuple[str, str]:
    """The (journal_mode, synchronous) that loses no commit with this version of SQLite.

    Before 3.44.6, 3.50.7 and 3.51.3 a WAL checkpoint that overlaps a write can lose commits
    (sqlite.org/wal.html, "The WAL-Reset Bug"); there the rollback journal is used, with EXTRA so
    that the journal's removal is on the disk too when COMMIT returns.
    """
    fixed = (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51, 0)
        or (3, 44, 6) <= version < (3, 45, 0)
    )
    return ("wal", "full") if fixed else ("delete", "extra")


def connect(index: Path, mode: str) -> sqlite3.Connection:
    """Open the database of the index with SQLite's URI `mode` (`rw`, `ro`) or `immutable`.

    A URI, because only it can say "do not create"; so every byte of the path is percent-encoded.
    Not tied to the thread that opened it: those of an `Index` take turns.
    """
    path = quote(os.fsencode(os.path.abspath(index / DATABASE)))
    query = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    return sqlite3.connect(
        f"file://{path}?{query}", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
    )


def connect_to_read(index: Path) -> sqlite3.Connection:
    """Open the database to read, also where it cannot be written.

    Where writing is allowed the file is opened for it, though nothing is ever written: a reader
    that comes after a killed writer must be able to roll back the journal it left behind. Where it
    is not and there is such a journal, SQLite refuses, and so do we.
    """
    path = index / DATABASE
    try:
        mode = "rw" if may_be_written(index) else "ro"
        if not path.is_file():
            raise IndexMissing(
                f"there is no index at {str(index)!r}. Run `clsearch index SOURCE` to make one."
            )
    except OSError as error:
        raise IndexUnwritable(
            f"the index at {str(index)!r} cannot be opened ({error.strerror}). "
            "Check the permissions of the folder."
        ) from error
    connection = connect(index, mode)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        code = error.sqlite_errorcode & 0xFF
        refused = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if mode == "rw" or not refused or _left_behind(path):
            raise
        # A database in WAL mode, and no right to make the file its readers share. Without a WAL no
        # writer has it open, so it can be read as one that does not change.
        connection = connect(index, "immutable")
    except BaseException:
        connection.close()
        raise
    connection.execute("PRAGMA query_only = ON")
    return connection


def may_be_written(index: Path) -> bool:
    """Whether this process has the right to write the database of an index."""
    return os.access(index / DATABASE, os.W_OK) and os.access(index, os.W_OK)


def _left_behind(path: Path) -> bool:
    return any(os.path.exists(f"{path}{suffix}") for suffix in ("-journal", "-wal"))


@contextmanager
def named_errors(index: Path) -> Iterator[None]:
    """Raise SQLite's errors as ours, with the index and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(index, error) from error


@contextmanager
def reading(index: Path) -> Iterator[None]:
    """As `named_errors`, and values that make no sense are damage too.

    A flipped bit may leave SQLite content, and still give a value of the wrong type, or text that
    is no UTF-8 or no JSON.
    """
    try:
        with named_errors(index):
            yield
    except (ValueError, TypeError, KeyError) as error:
        raise IndexDamaged(
            f"the database of the index at {str(index)!r} holds what was never written there "
            f"({type(error).__name__}: {error}). {REBUILD}"
        ) from error


@contextmanager
def reading_postings(index: Path) -> Iterator[None]:
    """As `reading`, of what can be made again: the next step is to repair."""
    try:
        with named_errors(index):
            yield
    except (ValueError, TypeError) as error:
        raise IndexDamaged(
            f"the postings of the index at {str(index)!r} are not as written ({error}): "
            "run `clsearch check --repair`"
        ) from error


def _named(index: Path, error: sqlite3.Error) -> Exception:
    # The low byte is the primary result code; 0 where Python itself raised (text not UTF-8).
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    where = f"the index at {str(index)!r}"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return IndexLocked(
            f"another program has kept the database of {where} locked for {BUSY_SECONDS:.0f} "
            "seconds. Close it (a database browser, perhaps) and try again."
        )
    if code == sqlite3.SQLITE_FULL:
        return IndexUnwritable(
            f"the disk is full: {where} could not be written. What was committed is safe; "
            "make room and run the same command again."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        if os.path.exists(f"{index / DATABASE}-journal"):
            return IndexUnwritable(
                f"an interrupted write to {where} must be rolled back, and the folder cannot be "
                "written here. Run `clsearch status` once where it can."
            )
        return IndexUnwritable(
            f"{where} cannot be opened or written ({error}). Check the permissions of the folder."
        )
    if code == sqlite3.SQLITE_IOERR:
        return IndexUnwritable(
            f"the disk failed while {where} was in use ({error}). What was committed is safe; "
            "check the disk, then run the same command again."
        )
    return IndexDamaged(f"the database of {where} is damaged ({error}). {REBUILD}")
