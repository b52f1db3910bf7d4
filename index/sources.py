"""A source -> the files below it: in a stable order, nothing opened, nothing blocked on."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import SourceError
from .types import Skipped

# Folders of what programs made or fetched. Hidden ones are left out by their dot.
MADE_BY_PROGRAMS = frozenset({"__pycache__", "node_modules"})
NOT_A_FILE = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file, as its stat tells. `id` is the document id that `file_id` gives it."""

    id: str
    path: str
    mtime_ns: int
    size: int


def walk(source: str | Path, base: str | Path) -> Iterator[Found | Skipped]:
    """Yield every file of `source`, a file or a folder, sorted by name within each folder.

    `base` is the folder that ids are relative to: the one that holds the index folder. Left out:
    hidden names, `__pycache__`, `node_modules`, virtual environments and index folders, unless
    `source` itself is one. Links to files are followed; links to folders are not, unless `source`
    is one. Pipes, sockets, devices, dangling links and folders that cannot be listed come as
    `Skipped`, whose name is an id: nothing that `is_within` it may be taken as vanished.

    Raises SourceError where `source` is missing, or is neither file nor folder.
    """
    root, home = resolved(source), os.path.realpath(base)
    try:
        status = os.stat(root)
    except OSError as error:
        raise SourceError(f"{storable(root)}: {_why(root, error)}; check the path") from error
    if stat.S_ISDIR(status.st_mode):
        return _walk_folder(root, home)
    if stat.S_ISREG(status.st_mode):
        return iter([Found(file_id(root, home), root, status.st_mtime_ns, status.st_size)])
    raise SourceError(
        f"{storable(root)}: it is {_kind(status)}; "
        "name a file or a folder, or pipe the text to standard input"
    )


def resolved(source: str | Path) -> str:
    """The absolute path of a source, its folder's links resolved.

    Its own name stays, so that a link named as a source keeps the name that its user gave it.
    """
    folder, name = os.path.split(os.path.abspath(source))
    return os.path.join(os.path.realpath(folder), name)


def file_id(path: str, base: str) -> str:
    r"""The id of the file or folder at `path`: relative to `base` where it is below it.

    Both are absolute. Always with "/"; `base` itself is ".". Bytes that are no UTF-8 are written
    as `\xNN`.

    >>> file_id("/home/ada/notes/a.md", "/home/ada")
    'notes/a.md'
    >>> file_id("/srv/b.md", "/home/ada")
    '/srv/b.md'
    """
    if path == base:
        return "."
    below = base.rstrip(os.sep) + os.sep
    return storable(path.removeprefix(below).replace(os.sep, "/"))


def is_within(document_id: str, folder_id: str) -> bool:
    """Whether an id is `folder_id` or below it; a record is below its file."""
    if folder_id == ".":
        return not os.path.isabs(document_id)
    return document_id == folder_id or document_id.startswith((folder_id + "/", folder_id + "#"))


def storable(name: str) -> str:
    r"""A file name as text that UTF-8 can hold: bytes that are no UTF-8 become `\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _walk_folder(root: str, home: str) -> Iterator[Found | Skipped]:
    # A stack in place of recursion: no depth of folders is too deep.
    waiting: list[str | os.DirEntry[str]] = [root]
    while waiting:
        entry = waiting.pop()
        path = os.fspath(entry)
        if isinstance(entry, os.DirEntry) and not entry.is_dir(follow_symlinks=False):
            yield _file(entry, home)
            continue
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError as error:
            reason = f"the folder cannot be listed: {_why(path, error)}"
            yield Skipped(file_id(path, home), reason)
            continue
        if path != root and _is_made_by_a_program(entries):
            continue
        kept = [below for below in entries if not _is_left_out(below)]
        kept.sort(key=lambda below: below.name, reverse=True)
        waiting += kept


def _file(entry: os.DirEntry[str], home: str) -> Found | Skipped:
    name = file_id(entry.path, home)
    try:
        status = entry.stat()
    except OSError as error:
        return Skipped(name, _why(entry.path, error))
    if stat.S_ISREG(status.st_mode):
        return Found(name, entry.path, status.st_mtime_ns, status.st_size)
    if entry.is_symlink():
        return Skipped(name, f"a link to {_kind(status)}, not followed: name it as a source")
    return Skipped(name, f"it is {_kind(status)}")


def _is_left_out(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return True
    return entry.name in MADE_BY_PROGRAMS and entry.is_dir(follow_symlinks=False)


def _is_made_by_a_program(entries: list[os.DirEntry[str]]) -> bool:
    """Whether a listing is that of a virtual environment, or of an index."""
    names = {entry.name for entry in entries}
    return "pyvenv.cfg" in names or {"index.db", "vectors"} <= names


def _kind(status: os.stat_result) -> str:
    return NOT_A_FILE.get(stat.S_IFMT(status.st_mode), "no regular file")


def _why(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "a link to what is not there" if os.path.islink(path) else "it is not there"
    return (error.strerror or str(error)).lower()
