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


# Words that stand in nearly every English text: they tell no passage from another.
_FUNCTION_WORDS = """
    a about all am an and any are as at be because been but by can could did do does for from had
    has have he her him his how i if in into is it its me my of on or our s she should so some than
    that the their them then there these they this those to was we were what when where which who
    whom whose why will with would you your
"""


def telling(words: Sequence[str]) -> list[str]:
    """The words worth asking for: without English function words, unless there are no others.

    >>> telling(["how", "does", "the", "router", "work"]), telling(["to", "be"])
    (['router', 'work'], ['to', 'be'])
    """
    common = set(_FUNCTION_WORDS.split())
    return [word for word in words if word not in common] or list(words)


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
