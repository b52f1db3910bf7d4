"""Is every file of the index what was written, and do they agree? Nothing is changed here."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .batch import text_hash
from .errors import IndexDamaged
from .passages import encoded_text
from .store import documents, fulltext
from .store.connection import connect_to_read, named_errors
from .store.settings import read_schema, read_settings
from .store.snapshot import SEGMENT_COLUMNS
from .types import SegmentRow
from .vectors import Segment


@dataclass(slots=True)
class Findings:
    """What is wrong, in words and as what `repair` needs to know.

    `documents` are keys to split again, `altered` those of them whose text is not what was read,
    `segments` the live ones that do not hold what the database says, by row id with the reason.
    """

    problems: list[str] = field(default_factory=list)
    structure: bool = False
    fulltext: bool = False
    documents: set[int] = field(default_factory=set)
    altered: set[int] = field(default_factory=set)
    segments: dict[int, str] = field(default_factory=dict)


def check(path: str | Path) -> tuple[str, ...]:
    """The problems of the index at `path`, empty where there is none.

    Takes no lock, changes nothing, and looks at one commit. Raises `IndexMissing`, and
    `IndexMismatch` where a newer clsearch made it.
    """
    index = Path(path)
    try:
        return tuple(examine(index).problems)
    except IndexDamaged as error:
        return (str(error),)


def examine(index: Path) -> Findings:
    """What is wrong with an index. Raises `IndexDamaged` where not even its tables can be read."""
    findings = Findings()
    with _copy(index) as connection, named_errors(index):
        generation = _generation(connection, index)
        _check_structure(connection, findings)
        _check_documents(connection, findings)
        _check_fulltext(connection, findings)
        _check_manifest(connection, findings)
        gone = _check_segments(connection, index, findings)
    if gone:
        # A merge may have removed them meanwhile: then there is a newer commit to look at.
        with closing(connect_to_read(index)) as connection:
            newer = _generation(connection, index) != generation
        if newer:
            return examine(index)
        for segment, name in gone.items():
            findings.segments[segment] = f"the segment {name} is missing"
            findings.problems.append(findings.segments[segment])
    return findings


@contextmanager
def _copy(index: Path) -> Iterator[sqlite3.Connection]:
    """A private copy of the database, page by page, damage and all.

    A check takes its time, and a writer's COMMIT waits for whoever reads; and FTS5 checks its index
    only where it might write.
    """
    with named_errors(index), closing(sqlite3.connect("")) as copy:
        with closing(connect_to_read(index)) as source:
            source.backup(copy)
        yield copy


def _generation(connection: sqlite3.Connection, index: Path) -> int:
    with named_errors(index):
        try:
            if read_schema(connection, index):
                return read_settings(connection).generation
        except (ValueError, TypeError, KeyError) as error:
            raise IndexDamaged(
                f"the settings of the index at {str(index)!r} cannot be read: {error!r}"
            ) from error
    raise IndexDamaged(f"the index at {str(index)!r} has no tables: it was never finished")


def _check_structure(connection: sqlite3.Connection, findings: Findings) -> None:
    for (message,) in connection.execute("PRAGMA integrity_check(20)"):
        if message != "ok":
            findings.structure = True
            findings.problems.append(f"index.db: {message}")
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        if table == "passages":
            findings.fulltext = True
        findings.problems.append(f"index.db: row {row} of {table} refers to no row of {parent}")


def _check_documents(connection: sqlite3.Connection, findings: Findings) -> None:
    # Text as bytes first: a flipped bit may have left what is no UTF-8.
    connection.text_factory = bytes
    rows = connection.execute(
        "SELECT key, id, hash, title, metadata, outline, text FROM documents ORDER BY key"
    )
    for key, id, hash, *stored in rows:
        name = id.decode(errors="backslashreplace")
        try:
            title, metadata, outline, text = (column.decode() for column in stored)
            json.loads(metadata), json.loads(outline)
            sound = documents.content_hash((title, metadata, outline, text)) == hash.decode()
        except (ValueError, AttributeError):
            title, text, sound = "", "", False
        if not sound:
            findings.documents.add(key)
            findings.altered.add(key)
            findings.problems.append(f"document {name!r}: what is stored is not what was read")
            continue
        _check_passages(connection, findings, key, name, title, text)
    connection.text_factory = str


def _check_passages(
    connection: sqlite3.Connection, findings: Findings, key: int, name: str, title: str, text: str
) -> None:
    rows = connection.execute(
        'SELECT p.id, p.start, p."end", p.heading, p.hash, f.title, f.heading, f.text '
        "FROM passages p LEFT JOIN passages_fts f ON f.rowid = p.id WHERE p.document = ?",
        (key,),
    )
    for id, start, end, heading, hash, *indexed in rows:
        if not 0 <= start <= end <= len(text):
            problem = f"stands at {start} to {end} of {len(text)} characters"
        elif text_hash(encoded_text(title, text[start:end])).encode() != hash:
            problem = "its text is not the one that was encoded"
        elif _encoded(fulltext.columns(title, heading.decode(), text[start:end])) != indexed:
            problem = "the full-text table has another text"
        else:
            continue
        findings.documents.add(key)
        findings.problems.append(f"document {name!r}, passage {id}: {problem}")


def _encoded(columns: tuple[str, ...]) -> list[bytes]:
    return [column.encode() for column in columns]


def _check_fulltext(connection: sqlite3.Connection, findings: Findings) -> None:
    strays = connection.execute(
        "SELECT count(*) FROM passages_fts_content WHERE id NOT IN (SELECT id FROM passages)"
    ).fetchone()[0]
    if strays:
        findings.fulltext = True
        findings.problems.append(f"the full-text table has {strays} rows of no passage")
    try:
        connection.execute("INSERT INTO passages_fts (passages_fts) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        findings.fulltext = True
        findings.problems.append(f"the full-text index is damaged: {error}")
    connection.rollback()


def _check_manifest(connection: sqlite3.Connection, findings: Findings) -> None:
    waiting = connection.execute("SELECT count(*) FROM passages WHERE segment IS NULL").fetchone()[
        0
    ]
    if waiting:
        findings.problems.append(f"{waiting} passages have no vector yet: sync or repair encodes")
    wrong = connection.execute(
        "SELECT count(*) FROM passages p JOIN segments s ON s.id = p.segment "
        "WHERE s.state <> 'live'"
    ).fetchone()[0]
    if wrong:
        findings.problems.append(f"{wrong} passages have their vector in a segment that is gone")
    wrong = connection.execute(
        "SELECT count(*) FROM tombstones t WHERE NOT EXISTS "
        "(SELECT 1 FROM segments s WHERE s.id = t.segment AND s.state = 'live') "
        "OR EXISTS (SELECT 1 FROM passages p WHERE p.id = t.passage AND p.segment = t.segment)"
    ).fetchone()[0]
    if wrong:
        findings.problems.append(f"{wrong} tombstones are of no deleted passage")


def _check_segments(
    connection: sqlite3.Connection, index: Path, findings: Findings
) -> dict[int, str]:
    """Compare each live segment with the database -> those whose file is not there."""
    gone: dict[int, str] = {}
    fingerprint = read_settings(connection).fingerprint
    rows = connection.execute(
        f"SELECT id, {SEGMENT_COLUMNS} FROM segments WHERE state = 'live' ORDER BY id"
    ).fetchall()
    for segment, *columns in rows:
        row = SegmentRow(*columns)
        try:
            ids = Segment.open(index, row).ids
        except FileNotFoundError:
            gone[segment] = row.name
            continue
        except IndexDamaged as error:
            findings.segments[segment] = str(error).partition(" Run")[0]
            findings.problems.append(str(error))
            continue
        listed = np.array(
            [
                id
                for (id,) in connection.execute(
                    "SELECT id FROM passages WHERE segment = ? "
                    "UNION ALL SELECT passage FROM tombstones WHERE segment = ? ORDER BY 1",
                    (segment, segment),
                )
            ],
            np.int64,
        )
        reason = ""
        if row.fingerprint != fingerprint:
            reason = f"the segment {row.name} was made by another encoder"
        elif not np.array_equal(ids, listed):
            reason = f"the segment {row.name} holds other passages than the database says"
        if reason:
            findings.segments[segment] = reason
            findings.problems.append(reason)
    return gone
