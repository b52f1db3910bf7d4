"""Many small segments into few: one new file, and the old ones dead, in one transaction."""

from collections.abc import Iterator
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from . import vectors
from .errors import IndexDamaged
from .store import manifest
from .store.store import Store
from .types import SegmentRow
from .vectors import Segment

# Eight segments of one order of magnitude (in powers of eight) become one. So a passage is written
# again at most log8(n) times, and n passages stand in at most 7 log8(n) segments, and those that
# are full: a merge holds what it writes in memory, for 384 dimensions up to 100 MB, twice.
FANOUT = 8
FULL = 131_072  # passages
CHUNK = 16_384


def merge_small(store: Store) -> None:
    """Merge where eight segments of about one size have piled up, or half of one is deleted.

    No merge makes a segment of more than 131,072 passages.
    """
    while group := _due(_live_counts(store)):
        merge(store, group)


def merge_all(store: Store) -> None:
    """Merge all segments into one without tombstones; nothing where that is how it is."""
    counts = _live_counts(store)
    tombstones = store.database.execute("SELECT count(*) FROM tombstones").fetchone()[0]
    if len(counts) > 1 or tombstones:
        merge(store, list(counts))


def _live_counts(store: Store) -> dict[int, tuple[int, int]]:
    """Segment -> (passages that live, passages in the file)."""
    rows = store.database.execute(
        "SELECT id, passages - (SELECT count(*) FROM tombstones t WHERE t.segment = s.id), "
        "passages FROM segments s WHERE state = 'live' ORDER BY id"
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def _due(counts: dict[int, tuple[int, int]]) -> list[int]:
    """The next group to merge, empty where none is due.

    >>> _due({1: (10, 10), 2: (4, 10)})
    [2]
    >>> _due(dict.fromkeys(range(10), (40_000, 40_000)))
    [0, 1, 2]
    """
    levels: dict[int, list[int]] = {}
    for segment, (live, total) in counts.items():
        if 2 * live < total:
            return [segment]
        level = (max(live, 1).bit_length() - 1) // 3
        levels.setdefault(level, []).append(segment)
    for group in levels.values():
        if len(group) >= FANOUT:
            # The smallest first, so that as few as can be are written again.
            group.sort(key=lambda segment: counts[segment][0])
            sizes = accumulate(counts[segment][0] for segment in group)
            fitting = [segment for segment, size in zip(group, sizes, strict=True) if size <= FULL]
            if len(fitting) > 1:
                return sorted(fitting)
    return []


def merge(store: Store, group: list[int]) -> None:
    """Put what lives in these segments into one new one, and remove their files.

    Raises `IndexDamaged` where files and database do not agree on what lives.
    """
    rows = manifest.live_segments(store)
    merged = _write(store, group, [rows[segment] for segment in group])
    with store.transaction() as database:
        moved = 0
        new = manifest.add_segment(store, merged) if merged else None
        for segment in group:
            moved += database.execute(
                "UPDATE passages SET segment = ? WHERE segment = ?", (new, segment)
            ).rowcount
        if moved != (merged.passages if merged else 0):
            raise IndexDamaged(
                f"the segments of the index at {str(store.index)!r} hold other passages than its "
                "database says. Run `clsearch check --repair`."
            )
        manifest.mark_dead(store, group)
    manifest.sweep(store)


def _write(store: Store, group: list[int], rows: list[SegmentRow]) -> SegmentRow | None:
    """The merged segment, durable and in no manifest yet; None where nothing lives."""
    opened = [Segment.open(store.index, row) for row in rows]
    ids = np.sort(np.concatenate([segment.ids for segment in opened]))
    dead: set[int] = set()
    for segment in group:
        sql = "SELECT passage FROM tombstones WHERE segment = ?"
        dead.update(row[0] for row in store.database.execute(sql, (segment,)))
    ids = ids[~np.isin(ids, np.array(sorted(dead), np.int64))]
    if not len(ids):
        return None

    def chunks() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for start in range(0, len(ids), CHUNK):
            yield vectors.vectors(opened, ids[start : start + CHUNK])

    first = rows[0]
    kind = vectors.choose(len(ids))
    data = vectors.build(chunks(), first.dimension, kind)
    name, digest = manifest.write_segment(store.index, data)
    return SegmentRow(
        name,
        kind,
        len(ids),
        first.dimension,
        len(data),
        digest,
        vectors.FAISS_VERSION,
        first.fingerprint,
    )
