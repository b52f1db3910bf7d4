"""One writer at a time: `writer.lock`, by flock. Readers never look at it."""

import fcntl
import os
from pathlib import Path

from ..errors import IndexLocked
from ..files import LOCK
from . import faults


def take_lock(index: Path) -> int:
    """Lock the index for writing, without waiting; the descriptor holds the lock until closed.

    The kernel lets go of it when the process ends, however that happens, so a lock is never stale;
    the pid in the file is only for the message. Raises `IndexLocked` where another process writes.
    """
    descriptor = os.open(index / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        who = f"process {pid}" if pid.isdigit() else "another process"
        raise IndexLocked(
            f"{who} is writing to the index at {str(index)!r}. Wait until it is done, or stop it, "
            "and run the command again; searching works meanwhile."
        ) from error
    except BaseException:
        os.close(descriptor)
        raise
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        # A full disk: this process must not keep a lock that nobody holds.
        os.close(descriptor)
        raise
    faults.reach("lock.taken")
    return descriptor
