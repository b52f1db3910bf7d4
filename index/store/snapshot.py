"""What a reader sees: one read transaction over the whole index.

Only sqlite3 is imported here, and NumPy by what gives or takes many ids: `status` needs neither it
nor its 60 ms.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ..config import Calibration, Options
from ..errors import IndexDamaged, IndexMissing, UsageError
from ..types import Document, Filter, Heading, Json, Passage, SegmentRow
from .connection import connect_to_read, reading, reading_postings
from .rows import NO_TEXT
from .settings import check_current, read_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .postings import Block

    Ids: TypeAlias = NDArray[np.int64]

ValueType: TypeAlias = Literal["text", "number", "true", "false"]

SEGMENT_COLUMNS = (
    "name, kind, passages, dimension, bytes, sha256, faiss, fingerprint, state"  # as SegmentRow
)
SEGMENT_NUMBERS = {2, 3, 4}  # those that hold an integer, the others text


# In place of the connection of a snapshot that has ended.
_CLOSED = sqlite3.connect(":memory:")
_CLOSED.close()


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage with what a hit shows of its document, and its terms, parted by spaces."""

    passage: Passage
    document: str
    title: str
    metadata: dict[str, Json]
    terms: str


class Outline(NamedTuple):
    """Where a passage stands, and the key of its document."""

    id: int
    start: int
    end: int
    line: int
    page: int | None
    heading: str
    document: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is. `waiting` counts passages that have no vector until the next sync."""

    sources: int
    documents: int
    passages: int
    waiting: int
    tombstones: int


class Snapshot:
    """One read transaction: everything it says belongs to one generation.

    Close it soon (it is a context manager): a writer's COMMIT waits for open snapshots. One for
    each query is right. Not to be shared between threads.
    """

    def __init__(self, index: Path, connection: sqlite3.Connection) -> None:
        """Begin the transaction on this connection; `open` is the way in."""
        self.index = index
        self._connection = connection
        with reading(index):
            connection.execute("BEGIN")
            if not check_current(connection, index):
                raise IndexMissing(
                    f"the index at {str(index)!r} was never finished, or is none. "
                    "Run `clsearch index SOURCE` to make one."
                )
            settings = read_settings(connection)
            rows = connection.execute(
                f"SELECT {SEGMENT_COLUMNS} FROM segments WHERE state = 'live' ORDER BY id"
            )
            self.segments: tuple[SegmentRow, ...] = tuple(segment_row(row) for row in rows)
            _expect(str, settings.fingerprint, *(row.name for row in self.segments))
        self.generation: int = settings.generation
        self.options: Options = settings.options
        self.calibration: Calibration = settings.calibration
        self.fingerprint: str = settings.fingerprint
        self.declaration: dict[str, Json] = settings.declaration

    @classmethod
    def open(cls, index: str | Path) -> Snapshot:
        """Begin to read the index at this path.

        Raises `IndexMissing`, `IndexMismatch` (another schema) or `IndexDamaged`.
        """
        index = Path(index)
        with reading(index):
            connection = connect_to_read(index)
        try:
            return cls(index, connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """End the transaction."""
        self._connection.close()

    def detach(self) -> None:
        """End the transaction, and leave the connection open: to others, no longer to this."""
        with reading(self.index):
            self._connection.rollback()
        self._connection = _CLOSED

    def __enter__(self) -> Snapshot:
        """Nothing more: the transaction began with `open`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the transaction."""
        self.close()

    def tombstones(self) -> Ids:
        """Ids of deleted passages that a live segment still holds, ascending: `[n]`."""
        return _ids(self._rows("SELECT passage FROM tombstones ORDER BY passage"))

    def matching(self, filter: Filter) -> Ids:
        """Ids of the passages that a filter lets through, ascending: `[n]`.

        What the filter asks of a document is evaluated once for all its passages. Over 20,000
        documents of 5 passages on one core, of which a third match: 100 ms for a key of the
        metadata, 45 for the page, 8 for a pattern of the path. Raises `UsageError` where the filter
        is more than SQLite can take.
        """
        try:
            with reading(self.index):
                # CROSS JOIN keeps the documents outside: else SQLite may begin with the passages.
                rows = self._connection.execute(
                    "SELECT p.id FROM documents d CROSS JOIN passages p ON p.document = d.key "
                    f"WHERE {filter.sql}",
                    filter.parameters,
                )
                found = _ids(rows.fetchall())
                found.sort()
                return found
        except IndexDamaged as error:
            if not _refused(error) or "malformed" in str(error.__cause__):
                raise
            raise UsageError(
                f"SQLite cannot take this filter ({error.__cause__}). Make it shorter: "
                "`tag in ('a', 'b')` says what many comparisons say."
            ) from error

    def match(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k best passages for an FTS5 MATCH expression: (id, BM25), best first, ties by id.

        The sign is turned, so that a greater score is better. Raises `UsageError` where the
        expression is not one that FTS5 understands.
        """
        try:
            with reading(self.index):
                # Sorted by FTS5's own rank alone, equal scores would stand in no order.
                rows = self._connection.execute(
                    "SELECT rowid, -rank FROM passages_fts WHERE passages_fts MATCH ? "
                    "ORDER BY rank, rowid LIMIT ?",
                    (query, k),
                ).fetchall()
                return [(int(row[0]), float(row[1])) for row in rows]
        except IndexDamaged as error:
            if _refused(error):
                cause = error.__cause__
                raise UsageError(f"not a full-text query: {query!r} ({cause})") from error
            raise

    def postings(self, terms: Sequence[str]) -> Iterator[Block]:
        """What each block of the postings has of these terms (`store.postings.read`).

        Raises `IndexDamaged` where the tables hold what was never written there.
        """
        from . import postings

        with reading_postings(self.index):
            yield from postings.read(self._connection, terms)

    def matched(self, query: str) -> Ids:
        """Ids of all passages that match an FTS5 expression, ascending: `[n]`."""
        return _ids(
            self._rows(
                "SELECT rowid FROM passages_fts WHERE passages_fts MATCH ? ORDER BY rowid", (query,)
            )
        )

    def frequencies(self, terms: Sequence[str]) -> dict[str, int]:
        """Term -> how many passages have it, 0 where none has; `*` at the end makes it a prefix.

        A passage with several terms of one prefix is counted for each of them.
        """
        found = {}
        for term in terms:
            stem = term.removesuffix("*")
            high = stem + "\U0010ffff" if term.endswith("*") else stem
            sql = "SELECT coalesce(sum(doc), 0) FROM passages_terms WHERE term BETWEEN ? AND ?"
            found[term] = int(self._rows(sql, (stem, high))[0][0])
        return found

    def written(self, terms: Sequence[str]) -> dict[str, int]:
        """Term -> how many passages have it in title, heading or text; 0 where none has."""
        found = {}
        for term in terms:
            rows = self._rows("SELECT written FROM passages_terms WHERE term = ?", (term,))
            found[term] = int(rows[0][0]) if rows else 0
        return found

    def totals(self) -> tuple[int, int]:
        """How many passages there are, and how many terms they have altogether.

        From the record that FTS5 keeps for BM25, its row 1: varints of the number of rows, and of
        the terms of each column (fts5_index.c, "averages record").
        """
        with reading(self.index):
            rows = self._rows("SELECT block FROM passages_fts_data WHERE id = 1")
            passages, *terms = _varints(rows[0][0]) or [0]
            return passages, sum(terms)

    def passage_count(self) -> int:
        """How many passages there are."""
        return self.totals()[0]

    def greatest_id(self) -> int:
        """The greatest id of a passage; 0 where there is none."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM passages")[0][0])

    def passages(self, ids: Sequence[int]) -> dict[int, StoredPassage]:
        """The stored passages of these ids; an id that is not in the index is left out."""
        found = {}
        with reading(self.index):
            rows = self._rows(
                """
                SELECT p.id, p.start, p."end", p.line, p.page, p.heading, p.document,
                       d.id, d.title, d.metadata, coalesce(nullif(f.c2, ''), f.c0, '')
                FROM passages p JOIN documents d ON d.key = p.document
                LEFT JOIN passages_fts_content f ON f.id = p.id
                WHERE p.id IN (SELECT value FROM json_each(?))
                """,
                (json.dumps([int(id) for id in ids]),),
            )
            texts = self._texts_of(rows)
            for id, start, end, line, page, heading, _, document, title, metadata, terms in rows:
                _expect(str, document, title, heading, terms)
                _expect(int, line, line if page is None else page)
                found[id] = StoredPassage(
                    passage=Passage(start, end, texts[id], line, page, heading, id),
                    document=document,
                    title=title,
                    metadata=dict(json.loads(metadata)),
                    terms=terms,
                )
        return found

    def _texts_of(self, rows: Sequence[tuple[Any, ...]]) -> dict[int, str]:
        """Passage id -> its text; `rows` begin with id, start and end, and have the key at 6.

        Each document is read once, and one at a time: SQLite's substr reads one anew for each
        passage, and stops at a NUL character.
        """
        spans: dict[int, list[tuple[int, int, int]]] = {}
        for id, start, end, _, _, _, key, *_ in rows:
            spans.setdefault(key, []).append((id, start, end))
        texts: dict[int, str] = {}
        for key, text in self._connection.execute(
            "SELECT key, text FROM documents WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(spans)),),
        ):
            _expect(str, text)
            texts |= {id: text[start:end] for id, start, end in spans[key]}
        return texts

    def documents_of(self, ids: Sequence[int]) -> dict[int, str]:
        """Passage id -> the id of its document; a passage that is not in the index is left out."""
        rows = self._rows(
            "SELECT p.id, d.id FROM passages p JOIN documents d ON d.key = p.document "
            "WHERE p.id IN (SELECT value FROM json_each(?))",
            (json.dumps([int(id) for id in ids]),),
        )
        return dict(rows)

    def document_count(self, at_most: int) -> int:
        """How many documents there are; no more than `at_most` are counted."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM documents LIMIT ?)"
        return int(self._rows(sql, (min(at_most, sys.maxsize),))[0][0])

    def document(self, document_id: str) -> Document | None:
        """The document of this id, as it was read; None where there is none."""
        with reading(self.index):
            rows = self._rows(
                "SELECT id, title, text, metadata, outline FROM documents WHERE id = ?",
                (document_id,),
            )
            if not rows:
                return None
            id, title, text, metadata, outline = rows[0]
            return restored(id, title, text, metadata, outline)

    def passage_ids(self, document_id: str) -> list[int]:
        """Ids of the document's passages, in the order of the text."""
        rows = self._rows(
            "SELECT p.id FROM passages p JOIN documents d ON d.key = p.document "
            "WHERE d.id = ? ORDER BY p.start, p.id",
            (document_id,),
        )
        return [row[0] for row in rows]

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        rows = self._rows("SELECT id FROM documents WHERE id IS NOT NULL ORDER BY id")
        return [str(row[0]) for row in rows]

    def metadata_counts(
        self, documents: int, longest: int
    ) -> list[tuple[str, ValueType, str | int | float, int]]:
        """(key, type, value, how many documents have it) of what more than one document has.

        Of the first `documents` documents, the texts of up to `longest` characters, numbers and
        booleans that stand in their metadata right below a key, or in a list that does.
        """
        return self._rows(
            """
            WITH d AS (SELECT key, metadata FROM documents ORDER BY key LIMIT ?),
                 m AS (SELECT d.key AS document, j.key AS name, j.type, j.value
                       FROM d, json_each(d.metadata) j),
                 v AS (SELECT document, name, type, value FROM m WHERE type <> 'array'
                       UNION ALL
                       SELECT m.document, m.name, e.type, e.value
                       FROM m, json_each(CASE WHEN m.type = 'array' THEN m.value END) e)
            SELECT name, iif(type IN ('integer', 'real'), 'number', type) AS kind, value,
                   count(DISTINCT document) AS n
            FROM v
            WHERE type IN ('integer', 'real', 'true', 'false')
               OR type = 'text' AND length(value) <= ?
            GROUP BY name, kind, value HAVING n > 1
            """,
            (documents, longest),
        )

    def outlines(self, ids: Sequence[int]) -> list[Outline]:
        """Those of the passages that are in the index, by id, without what they say."""
        rows = self._rows(
            """
            SELECT p.id, p.start, p."end", p.line, p.page, p.heading, p.document
            FROM passages p WHERE p.id IN (SELECT value FROM json_each(?)) ORDER BY p.id
            """,
            (json.dumps([int(id) for id in ids]),),
        )
        return [Outline(*row) for row in rows]

    def titles(self, keys: Collection[int]) -> dict[int, tuple[str, str, dict[str, Json]]]:
        """Key of a document -> its id, its title and its metadata."""
        rows = self._rows(
            "SELECT key, id, title, metadata FROM documents "
            "WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
        with reading(self.index):
            return {key: (id, title, dict(json.loads(text))) for key, id, title, text in rows}

    def counts(self) -> Counts:
        """How much there is."""
        row = self._rows(
            "SELECT (SELECT count(*) FROM sources WHERE hash IS NOT ?), "
            "(SELECT count(*) FROM documents), (SELECT count(*) FROM passages), "
            "(SELECT count(*) FROM passages WHERE segment IS NULL), "
            "(SELECT count(*) FROM tombstones)",
            (NO_TEXT,),
        )[0]
        return Counts(*row)

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Write the whole database, as this transaction sees it, over that of `target`.

        Raises `sqlite3.Error`, which may be about either of them.
        """
        self._connection.backup(target)

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with reading(self.index):
            return self._connection.execute(sql, values).fetchall()


def _varints(data: bytes) -> list[int]:
    """The numbers of a blob of SQLite's varints: 7 bits a byte, and whether another follows."""
    found, number = [], 0
    for byte in data:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            found.append(number)
            number = 0
    return found


def _ids(rows: Sequence[tuple[int]]) -> Ids:
    """The ids of rows that hold nothing else: `[n]`."""
    import numpy as np

    return np.fromiter((row[0] for row in rows), np.int64, len(rows))


def _refused(error: IndexDamaged) -> bool:
    """Whether SQLite refused the statement, and found no damage."""
    return getattr(error.__cause__, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR


def segment_row(columns: Sequence[Any]) -> SegmentRow:
    """A row from SEGMENT_COLUMNS; TypeError where a value is of another type than was written."""
    for number, value in enumerate(columns):
        if not isinstance(value, int if number in SEGMENT_NUMBERS else str):
            raise TypeError(f"{value!r} among the columns of a segment")
    return SegmentRow(*columns)


def restored(id: str, title: str, text: str, metadata: str, outline: str) -> Document:
    """A document from its columns; the outline is what `rows.outline` made."""
    _expect(str, id, title, text)
    shape = json.loads(outline)
    return Document(
        id=id,
        title=title,
        text=text,
        metadata=dict(json.loads(metadata)),
        headings=tuple(Heading(*heading) for heading in shape["headings"]),
        pages=tuple(shape["pages"]),
        line=shape["line"],
        lined=shape["lined"],
    )


def _expect(kind: type, *values: object) -> None:
    """SQLite gives what is there, whatever its column was declared as. Raises `TypeError`."""
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r:.40} where {kind.__name__} was expected")
