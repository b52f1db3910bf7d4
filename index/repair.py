"""Put an index right from the text in its database."""

from .batch import Batch, EncoderLike
from .check import Findings, examine
from .errors import IndexDamaged
from .report import Tally
from .store import documents, fulltext, manifest, passages, sources
from .store.connection import REBUILD
from .store.store import Store


def repair(store: Store, encoder: EncoderLike) -> tuple[Tally, tuple[str, ...]]:
    """Mend what `check.examine` finds -> the tally, and what was mended.

    A segment that does not hold what it should is quarantined, never deleted, and made again. A
    document whose stored text is not what was read is kept as it is, and read again from its
    source at the next sync. Raises `IndexDamaged` where the database itself is beyond repair.
    """
    findings = examine(store.index)
    if findings.structure:
        # Only an index of SQLite's own can be made again; damage to a table cannot be undone.
        store.database.execute("REINDEX")
        findings = examine(store.index)
        if findings.structure:
            raise _beyond_repair(store, findings)
    if not findings.problems:
        return Tally(), ()
    for segment, reason in findings.segments.items():
        manifest.quarantine(store, segment, reason)
    with store.transaction() as database:
        for source in findings.sources:
            # The next sync meets its file as a new one, and takes the documents over.
            database.execute("UPDATE documents SET source = NULL WHERE source = ?", (source,))
            sources.remove(store, source)
        _drop_what_refers_to_nothing(store)
        if findings.fulltext:
            _rebuild_fulltext(store)
    tally = Tally()
    batch = Batch(store, encoder, tally)
    for key in sorted(findings.documents):
        batch.renew(key)
    batch.flush()
    with store.transaction() as database:
        for key in findings.altered:
            sql = "SELECT source FROM documents WHERE key = ? AND source IS NOT NULL"
            for (source,) in database.execute(sql, (key,)).fetchall():
                sources.forget(store, source)
    batch.encode_waiting()
    left = examine(store.index)
    if left.problems:
        raise _beyond_repair(store, left)
    return tally, tuple(findings.problems)


def _beyond_repair(store: Store, findings: Findings) -> IndexDamaged:
    return IndexDamaged(
        f"the database of the index at {str(store.index)!r} is damaged beyond repair "
        f"({findings.problems[0]}). {REBUILD}"
    )


def _drop_what_refers_to_nothing(store: Store) -> None:
    database = store.database
    lost = database.execute(
        "SELECT id FROM passages WHERE document NOT IN (SELECT key FROM documents)"
    ).fetchall()
    passages.remove(store, [id for (id,) in lost])
    database.execute(
        "UPDATE documents SET source = NULL WHERE source NOT IN (SELECT id FROM sources)"
    )
    database.execute(
        "UPDATE passages SET segment = NULL WHERE segment NOT IN "
        "(SELECT id FROM segments WHERE state = 'live')"
    )
    database.execute(
        "DELETE FROM tombstones WHERE segment NOT IN "
        "(SELECT id FROM segments WHERE state = 'live') OR EXISTS (SELECT 1 FROM passages p "
        "WHERE p.id = tombstones.passage AND p.segment = tombstones.segment)"
    )


def _rebuild_fulltext(store: Store) -> None:
    fulltext.clear(store.database)
    store.terms.clear()
    store.postings.clear()
    for key in documents.keys(store):
        document = documents.salvage(store, key)
        rows = passages.of_document(store, key)
        text, title = document.text, document.title
        fulltext.write(
            store, [(row.id, title, row.heading, text[row.start : row.end]) for row in rows]
        )
