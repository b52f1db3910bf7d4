"""One searcher, many threads: the answers of one thread, each of one commit; models loaded once."""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index.encoder import CrossEncoder, Encoder
from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search import Mode, Searcher

MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
THREADS = 4
MakeIndex = Callable[..., Path]


def at_once(work: Callable[[], Any]) -> list[Any]:
    """What `work` gives in each of some threads that begin together."""
    ready = threading.Barrier(THREADS)

    def begin() -> Any:
        ready.wait(10)
        return work()

    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result(30) for future in [pool.submit(begin) for _ in range(THREADS)]]


def counted(monkeypatch: pytest.MonkeyPatch, of: Any, name: str, gives: Any = None) -> list[Any]:
    """The calls so far of a class method, slowed down; it gives `gives`, or what it gave before."""
    calls: list[Any] = []
    whole = getattr(of, name)

    def slow(*arguments: Any) -> Any:
        calls.append(arguments)
        time.sleep(0.2)
        return whole(*arguments) if gives is None else gives

    monkeypatch.setattr(of, name, slow)
    return calls


def test_the_answers_are_those_of_one_thread(ten: Searcher) -> None:
    asked = [(query, mode) for query in ("jade", "iron -flint", '"iron jade"') for mode in MODES]

    def answers() -> list[Any]:
        found = [ten.search(query, 5, mode, group="document") for query, mode in asked]
        found += [ten.similar("stone/1.txt"), ten.search("amber", where="path like '%/3.txt'")]
        return [[hit.to_json(explain=True) for hit in hits] for hits in found]

    alone = answers()
    assert sum(map(len, alone)) > 20
    assert at_once(answers) == [alone] * THREADS


def test_each_answer_is_of_one_commit_while_a_writer_commits(
    make_index: MakeIndex, encoder: Any
) -> None:
    path = make_index({"left": "jade 0", "right": "jade 0"})
    searcher = Searcher.open(path, encoder)
    done = threading.Event()

    def write() -> None:
        try:
            with Index.open(path, encoder=type(encoder)()) as index:
                for round in range(1, 10):
                    index.add({"id": id, "text": f"jade {round}"} for id in ("left", "right"))
                    if round % 3 == 0:
                        index.optimize()
        finally:
            done.set()

    def read() -> list[set[str]]:
        seen = []
        while not done.is_set() or not seen:
            for mode in MODES:
                hits = searcher.search("jade", mode=mode)
                texts = [(hit.document, *hit.duplicates, hit.passage.text) for hit in hits]
                assert sorted(name for *names, _ in texts for name in names) == ["left", "right"]
                seen.append({text for *_, text in texts})
        return seen

    writer = threading.Thread(target=write)
    writer.start()
    seen = [texts for thread in at_once(read) for texts in thread]
    writer.join()
    assert all(len(texts) == 1 for texts in seen), "left and right are of different commits"
    assert searcher.search("jade", 1)[0].passage.text == "jade 9"


def test_the_encoder_is_loaded_once(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = Searcher.open(make_index({"a": "jade"}))
    loaded = counted(monkeypatch, Encoder, "load", encoder)
    found = at_once(lambda: [hit.document for hit in searcher.search("jade")])
    assert found == [["a"]] * THREADS
    assert len(loaded) == 1


def test_a_reranker_is_loaded_once(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lengths:
        bounded = True

        def scores(self, query: str, texts: list[str]) -> Any:
            return np.array([1 / len(text) for text in texts])

    searcher = Searcher.open(make_index({"a": "jade and iron", "b": "jade"}), encoder)
    loaded = counted(monkeypatch, CrossEncoder, "load", Lengths())
    found = at_once(lambda: [hit.document for hit in searcher.search("jade", rerank="lengths")])
    assert found == [["b", "a"]] * THREADS
    assert len(loaded) == 1


def test_a_segment_is_opened_once(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = Searcher.open(make_index({"a": "jade"}), encoder)
    opened = counted(monkeypatch, Segment, "open")
    at_once(lambda: searcher.search("jade", mode="dense"))
    assert len(opened) == 1


def test_threads_at_different_commits_get_the_segments_of_their_own(
    make_index: MakeIndex, encoder: Any
) -> None:
    commits = []
    for id in ("a", "b"):
        path = make_index({id: "jade"})
        with Snapshot.open(path) as snapshot:
            commits.append(snapshot)
    searcher, (old, new) = Searcher.open(path, encoder), commits
    segments = {segment.row.name: segment for segment in searcher._opened(new)}

    class Overtaken(Searcher):
        """Whenever it looks, another thread has just brought in the segments of the new commit."""

        _segments = property(lambda self: segments, lambda self, others: None)  # type: ignore[assignment]

    overtaken = Overtaken.open(path, encoder)
    for commit in (old, new, old):
        names = [row.name for row in commit.segments]
        assert [segment.row.name for segment in searcher._opened(commit)] == names
        assert [segment.row.name for segment in overtaken._opened(commit)] == names
    assert len(new.segments) == len(old.segments) + 1


def test_a_closed_searcher_has_let_go_and_says_that_it_is_closed(
    make_index: MakeIndex, encoder: Any
) -> None:
    with Searcher.open(make_index({"a": "jade", "b": "iron"}), encoder) as searcher:
        assert len(searcher.search("jade", mode="dense")) == 2
        segment = weakref.ref(next(iter(searcher._segments.values())))
    assert segment() is None
    calls: list[Callable[[], object]] = [
        *(lambda mode=mode: searcher.search("jade", mode=mode) for mode in MODES),  # type: ignore[misc]
        lambda: searcher.similar("a"),
        lambda: searcher.document("a"),
        lambda: searcher.search("jade", rerank="lengths"),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="is closed"):
            call()
    searcher.close()  # once more is nothing


def test_closing_while_a_thread_searches(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is opened again by a call that was at its encoder."""
    searcher = Searcher.open(make_index({"a": "jade"}), encoder)
    begun, go_on, encode = threading.Event(), threading.Event(), encoder.encode_queries

    def waiting(texts: list[str]) -> Any:
        begun.set()
        assert go_on.wait(10)
        return encode(texts)

    monkeypatch.setattr(encoder, "encode_queries", waiting)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(searcher.search, "jade")
        assert begun.wait(10)
        searcher.close()
        go_on.set()
        with pytest.raises(UsageError, match="is closed"):
            running.result(10)
    assert not searcher._segments
