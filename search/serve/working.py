"""What a request asks for is done by a thread; not begun any more once nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


class Gone(Exception):
    """The client has closed its connection: nobody reads an answer."""


class Workers:
    """So many threads, and what waits for one."""

    def __init__(self, threads: int) -> None:
        """A thread is started when it is first needed."""
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clsearch")
        self._lock = threading.Lock()
        self._unfinished = 0

    @property
    def waiting(self) -> int:
        """How many pieces of work no thread has begun."""
        return max(0, self._unfinished - self._threads)

    @property
    def running(self) -> int:
        """How many pieces of work are being done."""
        return min(self._unfinished, self._threads)

    async def run(self, request: Request, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread; Gone where the client leaves before that.

        Work that no thread has begun by then is dropped, and so it is where the task is cancelled.
        """
        with self._lock:
            self._unfinished += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._finished)
        return await result_of(request, future)

    def close(self) -> None:
        """Wait for what is running, and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _finished(self, _: Future[Any]) -> None:
        with self._lock:
            self._unfinished -= 1


async def result_of(request: Request, future: Future[T]) -> T:
    """What the future comes to; Gone where the client leaves before that.

    The future is cancelled then, and where the task is.
    """
    done = asyncio.wrap_future(future)
    left = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((done, left), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise Gone
        return done.result()
    finally:
        left.cancel()
        done.cancel()


async def _disconnected(request: Request) -> None:
    """Return once the client has closed its connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
