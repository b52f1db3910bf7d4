"""Connections that wait for the next reader: each reads what is committed, in what is there now."""

import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from clsearch.index.errors import IndexMissing
from clsearch.index.index import Index
from clsearch.index.store import connections as module
from clsearch.index.store.connections import Connections
from words_encoder import WordsEncoder


def made(path: Path, *ids: str) -> Path:
    with Index.open(path, encoder=WordsEncoder(8)) as index:
        index.add({"id": id, "text": f"Text of {id}."} for id in ids)
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return made(tmp_path / "index", "one")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that was opened."""
    found: list[sqlite3.Connection] = []
    connect = module.connect_to_read

    def noted(index: Path) -> sqlite3.Connection:
        found.append(connect(index))
        return found[-1]

    monkeypatch.setattr(module, "connect_to_read", noted)
    return found


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def ids(connections: Connections) -> list[str]:
    with connections.snapshot() as snapshot:
        return sorted(snapshot.document_ids())


def test_one_is_used_again_and_sees_each_commit(
    index: Path, opened: list[sqlite3.Connection]
) -> None:
    connections = Connections(index)
    assert ids(connections) == ["one"]
    made(index, "two")  # its commit waits for nobody
    assert ids(connections) == ["one", "two"]
    assert len(opened) == 1
    assert not opened[0].in_transaction


def test_readers_at_once_have_their_own(index: Path, opened: list[sqlite3.Connection]) -> None:
    connections = Connections(index)
    with connections.snapshot() as first:
        with connections.snapshot() as second:
            assert list(first.document_ids()) == list(second.document_ids()) == ["one"]
        assert list(first.document_ids()) == ["one"]
    assert len(opened) == 2


def test_a_snapshot_that_has_ended_reads_no_more(index: Path) -> None:
    """Else it would read inside of another's transaction."""
    connections = Connections(index)
    with connections.snapshot() as snapshot:
        pass
    with connections.snapshot(), pytest.raises(Exception, match="closed"):
        list(snapshot.document_ids())


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
def test_another_index_in_the_place_is_read(
    index: Path, tmp_path: Path, opened: list[sqlite3.Connection]
) -> None:
    connections = Connections(index)
    assert ids(connections) == ["one"]
    other = made(tmp_path / "other", "new")
    index.rename(tmp_path / "old")
    with pytest.raises(IndexMissing):
        ids(connections)
    other.rename(index)
    assert ids(connections) == ["new"]
    assert not is_open(opened[0])


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
def test_one_that_takes_the_place_while_it_is_opened_is_read(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is of the new one; it is not to be taken for one of the old one."""
    connections, other = Connections(index), made(tmp_path / "other", "new")
    connect = module.connect_to_read

    def replaced(path: Path) -> sqlite3.Connection:
        path.rename(tmp_path / "old")
        other.rename(path)
        return connect(path)

    monkeypatch.setattr(module, "connect_to_read", replaced)
    assert ids(connections) == ["new"]
    monkeypatch.setattr(module, "connect_to_read", connect)
    shutil.rmtree(index)
    (tmp_path / "old").rename(index)
    assert ids(connections) == ["one"]


def test_one_that_failed_is_closed(index: Path, opened: list[sqlite3.Connection]) -> None:
    connections = Connections(index)
    with pytest.raises(KeyError), connections.snapshot():
        raise KeyError
    assert not is_open(opened[0])
    assert ids(connections) == ["one"]


def test_one_that_holds_the_database_for_unchanging_is_not_kept(
    index: Path, opened: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "may_be_written", lambda _: False)
    connections = Connections(index)
    assert ids(connections) == ids(connections) == ["one"]
    assert len(opened) == 2
    assert not any(map(is_open, opened))


def test_so_many_wait_and_no_more(
    index: Path, opened: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE", 2)
    connections = Connections(index)
    inside, over = threading.Barrier(5), threading.Barrier(5)

    def read() -> None:
        with connections.snapshot():
            inside.wait()
        over.wait()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    inside.wait()
    over.wait()
    for reader in readers:
        reader.join()
    assert sorted(map(is_open, opened)) == [False, False, True, True]


@pytest.mark.parametrize("way", ["close", "forget"])
def test_none_outlives_its_readers(index: Path, opened: list[sqlite3.Connection], way: str) -> None:
    connections = Connections(index)
    ids(connections)
    if way == "close":
        with connections.snapshot():
            connections.close()
    else:
        with connections.snapshot():
            pass
        del connections
    assert not any(map(is_open, opened))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_neither_uses_nor_closes_what_was_open(
    index: Path, opened: list[sqlite3.Connection]
) -> None:
    connections = Connections(index)
    ids(connections)
    child = os.fork()
    if not child:
        right = ids(connections) == ["one"] and len(opened) == 2 and is_open(opened[0])
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ids(connections) == ["one"]
    assert len(opened) == 1
