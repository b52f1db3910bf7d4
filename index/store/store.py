"""The write side of `index.db`: one connection, one transaction at a time."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlite_utils import Database

from ..errors import IndexUnwritable, UsageError
from ..files import DATABASE, LOCK, VECTORS, sync_folder
from . import faults, postings
from .connection import connect, journal_mode, named_errors, reading, reading_postings
from .fulltext import TermCounts
from .lock import take_lock
from .schema import migrate
from .settings import SCHEMA, Settings, read_schema, read_settings, settings_rows

# A batch's pages must fit: a transaction that spills locks out readers before it commits.
CACHE_KIBIBYTES = 131_072


class Store:
    """The database of an index, open for writing; it holds the writer's lock until closed."""

    def __init__(self, index: Path, lock: int, database: Database) -> None:
        """Of an index whose lock is held; `open` is the way in."""
        self.index = index
        self.database = database
        self.terms = TermCounts()
        self.postings = postings.Changes(self.terms.add_all)
        self._lock = lock

    @classmethod
    def open(cls, index: Path) -> "Store":
        """Take the lock and open the database, making folder and file where missing.

        A database without tables is a new one: `is_new`, until `create` has run.
        Raises `IndexLocked`, `IndexMismatch`, `IndexDamaged`, `IndexUnwritable`.
        """
        with named_os_errors(index):
            _make_folders(index)
            lock = take_lock(index)
        try:
            with named_os_errors(index):
                _make_private_file(index / DATABASE)
            faults.reach("create.database")
            with named_errors(index):
                connection = connect(index, "rw")
        except BaseException:
            os.close(lock)
            raise
        # No plugins: what is installed beside us must not decide what is written.
        store = cls(index, lock, Database(connection, execute_plugins=False))
        try:
            with reading(index):
                store._configure()
        except BaseException:
            store.close()
            raise
        return store

    def _configure(self) -> None:
        connection = self.database.conn
        # The schema first: what a newer version made must not even change its journal mode.
        version = read_schema(connection, self.index)
        major, minor, patch = sqlite3.sqlite_version_info[:3]
        journal, synchronous = journal_mode((major, minor, patch))
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        connection.execute("PRAGMA foreign_keys = ON")
        if 0 < version < SCHEMA:
            with self.transaction():
                migrate(self.database, self.index)

    def close(self) -> None:
        """Close the database and let go of the lock."""
        self.database.close()
        os.close(self._lock)

    @property
    def is_new(self) -> bool:
        """Whether there are no tables yet: `create` makes them."""
        with reading(self.index):
            return read_schema(self.database.conn, self.index) == 0

    def create(self, settings: Settings) -> None:
        """Make the tables of a new index, and save what it is made with, in one commit."""
        with self.transaction(begins_generation=False):
            migrate(self.database, self.index)
            self.save(settings)

    @property
    def settings(self) -> Settings:
        """What the index was made with."""
        with reading(self.index):
            return read_settings(self.database.conn)

    def save(self, settings: Settings) -> None:
        """Write the settings, inside a transaction."""
        self.database.table("settings").upsert_all(settings_rows(settings), pk="key")

    def compact(self) -> None:
        """Merge the full-text index and the postings, and give free pages back to the disk."""
        with self.transaction(begins_generation=False) as database:
            database.execute("INSERT INTO passages_fts (passages_fts) VALUES ('optimize')")
        with self.transaction(begins_generation=False) as database, reading_postings(self.index):
            postings.compact(database)
        with named_errors(self.index):
            self.database.conn.execute("VACUUM")

    @contextmanager
    def transaction(self, begins_generation: bool = True) -> Iterator[Database]:
        """The only commit point: all that is written inside, or nothing. Cannot be nested.

        sqlite-utils and sqlite3 both leave a transaction alone that was begun by hand.
        """
        database = self.database
        with named_errors(self.index):
            database.conn.execute("BEGIN IMMEDIATE")
            faults.reach("commit.begun")
            self.terms.clear()
            self.postings.clear()
            try:
                yield database
                with reading_postings(self.index):
                    self.postings.write(database)
                self.terms.write(database)
                if begins_generation:
                    database.execute(
                        "UPDATE settings SET value = CAST(value AS INTEGER) + 1 "
                        "WHERE key = 'generation'"
                    )
                faults.reach("commit.ready")
                database.conn.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, a full disk among them.
                if database.conn.in_transaction:
                    database.conn.execute("ROLLBACK")
                raise
            faults.reach("commit.done")


def _make_folders(index: Path) -> None:
    """Make the folders, and see to it that nobody else can look inside."""
    if index.is_dir() and not (index / DATABASE).exists():
        strangers = {entry.name for entry in index.iterdir()} - {VECTORS, LOCK}
        if strangers:
            raise UsageError(
                f"the folder {str(index)!r} is no index, and is not empty: "
                f"it holds {min(strangers)!r}. Name another folder with --index."
            )
    for folder in (index, index / VECTORS):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
        os.chmod(folder, 0o700)


def _make_private_file(path: Path) -> None:
    """Make the database's file where missing. SQLite gives its journals the same mode.

    An existing one must not even be opened here: closing it would drop the locks that a snapshot
    in this process holds (sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    os.chmod(path, 0o600)


@contextmanager
def named_os_errors(index: Path) -> Iterator[None]:
    """Raise the system's errors as `IndexUnwritable`, with the index and the next step."""
    try:
        yield
    except OSError as error:
        where = f"the index at {str(index)!r}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message = (
                f"the disk is full: {where} could not be written. What was committed is safe; "
                "make room and run the same command again."
            )
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            message = (
                f"{where} cannot be written here ({error.strerror}). Searching works; to change "
                "it, copy it to where you may write, or name another folder with --index."
            )
        elif error.errno in (errno.ENOTDIR, errno.EEXIST):
            message = f"{str(index)!r} is a file. Name a folder with --index."
        elif error.errno in (errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP):
            message = f"{where} cannot be made ({error.strerror}). Name a folder with --index."
        else:
            message = (
                f"the disk failed while {where} was written ({error.strerror or error}). "
                "What was committed is safe; check the disk, then run the same command again."
            )
        raise IndexUnwritable(message) from error
