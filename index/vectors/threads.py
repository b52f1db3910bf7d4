"""How many threads FAISS takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss


@contextmanager
def threads_for(queries: int) -> Iterator[None]:
    """Run the block with one thread where it searches for one query.

    FAISS parts queries among threads, so to one query more of them bring nothing. Yet they start,
    and wait for each other spinning: beside a busy process, ten times as long as the search takes.
    OpenMP keeps the number for each thread that asks, so others are not concerned.
    """
    if queries > 1:
        yield
        return
    most = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(most)
