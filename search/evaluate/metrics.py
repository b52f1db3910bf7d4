"""Metrics as trec_eval computes them; they are its own code, by way of pytrec_eval."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytrec_eval

from ...index.errors import UsageError

# Query id -> document id -> relevance; relevant from 1 up.
Qrels = dict[str, dict[str, int]]
# Query id -> document id -> score: what a TREC run file says.
Run = dict[str, dict[str, float]]

# How deep a run is where a metric looks at all of it: TREC's own limit.
WHOLE = 1000

# What the field calls it -> trec_eval's measure with a cut, and without where that makes sense.
# trec_eval has no MRR with a cut: it is the reciprocal rank of a run that ends there.
_MEASURES = {
    "nDCG": ("ndcg_cut", None),
    "Recall": ("recall", None),
    "MRR": ("recip_rank", "recip_rank"),
    "MAP": ("map_cut", "map"),
    "P": ("P", None),
    "Success": ("success", None),
}
_BY_FOLDED = {name.casefold(): name for name in _MEASURES}


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` at the cut `k`, the number of documents it looks at; None for all of them."""

    base: str
    k: int | None

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """`nDCG@10` -> nDCG at 10; upper or lower case. UsageError names the known ones.

        >>> Metric.parse("ndcg@10").name
        'nDCG@10'
        """
        found = re.fullmatch(r"([a-z]+)(?:@([1-9]\d{0,5}))?", text.strip().casefold())
        base = _BY_FOLDED.get(found[1]) if found else None
        if found is None or base is None or (found[2] is None and _MEASURES[base][1] is None):
            raise UsageError(
                f"no metric {text!r}: there are nDCG@k, Recall@k, MRR, MRR@k, MAP, MAP@k, P@k and"
                " Success@k, where k is a whole number from 1, as in nDCG@10"
            )
        return cls(base, int(found[2]) if found[2] else None)

    @property
    def name(self) -> str:
        """As it is shown: `nDCG@10`."""
        return self.base if self.k is None else f"{self.base}@{self.k}"

    @property
    def depth(self) -> int:
        """How many documents of a ranking it looks at."""
        return self.k or WHOLE


DEFAULT = tuple(map(Metric.parse, ("nDCG@10", "Recall@100", "MRR@10", "MAP@100")))


def measure(metric: Metric, qrels: Qrels, run: Run) -> dict[str, float]:
    """Query id -> value between 0 and 1, of every query in `qrels`, in its order.

    Gain is linear, as trec_eval's. A judged query that is not in `run` counts 0, as with
    `trec_eval -c`; a query that nobody judged does not count. Equal scores are ordered by document
    id, descending, and scores are compared in single precision: trec_eval's rules.
    """
    cut, whole = _MEASURES[metric.base]
    if metric.base == "MRR":
        measured = cut
        asked = {query: _first(run.get(query, {}), metric.k) for query in qrels}
    else:
        measured = whole if metric.k is None and whole else f"{cut}_{metric.k}"
        asked = {query: dict(run.get(query, {})) for query in qrels}
    found = pytrec_eval.RelevanceEvaluator(qrels, {measured}).evaluate(asked)
    return {query: float(found.get(query, {}).get(measured, 0.0)) for query in qrels}


def by_places(ranking: Sequence[str]) -> dict[str, float]:
    """Scores that put a ranking, best first and none twice, into the same order again."""
    return {document: float(len(ranking) - place) for place, document in enumerate(ranking)}


def ordered(scores: Mapping[str, float]) -> list[str]:
    """Document ids in trec_eval's order: by score in single precision, then by id, descending."""
    return sorted(scores, key=lambda id: (np.float32(scores[id]), id.encode()), reverse=True)


def _first(scores: Mapping[str, float], k: int | None) -> dict[str, float]:
    return dict(scores) if k is None else {id: scores[id] for id in ordered(scores)[:k]}
