"""The asynchronous searcher: what the searcher gives, and the event loop goes on."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clsearch import AsyncSearcher
from clsearch.index.errors import UsageError
from clsearch.search import Searcher

METHODS = (
    "search",
    "answer",
    "search_many",
    "answer_many",
    "similar",
    "document",
    "rank_documents",
    "warm",
)
MakeIndex = Callable[..., Path]


def test_it_has_every_method_of_the_searcher_with_the_same_arguments() -> None:
    own = {"open", "close"}
    public = {name for name, _ in inspect.getmembers(Searcher, inspect.isfunction)}
    assert {name for name in public if not name.startswith("_")} - own == set(METHODS)
    for name in METHODS:
        awaited, plain = getattr(AsyncSearcher, name), getattr(Searcher, name)
        assert inspect.signature(awaited) == inspect.signature(plain)
        assert awaited.__doc__ == plain.__doc__
        assert inspect.iscoroutinefunction(awaited)


def test_the_answers_are_the_searchers(ten: Searcher) -> None:
    queries = ["jade", "iron", "flint and amber"]

    async def ask() -> list[Any]:
        async with AsyncSearcher(ten, threads=2) as searcher:
            found = await asyncio.gather(*(searcher.search(query, 3) for query in queries))
            return [*found, await searcher.similar("stone/2.txt", 3)]

    alone = [*(ten.search(query, 3) for query in queries), ten.similar("stone/2.txt", 3)]
    assert asyncio.run(ask()) == alone
    with pytest.raises(UsageError, match="is closed"):
        ten.search("jade")


def test_errors_are_raised_where_they_are_awaited(ten: Searcher) -> None:
    async def ask() -> None:
        async with AsyncSearcher(ten) as searcher:
            await searcher.search("   ")

    with pytest.raises(UsageError, match="the query is empty"):
        asyncio.run(ask())


def test_a_cancelled_call_leaves_the_line(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one thread: the running one ends, the cancelled never begins, the last is answered."""
    begun, go_on, encode = threading.Event(), threading.Event(), encoder.encode_queries
    encoded: list[str] = []

    def waiting(texts: list[str]) -> Any:
        encoded.extend(texts)
        begun.set()
        assert go_on.wait(10)
        return encode(texts)

    async def ask() -> list[Any]:
        path = make_index({"a": "jade", "b": "iron", "c": "amber"})
        monkeypatch.setattr(encoder, "encode_queries", waiting)
        async with AsyncSearcher.open(path, encoder, threads=1) as searcher:
            words = ("jade", "iron", "amber")
            tasks = [asyncio.create_task(searcher.search(word, 1)) for word in words]
            await asyncio.to_thread(begun.wait, 10)
            tasks[1].cancel()
            await asyncio.sleep(0)
            go_on.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    jade, iron, amber = asyncio.run(ask())
    assert isinstance(iron, asyncio.CancelledError)
    assert [hits[0].document for hits in (jade, amber)] == ["a", "c"]
    assert encoded == ["jade", "amber"]


def test_closing_awaits_what_runs_and_cancels_what_waits(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, encode = threading.Event(), threading.Event(), encoder.encode_queries

    def waiting(texts: list[str]) -> Any:
        begun.set()
        assert go_on.wait(10)
        return encode(texts)

    async def ask() -> list[Any]:
        path = make_index({"a": "jade"})
        monkeypatch.setattr(encoder, "encode_queries", waiting)
        searcher = AsyncSearcher.open(path, encoder, threads=1)
        tasks = [asyncio.create_task(searcher.search("jade")) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 10)
        closing = asyncio.create_task(searcher.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        with pytest.raises(UsageError, match="is closed"):
            await searcher.search("jade")
        return await asyncio.gather(*tasks, return_exceptions=True)

    running, waited = asyncio.run(ask())
    assert running[0].document == "a"
    assert isinstance(waited, asyncio.CancelledError)


def test_no_thread_is_no_pool(ten: Searcher) -> None:
    with pytest.raises(UsageError, match="threads is 0"):
        AsyncSearcher(ten, threads=0)
