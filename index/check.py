"""Is every file of the index what was written, and do they agree? Nothing is changed here."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import vectors
from .batch import text_hash
from .errors import IndexDamaged
from .files import verify_segment
from .passages import encoded_texts
from .store import documents, fulltext, postings
from .store.connection import connect_to_read, reading
from .store.inversion import Rows
from .store.settings import check_current, read_settings
from .store.snapshot import SEGMENT_COLUMNS, Snapshot, restored
from .types import Document, SegmentRow
from .vectors import Recall, Segment
from .vectors.kinds import COMPACT_FROM, default_recall

TABLES = ("settings", "sources", "documents", "passages", "segments", "tombstones")

# As SQLite names what a column of this type holds, besides null.
HELD = {"TEXT": "text", "INTEGER": "integer"}


@dataclass(slots=True)
class Findings:
    """What is wrong, in words and as what `repair` needs to know.

    `sources` are rows that cannot be read, `documents` keys to split again, `altered` those of them
    whose text is not what was read, `segments` the live ones that do not hold what the database
    says, by row id with the reason.
    """

    problems: list[str] = field(default_factory=list)
    structure: bool = False
    fulltext: bool = False
    sources: set[int] = field(default_factory=set)
    documents: set[int] = field(default_factory=set)
    altered: set[int] = field(default_factory=set)
    segments: dict[int, str] = field(default_factory=dict)


def check(path: str | Path) -> tuple[str, ...]:
    """The problems of the index at `path`, empty where there is none.

    Takes no lock, changes nothing, and looks at one commit. Raises `IndexMissing`, and
    `IndexMismatch` where a newer or an older clsearch made it.
    """
    index = Path(path)
    try:
        return tuple(examine(index).problems)
    except IndexDamaged as error:
        return (str(error),)


def check_documents(path: str | Path) -> tuple[str, ...]:
    """As `check`, of what cannot be made again only: the database's structure and the documents.

    Full text and passages are left out, whose analysis takes most of a check's time.
    """
    index = Path(path)
    findings = Findings()
    try:
        with _copy(index) as connection:
            _generation(connection, index)
            _check_structure(connection, findings)
            _check_types(connection, findings)
            if not findings.structure:
                for _ in _sound_documents(connection, findings):
                    pass
    except IndexDamaged as error:
        return (str(error),)
    return tuple(findings.problems)


def recall(path: str | Path, passages: int) -> tuple[Recall, str]:
    """recall@10 of the live index on so many questions, and what to do where it is too low.

    The questions are made of its own passages (`vectors.Probes`), and go through the search that
    all queries go through and a scan of all vectors. The advice is empty from a recall of
    `kinds.default_recall` on, less twice its standard error, where few are flat. Raises
    `IndexMissing`, `IndexMismatch`, `IndexDamaged`.
    """
    index = Path(path)
    with Snapshot.open(index) as snapshot:
        opened = [Segment.open(index, row) for row in snapshot.segments]
        excluded = snapshot.tombstones()
    probes = vectors.Probes(opened, excluded, passages)
    found = probes.recall(lambda queries, k: vectors.search(opened, queries, k, excluded))
    target = default_recall(sum(one.row.passages for one in opened))
    if found.mean + 2 * found.error < target:
        return found, (
            f"below {target}: run `clsearch optimize --recall {target}`, which searches further; "
            "`clsearch optimize --kind exact` finds all"
        )
    scanned = sum(one.row.passages for one in opened if one.kind.exact)
    if scanned > COMPACT_FROM:
        return found, (
            f"every search compares with {scanned} passages one by one: `clsearch optimize` takes "
            "them into a compact segment, which is faster"
        )
    return found, ""


def examine(index: Path) -> Findings:
    """What is wrong with an index. Raises `IndexDamaged` where not even its tables can be read."""
    findings = Findings()
    with _copy(index) as connection:
        generation = _generation(connection, index)
        _check_structure(connection, findings)
        _check_types(connection, findings)
        if findings.structure:
            return findings  # What lies on broken ground would only be found broken again.
        _check_sources(connection, findings)
        _check_documents(connection, findings)
        _check_fulltext(connection, findings)
        _check_terms(connection, findings)
        _check_postings(connection, findings)
        _check_manifest(connection, findings)
        gone = _check_segments(connection, index, findings)
    if gone:
        # A merge may have removed them meanwhile: then there is a newer commit to look at.
        with reading(index), closing(connect_to_read(index)) as connection:
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
    with reading(index), closing(sqlite3.connect("")) as copy:
        with closing(connect_to_read(index)) as source:
            source.backup(copy)
        yield copy


def _generation(connection: sqlite3.Connection, index: Path) -> int:
    if check_current(connection, index):
        return read_settings(connection).generation
    raise IndexDamaged(f"the index at {str(index)!r} has no tables: it was never finished")


def _check_structure(connection: sqlite3.Connection, findings: Findings) -> None:
    for (message,) in connection.execute("PRAGMA integrity_check(20)"):
        if message != "ok":
            # From SQLite 3.44 on, it looks into the full-text index too, which can be made again.
            if "FTS5" in message:
                findings.fulltext = True
            else:
                findings.structure = True
            findings.problems.append(f"index.db: {message}")
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        if table == "passages":
            findings.fulltext = True
        findings.problems.append(f"index.db: row {row} of {table} refers to no row of {parent}")


def _check_types(connection: sqlite3.Connection, findings: Findings) -> None:
    """A flipped bit can make a number of a text: SQLite holds any value in any column."""
    for table in TABLES:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        for _, name, declared, *_ in columns:
            if declared not in HELD:
                continue
            sql = f"SELECT count(*) FROM {table} WHERE typeof(\"{name}\") NOT IN (?, 'null')"
            wrong = connection.execute(sql, (HELD[declared],)).fetchone()[0]
            if wrong:
                findings.structure = True
                findings.problems.append(
                    f"index.db: {wrong} values of {table}.{name} are no {declared}"
                )


def _check_sources(connection: sqlite3.Connection, findings: Findings) -> None:
    connection.text_factory = bytes
    rows = connection.execute("SELECT id, mtime_ns, size, name, root, hash FROM sources")
    for id, _, _, *columns in rows:
        try:
            [column.decode() for column in columns if column is not None]
        except (UnicodeDecodeError, AttributeError):
            findings.sources.add(id)
            findings.problems.append(f"source {id}: what is stored is not what was written")
    connection.text_factory = str


def _check_documents(connection: sqlite3.Connection, findings: Findings) -> None:
    for key, document in _sound_documents(connection, findings):
        _check_passages(connection, findings, key, document)


def _sound_documents(
    connection: sqlite3.Connection, findings: Findings
) -> Iterator[tuple[int, Document]]:
    """(key, document) of each that is what was read; the others are found."""
    # Text as bytes first: a flipped bit may have left what is no UTF-8.
    connection.text_factory = bytes
    rows = connection.execute(
        "SELECT key, id, hash, title, metadata, outline, text FROM documents ORDER BY key"
    )
    for key, id, hash, *columns in rows:
        name = id.decode(errors="backslashreplace") if isinstance(id, bytes) else id
        try:
            title, metadata, outline, text = (column.decode() for column in columns)
            document = restored(name, title, text, metadata, outline)
            stored = (id.decode(), title, metadata, outline, text)
            sound = documents.content_hash(stored) == hash.decode()
        except (ValueError, TypeError, KeyError, AttributeError):
            sound = False
        if not sound:
            findings.documents.add(key)
            findings.altered.add(key)
            findings.problems.append(f"document {name!r}: what is stored is not what was read")
            continue
        yield key, document
    connection.text_factory = str


def _check_passages(
    connection: sqlite3.Connection, findings: Findings, key: int, document: Document
) -> None:
    title, text, lines, counted = document.title, document.text, 0, 0
    covered, gap = 0, ""
    rows = connection.execute(
        'SELECT p.id, p.start, p."end", p.line, p.page, p.heading, p.hash, '
        "f.title, f.heading, f.text, f.whole "
        "FROM passages p LEFT JOIN passages_fts f ON f.rowid = p.id WHERE p.document = ? "
        "ORDER BY p.start",
        (key,),
    ).fetchall()
    for id, start, end, line, page, heading, hash, *indexed in rows:
        lines += text.count("\n", counted, start)
        counted = start
        gap += text[covered:start].strip()
        covered = max(covered, end)
        if not 0 <= start <= end <= len(text):
            problem = f"stands at {start} to {end} of {len(text)} characters"
        elif line != document.line + (lines if document.lined else 0):
            problem = f"does not stand in line {line}"
        elif end and page != (bisect_right(document.pages, start) or None):
            problem = f"does not stand on page {page}"
        elif not isinstance(heading, bytes):
            problem = "its heading is no text"
        elif hash not in _hashes(title, heading.decode(), text[start:end]):
            problem = "its text is not the one that was encoded"
        elif _encoded(fulltext.columns(title, heading.decode(), text[start:end])) != indexed:
            problem = "the full-text table has another text"
        else:
            continue
        findings.documents.add(key)
        findings.problems.append(f"document {document.id!r}, passage {id}: {problem}")
    if gap or text[covered:].strip() or (title.strip() and not rows):
        findings.documents.add(key)
        findings.problems.append(f"document {document.id!r}: a passage of it is missing")


def _hashes(title: str, heading: str, passage: str) -> list[bytes]:
    return [text_hash(text).encode() for text in encoded_texts(title, heading, passage)]


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


def _check_terms(connection: sqlite3.Connection, findings: Findings) -> None:
    """Whether `passages_terms` counts what the rows of the full-text table have."""
    counts = fulltext.TermCounts()
    connection.text_factory = lambda data: data.decode(errors="replace")
    columns = ", ".join(f"CAST(coalesce(c{n}, '') AS TEXT)" for n in range(4))
    for row in connection.execute(f"SELECT {columns} FROM passages_fts_content"):
        counts.add(row)
    rows = connection.execute("SELECT term, doc, written FROM passages_terms")
    stored = {term: (doc, written) for term, doc, written in rows}
    connection.text_factory = str
    counted = {term: (doc, counts.written[term]) for term, doc in counts.doc.items()}
    wrong = {term for term, _ in stored.items() ^ counted.items()}
    if wrong:
        findings.fulltext = True
        findings.problems.append(
            f"the table of terms counts {len(wrong)} of them wrong, {min(wrong)!r} among them"
        )


def _check_postings(connection: sqlite3.Connection, findings: Findings) -> None:
    """Whether the postings are those of the rows of the full-text table, each in one block."""
    connection.text_factory = lambda data: data.decode(errors="replace")
    columns = [f"CAST(coalesce(c{n}, '') AS TEXT)" for n in range(4)]
    held, wrong = [np.zeros(0, np.int64)], 0
    for (block,) in connection.execute("SELECT id FROM postings_blocks").fetchall():
        try:
            stored = postings.stored(connection, block).ordered()
        except (ValueError, TypeError):
            wrong += 1
            continue
        rows, own = Rows(), set(stored.passages.tolist())
        sql = f"SELECT id, {', '.join(columns)} FROM passages_fts_content WHERE id BETWEEN ? AND ?"
        for id, *row in connection.execute(sql, (min(own, default=0), max(own, default=0))):
            if id in own:
                rows.add(id, row)
        terms, *numbers = stored
        expected, *others = rows.flat().ordered()
        wrong += terms != expected or not all(map(np.array_equal, numbers, others))
        held.append(stored.passages)
    sql = (
        f"SELECT id FROM passages_fts_content WHERE trim({' || '.join(columns)}) <> '' ORDER BY id"
    )
    ids = [id for (id,) in connection.execute(sql)]
    connection.text_factory = str
    if wrong or not np.array_equal(np.sort(np.concatenate(held)), ids):
        findings.fulltext = True
        findings.problems.append("the postings are not those of the full-text table")


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
            verify_segment(index, row)
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
