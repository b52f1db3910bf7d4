"""A copy of an index, whole and checked: a backup, and an index again.

A backup is an index: a folder with its database and its segments, which can be checked, and even
searched, where it lies.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .check import check, check_documents
from .destination import new_folder
from .errors import IndexDamaged, IndexUnwritable, UsageError
from .files import DATABASE, TEMPORARY, VECTORS, segment_path
from .store.copy import copy_commit, named_copy_errors
from .store.snapshot import Snapshot
from .types import SegmentRow

CHUNK = 1 << 20  # bytes
ELSEWHERE = "Nothing of it is left; make room there, or name a folder elsewhere."
NEXT = "Mend it with `clsearch check --repair`, as a backup can be, too; or take an earlier one."


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was copied: of which commit, how much of it, and its bytes on disk."""

    generation: int
    documents: int
    passages: int
    segments: int
    bytes: int


def back_up(index: str | Path, destination: str | Path) -> BackupReport:
    """Copy one commit of an index to a new folder; others may write to the index meanwhile.

    The database is copied by SQLite's own backup, segments are compared with their SHA-256 as they
    are copied, and the documents of the copy with theirs before it gets its name. Killed at any
    instant, there is nothing at `destination`.

    Raises `UsageError` where there is something at `destination`, or it lies inside the index,
    `IndexDamaged` where the index is damaged, `IndexUnwritable`, and as `Snapshot.open` does.
    """
    index, destination = Path(index), Path(destination)
    if Path(os.path.realpath(destination)).is_relative_to(os.path.realpath(index)):
        raise UsageError(
            f"{str(destination)!r} lies inside the index; a backup that goes with what it is of is "
            "none: name a folder elsewhere"
        )
    return _copy(index, destination, check_documents)


def restore(backup: str | Path, index: str | Path) -> BackupReport:
    """Make an index, where there is none, of what `back_up` made.

    All of it passes `check` before it gets its name; the backup stays as it is. Raises `UsageError`
    where there is no backup or there is something at `index`, and as `back_up` does.
    """
    backup, index = Path(backup), Path(index)
    if not (backup / DATABASE).is_file():
        raise UsageError(
            f"there is no backup at {str(backup)!r}: name the folder that `clsearch backup` made"
        )
    if os.path.lexists(index):
        raise UsageError(
            f"there is something at {str(index)!r} already, and nothing is written over: move it "
            "away, or name another folder with --index"
        )
    return _copy(backup, index, check)


def _copy(index: Path, destination: Path, check: Callable[[Path], tuple[str, ...]]) -> BackupReport:
    with new_folder(destination) as folder:
        (folder / VECTORS).mkdir()
        unfinished = folder / (DATABASE + TEMPORARY)
        with ExitStack() as opened:
            with closing(sqlite3.connect(unfinished)) as target:
                # Nobody sees the file until it is whole, and `new_folder` makes it durable.
                target.execute("PRAGMA journal_mode = OFF")
                target.execute("PRAGMA synchronous = OFF")
                with named_copy_errors(index, repr(str(destination)), ELSEWHERE):
                    files = copy_commit(
                        index, target, lambda row: (row, opened.enter_context(_open(index, row)))
                    )
            for row, file in files:
                _copy_segment(index, row, file, segment_path(folder, row.name))
        os.rename(unfinished, folder / DATABASE)
        problems = check(folder)
        if problems:
            # They name the copy, which is about to go.
            problem = problems[0].replace(str(folder), str(index)).partition(" Run ")[0]
            raise IndexDamaged(f"{str(index)!r} is damaged: {problem.rstrip('.')}. {NEXT}")
        with Snapshot.open(folder) as snapshot:
            counts = snapshot.counts()
            size = (folder / DATABASE).stat().st_size + sum(row.bytes for row, _ in files)
            return BackupReport(
                snapshot.generation, counts.documents, counts.passages, len(files), size
            )


def _open(index: Path, row: SegmentRow) -> BinaryIO:
    path = segment_path(index, row.name)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _copy_segment(index: Path, row: SegmentRow, source: BinaryIO, path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("xb") as target:
        while chunk := _read(source):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != row.sha256:
        raise IndexDamaged(
            f"the vector segment {source.name!r} is damaged: its SHA-256 is not the one that was "
            f"recorded. {NEXT}"
        )


def _read(source: BinaryIO) -> bytes:
    try:
        return source.read(CHUNK)
    except OSError as error:
        raise _unreadable(Path(source.name), error) from error


def _unreadable(path: Path, error: OSError) -> IndexUnwritable:
    return IndexUnwritable(
        f"the vector segment {str(path)!r} cannot be read ({error.strerror}). Check its "
        "permissions, and the disk."
    )
