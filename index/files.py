"""Where an index keeps its files, and how a segment is read so that it can be trusted.

$XDG_CACHE_HOME/clsearch/verified/HASH: of the SHA-256 that a segment was found to have, and of what
the system says of its file. The file is empty: that it is there says that this was verified.
"""

import errno
import hashlib
import mmap
import os
import time
from contextlib import suppress
from pathlib import Path

from .config import user_cache
from .errors import IndexDamaged, IndexUnwritable
from .types import SegmentRow

DATABASE = "index.db"
VECTORS = "vectors"
QUARANTINE = "quarantine"
LOCK = "writer.lock"
SUFFIX = ".faiss"
TEMPORARY = ".tmp"

# Smaller segments are hashed sooner than looked up.
LARGE = 1_000_000  # bytes
# A file that has changed so lately may change again with the same time.
FRESH = 10.0  # seconds
FORGOTTEN = 90 * 86_400.0  # seconds after which a note of a verified file goes

# What keeps a file from being opened or mapped, and says nothing of what is in it.
NOT_OPENED = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def segment_path(index: Path, name: str) -> Path:
    """The file of the segment `name` of the index at `index`."""
    return index / VECTORS / (name + SUFFIX)


def map_segment(index: Path, row: SegmentRow) -> mmap.mmap:
    """The bytes of the segment's file, once its size and SHA-256 are those of the manifest.

    A large file is hashed once for each change of it: what was verified is noted in the user's
    cache folder, and trusted while size, times and inode of the file are the same, as git trusts
    its index. So opening costs the same at any size. `verify_segment` hashes whatever was noted.

    Raises `FileNotFoundError` where the file is gone (a merge may have removed it: read the
    manifest again), `IndexUnwritable` where it may not be opened, and `IndexDamaged` where it is
    not what was written, or the disk fails.
    """
    data, status = _mapped(index, row)
    if row.bytes < LARGE:
        _compare(index, row, data)
        return data
    note = _note(row, status)
    if not note.exists():
        _compare(index, row, data)
        settled = time.time() - FRESH > max(status.st_ctime, status.st_mtime)
        if settled and _note(row, _mapped(index, row)[1]) == note:
            _write_note(note)
    return data


def verify_segment(index: Path, row: SegmentRow) -> None:
    """Hash the file of a segment, whatever was noted of it. Raises as `map_segment`."""
    data, _ = _mapped(index, row)
    _compare(index, row, data)


def _mapped(index: Path, row: SegmentRow) -> tuple[mmap.mmap, os.stat_result]:
    path = segment_path(index, row.name)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size != row.bytes:
                raise IndexDamaged(_damage(path, f"it has {status.st_size} bytes, not {row.bytes}"))
            # A mapping is hashed at the speed of memory, with no second copy of the file.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), status
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in NOT_OPENED:
            raise IndexUnwritable(
                f"the vector segment {str(path)!r} cannot be opened ({error.strerror}). Check the "
                "permissions of the index folder, and the limits of open files and of memory."
            ) from error
        raise IndexDamaged(_damage(path, error.strerror or str(error))) from error


def _compare(index: Path, row: SegmentRow, data: mmap.mmap) -> None:
    if hashlib.sha256(data).hexdigest() != row.sha256:
        path = segment_path(index, row.name)
        raise IndexDamaged(_damage(path, "its SHA-256 is not the one that was recorded"))


def _note(row: SegmentRow, status: os.stat_result) -> Path:
    """Where it is noted that a file which the system describes so has the SHA-256 of this row.

    The time of the inode's last change (ctime) is the system's own; no program sets it back.
    """
    known = (
        row.sha256,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )
    return user_cache() / "verified" / hashlib.sha256(repr(known).encode()).hexdigest()


def _write_note(note: Path) -> None:
    """Note it, and let go of old notes; where the cache folder cannot be written, do without."""
    with suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in os.scandir(note.parent):
            if time.time() - FORGOTTEN > entry.stat().st_mtime:
                os.unlink(entry.path)
        note.touch(mode=0o600)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damage(path: Path, reason: str) -> str:
    return (
        f"the vector segment {str(path)!r} is damaged: {reason}. "
        "Run `clsearch check --repair` to encode its passages again from the text in the index."
    )
