"""A hit: a passage that answers a query, with its document and scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..index.types import Json, Passage


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that answers a query.

    `rank` counts from 1. `score` orders the hits of one mode: the cosine (dense), BM25 (lexical,
    unbounded), or the fused reciprocal ranks between 0 and 1 (hybrid). `scores` holds what is known
    of "dense" (cosine) and "lexical" (BM25). `marks` are the spans [start, end) of `passage.text`,
    in code points, whose words match the query.
    """

    rank: int
    score: float
    document: str
    title: str
    passage: Passage
    scores: Mapping[str, float]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    marks: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Json]:
        """What `search --json` prints of a hit; scores to 6 decimals."""
        passage = self.passage
        return {
            "rank": self.rank,
            "score": round(self.score, 6),
            "document": self.document,
            "title": self.title,
            "passage": {
                "id": passage.id,
                "start": passage.start,
                "end": passage.end,
                "line": passage.line,
                "page": passage.page,
                "heading": passage.heading,
                "text": passage.text,
            },
            "scores": {name: round(score, 6) for name, score in self.scores.items()},
            "metadata": dict(self.metadata),
        }
