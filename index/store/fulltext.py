"""The full-text table: title, heading and text of every passage, NFC-normalised."""

import unicodedata

from .schema import FULL_TEXT
from .store import Store


def columns(title: str, heading: str, text: str) -> tuple[str, str, str]:
    """What is stored for matching: the same letters, however the file composed them."""
    return (
        unicodedata.normalize("NFC", title),
        unicodedata.normalize("NFC", heading),
        unicodedata.normalize("NFC", text),
    )


def write(store: Store, id: int, title: str, heading: str, text: str) -> None:
    """Insert the row of a passage, inside a transaction."""
    store.database.execute(
        "INSERT INTO passages_fts (rowid, title, heading, text) VALUES (?, ?, ?, ?)",
        (id, *columns(title, heading, text)),
    )


def rewrite(store: Store, id: int, title: str, heading: str, text: str) -> None:
    """Bring the row of a passage up to date where it differs, inside a transaction."""
    sql = "SELECT title, heading, text FROM passages_fts WHERE rowid = ?"
    stored = store.database.execute(sql, (id,)).fetchone()
    if stored != columns(title, heading, text):
        remove(store, id)
        write(store, id, title, heading, text)


def remove(store: Store, id: int) -> None:
    """Remove the row of a passage, inside a transaction."""
    store.database.execute("DELETE FROM passages_fts WHERE rowid = ?", (id,))


def clear(store: Store) -> None:
    """Make the table anew, and empty, inside a transaction."""
    store.database.execute("DROP TABLE passages_fts")
    store.database.execute(FULL_TEXT)
