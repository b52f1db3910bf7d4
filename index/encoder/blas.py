"""One BLAS thread for small matrices.

OpenBLAS splits even the matrices of one short query over all cores, and its threads wait for each
other spinning: beside any other busy process a query then takes a second instead of 20 ms. On one
thread it takes 20 ms either way.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_lock = threading.Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block with BLAS on one thread in the whole process.

    The setting comes back when the last of the threads that are in such a block leaves it.
    """
    global _users, _limit
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
    return ThreadpoolController()
