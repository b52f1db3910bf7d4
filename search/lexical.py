"""Search by words: any string -> a legal FTS5 query, ranked by BM25."""

import re
import sqlite3
import sys
import unicodedata
from collections.abc import Sequence

from ..index.store.snapshot import Snapshot

# A pasted page has some hundreds of distinct words; each costs a walk through its postings.
MAX_TERMS = 256

# SQLite's text ends at a NUL and holds no lone surrogate. Neither belongs to a word.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def terms(query: str) -> list[str]:
    """The distinct words of `query` as the index knows them before stemming, in their order.

    >>> terms('NOT a "Café"* (near: cafe)')
    ['not', 'a', 'cafe', 'near']

    FTS5 itself cuts and folds them: what a word is depends on its Unicode tables, which are not
    Python's. At most MAX_TERMS.
    """
    memory = sqlite3.connect(":memory:")
    try:
        # A token is cut at 32,768 bytes, which can be amid a character.
        memory.text_factory = lambda token: token.decode(errors="ignore")
        memory.execute(
            "CREATE VIRTUAL TABLE query USING"
            " fts5(text, tokenize = 'unicode61 remove_diacritics 2')"
        )
        memory.execute("CREATE VIRTUAL TABLE token USING fts5vocab(query, instance)")
        memory.execute(
            "INSERT INTO query VALUES (?)",
            (_NO_TEXT.sub(" ", unicodedata.normalize("NFC", query)),),
        )
        rows = memory.execute("SELECT term FROM token ORDER BY offset")
        distinct = dict.fromkeys(term for (term,) in rows)
    finally:
        memory.close()
    return list(distinct)[:MAX_TERMS]


def expression(words: Sequence[str]) -> str:
    """The FTS5 expression for any of these `terms`; empty where there is none.

    >>> expression(["mail", "and"])
    '"mail" OR "and"'
    """
    return " OR ".join(f'"{word}"' for word in words)


def search(snapshot: Snapshot, words: Sequence[str], k: int) -> list[tuple[int, float]]:
    """The `k` best (passage id, BM25) for any of these `terms`, best first, ties by id."""
    k = min(k, sys.maxsize)  # SQLite's largest number, too
    return snapshot.match(expression(words), k) if words else []
