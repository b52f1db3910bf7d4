"""The table `documents`: what was read, whole, so that every vector can be made again from it."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..types import Document, Heading, Json
from . import passages
from .connection import reading
from .rows import DocumentRow, NewDocument, outline
from .snapshot import restored
from .store import Store


def storable(document: Document) -> Document:
    """The document as SQLite and JSON can hold it, with every offset still right.

    A lone surrogate, which no UTF-8 can hold, becomes U+FFFD, and so does a NUL in the metadata,
    where SQLite's JSON functions would stop; a number that is not finite, null.
    """
    return replace(
        document,
        id=_text(document.id),
        title=_text(document.title),
        text=_text(document.text),
        metadata={_member(key): _json(value) for key, value in document.metadata.items()},
        headings=tuple(Heading(h.start, h.level, _text(h.text)) for h in document.headings),
    )


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def _member(text: str) -> str:
    return _text(text).replace("\0", "\ufffd")


def _json(value: Json) -> Json:
    if isinstance(value, str):
        return _member(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {_member(key): _json(item) for key, item in value.items()}
    return value


def columns(document: Document) -> tuple[str, str, str, str, str]:
    """(id, title, metadata, outline, text) as they are stored."""
    metadata = json.dumps(dict(document.metadata), ensure_ascii=False)
    return document.id, document.title, metadata, outline(document), document.text


def content_hash(stored: tuple[str, str, str, str, str]) -> str:
    """SHA-256 over (id, title, metadata, outline, text), each with its length before it."""
    digest = hashlib.sha256()
    for column in stored:
        data = column.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def find(store: Store, id: str) -> DocumentRow | None:
    """The row of a document, None where there is none."""
    return find_all(store, [_text(id)]).get(_text(id))


def find_all(store: Store, ids: Sequence[str]) -> dict[str, DocumentRow]:
    """The rows of those of these documents that are there, by id."""
    asked = ", ".join("?" * len(ids))
    rows = store.database.execute(
        f"SELECT id, key, source, hash FROM documents WHERE id IN ({asked})", list(ids)
    )
    return {id: DocumentRow(*row) for id, *row in rows}


def read(store: Store, key: int) -> Document:
    """A document by its key."""
    sql = "SELECT id, title, text, metadata, outline FROM documents WHERE key = ?"
    with reading(store.index):
        return restored(*store.database.execute(sql, (key,)).fetchone())


def salvage(store: Store, key: int) -> Document:
    """As `read`, also where a flipped bit left what is no UTF-8 or no JSON: what is left of it."""
    sql = (
        "SELECT id, title, CAST(text AS BLOB), CAST(metadata AS BLOB), CAST(outline AS BLOB) "
        "FROM documents WHERE key = ?"
    )
    store.database.conn.text_factory = lambda data: data.decode(errors="replace")
    try:
        id, title, *columns = store.database.execute(sql, (key,)).fetchone()
    finally:
        store.database.conn.text_factory = str
    text, metadata, shape = (column.decode(errors="replace") for column in columns)
    plain = Document(id, title, text)
    for kept in (metadata, "{}"):
        for lines in (shape, outline(plain)):
            try:
                return restored(id, title, text, kept, lines)
            except (ValueError, TypeError, KeyError):
                continue
    return plain


def salvage_with_source(store: Store, key: int) -> tuple[Document, int | None, float | None]:
    """A document as `salvage` gives it, its source and the mtime of its file."""
    sql = "SELECT source, mtime FROM documents WHERE key = ?"
    source, mtime = store.database.execute(sql, (key,)).fetchone()
    return salvage(store, key), source, mtime


def keys(store: Store) -> Iterator[int]:
    """The keys of all documents, ascending; rows may be written while it is read."""
    last = 0
    while True:
        sql = "SELECT key FROM documents WHERE key > ? ORDER BY key LIMIT 1000"
        found = [row[0] for row in store.database.execute(sql, (last,))]
        if not found:
            return
        yield from found
        last = found[-1]


def keys_of(store: Store, source: int) -> list[int]:
    """The keys of a source's documents."""
    sql = "SELECT key FROM documents WHERE source = ? ORDER BY key"
    return [row[0] for row in store.database.execute(sql, (source,))]


def count_of(store: Store, sources: Sequence[int]) -> int:
    """How many documents these sources have together."""
    sql = "SELECT count(*) FROM documents WHERE source IN (SELECT value FROM json_each(?))"
    count: int = store.database.execute(sql, (json.dumps(list(sources)),)).fetchone()[0]
    return count


def next_key(store: Store) -> int:
    """A key above all others."""
    sql = "SELECT coalesce(max(key), 0) + 1 FROM documents"
    key: int = store.database.execute(sql).fetchone()[0]
    return key


def write(store: Store, new: Sequence[NewDocument]) -> None:
    """Insert documents or write over them, inside a transaction."""
    store.database.conn.executemany(
        "INSERT INTO documents (key, id, source, title, metadata, outline, hash, mtime, size, text)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
        "source = excluded.source, title = excluded.title, metadata = excluded.metadata, "
        "outline = excluded.outline, hash = excluded.hash, mtime = excluded.mtime, "
        "size = excluded.size, text = excluded.text",
        map(_row, new),
    )


def _row(new: NewDocument) -> tuple[object, ...]:
    stored = columns(new.document)
    id, title, metadata, shape, text = stored
    size = len(text) if text.isascii() else len(text.encode())
    hash = content_hash(stored)
    return new.key, id, new.source, title, metadata, shape, hash, new.mtime, size, text


def remove(store: Store, key: int) -> None:
    """Remove a document with its passages, inside a transaction."""
    passages.remove(store, [row.id for row in passages.of_document(store, key)])
    store.database.execute("DELETE FROM documents WHERE key = ?", (key,))
