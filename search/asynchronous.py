"""A Searcher for programs that run on asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..index.errors import UsageError
from .searcher import QueryEncoder, Searcher

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    method: Callable[Concatenate[Searcher, P], T],
) -> Callable[Concatenate[AsyncSearcher, P], Coroutine[Any, Any, T]]:
    """The same method, with the same arguments, run in a thread of the pool."""

    @wraps(method)
    async def awaited(self: AsyncSearcher, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(partial(method, self.searcher, *args, **kwargs))

    return awaited


class AsyncSearcher:
    """The methods of `Searcher`, awaited: they run in threads, and the event loop goes on.

    At most `threads` run at once, one for each core where that is not said, and the others wait in
    line. A call that is cancelled leaves the line; one that runs already ends in its thread, and
    what it finds is dropped. An asynchronous context manager; `searcher` is the one that is asked.
    """

    def __init__(self, searcher: Searcher, threads: int | None = None) -> None:
        """Of a searcher, which is closed with this."""
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}: at least 1 must do the work")
        self.searcher = searcher
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, "clsearch")
        self._closed = False

    @classmethod
    def open(
        cls, path: str | Path, encoder: QueryEncoder | None = None, threads: int | None = None
    ) -> AsyncSearcher:
        """The index in the folder `path`, as `Searcher.open`; takes a millisecond."""
        return cls(Searcher.open(path, encoder), threads)

    search = _awaited(Searcher.search)
    answer = _awaited(Searcher.answer)
    search_many = _awaited(Searcher.search_many)
    answer_many = _awaited(Searcher.answer_many)
    similar = _awaited(Searcher.similar)
    document = _awaited(Searcher.document)
    rank_documents = _awaited(Searcher.rank_documents)
    warm = _awaited(Searcher.warm)

    async def close(self) -> None:
        """Cancel what waits in line, await what runs, and close the searcher."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)
        self.searcher.close()

    async def __aenter__(self) -> AsyncSearcher:
        """Nothing more: the index is open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise UsageError(f"the searcher of {str(self.searcher.path)!r} is closed: open another")
        # The pool drops work whose future is cancelled before a thread took it.
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
