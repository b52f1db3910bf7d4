"""One index, many threads: their calls take turns, and closing waits for the one that runs."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.check import check
from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot


def test_calls_from_many_threads_take_turns(tmp_path: Path, encoder: Any) -> None:
    (tmp_path / "note.txt").write_text("a note")
    path = tmp_path / "index"

    def work(thread: int) -> None:
        for number in range(3):
            index.add([{"id": f"{thread}/{number}", "text": f"jade {thread} {number}"}])
        assert index.remove([f"{thread}/0"]) == 1
        index.sync([tmp_path / "note.txt"])
        if thread == 0:
            index.optimize()
            index.reencode(encoder=type(encoder)(seed="other"))

    with Index.open(path, encoder=encoder) as index, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, thread) for thread in range(4)]:
            done.result(60)
    assert not check(path)
    with Snapshot.open(path) as snapshot:
        expected = {f"{thread}/{number}" for thread in range(4) for number in (1, 2)}
        assert set(snapshot.document_ids()) == expected | {"note.txt"}
        assert snapshot.counts().waiting == 0


def test_closing_waits_for_the_call_that_runs(tmp_path: Path, encoder: Any) -> None:
    index = Index.open(tmp_path / "index", encoder=encoder)
    begun, go_on = threading.Event(), threading.Event()

    def documents() -> Iterator[dict[str, str]]:
        begun.set()
        assert go_on.wait(10)
        yield {"id": "a", "text": "jade"}

    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(index.add, documents())
        assert begun.wait(10)
        closing = pool.submit(index.close)
        assert not closing.done()
        go_on.set()
        assert adding.result(10).added == 1
        closing.result(10)
    with Snapshot.open(tmp_path / "index") as snapshot:
        assert list(snapshot.document_ids()) == ["a"]


def test_a_closed_index_says_so(tmp_path: Path, encoder: Any) -> None:
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "a", "text": "jade"}])
    index.close()  # once more is nothing
    for call in (
        lambda: index.add([]),
        lambda: index.remove(["a"]),
        lambda: index.sync([]),
        index.optimize,
        index.reencode,
        index.repair,
    ):
        with pytest.raises(UsageError, match="was closed"):
            call()
    with Index.open(tmp_path / "index", encoder=encoder) as again:  # the lock is free
        assert again.remove(["a"]) == 1
