"""Reranking: the best candidates in the order of a model that reads query and passage together."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PairScorer(Protocol):
    """What gives scores to pairs: `CrossEncoder`, or your own."""

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
