"""Places where a test may kill the process: every step of the commit protocol has a name."""

import os
import signal

VARIABLE = "CLSEARCH_FAULT"

STEPS = (
    "lock.taken",
    "create.database",  # the file is there, and empty
    "segment.created",  # the temporary file is there, and empty
    "segment.written",
    "segment.synced",
    "segment.verified",  # read again, and the same
    "segment.renamed",
    "segment.durable",  # the folder is synced: the file is whole, and in no manifest
    "commit.begun",
    "commit.ready",  # all rows are written, nothing is committed
    "commit.done",
    "dead.removed",  # one file of a dead segment is unlinked
    "stray.removed",  # one file that no manifest lists is unlinked
    "quarantine.marked",  # committed: its passages wait for a vector
    "quarantine.moved",
)


def _parse(value: str | None) -> tuple[str, int] | None:
    """`step` or `step:n` -> (step, n): die when it is reached for the n-th time."""
    if not value:
        return None
    step, _, count = value.partition(":")
    if step not in STEPS:
        raise ValueError(f"{VARIABLE}={value!r}: no such step; there are {', '.join(STEPS)}")
    return step, int(count or 1)


_fault = _parse(os.environ.get(VARIABLE))
_reached = 0


def reach(step: str) -> None:
    """Say that `step` is done. Does nothing, unless the environment asks to die here."""
    global _reached
    if _fault is None or step != _fault[0]:
        return
    _reached += 1
    if _reached == _fault[1]:
        os.kill(os.getpid(), signal.SIGKILL)
