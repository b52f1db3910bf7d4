"""A hit: a passage that answers a query, with its document and scores; and the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..index.types import Json, Passage

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that answers a query.

    `rank` counts from 1. `score` orders the hits, between 0 and 1; a `weak` one, below 1/2, is no
    nearer to the query than this index comes to a text that means nothing (`scale`); none is weak
    in an index that was not measured yet, or by a reranker's score. `scores` holds what is known of
    "dense" (cosine), "lexical" (BM25) and "rerank" (the reranker's own).

    `marks` are the spans [start, end) of `passage.text`, in code points, whose words match the
    query, `sentence` that of the sentence that answers best. `duplicates` are the ids of documents
    that say nearly the same, and are not shown again. `more` are further passages of the document,
    best first, where hits are grouped by document. `explanation` says how the score came about.
    """

    rank: int
    score: float
    document: str
    title: str
    passage: Passage
    scores: Mapping[str, float]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    marks: tuple[Span, ...] = ()
    sentence: Span = (0, 0)
    weak: bool = False
    duplicates: tuple[str, ...] = ()
    more: tuple[Hit, ...] = ()
    explanation: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self, explain: bool = False) -> dict[str, Json]:
        """What `search --json` prints of a hit; scores to 6 decimals.

        As those of the passage, the offsets of the sentence and the marks count code points of the
        document.
        """
        passage, (start, end) = self.passage, self.sentence
        shown: dict[str, Json] = {
            "rank": self.rank,
            "score": round(self.score, 6),
            "weak": self.weak,
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
            "sentence": {
                "start": passage.start + start,
                "end": passage.start + end,
                "text": passage.text[start:end],
            },
            "marks": [[passage.start + low, passage.start + high] for low, high in self.marks],
            "scores": {name: round(score, 6) for name, score in self.scores.items()},
            "metadata": dict(self.metadata),
            "duplicates": list(self.duplicates),
        }
        if self.more:
            shown["more"] = [hit.to_json(explain) for hit in self.more]
        if explain:
            shown["explanation"] = dict(self.explanation)
        return shown


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits for a query, and how they came about: what was asked, the plan, the times."""

    hits: list[Hit]
    explanation: Mapping[str, Json]
