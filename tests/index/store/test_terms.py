"""What is counted as it is written: the passages of each term, of all terms, and their number."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index import Index, batch
from clsearch.index.analysis import compounds, words
from clsearch.index.check import check
from clsearch.index.store import fulltext
from clsearch.index.store.snapshot import Snapshot, _varints

TEXTS = ("Wi-Fi", "wifi", "getUserName", "get user name", "CVE-2021-44228", "rain", "東京都", "a b")


def as_fts5_counts(index: Path) -> dict[str, tuple[int, int]]:
    """Term -> (passages that have it, those that have it not in `whole` alone), by FTS5."""
    with closing(sqlite3.connect(":memory:")) as copy:
        with closing(sqlite3.connect(index / "index.db")) as connection:
            connection.backup(copy)
        copy.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab(passages_fts, row)")
        found = {}
        for term, doc in copy.execute("SELECT term, doc FROM vocabulary").fetchall():
            sql = "SELECT count(*) FROM passages_fts WHERE passages_fts MATCH ?"
            expression = f"{{title heading text}} : {fulltext.quoted(term)}"
            found[term] = (doc, copy.execute(sql, (expression,)).fetchone()[0])
        return found


def as_counted(index: Path) -> dict[str, tuple[int, int]]:
    """The same, as the table has it."""
    with closing(sqlite3.connect(index / "index.db")) as connection:
        rows = connection.execute("SELECT term, doc, written FROM passages_terms")
        return {term: (doc, written) for term, doc, written in rows}


def assert_counted(index: Path) -> None:
    """The table says what FTS5 would say, and the totals are those of the rows."""
    assert as_counted(index) == as_fts5_counts(index)
    with closing(sqlite3.connect(index / "index.db")) as connection:
        rows = connection.execute("SELECT rowid, * FROM passages_fts").fetchall()
    with Snapshot.open(index) as snapshot:
        ids = [id for document in snapshot.document_ids() for id in snapshot.passage_ids(document)]
        assert sorted(ids) == [id for id, *_ in rows]
        length = sum(len(column.split()) for _, *columns in rows for column in columns)
        assert snapshot.totals() == (len(ids), length)
        assert snapshot.passage_count() == len(ids)


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_the_rows(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """After any run of additions, changes, removals, merges and commits that fail."""
    generator = np.random.default_rng(seed)
    monkeypatch.setattr(batch, "PASSAGES", 4)  # several commits in one call
    with Index.open(tmp_path, encoder=encoder) as index:
        for _ in range(12):
            ids = [str(n) for n in generator.choice(12, generator.integers(1, 8), replace=False)]
            act = generator.integers(4)
            if act == 0:
                index.remove(ids)
            elif act == 1:
                index.optimize()
            documents = [
                {"id": id, "title": "Rain", "text": " ".join(generator.choice(TEXTS, 3))}
                for id in ids
            ]
            if act == 2:
                with monkeypatch.context() as patched:
                    patched.setattr(fulltext.TermCounts, "write", _fail)
                    with pytest.raises(RuntimeError, match="no commit"):
                        index.add(documents)
            else:
                index.add(documents)
            assert_counted(tmp_path)
        index.remove([str(n) for n in range(12)])
        assert as_counted(tmp_path) == {}
        assert_counted(tmp_path)


def _fail(*_: object) -> None:
    raise RuntimeError("no commit")


def test_counts_of_a_new_encoding(tmp_path: Path, encoder: Any) -> None:
    """Everything is counted anew, not once more."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": str(n), "text": text} for n, text in enumerate(TEXTS)])
        before = as_counted(tmp_path)
        index.reencode(encoder=type(encoder)(dimension=16))
    assert as_counted(tmp_path) == before
    assert_counted(tmp_path)


def test_counts_by_hand(make: Callable[[list[str]], Path]) -> None:
    """A compound is counted as its parts, and whole; as a word, only where it is written as one."""
    index = make(["wi-fi", "wifi wifi", "fi"])
    assert as_counted(index) == {"wi": (1, 1), "fi": (2, 2), "wifi": (2, 1)}
    with Snapshot.open(index) as snapshot:
        assert snapshot.frequencies(["wifi", "fi", "w*"]) == {"wifi": 2, "fi": 2, "w*": 3}
        assert snapshot.written(["wifi", "fi", "nowhere"]) == {"wifi": 1, "fi": 2, "nowhere": 0}
        assert snapshot.totals() == (3, 6)


def test_no_term_has_a_space_or_ends_like_a_prefix() -> None:
    """What `store.postings` relies on."""
    for text in TEXTS:
        for term in [*words(text), *compounds(text)]:
            assert not term.text.endswith("*")
            assert term.text.split() == [term.text]


@pytest.mark.parametrize(
    ("data", "numbers"),
    [(b"", []), (b"\x05", [5]), (b"\x81\x00\x7f", [128, 127]), (b"\x87\xad\x4b", [120523])],
)
def test_varints(data: bytes, numbers: list[int]) -> None:
    """Seven bits a byte, the highest first: 120,523 is 7 · 16384 + 45 · 128 + 75."""
    assert _varints(data) == numbers


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE passages_terms SET doc = doc + 1 WHERE term = 'wifi'",
        "UPDATE passages_terms SET written = 'x' WHERE term = 'wifi'",
        "DELETE FROM passages_terms WHERE term = 'wifi'",
        "INSERT INTO passages_terms VALUES ('wifi2', 1, 1)",
    ],
)
def test_a_wrong_count_is_named_and_mended(
    make: Callable[[list[str]], Path], encoder: Any, damage: str
) -> None:
    """Check says which term; repair counts again."""
    index = make(["wi-fi", "wifi wifi", "fi"])
    with closing(sqlite3.connect(index / "index.db")) as connection, connection:
        connection.execute(damage)
    (problem,) = check(index)
    assert problem.startswith("the table of terms counts 1 of them wrong, 'wifi")
    with Index.open(index, encoder=encoder) as opened:
        assert opened.repair().recovered
    assert check(index) == ()
    assert_counted(index)


@pytest.fixture
def make(tmp_path: Path, encoder: Any) -> Callable[[list[str]], Path]:
    """An index of documents with these texts."""

    def made(texts: list[str]) -> Path:
        with Index.open(tmp_path / "made", encoder=encoder) as index:
            index.add([{"id": str(n), "text": text} for n, text in enumerate(texts)])
        return tmp_path / "made"

    return made


def test_a_row_that_goes_in_the_commit_it_came_in_is_not_counted(
    tmp_path: Path, encoder: Any
) -> None:
    """And one that came before is counted no more."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "a", "text": "rain and rain"}])
        store = index._store
        [(id,)] = store.database.execute("SELECT id FROM passages").fetchall()
        with store.transaction():
            fulltext.write(store, [(id + 1, "Snow", "", "wi-fi rain")])
            fulltext.remove(store, id + 1)
            fulltext.rewrite(store, id, "", "", "rain and snow")
            fulltext.rewrite(store, id, "", "", "rain or snow")
    assert as_counted(tmp_path) == as_fts5_counts(tmp_path)
    assert as_counted(tmp_path).keys() == {"rain", "or", "snow"}
