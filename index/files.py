"""Where an index keeps its files, and how a segment is read so that it can be trusted."""

import errno
import hashlib
import mmap
import os
from pathlib import Path

from .errors import IndexDamaged, IndexUnwritable
from .types import SegmentRow

DATABASE = "index.db"
VECTORS = "vectors"
QUARANTINE = "quarantine"
LOCK = "writer.lock"
SUFFIX = ".faiss"
TEMPORARY = ".tmp"

# What keeps a file from being opened or mapped, and says nothing of what is in it.
NOT_OPENED = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def segment_path(index: Path, name: str) -> Path:
    """The file of the segment `name` of the index at `index`."""
    return index / VECTORS / (name + SUFFIX)


def map_segment(index: Path, row: SegmentRow) -> mmap.mmap:
    """The bytes of the segment's file, once its size and SHA-256 are those of the manifest.

    Raises `FileNotFoundError` where the file is gone (a merge may have removed it: read the
    manifest again), `IndexUnwritable` where it may not be opened, and `IndexDamaged` where it is
    not what was written, or the disk fails.
    """
    path = segment_path(index, row.name)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != row.bytes:
                raise IndexDamaged(_damage(path, f"it has {size} bytes, not {row.bytes}"))
            # A mapping is hashed at the speed of memory, with no second copy of the file.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in NOT_OPENED:
            raise IndexUnwritable(
                f"the vector segment {str(path)!r} cannot be opened ({error.strerror}). Check the "
                "permissions of the index folder, and the limits of open files and of memory."
            ) from error
        raise IndexDamaged(_damage(path, error.strerror or str(error))) from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise IndexDamaged(_damage(path, "its SHA-256 is not the one that was recorded"))
    return data


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
