"""One BLAS thread for small matrices.

OpenBLAS splits even the matrices of one short query over all cores, and its threads wait for each
other spinning: beside any other busy process a query then takes a second instead of 20 ms. On one
thread it takes 20 ms either way.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

VARIABLE = "OPENBLAS_NUM_THREADS"  # is read when NumPy is imported

_lock = threading.Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block with BLAS on one thread in the whole process.

    The setting comes back when the last of the threads that are in such a block leaves it. A
    process that was started with one thread, as the command line's search is, has nothing to set.
    """
    global _users, _limit
    if os.environ.get(VARIABLE) == "1":
        yield
        return
    with _lock:
        _users += 1
        if _users == 1:
            _limit = _libraries().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limit.restore_original_limits()


@cache
def _libraries() -> Any:
    """The BLAS libraries of this process. NumPy has loaded its own before anything asks."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()
