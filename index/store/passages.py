"""The table `passages`: spans of documents, and which segment holds the vector of each."""

import json
from collections.abc import Sequence

from ..types import Passage
from . import fulltext
from .rows import NewPassage, PassageRow
from .store import Store

COLUMNS = 'id, start, "end", line, page, heading, hash, segment'  # as PassageRow


def of_document(store: Store, key: int) -> list[PassageRow]:
    """The passages of a document, in the order of its text."""
    sql = f"SELECT {COLUMNS} FROM passages WHERE document = ? ORDER BY start, id"
    return [PassageRow(*row) for row in store.database.execute(sql, (key,))]


def waiting(store: Store, limit: int) -> list[tuple[int, PassageRow]]:
    """(document key, passage) of passages that wait for a vector, by id; `limit` at most."""
    rows = store.database.execute(
        f"SELECT document, {COLUMNS} FROM passages WHERE segment IS NULL ORDER BY id LIMIT ?",
        (limit,),
    )
    return [(row[0], PassageRow(*row[1:])) for row in rows]


def with_vectors(store: Store, hashes: Sequence[str]) -> dict[str, tuple[int, int]]:
    """(segment, passage id) of any passage of each of these hashes that has a vector."""
    rows = store.database.execute(
        "SELECT p.hash, p.segment, p.id FROM json_each(?) JOIN passages p ON p.id = "
        "(SELECT id FROM passages WHERE hash = value AND segment IS NOT NULL LIMIT 1)",
        (json.dumps(hashes),),
    )
    return {hash: (segment, id) for hash, segment, id in rows}


def next_id(store: Store) -> int:
    """An id that no passage ever had."""
    # SQLite keeps count; should that be damaged, what is there and what segments still hold decide.
    sql = """
        SELECT max(
            coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'passages'), 0),
            coalesce((SELECT max(id) FROM passages), 0),
            coalesce((SELECT max(passage) FROM tombstones), 0)
        )
    """
    last: int = store.database.execute(sql).fetchone()[0]
    return last + 1


def insert(store: Store, new: Sequence[NewPassage]) -> None:
    """Insert passages, inside a transaction."""
    rows = [
        (key, id, of.start, of.end, of.line, of.page, of.heading, hash, segment)
        for id, key, _, of, hash, segment in new
    ]
    store.database.conn.executemany(
        f"INSERT INTO passages (document, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
    )
    fulltext.write(
        store, [(one.id, one.title, one.passage.heading, one.passage.text) for one in new]
    )


def move(store: Store, row: PassageRow, title: str, passage: Passage) -> None:
    """Give a passage whose text stayed its new place and heading, inside a transaction."""
    store.database.execute(
        'UPDATE passages SET start = ?, "end" = ?, line = ?, page = ?, heading = ? WHERE id = ?',
        (passage.start, passage.end, passage.line, passage.page, passage.heading, row.id),
    )
    fulltext.rewrite(store, row.id, title, passage.heading, passage.text)


def give_vectors(store: Store, ids: Sequence[int], segment: int) -> None:
    """Say that `segment` holds the vectors of these passages, inside a transaction."""
    for id in ids:
        store.database.execute("UPDATE passages SET segment = ? WHERE id = ?", (segment, id))


def remove(store: Store, ids: Sequence[int]) -> None:
    """Remove passages, inside a transaction; a tombstone stays where a segment holds a vector."""
    for id in ids:
        store.database.execute(
            "INSERT INTO tombstones (passage, segment) "
            "SELECT id, segment FROM passages WHERE id = ? AND segment IS NOT NULL",
            (id,),
        )
        fulltext.remove(store, id)
        store.database.execute("DELETE FROM passages WHERE id = ?", (id,))
