"""Many small segments into few: one new file, and the old ones dead, in one transaction."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from . import vectors
from .errors import IndexDamaged
from .files import segment_path
from .store import manifest
from .store.store import Store
from .types import SegmentRow
from .vectors import Recall, Segment
from .vectors.kinds import FIRST, FLAT_FP16, NAMES, Kind, Name, best, default_recall, is_small_tail

# Eight segments of one order of magnitude (in powers of eight) become one. So a passage is written
# again at most log8(n) times, and n passages stand in at most 7 log8(n) segments, and those that
# are full: a merge holds what it writes in memory, for 384 dimensions up to 100 MB, twice.
FANOUT = 8
FULL = 131_072  # passages
CHUNK = 16_384


def merge_small(store: Store) -> None:
    """Merge where eight segments of about one size have piled up, or half of one is deleted.

    Flat ones only: what `optimize` has made of many passages takes minutes to make again. No merge
    makes one of more than 131,072 passages.
    """
    while group := _due(_live_counts(store, flat=True)):
        merge(store, group)


def optimize(store: Store, name: Name | None = None, target: float | None = None) -> Recall | None:
    """Put all passages into one segment of the kind `name`, and no tombstones.

    Without a name: of the kind that most of them have, else by size. A compact or fast segment that
    holds nearly all of them stays (`kinds.is_small_tail`); the flat ones beside it become one.
    `target` is the recall@10 that a compact or fast one is tuned to: without one, where it is
    made, to `kinds.default_recall`. -> the recall that was measured where one was tuned.
    """
    counts, flat = _live_counts(store), _live_counts(store, flat=True)
    passages = sum(live for live, _ in counts.values())
    made = {id: Kind.parse(row.kind) for id, row in manifest.live_segments(store).items()}
    largest = max(made.keys() - flat.keys(), key=lambda id: counts[id], default=None)
    if name is not None:
        structure = NAMES[name]
    else:
        structure = made[largest].renewed if largest is not None else best(passages)
    if largest is not None and made[largest].structure == structure:
        live, total = counts[largest]
        rest = total - live + passages - live
        if len(counts) == len(flat) + 1 and is_small_tail(rest, passages):
            if len(flat) > 1 or any(live < total for live, total in flat.values()):
                merge(store, list(flat))
            return _tune_again(store, largest, target) if target else None
    same = len(counts) == 1 and all(live == total for live, total in counts.values())
    if not counts or (same and structure == FLAT_FP16 == made[min(made)].structure):
        return None
    return merge(store, list(counts), structure, target or default_recall(passages))


def _live_counts(store: Store, flat: bool = False) -> dict[int, tuple[int, int]]:
    """Segment -> (passages that live, passages in the file); of flat ones only, if so asked."""
    rows = store.database.execute(
        "SELECT id, passages - (SELECT count(*) FROM tombstones t WHERE t.segment = s.id), "
        "passages FROM segments s WHERE state = 'live' AND (kind = ? OR NOT ?) ORDER BY id",
        (FLAT_FP16, flat),
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


def merge(
    store: Store, group: list[int], structure: str = FLAT_FP16, target: float = 1.0
) -> Recall | None:
    """Put what lives in these segments into a new one, tuned to `target`, and remove their files.

    -> the recall@10 that was measured, None of a flat one. Raises `IndexDamaged` where files and
    database do not agree on what lives.
    """
    rows = manifest.live_segments(store)
    merged, recall = _write(store, group, [rows[segment] for segment in group], structure, target)
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
    return recall


def _write(
    store: Store, group: list[int], rows: list[SegmentRow], structure: str, target: float
) -> tuple[SegmentRow | None, Recall | None]:
    """The merged segment, durable and in no manifest yet; None where nothing lives."""
    opened = [Segment.open(store.index, row) for row in rows]
    ids = np.sort(np.concatenate([segment.ids for segment in opened]))
    dead: set[int] = set()
    for segment in group:
        sql = "SELECT passage FROM tombstones WHERE segment = ?"
        dead.update(row[0] for row in store.database.execute(sql, (segment,)))
    ids = ids[~np.isin(ids, np.array(sorted(dead), np.int64))]
    if not len(ids):
        return None, None

    def chunks() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for start in range(0, len(ids), CHUNK):
            yield vectors.vectors(opened, ids[start : start + CHUNK])

    first, kind = rows[0], FIRST[structure]
    pieces = vectors.pieces(chunks, len(ids), first.dimension, str(kind))
    name, digest = manifest.write_segment(store.index, pieces)
    made = SegmentRow(
        name,
        str(kind),
        len(ids),
        first.dimension,
        segment_path(store.index, name).stat().st_size,
        digest,
        vectors.FAISS_VERSION,
        first.fingerprint,
    )
    if kind.exact:
        return made, None
    kind, recall = vectors.tune(Segment.open(store.index, made), target)
    return replace(made, kind=str(kind)), recall


def _tune_again(store: Store, segment: int, target: float) -> Recall:
    """Search a segment otherwise than before; its file stays as it is."""
    row = manifest.live_segments(store)[segment]
    kind, recall = vectors.tune(Segment.open(store.index, row), target)
    with store.transaction() as database:
        database.execute("UPDATE segments SET kind = ? WHERE id = ?", (str(kind), segment))
    return recall
