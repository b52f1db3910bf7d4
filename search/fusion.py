"""Reciprocal rank fusion: one ranking out of several, by ranks alone."""

from collections.abc import Sequence

K = 60


def reciprocal_rank(rankings: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """Fuse rankings of passage ids, each best first, into (passage id, score), best first.

    score(p) = (K + 1) / n * sum over the n rankings that hold p of 1 / (K + rank(p)), with K = 60
    and ranks counted from 1. The factor (K + 1) / n sets the score of a passage that every ranking
    has first to 1. Ties go to the smaller id.

    Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods, SIGIR 2009.

    >>> reciprocal_rank([[7, 8], [7]])
    [(7, 1.0), (8, 0.49193548387096775)]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            scores[passage] = scores.get(passage, 0.0) + 1 / (K + rank)
    scale = (K + 1) / max(1, len(rankings))
    fused = ((passage, scale * score) for passage, score in scores.items())
    return sorted(fused, key=lambda pair: (-pair[1], pair[0]))
