"""Search by vectors over the segments of an index: exact with a filter, else as their kinds are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..index import vectors
from ..index.vectors import Segment

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


def search(
    segments: Sequence[Segment],
    query: Vectors,
    k: int,
    excluded: Ids,
    allowed: Ids | None = None,
) -> list[tuple[int, float]]:
    """The `k` best (passage id, inner product with the query [d]), best first, ties by id.

    Passages whose id is in `excluded` are no candidates, nor is one that is not in `allowed` where
    that is given (ascending). Fewer than `k` where there are no more; `vectors.plan` says how the
    allowed ones are gone through.
    """
    [found] = search_many(segments, [query], k, excluded, allowed)
    return found


def search_many(
    segments: Sequence[Segment],
    queries: Sequence[Vectors],
    k: int,
    excluded: Ids,
    allowed: Ids | None = None,
) -> list[list[tuple[int, float]]]:
    """As `search`, for each of several queries [d], which go through the segments together."""
    k = min(k, sum(segment.row.passages for segment in segments))  # room is made for all k
    scores, ids = vectors.search(segments, np.stack(queries), k, excluded, allowed)
    return [
        [(passage, score) for passage, score in zip(*row, strict=True) if passage >= 0]
        for row in zip(ids.tolist(), scores.tolist(), strict=True)
    ]


def similar(
    segments: Sequence[Segment],
    passages: Sequence[int],
    k: int,
    excluded: Ids,
    allowed: Ids | None = None,
) -> list[tuple[int, float]]:
    """The `k` best (passage id, mean cosine to `passages`), themselves excluded too.

    The inner product with the mean of their vectors is the mean of their cosines, so the mean is
    left at its length. Nothing where no segment holds them yet.
    """
    own, found = vectors.vectors(segments, np.array(passages, np.int64))
    if not len(own):
        return []
    return search(segments, found.mean(axis=0), k, np.union1d(excluded, own), allowed)


def cosines(
    segments: Sequence[Segment], query: Vectors, passages: Sequence[int]
) -> dict[int, float]:
    """Passage id -> cosine to the query [d], of those passages that a segment holds."""
    ids, found = vectors.vectors(segments, np.array(passages, np.int64))
    return dict(zip(ids.tolist(), (found @ query).tolist(), strict=True)) if len(ids) else {}
