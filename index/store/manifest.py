"""The segments that count: their files on disk, and their rows in the manifest."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from ..errors import IndexDamaged, IndexUnwritable
from ..files import QUARANTINE, SUFFIX, TEMPORARY, VECTORS, map_segment, segment_path, sync_folder
from ..types import SegmentRow
from . import faults
from .connection import reading
from .snapshot import SEGMENT_COLUMNS, segment_row
from .store import Store, named_os_errors

OWN_NAME = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" + re.escape(SUFFIX) + f"({re.escape(TEMPORARY)})?"
)


def write_segment(index: Path, data: bytes | memoryview | Iterable[bytes]) -> tuple[str, str]:
    """Put the bytes of a segment, or its pieces, on the disk to stay: -> (name, SHA-256 hex).

    The file is whole and durable when this returns, and counts for nothing until a transaction
    lists it. Raises `IndexUnwritable`; what was half written is removed.
    """
    name = str(uuid.uuid4())
    path = segment_path(index, name)
    temporary = path.with_name(path.name + TEMPORARY)
    pieces = [data] if isinstance(data, bytes | memoryview) else data
    written = hashlib.sha256()
    with named_os_errors(index):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        faults.reach("segment.created")
        try:
            try:
                os.fchmod(descriptor, 0o600)
                for piece in pieces:
                    written.update(piece)
                    _write_all(descriptor, piece)
                faults.reach("segment.written")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            faults.reach("segment.synced")
            if _read_again(temporary) != written.hexdigest():
                raise IndexUnwritable(
                    f"the disk gave back other bytes than were written to {str(temporary)!r}. "
                    "Nothing was committed; check the disk."
                )
            faults.reach("segment.verified")
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        faults.reach("segment.renamed")
        sync_folder(path.parent)
    faults.reach("segment.durable")
    return name, written.hexdigest()


def _read_again(path: Path) -> str:
    """The SHA-256 of what is in a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def live_segments(store: Store) -> dict[int, SegmentRow]:
    """The live segments by their row id, oldest first."""
    rows = store.database.execute(
        f"SELECT id, {SEGMENT_COLUMNS} FROM segments WHERE state = 'live' ORDER BY id"
    )
    with reading(store.index):
        return {row[0]: segment_row(row[1:]) for row in rows}


def add_segment(store: Store, row: SegmentRow) -> int:
    """List a segment, inside a transaction -> its row id."""
    cursor = store.database.execute(
        f"INSERT INTO segments ({SEGMENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.name,
            row.kind,
            row.passages,
            row.dimension,
            row.bytes,
            row.sha256,
            row.faiss,
            row.fingerprint,
            row.state,
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def mark_dead(store: Store, segments: list[int]) -> None:
    """Take segments out of the manifest, inside a transaction that has moved their passages."""
    for segment in segments:
        store.database.execute("UPDATE segments SET state = 'dead' WHERE id = ?", (segment,))
        store.database.execute("DELETE FROM tombstones WHERE segment = ?", (segment,))


def sweep(store: Store) -> None:
    """Remove the files of dead segments, then their rows.

    A reader that has one open keeps it, since only its name goes; one that has yet to open it
    reads the manifest again.
    """
    dead = store.database.execute("SELECT id, name FROM segments WHERE state = 'dead'").fetchall()
    if not dead:
        return
    with named_os_errors(store.index):
        for _, name in dead:
            segment_path(store.index, name).unlink(missing_ok=True)
            faults.reach("dead.removed")
    with store.transaction(begins_generation=False):
        for segment, _ in dead:
            store.database.execute("DELETE FROM segments WHERE id = ?", (segment,))


def recover(store: Store) -> tuple[str, ...]:
    """Put right what an earlier run left behind, and say what was found.

    Files of our own name that no manifest lists go. A listed segment that fails its check moves to
    `vectors/quarantine/`, never deleted, and its passages wait for a vector: the text is in the
    database.
    """
    found = [*_quarantine_damaged(store), *_remove_strays(store)]
    sweep(store)
    return tuple(found)


def _quarantine_damaged(store: Store) -> list[str]:
    messages = []
    for segment, row in live_segments(store).items():
        try:
            map_segment(store.index, row)
        except FileNotFoundError:
            messages.append(_lose(store, segment, f"the segment {row.name} was missing"))
        except IndexDamaged as error:
            reason = f"{error.args[0].partition('. Run')[0]}; moved to {VECTORS}/{QUARANTINE}"
            messages.append(_lose(store, segment, reason))
    # Also what was marked by a run that was killed before it moved the file.
    marked = "SELECT name FROM segments WHERE state = 'quarantined'"
    with named_os_errors(store.index):
        for (name,) in store.database.execute(marked).fetchall():
            path = segment_path(store.index, name)
            if path.exists():
                folder = path.parent / QUARANTINE
                folder.mkdir(exist_ok=True)
                folder.chmod(0o700)
                os.rename(path, folder / path.name)
                sync_folder(path.parent)
                sync_folder(folder)
                faults.reach("quarantine.moved")
    return messages


def _lose(store: Store, segment: int, reason: str) -> str:
    """Mark a segment quarantined; what it held waits for a vector. -> what to tell the user."""
    with store.transaction() as database:
        waiting = database.execute(
            "UPDATE passages SET segment = NULL WHERE segment = ?", (segment,)
        ).rowcount
        database.execute("DELETE FROM tombstones WHERE segment = ?", (segment,))
        database.execute("UPDATE segments SET state = 'quarantined' WHERE id = ?", (segment,))
    faults.reach("quarantine.marked")
    return f"{reason}; {waiting} passages are encoded again at the next sync or repair"


def quarantine(store: Store, segment: int, reason: str) -> str:
    """Quarantine a live segment whose content proved wrong -> what to tell the user."""
    message = _lose(store, segment, reason)
    _quarantine_damaged(store)
    return message


def _remove_strays(store: Store) -> list[str]:
    listed = {name for (name,) in store.database.execute("SELECT name FROM segments")}
    count = 0
    with named_os_errors(store.index):
        for entry in os.scandir(store.index / VECTORS):
            name = entry.name
            if not OWN_NAME.fullmatch(name) or name.removesuffix(SUFFIX) in listed:
                continue
            os.unlink(entry.path)
            faults.reach("stray.removed")
            count += 1
    return [f"removed {count} segment files of an interrupted run"] if count else []
