"""The full-text table: the terms of title, heading and text of every passage, as analysed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from typing import TYPE_CHECKING

import numpy as np

from .. import analysis
from . import postings
from .inversion import Columns, Flat

if TYPE_CHECKING:
    from sqlite_utils import Database

    from .store import Store

# The tokenizer only parts terms at spaces: what a term is, `analysis` says. `tokenchars` are the
# marks that a term of `whole` may hold.
TABLES = (
    "CREATE VIRTUAL TABLE passages_fts USING fts5("
    """title, heading, text, whole, tokenize = "ascii tokenchars '=_-.@/:+#>'")""",
    # FTS5 walks over all postings of a term to count them (fts5vocab, 0.05 µs each). Here one row
    # is read.
    "CREATE TABLE passages_terms (term TEXT PRIMARY KEY, doc INTEGER NOT NULL, "
    "written INTEGER NOT NULL) WITHOUT ROWID",
)

INSERT = "INSERT INTO passages_fts (rowid, title, heading, text, whole) VALUES (?, ?, ?, ?, ?)"

# So many rows are written at once: one kind of work after the other is done with what the caches of
# the CPU have (docs/benchmarks.md, "Growth").
TOGETHER = 256


class TermCounts:
    """What rows of `passages_fts` that come and go change in `passages_terms`.

    `doc` counts the passages that have a term, `written` those that have it in title, heading or
    text, and not in `whole` alone.
    """

    def __init__(self) -> None:
        """Nothing has changed."""
        self.doc: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def add(self, row: Columns) -> None:
        """A row came."""
        written, every = _terms(row)
        self.written.update(written)
        self.doc.update(every)

    def add_all(self, flat: Flat) -> None:
        """The rows of these postings came."""
        size = len(flat.terms)
        doc = np.bincount(flat.numbers, minlength=size).tolist()
        written = np.bincount(flat.numbers[flat.written > 0], minlength=size).tolist()
        for term, passages, of_these in zip(flat.terms, doc, written, strict=True):
            if passages:
                self.doc[term] += passages
                self.written[term] += of_these

    def take(self, row: Columns) -> None:
        """A row went."""
        written, every = _terms(row)
        self.written.subtract(written)
        self.doc.subtract(every)

    def write(self, database: Database) -> None:
        """Bring the table up to date, inside a transaction, and start anew."""
        database.conn.executemany(
            "INSERT INTO passages_terms VALUES (?, ?, ?) ON CONFLICT (term) DO UPDATE "
            "SET doc = doc + excluded.doc, written = written + excluded.written",
            ((term, self.doc[term], self.written[term]) for term in sorted(self.doc)),
        )
        database.conn.executemany(
            "DELETE FROM passages_terms WHERE term = ? AND doc <= 0",
            ((term,) for term, change in self.doc.items() if change <= 0),
        )
        self.clear()

    def clear(self) -> None:
        """Forget what has changed."""
        self.doc.clear()
        self.written.clear()


def _terms(row: Columns) -> tuple[set[str], set[str]]:
    """The distinct terms of title, heading and text, and those of the whole row."""
    title, heading, text, whole = row
    written = set(f"{title} {heading} {text}".split())
    return written, written.union(whole.split())


def columns(title: str, heading: str, text: str) -> Columns:
    """The terms of each, parted by spaces, and those of what all three have whole."""
    parts, whole = zip(*map(analysis.terms, (title, heading, text)), strict=True)
    return *parts, " ".join(filter(None, whole))


def write(store: Store, texts: Sequence[tuple[int, str, str, str]]) -> None:
    """Insert the rows of passages, (id, title, heading, text) each, inside a transaction."""
    for start in range(0, len(texts), TOGETHER):
        rows = [(id, columns(*parts)) for id, *parts in texts[start : start + TOGETHER]]
        store.database.conn.executemany(INSERT, [(id, *row) for id, row in rows])
        for id, row in rows:
            store.postings.add(store.database, id, row)


def rewrite(store: Store, id: int, title: str, heading: str, text: str) -> None:
    """Bring the row of a passage up to date where it differs, inside a transaction."""
    sql = "SELECT title, heading, text, whole FROM passages_fts WHERE rowid = ?"
    stored = store.database.execute(sql, (id,)).fetchone()
    if stored != columns(title, heading, text):
        remove(store, id)
        write(store, [(id, title, heading, text)])


def remove(store: Store, id: int) -> None:
    """Remove the row of a passage, inside a transaction."""
    counted = not store.postings.take(store.database, id)
    # As bytes: a flipped bit may have left what is no UTF-8, and the passage must go all the same.
    stored = store.database.execute(
        "SELECT CAST(title AS BLOB), CAST(heading AS BLOB), CAST(text AS BLOB), "
        "CAST(whole AS BLOB) FROM passages_fts WHERE rowid = ?",
        (id,),
    ).fetchone()
    if stored is None:
        return
    title, heading, text, whole = ((column or b"").decode(errors="replace") for column in stored)
    if counted:
        store.terms.take((title, heading, text, whole))
    store.database.execute("DELETE FROM passages_fts WHERE rowid = ?", (id,))


def clear(database: Database) -> None:
    """Make the tables anew, and empty, inside a transaction."""
    database.execute("DROP TABLE passages_terms")
    database.execute("DROP TABLE passages_fts")
    for table in TABLES:
        database.execute(table)
    postings.clear(database)


def match_any(terms: Sequence[str], whole: Sequence[str] = ()) -> str:
    """The FTS5 expression for any of these terms; empty where there is none.

    A word among `whole` (`analysis.asked_whole`) is looked for where it is written in one: where it
    stands joined, its parts are found already, and counted twice they cost more than they give.

    >>> match_any(["mail", "都*"], ["email", "=e_mail"])
    '"mail" OR "都"* OR {title heading text} : "email" OR "=e_mail"'
    """
    return " OR ".join([*map(quoted, terms), *(as_written(term) for term in whole)])


def as_written(term: str) -> str:
    """The FTS5 expression for a term of `whole`, but not where only its parts are written."""
    if term.startswith(analysis.IDENTIFIER):
        return quoted(term)
    return f"{{title heading text}} : {quoted(term)}"


def quoted(terms: str) -> str:
    """A term, or several in this order, as FTS5 writes it; `*` at the end makes it a prefix."""
    text = terms.removesuffix("*").replace('"', '""')
    return f'"{text}"' + ("*" if terms.endswith("*") else "")


def expected_bm25(passages: int, frequencies: Iterable[int]) -> float:
    """The BM25 of a passage of average length that has each of these terms once.

    `frequencies` counts, for each term, the passages that have it, of all `passages`; 0 for a term
    that is nowhere (a prefix may be counted more often than there are passages). Sum of
    idf(n) = ln((N - n + 1/2) / (n + 1/2)), at least 1e-6, as in FTS5
    (Robertson and Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond, 2009, 3.5).
    """
    counts = (min(n, passages) for n in frequencies)
    return sum(max(log((passages - n + 0.5) / (n + 0.5)), 1e-6) for n in counts)
