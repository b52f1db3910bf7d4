"""Where a search meets the process that answers for its index: a private socket, a lock beside it.

    $XDG_RUNTIME_DIR/clsearch/           0700; $TMPDIR or /tmp/clsearch-UID/ where there is none
      DEVICE-INODE.sock                  of index.db: an index that was made anew has another
      DEVICE-INODE.lock                  held by whoever listens, from before it listens to its end

A search that is answered here costs little more than the start of Python, so nothing is imported
that the interpreter has not loaded: `_socket` is what `socket` is made of, without its 10 ms.

The system says which user is at the other end of a Unix socket. Only Linux is asked how; elsewhere
there are no such sockets, and every search is answered by its own process.
"""

import _socket
import os
import sys

from . import __version__

LINUX = sys.platform == "linux"
DATABASE = "index.db"
# What may change an answer, beside the index and the question.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HOME",
    "HUGGINGFACE_HUB_CACHE",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
)


END = b"."  # the last field of a question that is whole
# What client and listener must have in common: program, interpreter, variables. As they were at the
# start, for a command sets variables for what it imports.
IDENTITY = [
    os.fsencode(text)
    for text in (
        __version__,
        str(sys.hexversion),
        sys.getfilesystemencoding(),
        sys.prefix,
        os.path.dirname(os.path.abspath(__file__)),
        *(os.environ.get(name, "\n") for name in VARIABLES),
    )
]


def inode(index: str) -> tuple[int, int]:
    """Device and inode of an index's database; OSError where there is none."""
    status = os.stat(os.path.join(index, DATABASE))
    return status.st_dev, status.st_ino


def name_of(device_and_inode: tuple[int, int], suffix: str) -> str:
    """The name of a socket or a lock in the folder."""
    device, number = device_and_inode
    return f"{device:x}-{number:x}.{suffix}"


def folder_path() -> str:
    """The folder for sockets; whether it is private is for `open_folder` to say."""
    user = os.geteuid()
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        # Another user's, after `su` or `sudo`, is not ours to write to.
        if os.path.isabs(base) and os.stat(base).st_uid == user:
            return os.path.join(base, "clsearch")
    except OSError:
        pass
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"clsearch-{user}")


def make_folder() -> None:
    """Make the folder for sockets, if it is not there."""
    path = folder_path()
    if not os.path.isdir(path):
        os.mkdir(path, 0o700)


def open_folder() -> int:
    """A descriptor of the folder; OSError where it is not there, or not this user's alone."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(folder_path(), flags)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        os.close(folder)
        raise PermissionError(f"{folder_path()!r} is open to others")
    return folder


def address(folder: int, name: str) -> str:
    """A socket in an open folder: of no length that a path may not have, and in no other folder."""
    return f"/proc/self/fd/{folder}/{name}"


def peer(connection: _socket.socket) -> tuple[int, int]:
    """Process and user at the other end; of a listener, those that began to listen."""
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    process, user = credentials[:4], credentials[4:8]
    return int.from_bytes(process, sys.byteorder), int.from_bytes(user, sys.byteorder)


def connect(folder: int, name: str, seconds: float) -> _socket.socket:
    """A connection to this user's listener; OSError where there is none, or it is another's."""
    connection = _socket.socket(_socket.AF_UNIX)
    connection.settimeout(seconds)
    connection.connect(address(folder, name))
    if peer(connection)[1] != os.geteuid():
        connection.close()
        raise PermissionError(f"the socket {name!r} is another user's")
    return connection


def listener(index: str) -> int | None:
    """The process that answers for an index; None where there is none."""
    if not LINUX:
        return None
    try:
        folder = open_folder()
        try:
            connection = connect(folder, name_of(inode(index), "sock"), 1.0)
        finally:
            os.close(folder)
        process, _ = peer(connection)
        connection.close()
    except OSError:
        return None
    return process


def take_lock(folder: int, device_and_inode: tuple[int, int]) -> int | None:
    """A descriptor that holds the lock of an index; None where another listens, or starts to."""
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(name_of(device_and_inode, "lock"), flags, 0o600, dir_fd=folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
