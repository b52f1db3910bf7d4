"""The tables of `index.db`, made by numbered migrations."""

from collections.abc import Callable
from pathlib import Path

from sqlite_utils import Database

from . import fulltext, postings
from .settings import SCHEMA, read_schema


def migrate(database: Database, index: Path) -> None:
    """Bring the database to the schema of this version, inside a transaction.

    Raises `IndexMismatch` where a newer clsearch made it.
    """
    version = read_schema(database.conn, index)
    for step in MIGRATIONS[version:]:
        step(database)
    if version < SCHEMA:
        database.table("settings").upsert({"key": "schema", "value": str(SCHEMA)}, pk="key")


def _m001_first(database: Database) -> None:
    database.table("settings").create({"key": str, "value": str}, pk="key", not_null={"value"})
    # mtime_ns is null until the file has settled: such a file is hashed again next time. hash is
    # null while not all of the file is in the index: such a file is read again next time.
    database.table("sources").create(
        {"id": int, "name": str, "root": str, "mtime_ns": int, "size": int, "hash": str},
        pk="id",
        not_null={"name", "root"},
    ).create_index(["name"], unique=True)
    # text stands last: SQLite then finds the small columns without walking over it.
    database.table("documents").create(
        {
            "key": int,
            "id": str,
            "source": int,
            "title": str,
            "metadata": str,
            "outline": str,
            "hash": str,
            "mtime": float,
            "size": int,
            "text": str,
        },
        pk="key",
        not_null={"id", "title", "metadata", "outline", "hash", "size", "text"},
        foreign_keys=[("source", "sources", "id")],
    ).create_index(["id"], unique=True)
    database.table("documents").create_index(["source"])
    # sqlite-utils cannot declare AUTOINCREMENT, which is what keeps a passage's id from ever
    # being used again: FAISS files of an older generation may still know it.
    database.execute(
        """
        CREATE TABLE passages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            document INTEGER NOT NULL REFERENCES documents(key),
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            line INTEGER NOT NULL,
            page INTEGER,
            heading TEXT NOT NULL,
            hash TEXT NOT NULL,
            segment INTEGER REFERENCES segments(id)
        )
        """
    )
    passages = database.table("passages")
    passages.create_index(["document"])
    passages.create_index(["hash"])
    passages.create_index(["segment"])
    database.execute(
        "CREATE VIRTUAL TABLE passages_fts USING fts5("
        "title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    database.table("segments").create(
        {
            "id": int,
            "name": str,
            "kind": str,
            "passages": int,
            "dimension": int,
            "bytes": int,
            "sha256": str,
            "faiss": str,
            "fingerprint": str,
            "state": str,
        },
        pk="id",
        not_null={"name", "passages", "bytes", "sha256", "state"},
    ).create_index(["name"], unique=True)
    database.table("tombstones").create(
        {"passage": int, "segment": int},
        pk="passage",
        not_null={"segment"},
        foreign_keys=[("segment", "segments", "id")],
    ).create_index(["segment"])


def _m002_analysed_terms(database: Database) -> None:
    """Full text by our own analysis, in place of FTS5's; the next step fills the tables."""
    database.execute("DROP TABLE passages_fts")
    for table in fulltext.TABLES:
        database.execute(table)


def _m003_whole(database: Database) -> None:
    """The terms of compounds, as they are asked for; the next step fills the tables."""
    fulltext.clear(database)


def _m004_counted_terms(database: Database) -> None:
    """How many passages have a term, counted as they are written; from the text in the database."""
    fulltext.clear(database)
    # A flipped bit in a text must not keep the index from being opened, and so from `repair`.
    database.conn.text_factory = lambda data: data.decode(errors="replace")
    try:
        _index_all(database)
    finally:
        database.conn.text_factory = str


def _index_all(database: Database) -> None:
    counts = fulltext.TermCounts()
    # A document at a time: its text is read once, however many passages it has.
    for key, title, text in database.execute("SELECT key, title, text FROM documents"):
        passages = database.execute(
            'SELECT id, heading, start, "end" FROM passages WHERE document = ?', (key,)
        )
        for id, heading, start, end in passages.fetchall():
            row = fulltext.columns(title, heading, text[start:end])
            database.execute(fulltext.INSERT, (id, *row))
            counts.add(row)
    counts.write(database)


def _m005_postings(database: Database) -> None:
    """The postings as ranking reads them, from the rows of the full-text table."""
    postings.clear(database)
    changes = postings.Changes()
    database.conn.text_factory = lambda data: data.decode(errors="replace")
    try:
        rows = database.execute("SELECT rowid, title, heading, text, whole FROM passages_fts")
        for id, *row in rows:
            title, heading, text, whole = (column or "" for column in row)
            changes.add(database, id, (title, heading, text, whole))
        changes.write(database)
    finally:
        database.conn.text_factory = str


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _m001_first,
    _m002_analysed_terms,
    _m003_whole,
    _m004_counted_terms,
    _m005_postings,
)
assert len(MIGRATIONS) == SCHEMA
