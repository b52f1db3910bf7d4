"""The metrics against arithmetic done by hand."""

from math import log2

import pytest

from clsearch.search.evaluate.metrics import DEPTH, measure


def filled(document: str, rank: int) -> list[str]:
    """A ranking with `document` at `rank`, and others that nobody judged."""
    ranking = [f"other{n}" for n in range(150)]
    ranking.insert(rank - 1, document)
    return ranking


def test_one_query_by_hand() -> None:
    """Graded judgments, one of them 0, one relevant document not found."""
    qrels = {"q": {"d1": 2, "d2": 1, "d3": 0, "d4": 1}}
    measured = measure(qrels, {"q": ["d3", "d1", "d9", "d4"]})
    gained = 2 / log2(3) + 1 / log2(5)
    ideal = 2 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert measured == pytest.approx(
        {
            "nDCG@10": gained / ideal,
            "Recall@100": 2 / 3,
            "MRR@10": 1 / 2,
            "MAP@100": (1 / 2 + 2 / 4) / 3,
        }
    )


def test_the_order_of_the_ranking_counts_not_that_of_ids() -> None:
    """trec_eval sorts equal scores by id, descending: no two scores may be equal."""
    for ranking in (["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]):
        measured = measure({"q": {"b": 1}}, {"q": ranking})
        assert measured["MRR@10"] == pytest.approx(1 / (ranking.index("b") + 1))


@pytest.mark.parametrize(
    ("rank", "ndcg", "recall", "mrr", "map_"),
    [
        (1, 1, 1, 1, 1),
        (10, 1 / log2(11), 1, 1 / 10, 1 / 10),
        (11, 0, 1, 0, 1 / 11),
        (100, 0, 1, 0, 1 / 100),
        (101, 0, 0, 0, 0),
    ],
)
def test_cuts(rank: int, ndcg: float, recall: float, mrr: float, map_: float) -> None:
    """Ten for nDCG and MRR, a hundred for recall and MAP."""
    measured = measure({"q": {"d": 1}}, {"q": filled("d", rank)})
    assert list(measured.values()) == pytest.approx([ndcg, recall, mrr, map_])


def test_mean_is_over_all_judged_queries() -> None:
    """One right at once, one at the second place, one never asked, one with nothing found."""
    qrels = {q: {"d": 1} for q in ("q1", "q2", "q3", "q4")}
    measured = measure(qrels, {"q1": ["d"], "q2": ["x", "d"], "q4": [], "unjudged": ["d"]})
    assert measured["MRR@10"] == pytest.approx((1 + 1 / 2) / 4)
    assert measured["Recall@100"] == pytest.approx(2 / 4)
    assert measured["nDCG@10"] == pytest.approx((1 + 1 / log2(3)) / 4)


def test_depth_is_what_the_metrics_look_at() -> None:
    """Recall@100 needs a hundred documents."""
    assert DEPTH == 100
