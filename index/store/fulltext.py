"""The full-text table: the terms of title, heading and text of every passage, as analysed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from typing import TYPE_CHECKING

from .. import analysis

if TYPE_CHECKING:
    from .store import Store

# The tokenizer only parts terms at spaces: what a term is, `analysis` says. `tokenchars` are the
# marks that a term of `exact` may hold.
TABLES = (
    "CREATE VIRTUAL TABLE passages_fts USING fts5("
    """title, heading, text, exact, tokenize = "ascii tokenchars '_-.@/:+#>'")""",
    "CREATE VIRTUAL TABLE passages_terms USING fts5vocab(passages_fts, row)",
)

# What stands whole is among the words already, in parts: it counts a quarter (measured on SciFact's
# train split, nDCG@10 of words alone: 0.699 without `exact`, 0.696 at a quarter, 0.691 at one).
RANK = "bm25(1.0, 1.0, 1.0, 0.25)"

Columns = tuple[str, str, str, str]


def columns(title: str, heading: str, text: str) -> Columns:
    """The terms of each, parted by spaces, and those of all three that stand whole: `exact`."""
    parts = (title, heading, text)
    whole = (term.text for part in parts for term in analysis.compounds(part))
    title, heading, text = (" ".join(term.text for term in analysis.words(part)) for part in parts)
    return title, heading, text, " ".join(whole)


def write(store: Store, id: int, title: str, heading: str, text: str) -> None:
    """Insert the row of a passage, inside a transaction."""
    store.database.execute(
        "INSERT INTO passages_fts (rowid, title, heading, text, exact) VALUES (?, ?, ?, ?, ?)",
        (id, *columns(title, heading, text)),
    )


def rewrite(store: Store, id: int, title: str, heading: str, text: str) -> None:
    """Bring the row of a passage up to date where it differs, inside a transaction."""
    sql = "SELECT title, heading, text, exact FROM passages_fts WHERE rowid = ?"
    stored = store.database.execute(sql, (id,)).fetchone()
    if stored != columns(title, heading, text):
        remove(store, id)
        write(store, id, title, heading, text)


def remove(store: Store, id: int) -> None:
    """Remove the row of a passage, inside a transaction."""
    store.database.execute("DELETE FROM passages_fts WHERE rowid = ?", (id,))


def clear(store: Store) -> None:
    """Make the tables anew, and empty, inside a transaction."""
    store.database.execute("DROP TABLE passages_terms")
    store.database.execute("DROP TABLE passages_fts")
    for table in TABLES:
        store.database.execute(table)


def match_any(terms: Sequence[str]) -> str:
    """The FTS5 expression for any of these terms; empty where there is none.

    >>> match_any(["mail", "都*"])
    '"mail" OR "都"*'
    """
    return " OR ".join(map(quoted, terms))


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
