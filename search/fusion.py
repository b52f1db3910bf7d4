"""Fusion: one ranking out of vectors and words, each trusted as far as it has something to say."""

from collections.abc import Mapping


def fuse(cosines: Mapping[int, float], coverages: Mapping[int, float]) -> dict[int, float]:
    """Passage id -> fused score, of all passages in either.

    score(p) = 1/2 cosine(p) + 1/2 trust * coverage(p), with trust = min(1, max over p of coverage)

    `cosines` are those of the query and a passage, `coverages` the shares of the query's words that
    a passage has (`Lexical.coverage`), both near 1 where a passage says the query itself. What is
    missing counts 0. A convex combination of scores ranks better than reciprocal ranks and needs
    little tuning where its parts are on scales of their own, not on those of each query's results
    (Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid Retrieval, ACM TOIS 2023). Here
    each part also falls silent where it knows nothing: a query whose words are nowhere, or one of
    which the best passage has a tenth, is decided by vectors (trust goes with the best coverage);
    an identifier, which no vector understands, by the one passage that covers it. The weights are
    equal, and no number is fitted to a collection.

    >>> fuse({7: 0.5, 8: 0.75}, {7: 0.5})
    {7: 0.375, 8: 0.375}
    """
    trust = min(1.0, max(coverages.values(), default=0.0))
    return {
        passage: 0.5 * cosines.get(passage, 0.0) + 0.5 * trust * coverages.get(passage, 0.0)
        for passage in [*cosines, *(other for other in coverages if other not in cosines)]
    }
