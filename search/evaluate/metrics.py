"""Metrics as trec_eval computes them, of rankings of documents."""

from collections.abc import Mapping, Sequence

import pytrec_eval

# What the field calls it -> (trec_eval's measure, the depth at which the run is cut before it).
# trec_eval has no MRR@10: it is the reciprocal rank over a run that ends after ten.
_MEASURES = {
    "nDCG@10": ("ndcg_cut_10", 100),
    "Recall@100": ("recall_100", 100),
    "MRR@10": ("recip_rank", 10),
    "MAP@100": ("map_cut_100", 100),
}
DEPTH = max(depth for _, depth in _MEASURES.values())


def measure(
    qrels: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """nDCG@10, Recall@100, MRR@10 and MAP@100: means over every judged query, between 0 and 1.

    `qrels` is query id -> document id -> relevance (linear gain, relevant from 1 up), `rankings`
    query id -> document ids, best first, none twice. A judged query without a ranking counts 0, as
    with `trec_eval -c`.
    """
    judged = {query: dict(judgments) for query, judgments in qrels.items()}
    means = {}
    for name, (measured, depth) in _MEASURES.items():
        # trec_eval breaks ties by document id, so every rank gets a score of its own.
        run = {
            query: {
                document: float(depth - place)
                for place, document in enumerate(rankings.get(query, ())[:depth])
            }
            for query in judged
        }
        per_query = pytrec_eval.RelevanceEvaluator(judged, {measured}).evaluate(run)
        total = sum(per_query.get(query, {}).get(measured, 0.0) for query in judged)
        means[name] = total / len(judged)
    return means
