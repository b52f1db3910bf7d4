"""Search by words: passages ranked by BM25 over the terms of a query."""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import pairwise, starmap

import numpy as np
from numpy.typing import NDArray

from ..index.analysis import IDENTIFIER
from ..index.errors import IndexDamaged
from ..index.once import once
from ..index.store.fulltext import expected_bm25
from ..index.store.postings import Block
from ..index.store.snapshot import Snapshot
from .kept import Given, KeptTerms, Key
from .query import Query

Ids = NDArray[np.int64]
Scores = NDArray[np.float64]

K1, B = 1.2, 0.75  # those of FTS5


class Lexical:
    """The terms of one query, weighed by how rare they are in one commit of an index."""

    def __init__(self, snapshot: Snapshot, query: Query, kept: KeptTerms | None = None) -> None:
        """Look up how many passages have each of the query's terms.

        `kept` keeps what terms give to passages, where many queries are to come.
        """
        self._snapshot = snapshot
        self._kept = kept
        self._query = query
        self.frequencies = snapshot.frequencies([*query.terms, *query.whole])
        self._passages, self._length = snapshot.totals()
        # What each term gives to a passage that has it once.
        self.weights = {
            term: expected_bm25(self._passages, [self.frequencies[term]]) for term in query.terms
        }
        self._expected = sum(self.weights.values())

    def search(self, k: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` best (passage id, BM25) for any of the terms, best first, ties by id.

        Of the ids in `allowed` alone, ascending, where it is given.
        """
        k = min(k, sys.maxsize)
        best = _Best(k)
        for first, scores in self._blocks:
            best.take(first, scores, allowed)
        return best.found()

    def scores(self, passages: Sequence[int]) -> dict[int, float]:
        """Passage id -> BM25, of those of these passages that have any of the terms."""
        ids = np.array(passages, np.int64)
        found: dict[int, float] = {}
        for first, scores in self._blocks:
            inside = ids[(ids >= first) & (ids < first + len(scores))]
            known = scores[inside - first]
            some = known > 0
            found.update(zip(inside[some].tolist(), known[some].tolist(), strict=True))
        return found

    def coverage(self, bm25: float) -> float:
        """A BM25 as a share of what all the query's terms give, each once in a usual passage.

        So 1 means that the passage has, in effect, all of the words; many times, or in a short
        passage, they may give more. Terms that are nowhere in the index count at their full weight:
        a query in another language, or of unknown names, is not covered by the two words of it
        that happen to be known.
        """
        return bm25 / self._expected if self._expected else 0.0

    @once
    def _blocks(self) -> list[tuple[int, Scores]]:
        """(first id, BM25 of the passages from there on, 0.0 of those that have none of the terms).

        No id has a score in two of them.
        """
        terms = self._telling()
        if not terms:
            return []
        if not self._length:
            raise IndexDamaged(
                f"the index {str(self._snapshot.index)!r} has terms, and no passage that has any:"
                " run `clsearch check --repair`"
            )
        asked = _Asked(self._idf(terms), self._length / self._passages)
        snapshot, every = self._snapshot, None
        if self._kept:
            every = self._kept.sum(snapshot, asked.keys, partial(asked.given, snapshot))
        if every is not None:
            found = [(0, every)]
        else:
            found = [(of.first, asked.scores(of)) for of in snapshot.postings(terms)]
        if self._query.excluded:
            gone = snapshot.matched(" OR ".join(self._query.excluded))
            for first, scores in found:
                low, high = np.searchsorted(gone, (first, first + len(scores)))
                scores[gone[low:high] - first] = 0
        return found

    def _telling(self) -> list[str]:
        """The terms that are in some passages, and not in every second: that tells nothing.

        Rare ones first, words before what the query has whole. Where no term tells, all that are
        known: their idf is FTS5's least, 1e-6.
        """
        known = sorted(
            (term for term, found in self.frequencies.items() if found),
            key=self.frequencies.__getitem__,
        )
        telling = bisect_right(known, self._passages // 2, key=self.frequencies.__getitem__)
        return sorted(known[: telling or None], key=lambda term: term not in self.weights)

    def _idf(self, terms: Sequence[str]) -> dict[Key, float]:
        """(term, whether it counts where it is written as one word alone) -> its idf.

        A word that the query has whole is looked for there: where it stands joined, its parts are
        found already, and counted twice they cost more than they give.
        """
        whole = [term for term in terms if term not in self.weights]
        written = self._snapshot.written(
            [term for term in whole if not term.startswith(IDENTIFIER)]
        )
        counts = {**self.frequencies, **written}
        return {
            (term, term in written): expected_bm25(self._passages, [counts[term]]) for term in terms
        }


class _Asked:
    """BM25 as FTS5 has it, to the last bit, over blocks of postings.

    score = sum over terms of idf * f (k1 + 1) / (f + k1 (1 - b + b l / L)), with f how often the
    passage has the term, l how many terms it has, L the mean of l over all passages (Robertson and
    Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond, 2009, 3.5).
    """

    def __init__(self, idf: dict[Key, float], average: float) -> None:
        """`average` is the mean number of a passage's terms."""
        self.keys = list(idf)
        self._idf = idf
        self._average = average

    def scores(self, block: Block) -> Scores:
        """BM25 by id less the block's first: `[n]`; 0.0 where a passage has no term."""
        # Added up in the order of the terms, as FTS5 does.
        given = self._of(block, self.keys)
        scores = np.bincount(block.ids, given, len(block.lengths)).astype(np.float64, copy=False)
        scores[block.gone] = 0
        return scores

    def given(self, snapshot: Snapshot, keys: Sequence[Key]) -> list[Given]:
        """What each of these terms gives to passages."""
        ids: list[list[NDArray[np.int32]]] = [[] for _ in keys]
        scores: list[list[Scores]] = [[] for _ in keys]
        for block in snapshot.postings([term for term, _ in keys]):
            given = self._of(block, keys)
            given[np.isin(block.ids, block.gone)] = 0
            ends = np.searchsorted(block.terms, np.arange(len(keys) + 1))
            absolute = (block.ids + block.first).astype(np.int32)
            for place, own in enumerate(starmap(slice, pairwise(ends.tolist()))):
                ids[place].append(absolute[own])
                scores[place].append(given[own])
        nothing = Given(np.zeros(0, np.int32), np.zeros(0))
        return [
            Given(np.concatenate(of), np.concatenate(scores[place])) if of else nothing
            for place, of in enumerate(ids)
        ]

    def _of(self, block: Block, keys: Sequence[Key]) -> Scores:
        """What each posting gives: `[n]`."""
        often, written = block.counts, np.array([written for _, written in keys])
        if written.any():
            often = np.where(written[block.terms], block.written, often)
        length = K1 * (1 - B + B * block.lengths[block.ids] / self._average)
        idf = np.array([self._idf[key] for key in keys])
        given: Scores = idf[block.terms] * ((often * (K1 + 1.0)) / (often + length))
        return given


class _Best:
    """The `k` best of all blocks."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._ids = np.zeros(0, np.int64)
        self._scores = np.zeros(0)
        self._least = 0.0  # below it, nothing is among the best

    def take(self, first: int, scores: Scores, allowed: Ids | None) -> None:
        if allowed is None:
            least = max(self._least, _kth_best(scores, self._k))
            places = np.flatnonzero(scores >= least if least else scores > 0)
        else:
            low, high = np.searchsorted(allowed, (first, first + len(scores)))
            places = allowed[low:high] - first
            places = places[scores[places] > 0]
        self._ids = np.concatenate([self._ids, places + first])
        self._scores = np.concatenate([self._scores, scores[places]])
        if len(self._scores) > self._k:
            self._least = float(np.partition(self._scores, -self._k)[-self._k])
            kept = self._scores >= self._least
            self._ids, self._scores = self._ids[kept], self._scores[kept]

    def found(self) -> list[tuple[int, float]]:
        order = np.lexsort((self._ids, -self._scores))[: self._k]
        return list(zip(self._ids[order].tolist(), self._scores[order].tolist(), strict=True))


def _kth_best(scores: Scores, k: int) -> float:
    """What the `k`th best reaches at least: as much as the `k`th best of the best of each 64."""
    whole = len(scores) - len(scores) % 64
    best = scores[:whole].reshape(-1, 64).max(axis=1)
    return float(np.partition(best, -k)[-k]) if k <= len(best) else 0.0
