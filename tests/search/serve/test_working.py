"""Work that waits for a thread is dropped once nobody waits for it."""

import asyncio
import threading
from typing import Any

import pytest

from clsearch.search.serve.working import Gone, Workers


class Asking:
    """A request; its client leaves when told."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}


def test_what_work_returns_or_raises() -> None:
    async def main() -> None:
        workers = Workers(1)
        name = await workers.run(Asking(), lambda: threading.current_thread().name)
        assert name.startswith("clsearch")
        with pytest.raises(ZeroDivisionError):
            await workers.run(Asking(), lambda: 1 // 0)
        assert (workers.waiting, workers.running) == (0, 0)
        workers.close()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["left", "cancelled"])
def test_the_work_of_a_client_that_is_gone_is_not_begun(how: str) -> None:
    async def main() -> None:
        workers, go_on, done = Workers(1), threading.Event(), []
        running = asyncio.create_task(workers.run(Asking(), lambda: go_on.wait(30)))
        gone = Asking()
        dropped = asyncio.create_task(workers.run(gone, lambda: done.append("dropped")))
        kept = asyncio.create_task(workers.run(Asking(), lambda: done.append("kept")))
        while workers.waiting < 2:
            await asyncio.sleep(0)
        assert workers.running == 1
        gone.left.set() if how == "left" else dropped.cancel()
        with pytest.raises(Gone if how == "left" else asyncio.CancelledError):
            await dropped
        assert (workers.waiting, workers.running) == (1, 1)
        go_on.set()
        assert await running
        await kept
        assert done == ["kept"]
        workers.close()

    asyncio.run(main())


def test_who_leaves_while_the_work_is_done_is_not_waited_for() -> None:
    async def main() -> None:
        workers, go_on, asking = Workers(1), threading.Event(), Asking()
        running = asyncio.create_task(workers.run(asking, lambda: go_on.wait(30)))
        await asyncio.sleep(0)
        asking.left.set()
        with pytest.raises(Gone):
            await running
        go_on.set()
        workers.close()
        assert (workers.waiting, workers.running) == (0, 0)

    asyncio.run(main())
