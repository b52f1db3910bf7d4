"""One commit of an index, copied: so that what takes long keeps no writer waiting."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ..errors import IndexDamaged, IndexUnwritable
from ..types import SegmentRow
from .connection import named_errors
from .snapshot import Snapshot

T = TypeVar("T")

# What only the copy that is written can meet, not the index that is read.
WRITING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE}


def copy_commit(
    index: Path, target: sqlite3.Connection, opened: Callable[[SegmentRow], T]
) -> list[T]:
    """Copy the database of one commit to `target` -> what `opened` gave for each live segment.

    Segments are opened in the same read transaction: a merge may remove the names of their files
    as soon as it has ended. Where one has gone before, a later commit is copied.

    Raises as `Snapshot.open` and `opened` do, `IndexDamaged` where a segment is missing, and
    `sqlite3.Error` where one of the two databases fails.
    """
    missed = -1
    while True:
        with Snapshot.open(index) as snapshot:
            try:
                found = [opened(row) for row in snapshot.segments]
            except FileNotFoundError as error:
                if snapshot.generation == missed:
                    raise IndexDamaged(
                        f"the index at {str(index)!r} has lost {error.filename!r}. "
                        "Run `clsearch check --repair`."
                    ) from error
                missed = snapshot.generation
                continue
            snapshot.copy_to(target)
            return found


@contextmanager
def named_copy_errors(index: Path, copy: str, next_step: str) -> Iterator[None]:
    """As `connection.named_errors`, but a full disk is that of the copy."""
    try:
        with named_errors(index):
            yield
    except IndexUnwritable as error:
        if getattr(error.__cause__, "sqlite_errorcode", 0) not in WRITING:
            raise
        raise IndexUnwritable(
            f"{copy} could not be written ({error.__cause__}). {next_step}"
        ) from error
