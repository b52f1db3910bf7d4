"""Search by words: passages ranked by BM25 over the terms of a query."""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..index.analysis import IDENTIFIER
from ..index.store.fulltext import expected_bm25, match_any
from ..index.store.snapshot import Snapshot
from .bm25 import Asked, score
from .query import Query

Ids = NDArray[np.int64]

# The cost of BM25 grows with the postings of the query's terms. Beyond so many, the most frequent
# terms find no passages of their own, where the rarer ones find enough: they only score again the
# best of those. Down to 200 nDCG@10 on SciFact does not fall; at 5,000 it takes a third of the time
# over 200,000 passages (benchmarks/postings.py).
MOST_POSTINGS = 5_000
SCORED_AGAIN = 1_000


class Lexical:
    """The terms of one query, weighed by how rare they are in one commit of an index."""

    def __init__(self, snapshot: Snapshot, query: Query) -> None:
        """Look up how many passages have each of the query's terms."""
        self._snapshot = snapshot
        self._excluded = query.excluded
        self.frequencies = snapshot.frequencies([*query.terms, *query.whole])
        known = (term for term, found in self.frequencies.items() if found)
        self._known = sorted(known, key=self.frequencies.__getitem__)
        self._postings = list(accumulate(self.frequencies[term] for term in self._known))
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
        k = min(k, sys.maxsize)  # SQLite's largest number, too
        if not self._known or (allowed is not None and not len(allowed)):
            return []
        # Where they find too few, twice the postings are allowed: all rounds together cost no more
        # than twice the last.
        most = MOST_POSTINGS
        while (leading := max(1, bisect_right(self._postings, most))) < len(self._known):
            found = self._match(self._known[:leading], max(k, SCORED_AGAIN), allowed)
            if len(found) >= k:
                return self._scored(passage for passage, _ in found)[:k]
            most = max(2 * most, self._postings[leading])
        return self._match(self._known, k, allowed)

    def scores(self, passages: Sequence[int]) -> dict[int, float]:
        """Passage id -> BM25, of those of these passages that have any of the terms."""
        if self._known and len(passages) and self._excluded:
            gone = self._snapshot.matched(" OR ".join(self._excluded))
            passages = np.setdiff1d(np.array(passages, np.int64), gone).tolist()
        return dict(self._scored(passages)) if self._known else {}

    def coverage(self, bm25: float) -> float:
        """A BM25 as a share of what all the query's terms give, each once in a usual passage.

        So 1 means that the passage has, in effect, all of the words; many times, or in a short
        passage, they may give more. Terms that are nowhere in the index count at their full weight:
        a query in another language, or of unknown names, is not covered by the two words of it
        that happen to be known.
        """
        return bm25 / self._expected if self._expected else 0.0

    def _scored(self, passages: Iterable[int]) -> list[tuple[int, float]]:
        """Those of these passages that have any of the terms, from the terms they have."""
        average = self._length / self._passages
        found = (
            (passage, score(self._asked, average, written, whole))
            for passage, written, whole in self._snapshot.terms([*passages])
        )
        return sorted((one for one in found if one[1]), key=lambda one: (-one[1], one[0]))

    @cached_property
    def _asked(self) -> list[Asked]:
        """The known terms and their idf, in the order of `_match`'s expression."""
        terms, whole = self._parted(self._known)
        written = self._snapshot.written(
            [term for term in whole if not term.startswith(IDENTIFIER)]
        )
        counts = {**self.frequencies, **written}
        return [
            Asked(term, expected_bm25(self._passages, [counts[term]]), term in written)
            for term in (*terms, *whole)
        ]

    def _parted(self, known: Sequence[str]) -> tuple[list[str], list[str]]:
        """The query's words among these terms, and what it has whole."""
        words = [term for term in known if term in self.weights]
        return words, [term for term in known if term not in self.weights]

    def _match(self, terms: Sequence[str], k: int, allowed: Ids | None) -> list[tuple[int, float]]:
        expression = match_any(*self._parted(terms))
        if self._excluded:
            expression = f"({expression}) NOT ({' OR '.join(self._excluded)})"
        return self._snapshot.match(expression, k, allowed)
