"""An index that an older version wrote: migrated by who writes, refused by who reads.

`version_1` was made with the encoder of all tests, of 8 dimensions, by the last commit that had
schema 1: three documents in English and Korean, and one that was removed again.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from clsearch.cli import cli
from clsearch.index.check import check
from clsearch.index.errors import IndexDamaged, IndexMismatch
from clsearch.index.index import Index
from clsearch.index.store import fulltext, schema
from clsearch.index.store.settings import SCHEMA
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import Searcher

HERE = Path(__file__).parent
TABLES = ("sources", "documents", "passages", "segments", "tombstones")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the index that was written with schema 1."""
    return Path(shutil.copytree(HERE / "version_1", tmp_path / "old index"))


@pytest.fixture
def opened(old: Path, encoder: Any) -> Callable[[], Index]:
    """Opens it for writing."""
    return lambda: Index.open(old, encoder=type(encoder)(8))


def contents(index: Path) -> dict[str, Any]:
    """All that a migration must leave alone: rows, settings, files."""
    with closing(sqlite3.connect(index / "index.db")) as connection:
        found: dict[str, Any] = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in TABLES
        }
        sql = "SELECT * FROM settings WHERE key NOT IN ('schema', 'generation') ORDER BY key"
        found["settings"] = connection.execute(sql).fetchall()
    for path in (index / "vectors").iterdir():
        found[path.name] = path.read_bytes()
    return found


def contents_as_bytes(index: Path) -> list[bytes]:
    with closing(sqlite3.connect(index / "index.db")) as connection:
        sql = "SELECT CAST(text AS BLOB) FROM documents ORDER BY key"
        return [row[0] for row in connection.execute(sql)]


def setting(index: Path, key: str) -> str:
    with closing(sqlite3.connect(index / "index.db")) as connection:
        sql = "SELECT value FROM settings WHERE key = ?"
        return str(connection.execute(sql, (key,)).fetchone()[0])


def test_opened_for_writing_it_is_migrated_in_one_commit(
    old: Path, opened: Callable[[], Index], encoder: Any
) -> None:
    """Documents, passages, ids and vectors stay; the full text is as if indexed today."""
    before, generation = contents(old), int(setting(old, "generation"))
    assert len(before["documents"]) == 3
    assert len(before["tombstones"]) == 1
    opened().close()
    assert contents(old) == before
    assert int(setting(old, "schema")) == SCHEMA
    assert int(setting(old, "generation")) == generation + 1
    assert check(old) == ()
    opened().close()
    assert int(setting(old, "generation")) == generation + 1

    searcher = Searcher.open(old, type(encoder)(8))
    found = {
        query: [hit.document for hit in searcher.search(query, mode="lexical")]
        for query in ("인간", "천부", "getusername", "err_conn_reset", "wifi", "zürich", "email")
    }
    assert found == {
        "인간": ["rights.txt"],
        "천부": ["rights.txt"],
        "getusername": ["guide.md"],
        "err_conn_reset": ["guide.md"],
        "wifi": [],
        "zürich": ["long.txt"] * 3,
        "email": ["guide.md"],
    }
    for id, title, text in ((row[1], row[3], row[-1]) for row in before["documents"][:2]):
        (best,) = searcher.search(f"{title} {text}", k=1, mode="dense")
        assert (best.document, round(best.scores["dense"], 2)) == (id, 1.0)


def test_the_full_text_is_that_of_a_new_index(
    old: Path, opened: Callable[[], Index], tmp_path: Path, encoder: Any
) -> None:
    """Row by row, as the same documents give today."""
    opened().close()
    sql = "SELECT title, heading, text, whole FROM passages_fts ORDER BY rowid"
    with Snapshot.open(old) as snapshot:
        documents = [snapshot.document(id) for id in ("guide.md", "rights.txt", "long.txt")]
    with Index.open(tmp_path / "new", encoder=type(encoder)(8)) as new:
        new.add(document for document in documents if document)
    rows = []
    for index in (old, tmp_path / "new"):
        with closing(sqlite3.connect(index / "index.db")) as connection:
            rows.append(connection.execute(sql).fetchall())
    assert rows[0] == rows[1]
    assert len(rows[0]) == 5


def test_the_schema_before_is_migrated(old: Path, opened: Callable[[], Index]) -> None:
    """Its terms are made anew, too."""
    opened().close()
    sql = "SELECT title, heading, text, whole FROM passages_fts ORDER BY rowid"
    with closing(sqlite3.connect(old / "index.db")) as connection:
        before = connection.execute(sql).fetchall()
        connection.executescript(
            "DROP TABLE passages_terms; DROP TABLE passages_fts; "
            "CREATE VIRTUAL TABLE passages_fts USING fts5(title, heading, text, exact); "
            "CREATE VIRTUAL TABLE passages_terms USING fts5vocab(passages_fts, row); "
            "UPDATE settings SET value = '2' WHERE key = 'schema'"
        )
    with pytest.raises(IndexMismatch, match="has schema 2"):
        Snapshot.open(old)
    opened().close()
    with closing(sqlite3.connect(old / "index.db")) as connection:
        assert connection.execute(sql).fetchall() == before
    assert check(old) == ()


def test_terms_are_counted_by_the_migration(old: Path, opened: Callable[[], Index]) -> None:
    """As in an index that was written with today's schema."""
    opened().close()
    with closing(sqlite3.connect(old / "index.db")) as connection:
        before = connection.execute("SELECT * FROM passages_terms").fetchall()
        connection.executescript(
            "DROP TABLE passages_terms; "
            "CREATE VIRTUAL TABLE passages_terms USING fts5vocab(passages_fts, row); "
            "UPDATE settings SET value = '3' WHERE key = 'schema'"
        )
    with pytest.raises(IndexMismatch, match="has schema 3"):
        Snapshot.open(old)
    opened().close()
    with closing(sqlite3.connect(old / "index.db")) as connection:
        assert connection.execute("SELECT * FROM passages_terms").fetchall() == before
    assert len(before) > 20
    assert check(old) == ()


def test_postings_are_made_by_the_migration(old: Path, opened: Callable[[], Index]) -> None:
    """As in an index that was written with today's schema."""
    opened().close()
    with closing(sqlite3.connect(old / "index.db")) as connection:
        connection.executescript(
            "DROP TABLE postings; DROP TABLE postings_gone; DROP TABLE postings_blocks; "
            "UPDATE settings SET value = '4' WHERE key = 'schema'"
        )
    with pytest.raises(IndexMismatch, match="has schema 4"):
        Snapshot.open(old)
    opened().close()
    with closing(sqlite3.connect(old / "index.db")) as connection:
        assert connection.execute("SELECT count(*) FROM postings").fetchone()[0] > 20
    assert check(old) == ()


def test_a_migrated_index_goes_on(old: Path, opened: Callable[[], Index]) -> None:
    """New documents get new ids, and removed ones leave the full text."""
    with opened() as index:
        index.add([{"id": "new.txt", "text": "양심"}])
        index.remove(["rights.txt"])
    assert check(old) == ()
    with Snapshot.open(old) as snapshot:
        assert snapshot.passage_ids("new.txt") == [7]
        assert snapshot.matched('"양심"').tolist() == [7]


def test_a_damaged_text_is_migrated_to_be_repaired(old: Path, opened: Callable[[], Index]) -> None:
    """What is no UTF-8 any more stays as it is, and is found by check."""
    with closing(sqlite3.connect(old / "index.db")) as connection:
        sql = "UPDATE documents SET text = CAST(x'41ff42' || text AS TEXT) WHERE id = 'rights.txt'"
        connection.execute(sql)
        connection.commit()
    before = contents_as_bytes(old)
    with opened() as index:
        assert contents_as_bytes(old) == before
        assert any("rights.txt" in problem for problem in check(old))
        index.repair()
    assert check(old) == ()


def test_who_reads_is_told_what_to_run(old: Path) -> None:
    """Nothing is written."""
    before = (old / "index.db").read_bytes()
    for read in (Snapshot.open, Searcher.open, check):
        with pytest.raises(IndexMismatch, match="has schema 1") as caught:
            read(old)
        assert f"`clsearch optimize --index '{old}'`" in str(caught.value)
    assert (old / "index.db").read_bytes() == before


def test_the_command_it_names_brings_it_up_to_date(old: Path) -> None:
    """No model is needed for it."""
    result = CliRunner().invoke(cli, ["optimize", "--index", str(old)])
    assert result.exit_code == 0, result.output
    assert int(setting(old, "schema")) == SCHEMA
    assert check(old) == ()


@pytest.mark.parametrize("step", ["commit.begun", "commit.ready"])
def test_killed_midway_it_is_whole_as_it_was(
    old: Path, opened: Callable[[], Index], step: str
) -> None:
    """The next one that writes migrates it."""
    before = contents(old)
    code = (
        "import sys; from clsearch.index.store.store import Store; from pathlib import Path; "
        "Store.open(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "CLSEARCH_FAULT": step}
    killed = subprocess.run([sys.executable, "-c", code, str(old)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(IndexMismatch, match="has schema 1"):
        Snapshot.open(old)
    assert contents(old) == before
    opened().close()
    assert contents(old) == before
    assert check(old) == ()


def test_failed_midway_it_is_whole_as_it_was(
    old: Path, opened: Callable[[], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old table is back, though it was dropped."""
    before = contents(old)
    given = fulltext.columns

    def failing(title: str, heading: str, text: str) -> fulltext.Columns:
        if "인간" in text:
            raise sqlite3.OperationalError("disk I/O error")
        return given(title, heading, text)

    with monkeypatch.context() as patched:
        patched.setattr(schema.fulltext, "columns", failing)
        with pytest.raises(IndexDamaged, match="disk I/O error"):
            opened()
    assert contents(old) == before
    assert setting(old, "schema") == "1"
    with closing(sqlite3.connect(old / "index.db")) as connection:
        sql = "SELECT rowid FROM passages_fts WHERE passages_fts MATCH 'resets'"
        assert connection.execute(sql).fetchall() == [(1,)]
    opened().close()
    assert check(old) == ()
