"""One query on one commit of an index: its candidates, scored by vectors, by words, or by both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ..index.once import once
from ..index.types import Json
from .commit import Commit
from .fusion import fuse
from .lexical import Ids, Lexical
from .query import Query
from .scale import Mode, scale

if TYPE_CHECKING:
    from .dense import Vectors

# How many passages each of the two rankings gives to a fusion, at least.
FUSED = 100


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage's id, its score between 0 and 1, and what is known of "dense" and "lexical"."""

    passage: int
    score: float
    scores: Mapping[str, float]
    explanation: Mapping[str, Json] = field(default_factory=dict)


class Ranking:
    """Ranks passages for a query. `vector` [d] is not None but in lexical mode."""

    def __init__(
        self,
        commit: Commit,
        query: Query,
        vector: Vectors | None,
        mode: Mode,
        row: int | None = None,
    ) -> None:
        """Candidates are what the filter of `commit` and the query's own marks let through.

        `row` says which of the vectors of `commit` is this one, where it has it: the query then has
        no marks.
        """
        self.snapshot = commit.snapshot
        self.times = commit.times
        self.query = query
        self.vector = vector
        self._commit = commit
        self._row = row
        self._mode = mode
        self._score = scale(mode, commit.snapshot.calibration)

    def best(self, depth: int) -> list[Ranked]:
        """The `depth` best passages, best first, ties by id; fewer where there are no more."""
        if self._mode == "lexical":
            return self._by_words(depth)
        return self._by_vectors(depth) if self._mode == "dense" else self._by_both(depth)

    def _by_words(self, depth: int) -> list[Ranked]:
        coverage = self.lexical.coverage
        return [
            Ranked(
                passage,
                self._score(coverage(bm25)),
                {"lexical": bm25},
                {"lexical_rank": place, "coverage": coverage(bm25)},
            )
            for place, (passage, bm25) in enumerate(self._lexical(depth), start=1)
        ]

    def _by_vectors(self, depth: int) -> list[Ranked]:
        return [
            Ranked(passage, self._score(cosine), {"dense": cosine}, {"dense_rank": place})
            for place, (passage, cosine) in enumerate(self._dense(depth), start=1)
        ]

    def _by_both(self, depth: int) -> list[Ranked]:
        from . import dense

        wanted = max(depth, FUSED)
        cosines = dict(self._dense(wanted))
        bm25 = dict(self._lexical(wanted))
        places = [
            ("dense_rank", {passage: place for place, passage in enumerate(cosines, start=1)}),
            ("lexical_rank", {passage: place for place, passage in enumerate(bm25, start=1)}),
        ]
        with self.times.stage("fusion"):
            assert self.vector is not None
            by_words = [passage for passage in bm25 if passage not in cosines]
            by_vectors = [passage for passage in cosines if passage not in bm25]
            cosines |= dense.cosines(self._commit.segments, self.vector, by_words)
            bm25 |= self.lexical.scores(by_vectors)
            coverages = {passage: self.lexical.coverage(score) for passage, score in bm25.items()}
            fused = fuse(cosines, coverages)
            best = sorted(fused, key=lambda passage: (-fused[passage], passage))[:depth]
        known = {"dense": cosines, "lexical": bm25}
        return [
            Ranked(
                passage,
                self._score(fused[passage]),
                {name: of[passage] for name, of in known.items() if passage in of},
                {
                    **{name: of[passage] for name, of in places if passage in of},
                    "coverage": coverages.get(passage, 0.0),
                    "fused": fused[passage],
                },
            )
            for passage in best
        ]

    def _dense(self, depth: int) -> list[tuple[int, float]]:
        from . import dense

        segments = self._commit.segments
        assert self.vector is not None
        with self.times.stage("dense"):
            if self._row is not None:
                return self._commit.nearest(self._row, depth)
            return dense.search(segments, self.vector, depth, self._excluded, self.allowed)

    def _lexical(self, depth: int) -> list[tuple[int, float]]:
        with self.times.stage("lexical"):
            return self.lexical.search(depth, self.allowed)

    @once
    def lexical(self) -> Lexical:
        """The query's terms in this commit."""
        return Lexical(self.snapshot, self.query, self._commit.kept)

    @once
    def allowed(self) -> Ids | None:
        """Ids of the passages that the filter and what the query requires let through; ascending.

        None where neither asks for anything.
        """
        allowed = self._commit.allowed
        if not self.query.required:
            return allowed
        import numpy as np

        with self.times.stage("filter"):
            for expression in self.query.required:
                found = self.snapshot.matched(expression)
                allowed = found if allowed is None else np.intersect1d(allowed, found, True)
        return allowed

    @once
    def _excluded(self) -> Ids:
        """Ids that a segment may hold and no search may find: of deleted passages, and excluded."""
        excluded = self._commit.tombstones
        if not self.query.excluded:
            return excluded
        import numpy as np

        with self.times.stage("filter"):
            for expression in self.query.excluded:
                excluded = np.union1d(excluded, self.snapshot.matched(expression))
        return excluded

    def explain(self) -> dict[str, Json]:
        """What was looked for, and how."""
        query = self.query
        said: dict[str, Json] = {
            "mode": self._mode,
            "text": query.text,
            "calibration": {
                name: round(value, 4) for name, value in asdict(self.snapshot.calibration).items()
            },
        }
        if self._mode != "dense":
            said["terms"] = dict(self.lexical.frequencies)
        if query.required or query.excluded:
            said["required"], said["excluded"] = list(query.required), list(query.excluded)
        if self.allowed is not None:
            said["filter"] = {"passages": len(self.allowed), "plan": self._plan()}
        if self._mode != "lexical":
            said["segments"] = [
                {"kind": segment.row.kind, "passages": segment.row.passages}
                for segment in self._commit.segments
            ]
        said["times_ms"] = {name: round(ms, 2) for name, ms in self.times.stages.items()}
        return said

    def _plan(self) -> str:
        if self._mode == "lexical" or self.allowed is None:
            return "words"
        from ..index.vectors import plan

        held = sum(segment.row.passages for segment in self._commit.segments)
        return plan(len(self.allowed), held)
