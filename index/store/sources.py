"""The table `sources`: the files that were read, and how they looked then."""

import json
from collections.abc import Iterator, Sequence, Set
from typing import Any

from .connection import reading
from .rows import SourceRow
from .store import Store

COLUMNS = "id, name, root, mtime_ns, size, hash"  # as SourceRow


def find(store: Store, names: Sequence[str]) -> dict[str, SourceRow]:
    """Name -> row of those of these files that were ever read."""
    sql = f"SELECT {COLUMNS} FROM sources WHERE name IN (SELECT value FROM json_each(?))"
    rows = store.database.execute(sql, (json.dumps(names),))
    return {row.name: row for row in (_row(store, columns) for columns in rows)}


def others(store: Store, known: Set[int]) -> Iterator[SourceRow]:
    """All rows whose id is not among these, by name."""
    for row in store.database.execute(f"SELECT {COLUMNS} FROM sources ORDER BY name"):
        if row[0] not in known:
            yield _row(store, row)


def _row(store: Store, columns: tuple[Any, ...]) -> SourceRow:
    """Raises IndexDamaged where a flipped bit has made a name of another type."""
    row = SourceRow(*columns)
    if not isinstance(row.name, str) or not isinstance(row.root, str):
        with reading(store.index):
            raise TypeError(f"source {row.id} is named {row.name!r} of {row.root!r}")
    return row


def next_id(store: Store) -> int:
    """An id above all others."""
    found: int = store.database.execute("SELECT coalesce(max(id), 0) + 1 FROM sources").fetchone()[
        0
    ]
    return found


def write(store: Store, row: SourceRow) -> None:
    """Insert or replace a row, inside a transaction."""
    store.database.execute(
        f"INSERT INTO sources ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "root = excluded.root, mtime_ns = excluded.mtime_ns, size = excluded.size, "
        "hash = excluded.hash",
        (row.id, row.name, row.root, row.mtime_ns, row.size, row.hash),
    )


def remove(store: Store, id: int) -> None:
    """Remove a row whose documents are gone, inside a transaction."""
    store.database.execute("DELETE FROM sources WHERE id = ?", (id,))


def forget(store: Store, id: int) -> None:
    """Have the file read again at the next sync; a row with no documents left goes."""
    store.database.execute("UPDATE sources SET mtime_ns = NULL, hash = NULL WHERE id = ?", (id,))
    store.database.execute(
        "DELETE FROM sources WHERE id = ? AND id NOT IN "
        "(SELECT source FROM documents WHERE source = ?)",
        (id, id),
    )
