"""Batches through one or several backends: tokenised ahead, several in flight, none lost."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain, islice
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .batches import Batch

# concurrent.futures is imported where threads are needed: a query on the CPU needs none, and it
# brings logging with it, 5 ms.

_AHEAD = 2  # results that are computed before they are asked for

Precision = Literal["float32", "bfloat16", "int8"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Backend(Protocol):
    """What runs the model, on one device."""

    batch_tokens: int
    """So many tokens a batch may have, padding included; halved where memory runs out."""

    @property
    def in_flight(self) -> int:
        """So many threads bring it batches at once, so that it need not wait for the next."""

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Weighted sums [b, m, d] by `weights` [b, m, t], and the maximum [b, d] over `kept`.

        Raises MemoryError where the batch is too large for the device's memory.
        """


def ahead(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result]:
    """`map(function, items)`, computed in a thread, two results at most before they are asked for.

    What `function` raises is raised here. The thread ends with the iterator, closed or exhausted.
    """
    if len(items) < 2:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "tokenise") as thread:
        waiting = deque(thread.submit(function, item) for item in items[:_AHEAD])
        try:
            for place in range(_AHEAD, len(items) + _AHEAD):
                result = waiting.popleft().result()
                if place < len(items):
                    waiting.append(thread.submit(function, items[place]))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def spread(
    backends: Sequence[Backend], batches: Iterator[Batch], work: Callable[[Backend, Batch], None]
) -> None:
    """`work(backend, batch)` once for each text of `batches`, on whichever backend is free.

    `work` runs in several threads at once where backends are several or have several in flight. A
    batch for which it raises MemoryError is halved, as are the backend's later ones. Whatever else
    it raises ends the others after their batch, and is raised here once all threads have ended.
    """
    workers = [backend for backend in backends for _ in range(backend.in_flight)]
    first = list(islice(batches, 2))
    batches = chain(first, batches)
    if len(workers) == 1 or len(first) < 2:
        _work_off(workers[0], batches, work)
        return
    from concurrent.futures import ThreadPoolExecutor, as_completed

    shared = _Shared(batches)
    with ThreadPoolExecutor(len(workers), "encode") as threads:
        futures = [threads.submit(_work_off, worker, shared, work) for worker in workers]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            shared.close()


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._taking = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        with self._taking:
            if self._closed:
                raise StopIteration
            return next(self._batches)

    def close(self) -> None:
        self._closed = True


def _work_off(
    backend: Backend, batches: Iterator[Batch], work: Callable[[Backend, Batch], None]
) -> None:
    for batch in batches:
        pieces = [batch]
        while pieces:
            piece = pieces.pop()
            if not _fits(backend, piece):
                pieces += reversed(piece.halves())
            elif not _done(backend, piece, work):
                # Once the exception, which holds what the failed batch had in memory, is gone.
                backend.batch_tokens = min(backend.batch_tokens, piece.mask.size // 2)
                pieces.append(piece)


def _fits(backend: Backend, batch: Batch) -> bool:
    return len(batch.order) == 1 or batch.mask.size <= backend.batch_tokens


def _done(backend: Backend, batch: Batch, work: Callable[[Backend, Batch], None]) -> bool:
    """Whether memory was enough. ModelError where it is not even for a single text."""
    try:
        work(backend, batch)
    except MemoryError as error:
        if len(batch.order) == 1:
            raise ModelError(
                f"memory is too small for a single text of {batch.mask.size} tokens ({error}): end "
                "what else uses the device's memory, or take a smaller model"
            ) from error
        return False
    return True
