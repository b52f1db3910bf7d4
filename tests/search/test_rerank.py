"""Reranking: the scorer's order, and nothing else."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clsearch.search.rerank import rerank


class Shared:
    """Scores a text by the letters it shares with the query; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append((query, list(texts)))
        return np.array([len(set(query) & set(text)) / 4 for text in texts], dtype=np.float32)


def test_the_order_is_the_scorers() -> None:
    scorer = Shared()
    candidates = [(7, "x"), (3, "jade"), (9, "ja")]
    assert rerank(scorer, "jade", candidates) == [(3, 1.0), (9, 0.5), (7, 0.0)]
    assert scorer.asked == [("jade", ["x", "jade", "ja"])]


def test_equal_scores_keep_their_order() -> None:
    candidates = [(9, "j"), (2, "a"), (5, "jade"), (1, "d")]
    assert [passage for passage, _ in rerank(Shared(), "jade", candidates)] == [5, 9, 2, 1]


def test_no_candidates() -> None:
    assert rerank(Shared(), "jade", []) == []
