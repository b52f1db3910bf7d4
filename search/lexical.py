"""Search by words: passages ranked by BM25 over the terms of a query."""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..index.analysis import IDENTIFIER
from ..index.once import once
from ..index.store.fulltext import as_written, expected_bm25, match_any, quoted
from ..index.store.snapshot import Snapshot
from .bm25 import Asked, score
from .postings import Postings, Scores, best, summed
from .query import Query

Ids = NDArray[np.int64]

# FTS5's time grows with the postings of a query's terms. Beyond so many, or so large a share of the
# passages, only the rarest find passages; the others score again the best of those.
# benchmarks/lexical.py measures what that saves, and that nDCG@10 does not fall.
MOST_POSTINGS = 20_000
SHARE = 25  # one of so many passages
ALONE = 50  # terms with one of so many of those postings find passages without a second term
PAIRED = 16  # terms at most: each two of them are looked for
SCORED_AGAIN = 200


class Lexical:
    """The terms of one query, weighed by how rare they are in one commit of an index."""

    def __init__(self, snapshot: Snapshot, query: Query, postings: Postings | None = None) -> None:
        """Look up how many passages have each of the query's terms.

        `postings` keeps those of the terms that are asked for, where many queries are to come.
        """
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
        # What is in every second passage tells nothing: its idf is FTS5's least, 1e-6.
        telling = bisect_right(self._known, self._passages // 2, key=self.frequencies.__getitem__)
        asked = self._postings[telling - 1] if telling else 0
        kept = postings is not None and telling and postings.ready(snapshot, asked)
        self._kept = postings if kept else None
        self._telling = self._known[:telling]

    def search(self, k: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` best (passage id, BM25) for any of the terms, best first, ties by id.

        Of the ids in `allowed` alone, ascending, where it is given.
        """
        k = min(k, sys.maxsize)  # SQLite's largest number, too
        if not self._known or (allowed is not None and not len(allowed)):
            return []
        if self._kept:
            found = best(self._every, k, allowed)
            if len(found) >= k:
                return found
        most = max(MOST_POSTINGS, self._passages // SHARE)
        if self._postings[-1] > most:
            found = self._paired(most, max(k, SCORED_AGAIN), allowed)
            if len(found) >= k:
                return self._scored(passage for passage, _ in found)[:k]
        # Where they find too few, twice the postings are allowed: all rounds together cost no more
        # than twice the last.
        while (leading := max(1, bisect_right(self._postings, most))) < len(self._known):
            found = self._match(self._known[:leading], max(k, SCORED_AGAIN), allowed)
            if len(found) >= k:
                return self._scored(passage for passage, _ in found)[:k]
            most = max(2 * most, self._postings[leading])
        return self._match(self._known, k, allowed)

    def _paired(self, most: int, k: int, allowed: Ids | None) -> list[tuple[int, float]]:
        """The `k` best by the rarest terms, up to `most` postings, of passages with two of them.

        Or with one that is in few passages. To find them costs FTS5 a fraction of what it costs to
        rank all that have any of the terms.
        """
        rarest = self._known[: min(PAIRED, bisect_right(self._postings, most))]
        alone = rarest[: bisect_right(self._postings, most // ALONE)]
        each = [match_any(*self._parted([term])) for term in rarest]
        either = each[: len(alone)]
        for place, term in enumerate(each[:-1], start=1):
            either.append(f"({term} AND ({' OR '.join(each[place:])}))")
        if not either:
            return []
        found = self._snapshot.matched(self._without_excluded(" OR ".join(either)))
        if allowed is not None:
            found = np.intersect1d(found, allowed, assume_unique=True)
        return self._match(rarest, k, found) if len(found) else []

    def scores(self, passages: Sequence[int]) -> dict[int, float]:
        """Passage id -> BM25, of those of these passages that have any of the terms."""
        if self._kept:
            every = self._every
            inside = (passage for passage in passages if passage < len(every))
            return {passage: float(every[passage]) for passage in inside if every[passage]}
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

    @once
    def _every(self) -> Scores:
        """The BM25 of every passage, by its id, from the postings that are kept; `[n]`."""
        assert self._kept is not None
        words, whole = self._parted(self._telling)
        expressions = [*map(quoted, words), *map(as_written, whole)]
        every = summed([self._kept.of(self._snapshot, expression) for expression in expressions])
        if self._excluded:
            gone = self._snapshot.matched(" OR ".join(self._excluded))
            every[gone[: np.searchsorted(gone, len(every))]] = 0
        return every

    @once
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
        expression = self._without_excluded(match_any(*self._parted(terms)))
        return self._snapshot.match(expression, k, allowed)

    def _without_excluded(self, expression: str) -> str:
        if not self._excluded:
            return expression
        return f"({expression}) NOT ({' OR '.join(self._excluded)})"
