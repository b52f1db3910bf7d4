"""Another encoder for an index: every document split and encoded again, from the text it holds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .batch import SLICE, EncoderLike, text_hash, write_segment
from .config import Calibration, Options
from .passages import encoded_text, split
from .report import Progress, Tally
from .store import documents, fulltext, manifest, passages
from .store.rows import NewPassage
from .store.store import Store
from .types import Document, Passage, SegmentRow

# So many passages make one segment: their vectors are held in memory until it is written.
SEGMENT_PASSAGES = 20_000

STAGED = """
CREATE TEMP TABLE staged (
    id INTEGER PRIMARY KEY, document INTEGER, start INTEGER, "end" INTEGER,
    line INTEGER, page INTEGER, heading TEXT, hash TEXT, segment INTEGER
)
"""


def reencode(
    store: Store,
    encoder: EncoderLike,
    options: Options,
    progress: Callable[[Progress], None] | None,
) -> Tally:
    """Replace all passages and vectors, and switch the settings, in one commit at the end.

    Readers see the old index until then. Interrupted, it has changed nothing, and starts anew.
    """
    tally = Tally()
    store.database.execute(STAGED)
    try:
        segments = _stage(store, encoder, tally, progress)
        old = list(manifest.live_segments(store))
        with store.transaction() as database:
            fulltext.clear(store.database)
            database.execute("DELETE FROM passages")
            manifest.mark_dead(store, old)
            _move_in(store, [manifest.add_segment(store, row) for row in segments])
            store.save(
                replace(
                    store.settings,
                    options=options,
                    fingerprint=encoder.fingerprint,
                    declaration=dict(encoder.declaration),
                    calibration=Calibration(),
                )
            )
    finally:
        store.database.execute("DROP TABLE staged")
    manifest.sweep(store)
    return tally


def _stage(
    store: Store,
    encoder: EncoderLike,
    tally: Tally,
    progress: Callable[[Progress], None] | None,
) -> list[SegmentRow]:
    """Fill the table `staged` and write the segments -> their rows, for `staged.segment` to count.

    A temporary table is a file of its own: the index is not locked while this goes on for hours.
    """
    segments: list[SegmentRow] = []
    waiting: list[tuple[int, str, str]] = []  # id, hash, text
    next_id = passages.next_id(store)

    def encode() -> None:
        vectors = _encoded(encoder, waiting, tally)
        ids = np.array([id for id, _, _ in waiting], np.int64)
        segments.append(write_segment(store, ids, vectors, encoder.fingerprint))
        waiting.clear()

    for key in documents.keys(store):
        document = documents.read(store, key)
        for passage in split(document, encoder.token_spans, encoder.room):
            text = encoded_text(document.title, passage.heading, passage.text)
            waiting.append((next_id, text_hash(text), text))
            _put(store, next_id, key, passage, text_hash(text), len(segments))
            next_id += 1
            if len(waiting) == SEGMENT_PASSAGES:
                encode()
        tally.updated += 1
        if progress:
            progress(Progress(0, None, tally.updated, tally.encoded))
    if waiting:
        encode()
    return segments


def _put(store: Store, id: int, key: int, passage: Passage, hash: str, segment: int) -> None:
    store.database.execute(
        "INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id,
            key,
            passage.start,
            passage.end,
            passage.line,
            passage.page,
            passage.heading,
            hash,
            segment,
        ),
    )


def _encoded(
    encoder: EncoderLike, waiting: list[tuple[int, str, str]], tally: Tally
) -> NDArray[np.float32]:
    """Vectors `[n, d]` of what waits; equal texts go through the encoder once."""
    texts = {hash: text for _, hash, text in waiting}
    hashes = list(texts)
    parts = []
    for start in range(0, len(hashes), SLICE):
        parts.append(encoder.encode_passages([texts[h] for h in hashes[start : start + SLICE]]))
        tally.encoded += len(parts[-1])
    tally.reused += len(waiting) - len(texts)
    place = {hash: row for row, hash in enumerate(hashes)}
    vectors: NDArray[np.float32] = np.concatenate(parts)[[place[h] for _, h, _ in waiting]]
    return vectors


def _move_in(store: Store, segments: list[int]) -> None:
    """Insert the staged passages with their full text, inside the transaction."""
    document: Document | None = None
    last = 0
    rows = store.database.execute("SELECT * FROM staged ORDER BY id")
    while some := rows.fetchmany(fulltext.TOGETHER):
        new = []
        for id, key, start, end, line, page, heading, hash, segment in some:
            if document is None or key != last:
                document, last = documents.read(store, key), key
            passage = Passage(start, end, document.text[start:end], line, page, heading)
            new.append(NewPassage(id, key, document.title, passage, hash, segments[segment]))
        passages.insert(store, new)
