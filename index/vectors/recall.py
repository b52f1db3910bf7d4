"""recall@10 of a search, on queries that the index holds itself; and parameters tuned to it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kinds import HNSW_FP16, Kind
from .search import Found, scan, vectors
from .segment import Segment

K = 10
# A passage is found where another of the same cosine stands in its place: float32 rounds so far.
EQUAL = 1e-6
TUNED_WITH = 500  # passages; the recall that they measure has a standard error below 0.005
EFFORTS = tuple(round(2 ** (step / 2)) for step in range(4, 23))  # 4, 6, 8, 11, 16, … 2048
REFINES = (5, 10, 20, 40, 80)

Search = Callable[[NDArray[np.float32], int], Found]


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean recall@10 over `queries` passages, and its standard error."""

    mean: float
    error: float
    queries: int


class Probes:
    """Passages of the index, asked for what is next to them, and the exact answers.

    A passage itself is no answer.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        excluded: NDArray[np.int64],
        count: int,
        seed: int = 0,
    ) -> None:
        """Draw up to `count` passages that are not in `excluded`, and scan for their neighbours."""
        generator = np.random.default_rng(seed)
        sizes = np.array([segment.row.passages for segment in segments])
        drawn = []
        for segment, size in zip(segments, sizes, strict=True):
            share = math.ceil(count * size / sizes.sum())
            places = generator.choice(size, min(share, int(size)), replace=False)
            drawn.append(segment.ids_at(np.sort(places)))
        ids = np.setdiff1d(np.concatenate(drawn) if drawn else np.array([], np.int64), excluded)
        kept = np.sort(generator.permutation(ids)[:count])
        self.own, self.queries = vectors(segments, kept)
        scores, found = scan(segments, self.queries, K + 1, excluded)
        self._exact = self._others(scores, found)

    def recall(self, search: Search) -> Recall:
        """How much of the exact answers a search finds: (queries `[n, d]`, k) -> scores, ids."""
        found = self._others(*search(self.queries, K + 1))
        there = np.isfinite(self._exact)
        hits = (
            (found >= self._exact.min(axis=1, keepdims=True, where=there, initial=1) - EQUAL)
            & np.isfinite(found)
        ).sum(axis=1)
        shares = hits / np.maximum(there.sum(axis=1), 1)
        shares = np.minimum(shares, 1)[there.any(axis=1)]
        if not len(shares):
            return Recall(1.0, 0.0, 0)
        return Recall(
            float(shares.mean()), float(shares.std() / math.sqrt(len(shares))), len(shares)
        )

    def _others(self, scores: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The ten best scores but that of the passage itself."""
        order = np.argsort(ids == self.own[:, np.newaxis], axis=1, kind="stable")[:, :K]
        return np.take_along_axis(scores, order, axis=1)


def tune(segment: Segment, target: float) -> tuple[Kind, Recall]:
    """The least effort, then the fewest candidates, that find `target` of the ten best.

    Where none do, the most there are. An exact kind is as it is.
    """
    none = np.array([], np.int64)
    probes = Probes([segment], none, TUNED_WITH)

    def measured(effort: int, refine: int) -> Recall:
        segment.kind = kind.at(effort, refine)
        return probes.recall(lambda queries, k: segment.search(queries, k, none))

    kind = segment.kind
    if kind.exact:
        return kind, measured(0, 1)
    refines = (1,) if kind.structure == HNSW_FP16 else REFINES
    efforts = [effort for effort in EFFORTS if effort <= segment.most_effort]
    # The recall grows with the effort: halve the range of those that may be the least.
    for refine in refines[2:] or refines:
        low, high = 0, len(efforts) - 1
        while low < high:
            middle = (low + high) // 2
            if measured(efforts[middle], refine).mean >= target:
                high = middle
            else:
                low = middle + 1
        effort = efforts[low]
        found = measured(effort, refine)
        if found.mean >= target:
            break
    for fewer in [some for some in reversed(refines) if some < refine]:
        if (less := measured(effort, fewer)).mean < target:
            break
        refine, found = fewer, less
    segment.kind = kind.at(effort, refine)
    return segment.kind, found
