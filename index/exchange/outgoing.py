"""All of one commit of an index, or what passes a filter, in the order that documents came in."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import vectors
from ..store.connection import reading
from ..store.copy import copy_commit, named_copy_errors
from ..store.snapshot import Snapshot, restored
from ..types import Filter, Passage
from ..vectors import Segment
from .origin import Origin
from .records import Outgoing, OutgoingPassage

# Passages whose vectors are in memory at once, and those of one more document.
TOGETHER = 4096

# SQLite's own names for it, in this order; else it is /var/tmp or /tmp.
COPY = "a copy of the database in the folder for temporary files ($SQLITE_TMPDIR, $TMPDIR)"


@contextmanager
def outgoing(
    index: Path, format: str, condition: Filter | None
) -> Iterator[tuple[Origin, Iterator[Outgoing]]]:
    """Where the export comes from, and its documents, a few in memory at a time.

    With a condition: those of which a passage passes. The database is copied first, so that no
    writer waits. Raises as `copy_commit` and `Snapshot.matching` do.
    """
    with closing(sqlite3.connect("")) as copy:
        with named_copy_errors(index, COPY, "Make room there, or name another."), reading(index):
            segments = copy_commit(index, copy, lambda row: Segment.open(index, row))
        snapshot = Snapshot(index, copy)
        dimension = snapshot.declaration.get("dimension")
        if segments:
            dimension = segments[0].row.dimension
        origin = Origin(
            format,
            snapshot.options.model,
            snapshot.options.pooling,
            snapshot.fingerprint,
            int(str(dimension)),
        )
        passing = None if condition is None else snapshot.matching(condition).tolist()
        yield origin, _documents(index, copy, segments, passing)


def _documents(
    index: Path, copy: sqlite3.Connection, segments: Sequence[Segment], passing: list[int] | None
) -> Iterator[Outgoing]:
    with reading(index):
        for keys in _chunks(copy, passing):
            passages = _passages(copy, segments, keys)
            rows = copy.execute(
                "SELECT key, mtime, id, title, text, metadata, outline FROM documents "
                "WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key",
                (json.dumps(keys),),
            )
            for key, mtime, *columns in rows:
                document = restored(*columns)
                yield Outgoing(
                    document,
                    mtime,
                    [
                        OutgoingPassage(
                            Passage(start, end, document.text[start:end], *place), hash, vector
                        )
                        for start, end, *place, hash, vector in passages.pop(key, ())
                    ],
                )


def _chunks(copy: sqlite3.Connection, passing: list[int] | None) -> Iterator[list[int]]:
    """The keys of the documents, so many at a time that their vectors are not too many."""
    among, values = "", []
    if passing is not None:
        among = (
            "WHERE key IN (SELECT document FROM passages "
            "WHERE id IN (SELECT value FROM json_each(?))) "
        )
        values = [json.dumps(passing)]
    keys: list[int] = []
    count = 0
    counted = copy.execute(
        "SELECT key, (SELECT count(*) FROM passages WHERE document = key) FROM documents "
        f"{among}ORDER BY key",
        values,
    )
    for key, passages in counted.fetchall():
        if keys and (count + passages > TOGETHER or len(keys) == TOGETHER):
            yield keys
            keys, count = [], 0
        keys.append(key)
        count += passages
    if keys:
        yield keys


def _passages(
    copy: sqlite3.Connection, segments: Sequence[Segment], keys: list[int]
) -> dict[int, list[tuple[Any, ...]]]:
    """Document key -> (start, end, line, page, heading, id, hash, vector) of its passages."""
    rows = copy.execute(
        'SELECT document, start, "end", line, page, heading, id, hash FROM passages '
        "WHERE document IN (SELECT value FROM json_each(?)) ORDER BY document, start, id",
        (json.dumps(keys),),
    ).fetchall()
    ids, stacked = vectors.vectors(segments, np.array([row[6] for row in rows], np.int64))
    vector = dict(zip(ids.tolist(), stacked, strict=True))
    found: dict[int, list[tuple[Any, ...]]] = {}
    for key, *columns in rows:
        found.setdefault(key, []).append((*columns, vector.get(columns[5])))
    return found
