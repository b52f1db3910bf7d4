"""What a searcher sees while its index changes, is merged, damaged, or made by another encoder."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index.encoder import CrossEncoder
from clsearch.index.errors import IndexDamaged, IndexMismatch, IndexMissing
from clsearch.index.index import Index
from clsearch.index.store.connections import Connections
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search import Mode, Searcher, hits

MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
MakeIndex = Callable[..., Path]
Stones = Callable[[int], dict[str, str]]


def test_no_index(tmp_path: Path) -> None:
    """It is said when it is opened."""
    with pytest.raises(IndexMissing):
        Searcher.open(tmp_path / "nothing")


def test_commits_are_seen(make_index: MakeIndex, encoder: Any) -> None:
    """By a searcher that was open before: documents added, changed, removed, segments merged."""
    path = make_index({"a": "jade"})
    searcher = Searcher.open(path, encoder)

    def found() -> list[str]:
        answers = {mode: searcher.search("jade", 9, mode) for mode in MODES}
        documents = [sorted(hit.document for hit in hits) for hits in answers.values()]
        assert documents[0] == documents[1]
        return documents[2]

    assert found() == ["a"]
    make_index({"b": "jade too"})
    assert found() == ["a", "b"]
    make_index({"a": "iron now"})
    assert found() == ["b"]
    with Index.open(path, encoder=encoder) as index:
        index.remove(["b"])
    assert found() == []
    make_index({"c": "jade"})
    with Index.open(path, encoder=encoder) as index:
        index.optimize()
    assert found() == ["c"]


def test_a_writer_commits_while_snippets_are_made(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the journal: no transaction is open then."""
    path = make_index({"a": "Iron is heavy. Jade is green."})
    searcher, made = Searcher.open(path, encoder), hits.snippets_of
    monkeypatch.setattr("clsearch.index.store.connection.BUSY_SECONDS", 0.1)

    def writing(*arguments: Any) -> Any:
        monkeypatch.setattr(hits, "snippets_of", made)
        make_index({"b": "basalt"})
        return made(*arguments)

    monkeypatch.setattr(hits, "snippets_of", writing)
    answer = searcher.answer("qwert", 1)
    assert [hit.document for hit in answer.hits] == ["a"]
    assert {"terms", "segments", "times_ms"} < set(answer.explanation)
    with Snapshot.open(path) as snapshot:
        assert snapshot.document_ids() == ["a", "b"]


class Writing:
    """A reranker during whose first reading a writer commits."""

    bounded = True

    def __init__(self, write: Callable[[], object]) -> None:
        self.write: Callable[[], object] | None = write
        self.read: list[str] = []

    def scores(self, query: str, texts: list[str]) -> Any:
        """A text that comes later is better."""
        if self.write:
            self.write()
            self.write = None
        self.read += texts
        return np.linspace(0.1, 0.9, len(texts), dtype=np.float32)


def test_a_writer_commits_while_a_reranker_reads(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction is open then; what the commit brought is read, too, and nothing twice."""
    path = make_index({"a": "jade", "c": "jade and iron"})
    monkeypatch.setattr("clsearch.index.store.connection.BUSY_SECONDS", 0.1)
    scorer = Writing(lambda: make_index({"b": "basalt"}))
    monkeypatch.setattr(CrossEncoder, "load", lambda name: scorer)
    searcher = Searcher.open(path, encoder)
    hits = searcher.search("jade", 5, rerank="a/reranker")
    assert {hit.document for hit in hits} == {"a", "b", "c"}
    assert sorted(scorer.read) == ["basalt", "jade", "jade and iron"]
    scorer.write = lambda: make_index({"d": "copper"})
    [found] = searcher.rank_documents(["jade"], 5, rerank="a/reranker")
    assert set(found) == {"a", "b", "c", "d"}


def test_opened_segments_are_used_again(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is read once, as long as the manifest lists it."""
    opened: list[str] = []
    really_open = Segment.open

    def counted(index: Path, row: Any) -> Segment:
        opened.append(row.name)
        return really_open(index, row)

    monkeypatch.setattr(Segment, "open", counted)
    path = make_index({"a": "jade"})
    searcher = Searcher.open(path, encoder)
    opened.clear()
    for _ in range(3):
        searcher.search("jade")
        searcher.similar("a")
    assert len(opened) == 1


def test_a_segment_that_a_merge_took_away(
    make_index: MakeIndex, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is read again, and the search goes on."""
    path = make_index({"a": "jade"})
    make_index({"b": "jade stone"})
    with Snapshot.open(path) as before:
        old_rows, old_generation = before.segments, before.generation
    with Index.open(path, encoder=encoder) as index:
        index.optimize()
    with Snapshot.open(path) as after:
        assert after.segments != old_rows
    real = Connections.snapshot
    seen: list[int] = []

    @contextmanager
    def stale_once(connections: Connections) -> Iterator[Snapshot]:
        with real(connections) as snapshot:
            if not seen:
                snapshot.segments, snapshot.generation = old_rows, old_generation
            seen.append(snapshot.generation)
            yield snapshot

    searcher = Searcher.open(path, encoder)
    searcher.search("jade", 1)
    searcher = Searcher.open(path, encoder)
    searcher._load_encoder()
    monkeypatch.setattr(Connections, "snapshot", stale_once)
    assert len(searcher.search("jade", 9, "dense")) == 2
    assert len(seen) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_segment(make_index: MakeIndex, encoder: Any, damage: str) -> None:
    """Is said with the next step; a lexical search does not need it."""
    path = make_index({"a": "jade"})
    [segment] = path.glob("vectors/*.faiss")
    content = bytearray(segment.read_bytes())
    segment.chmod(0o600)
    if damage == "gone":
        segment.unlink()
    elif damage == "cut":
        segment.write_bytes(content[:-1])
    else:
        content[len(content) // 2] ^= 1
        segment.write_bytes(content)
    searcher = Searcher.open(path, encoder)
    for mode in ("dense", "hybrid"):
        with pytest.raises(IndexDamaged, match="clsearch check --repair"):
            searcher.search("jade", 3, mode)
    assert len(searcher.search("jade", 3, "lexical")) == 1


def test_a_passage_that_is_lost(make_index: MakeIndex, encoder: Any) -> None:
    """A vector without its passage is damage, not a hit."""
    path = make_index({"a": "jade", "b": "iron"})
    with sqlite3.connect(path / "index.db") as database:
        database.execute("DELETE FROM passages WHERE id = (SELECT min(id) FROM passages)")
    database.close()
    with pytest.raises(IndexDamaged, match="clsearch check --repair"):
        Searcher.open(path, encoder).search("jade", 1, "dense")


def test_another_encoder(make_index: MakeIndex, encoder: Any) -> None:
    """Both fingerprints are named, and the command that encodes again."""
    path = make_index({"a": "jade"})
    other = type(encoder)(seed="other")
    searcher = Searcher.open(path, other)
    with pytest.raises(IndexMismatch, match="clsearch index --reencode") as error:
        searcher.search("jade")
    assert encoder.fingerprint[:12] in str(error.value)
    assert other.fingerprint[:12] in str(error.value)
    assert searcher.search("jade", mode="lexical")


def test_threads_share_a_searcher(make_index: MakeIndex, encoder: Any, stones: Stones) -> None:
    """While documents come and segments merge, none sees an error or half an index."""
    path = make_index(stones(30))
    searcher = Searcher.open(path, encoder)
    stop, failures = threading.Event(), []

    def search() -> None:
        try:
            while not stop.is_set():
                for mode in MODES:
                    assert len(searcher.search("jade iron", 5, mode)) == 5
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(3):
        make_index({f"new/{round_}": "jade iron " * 5})
    with Index.open(path, encoder=encoder) as index:
        index.optimize()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
