"""The postings say what the rows of the full-text table say, whatever came and went."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index import Index, batch
from clsearch.index.check import check
from clsearch.index.errors import IndexDamaged
from clsearch.index.store import postings
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.store.store import Store

TEXTS = ("Wi-Fi", "wifi", "getUserName", "get user name", "rain rain", "東京都", "a b", "?!", "fi")
# Term -> passage -> how often it has it, and how often but in `whole`.
Said = dict[str, dict[int, tuple[int, int]]]


def rows_of(index: Path) -> tuple[Said, dict[int, int]]:
    """What the rows of the full-text table say, and how many terms each has, where it has any."""
    said: Said = {}
    lengths: dict[int, int] = {}
    with closing(sqlite3.connect(index / "index.db")) as connection:
        for id, *columns in connection.execute("SELECT rowid, * FROM passages_fts"):
            written = Counter(" ".join(columns[:3]).split())
            every = written + Counter(columns[3].split())
            for term, often in every.items():
                said.setdefault(term, {})[id] = (often, written[term])
            if every:
                lengths[id] = every.total()
    return said, lengths


def as_read(index: Path, terms: list[str]) -> tuple[Said, dict[int, int]]:
    """The same of these terms, by the postings."""
    said: Said = {}
    lengths: dict[int, int] = {}
    with Snapshot.open(index) as snapshot:
        for block in snapshot.postings(terms):
            gone = set(block.gone.tolist())
            for place, length in enumerate(block.lengths.tolist()):
                if length and place not in gone:
                    assert block.first + place not in lengths
                    lengths[block.first + place] = length
            columns = (block.terms, block.ids, block.counts, block.written)
            rows = list(zip(*(values.tolist() for values in columns), strict=True))
            assert rows == sorted(rows)
            assert len({row[:2] for row in rows}) == len(rows)
            for place, id, *often in rows:
                if id not in gone:
                    said.setdefault(terms[place], {})[block.first + id] = tuple(often)
    return said, lengths


def blocks_of(index: Path) -> list[int]:
    """The passages of each block."""
    with closing(sqlite3.connect(index / "index.db")) as connection:
        rows = connection.execute("SELECT passages FROM postings_blocks ORDER BY first")
        return [passages for (passages,) in rows]


def assert_said(index: Path) -> None:
    said, lengths = rows_of(index)
    assert as_read(index, [*said, "nowhere"]) == (said, lengths)


@pytest.mark.parametrize("seed", range(6))
def test_they_are_those_of_the_rows(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """After any run of additions, changes, removals, merges and commits that fail."""
    generator = np.random.default_rng(seed)
    monkeypatch.setattr(batch, "PASSAGES", 4)  # several commits in one call
    monkeypatch.setattr(postings, "BOUNDS", (4, 16) if seed % 2 else (2, 3))
    monkeypatch.setattr(postings, "HELD", 3 if seed % 3 else 100)
    monkeypatch.setattr(postings, "LARGEST", 9 if seed % 2 else 1000)
    with Index.open(tmp_path, encoder=encoder) as index:
        for _ in range(14):
            ids = [str(n) for n in generator.choice(20, generator.integers(1, 12), replace=False)]
            act = generator.integers(5)
            if act == 0:
                index.remove(ids)
            elif act == 1:
                index.optimize()
            elif act == 2:
                index.reencode(encoder=type(encoder)(8))
                index.reencode(encoder=encoder)
            documents = [
                {"id": id, "title": "Rain", "text": " ".join(generator.choice(TEXTS, 3))}
                for id in ids
            ]
            if act == 3:
                with monkeypatch.context() as patched:
                    patched.setattr(postings, "_due", _fail)
                    with pytest.raises(RuntimeError, match="no commit"):
                        index.add(documents)
            else:
                index.add(documents)
            assert_said(tmp_path)
            assert check(tmp_path) == ()
        index.remove([str(n) for n in range(20)])
        assert_said(tmp_path)
        assert blocks_of(tmp_path) == []


def _fail(*_: object) -> None:
    raise RuntimeError("no commit")


def test_by_hand(make: Callable[[list[str]], Path]) -> None:
    """Ids, how often, and how often but in `whole`; a prefix adds up what begins with it."""
    index = make(["wi-fi", "wifi wifi", "fi winter?", "?!"])
    said, lengths = as_read(index, ["wifi", "wi*", "fi", "nowhere"])
    assert said == {
        "wifi": {1: (1, 0), 2: (2, 2)},
        "wi*": {1: (2, 1), 2: (2, 2), 3: (1, 1)},
        "fi": {1: (1, 1), 3: (1, 1)},
    }
    assert lengths == {1: 3, 2: 2, 3: 2}


def test_few_blocks_after_many_commits(tmp_path: Path, encoder: Any) -> None:
    """Fewer than eight of each size: 70 commits of one passage, and one of 600."""
    with Index.open(tmp_path, encoder=encoder) as index:
        for number in range(70):
            index.add([{"id": str(number), "text": f"rain {number}"}])
        sizes = blocks_of(tmp_path)
        assert sum(sizes) == 70
        assert len(sizes) < 16
        index.add({"id": f"more {n}", "text": f"snow {n}"} for n in range(4100))
        assert blocks_of(tmp_path)[:-1] == sizes or len(blocks_of(tmp_path)) < len(sizes)
        index.optimize()
        assert blocks_of(tmp_path) == [4170]
        assert_said(tmp_path)


def test_a_block_of_which_an_eighth_is_gone_is_written_again(tmp_path: Path, encoder: Any) -> None:
    """So what was removed does not stay for ever."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add({"id": str(n), "text": f"rain {n}"} for n in range(10))
        index.remove(["1"])
        assert blocks_of(tmp_path) == [10]
        index.remove(["5"])
        assert blocks_of(tmp_path) == [8]
    assert_said(tmp_path)


def test_numbers_that_need_more_bytes(tmp_path: Path, encoder: Any) -> None:
    """Ids far from each other, and a word 300 and 70,000 times, said to the last bit."""
    Index.open(tmp_path, encoder=encoder).close()
    rows = [
        (7, ("", "", "rain " * 300, "rain")),
        (70_000, ("wet", "", "rain", "")),
        (70_001, ("", "", "snow " * 70_000 + "rain", "")),
    ]
    store = Store.open(tmp_path)
    for some in (rows[:2], rows[2:]):
        with store.transaction() as database:
            for id, row in some:
                store.postings.add(database, id, row)
    store.close()
    said, lengths = as_read(tmp_path, ["rain", "wet", "snow"])
    assert said["rain"] == {7: (301, 300), 70_000: (1, 1), 70_001: (1, 1)}
    assert said["snow"] == {70_001: (70_000, 70_000)}
    assert lengths == {7: 301, 70_000: 2, 70_001: 70_001}


def test_what_comes_and_goes_in_one_commit(tmp_path: Path, encoder: Any) -> None:
    """Leaves nothing; what goes and comes again is as it came last."""
    Index.open(tmp_path, encoder=encoder).close()
    store = Store.open(tmp_path)
    with store.transaction() as database:
        for id in (1, 2, 3):
            store.postings.add(database, id, ("", "", "rain", ""))
        store.postings.take(database, 2)
        store.postings.take(database, 3)
        store.postings.add(database, 3, ("", "", "snow snow", ""))
    with store.transaction() as database:
        store.postings.take(database, 1)
        store.postings.add(database, 1, ("", "", "hail", ""))
    store.close()
    said, lengths = as_read(tmp_path, ["rain", "snow", "hail"])
    assert said == {"snow": {3: (2, 2)}, "hail": {1: (1, 1)}}
    assert lengths == {1: 1, 3: 2}


DAMAGE = [
    "UPDATE postings SET counts = x'07' WHERE term = 'rain'",
    "UPDATE postings SET ids = x'0500' WHERE term = 'rain'",
    "UPDATE postings SET ids = x'', counts = x'' WHERE term = 'rain'",
    "UPDATE postings SET counts = x'0101' WHERE term = 'rain'",
    "UPDATE postings SET counts = 'x' WHERE term = 'rain'",
    "UPDATE postings SET ids = 7 WHERE term = 'rain'",
    "UPDATE postings_blocks SET lengths = x'0100'",
    "UPDATE postings_blocks SET lengths = 'x'",
    "UPDATE postings SET ids = x'ff00' WHERE term = 'rain'",
    "INSERT INTO postings_gone VALUES (1, 2), (1, 1 << 60)",
    "DELETE FROM postings WHERE term = 'rain'",
    "DELETE FROM postings; DELETE FROM postings_blocks",
    "INSERT INTO postings SELECT block, 'hail', ids, counts, written FROM postings LIMIT 1",
    "INSERT INTO postings_gone SELECT id, 1 FROM postings_blocks",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_mended(
    make: Callable[[list[str]], Path], encoder: Any, damage: str
) -> None:
    """Check finds it, repair makes the postings anew; to read them ends in no other way."""
    index = make(["rain", "snow"])
    with closing(sqlite3.connect(index / "index.db")) as connection:
        connection.executescript(damage)
    assert check(index) == ("the postings are not those of the full-text table",)
    try:
        as_read(index, ["rain", "snow", "r*"])
    except IndexDamaged as error:
        named = str(error)
    else:
        named = "clsearch check --repair"
    assert "clsearch check --repair" in named
    with Index.open(index, encoder=encoder) as opened:
        assert opened.repair().recovered
    assert check(index) == ()
    assert_said(index)


def test_a_merge_of_what_is_damaged_commits_nothing(
    make: Callable[[list[str]], Path], encoder: Any
) -> None:
    """It says what to run, and the index stays as it was."""
    index = make(["rain"] * 10)
    with closing(sqlite3.connect(index / "index.db")) as connection, connection:
        connection.execute("UPDATE postings SET ids = x'01'")
    with Index.open(index, encoder=encoder) as opened:
        for _ in range(2):
            with pytest.raises(IndexDamaged, match="clsearch check --repair"):
                opened.remove(["1", "2", "3"])
        opened.repair()
        assert opened.remove(["1", "2", "3"]) == 3
    assert check(index) == ()


@pytest.fixture
def make(tmp_path: Path, encoder: Any) -> Callable[[list[str]], Path]:
    """An index of documents with these texts."""

    def made(texts: list[str]) -> Path:
        with Index.open(tmp_path / "made", encoder=encoder) as index:
            index.add([{"id": str(n), "text": text} for n, text in enumerate(texts)])
        return tmp_path / "made"

    return made
