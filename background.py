"""The process that `clsearch search` leaves behind: `python -m clsearch.background INDEX LOCK`.

It holds no terminal, no folder and no file of whoever started it, answers for one index, and ends
when nobody has asked for ten minutes, with its index, or with the program that it is part of.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

IDLE = 600.0  # seconds
# A process that has come to hold so much more than when it began, and twice as much, starts anew.
GROWTH = 256 << 20  # bytes


def main() -> None:
    """Answer for the index of the first argument, whose lock is the descriptor of the second."""
    index, lock = Path(sys.argv[1]), int(sys.argv[2])
    os.setsid()  # what ends the terminal, or interrupts a command in it, does not end this
    os.set_inheritable(lock, False)
    for held in map(int, os.listdir("/proc/self/fd")):
        if held > 2 and held != lock:
            with suppress(OSError):  # of the listing itself
                os.close(held)
    os.umask(0o077)

    from . import runtime  # noqa: F401 - before variables are set

    # As the command sets it; NumPy asks when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from . import daemon
    from .cli import search
    from .index import memory
    from .search import Searcher

    searcher = Searcher.open(index)
    os.chdir("/")
    # What every search needs is loaded before the first client waits for it.
    daemon.answer(search, searcher, (False, 80), "", ["anything", "-k", "1"])
    listener = daemon.Listener(index, searcher, search, lock)
    at_first = memory.anonymous()

    def wanted() -> bool:
        grown = memory.anonymous() > max(2 * at_first, at_first + GROWTH)
        return not grown and time.monotonic() - listener.used < IDLE

    listener.run(wanted)


if __name__ == "__main__":
    main()
