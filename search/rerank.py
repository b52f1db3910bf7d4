"""Reranking: the best candidates in the order of a model that reads query and passage together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp
from typing import TYPE_CHECKING, Protocol

from ..index.passages import encoded_text
from .hits import stored_of
from .ranking import Ranked, Ranking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# So many of the best passages are read again. A cross-encoder of 22M parameters takes some 40 ms
# for each, on one core.
RERANKED = 30


class PairScorer(Protocol):
    """What gives scores to pairs: `CrossEncoder`, or your own."""

    @property
    def bounded(self) -> bool:
        """Whether every score lies between 0 and 1."""

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers the query, float32 [n]: the more, the better."""


def rerank(
    scorer: PairScorer, query: str, candidates: Sequence[tuple[int, str]]
) -> list[tuple[int, float]]:
    """Candidates (passage id, text), best first, to (passage id, score) in the scorer's order.

    Passages of one score keep the order that they came in.

    Nogueira, Cho: Passage Re-ranking with BERT, 2019.
    """
    scores = scorer.scores(query, [text for _, text in candidates]).tolist()
    scored = [(passage, score) for (passage, _), score in zip(candidates, scores, strict=True)]
    return sorted(scored, key=lambda pair: -pair[1])


class Remembered:
    """A scorer that remembers what it has scored, so that it can read before it is asked."""

    def __init__(self, scorer: PairScorer) -> None:
        """Nothing read yet."""
        self._scorer = scorer
        self._scores: dict[tuple[str, str], float] = {}
        self.bounded = scorer.bounded

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the scorer's; it is asked for those texts alone that it has not read."""
        import numpy as np

        known = self._scores
        fresh = list(dict.fromkeys(text for text in texts if (query, text) not in known))
        if fresh:
            scores = self._scorer.scores(query, fresh).tolist()
            known.update(((query, text), score) for text, score in zip(fresh, scores, strict=True))
        return np.array([known[query, text] for text in texts], np.float32)


def candidates(ranking: Ranking) -> list[tuple[int, str]]:
    """The best RERANKED passages (id, text): each as the encoder reads it, below what is above."""
    found = ranking.best(RERANKED)
    stored = stored_of(ranking.snapshot, found)
    return [
        (id, encoded_text(of.title, of.passage.heading, of.passage.text))
        for id, of in ((one.passage, stored[one.passage]) for one in found)
    ]


def reranking(scorer: PairScorer, ranking: Ranking) -> Callable[[int], list[Ranked]]:
    """What gives the best passages to a depth: RERANKED in the scorer's order, then the others.

    The scorer's score is that of the hit, through 1 / (1 + e^-x) where it is not bounded; those
    that it did not read keep their order, and score no more than the last that it read.
    """
    known = {one.passage: one for one in ranking.best(RERANKED)}
    head = []
    for passage, raw in rerank(scorer, ranking.query.text, candidates(ranking)):
        score = raw if scorer.bounded else 1 / (1 + exp(-max(raw, -500.0)))
        one = known[passage]
        head.append(replace(one, score=score, scores={**one.scores, "rerank": raw}))

    def best(depth: int) -> list[Ranked]:
        if depth <= len(head) or len(head) < RERANKED:
            return head[:depth]
        rest = [one for one in ranking.best(depth) if one.passage not in known]
        lowest = head[-1].score
        return [*head, *(replace(one, score=min(one.score, lowest)) for one in rest)][:depth]

    return best
