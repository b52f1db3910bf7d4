"""The metrics against arithmetic done by hand, and a frozen run against frozen values."""

import json
from math import log2
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.errors import UsageError
from clsearch.search.evaluate.metrics import DEFAULT, WHOLE, Metric, by_places, measure, ordered
from clsearch.search.evaluate.runs import read_run
from clsearch.search.evaluate.trec import read_qrels

NAMES = "nDCG@10 nDCG@3 Recall@100 Recall@2 MRR MRR@10 MRR@1 MAP MAP@100 MAP@2 P@5 Success@1"


def value(name: str, judged: dict[str, int], ranking: list[str]) -> float:
    """A metric of one query."""
    return measure(Metric.parse(name), {"q": judged}, {"q": by_places(ranking)})["q"]


def test_one_query_by_hand() -> None:
    """Graded judgments, one of them 0, one relevant document not found, one not judged found."""
    judged = {"d1": 2, "d2": 1, "d3": 0, "d4": 1}
    ranking = ["d3", "d1", "d9", "d4"]
    gained = 2 / log2(3) + 1 / log2(5)
    ideal = 2 / log2(2) + 1 / log2(3) + 1 / log2(4)
    expected = {
        "nDCG@10": gained / ideal,
        "nDCG@3": 2 / log2(3) / ideal,
        "nDCG@1": 0,
        "Recall@100": 2 / 3,
        "Recall@2": 1 / 3,
        "MRR": 1 / 2,
        "MRR@10": 1 / 2,
        "MRR@1": 0,
        "MAP": (1 / 2 + 2 / 4) / 3,
        "MAP@100": (1 / 2 + 2 / 4) / 3,
        "MAP@3": 1 / 2 / 3,
        "P@4": 2 / 4,
        "P@10": 2 / 10,
        "Success@1": 0,
        "Success@2": 1,
    }
    for name, right in expected.items():
        assert value(name, judged, ranking) == pytest.approx(right, abs=1e-12), name


FROZEN = Path(__file__).parent / "frozen"
# 301 has a tie; in single precision 302 has one, too; 303 was never asked; nobody judged 999.
# By hand, as trec_eval -c: 301 is FT-3 XX-1 FT-1 LA-9 FR-4, 302 is FT-6 FT-5 FT-4. The ideal of 301
# is 2 + 1/log2(3) + 1/2 = 3.130930; its nDCG@10 is (2/2 + 1/log2(5)) / 3.130930.
FROZEN_VALUES = {
    "nDCG@10": {"301": 0.456949, "302": 0.630930, "303": 0.0, "304": 0.0},
    "nDCG@3": {"301": 0.319394, "302": 0.630930, "303": 0.0, "304": 0.0},
    "Recall@100": {"301": 0.666667, "302": 1.0, "303": 0.0, "304": 0.0},
    "MRR": {"301": 0.333333, "302": 0.5, "303": 0.0, "304": 0.0},
    "MRR@10": {"301": 0.333333, "302": 0.5, "303": 0.0, "304": 0.0},
    "MRR@2": {"301": 0.0, "302": 0.5, "303": 0.0, "304": 0.0},
    "MAP": {"301": 0.277778, "302": 0.5, "303": 0.0, "304": 0.0},
    "MAP@3": {"301": 0.111111, "302": 0.5, "303": 0.0, "304": 0.0},
    "P@5": {"301": 0.4, "302": 0.2, "303": 0.0, "304": 0.0},
    "Success@2": {"301": 0.0, "302": 1.0, "303": 0.0, "304": 0.0},
}


@pytest.mark.parametrize("name", FROZEN_VALUES)
def test_a_frozen_run_has_trec_evals_values(name: str) -> None:
    """Ties go by id, descending; scores are single precision; a query without answers counts 0."""
    qrels = read_qrels(FROZEN / "qrels.txt")
    measured = measure(Metric.parse(name), qrels, read_run(FROZEN / "ties.run", qrels))
    assert measured == pytest.approx(FROZEN_VALUES[name], abs=1e-6)
    assert list(measured) == list(FROZEN_VALUES[name])


def test_the_command_gives_trec_evals_means(run: Any) -> None:
    """To 1e-6, over all judged queries."""
    metrics = [part for name in FROZEN_VALUES for part in ("--metric", name)]
    argv = ["--qrels", FROZEN / "qrels.txt", "--run", FROZEN / "ties.run", *metrics, "--json"]
    said = json.loads(run("eval", *argv).stdout)["rows"][0]["metrics"]
    means = {name: sum(values.values()) / 4 for name, values in FROZEN_VALUES.items()}
    assert said == pytest.approx(means, abs=1e-6)


def test_ties_are_ordered_as_trec_eval_orders_them() -> None:
    """The cut of MRR is made here, all others in trec_eval: both must see the same order."""
    scores = {"a": 1.0, "é": 1.0, "b": 1.0, "B": 1.0, "first": 2.0, "c": 1.00000001}
    assert ordered(scores) == ["first", "é", "c", "b", "a", "B"]
    for rank, document in enumerate(ordered(scores), start=1):
        for name in ("MRR", "MRR@6", "MAP"):
            measured = measure(Metric.parse(name), {"q": {document: 1}}, {"q": scores})
            assert measured["q"] == pytest.approx(1 / rank)


def test_the_order_of_a_ranking_counts_not_that_of_ids() -> None:
    """No two of its scores may be equal."""
    for ranking in (["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]):
        assert value("MRR@10", {"b": 1}, ranking) == pytest.approx(1 / (ranking.index("b") + 1))
        assert ordered(by_places(ranking)) == ranking


@pytest.mark.parametrize(
    ("rank", "right"),
    [
        (1, [1, 1, 1, 1]),
        (10, [1 / log2(11), 1, 1 / 10, 1 / 10]),
        (11, [0, 1, 0, 1 / 11]),
        (100, [0, 1, 0, 1 / 100]),
        (101, [0, 0, 0, 0]),
    ],
)
def test_cuts(rank: int, right: list[float]) -> None:
    """Ten for nDCG and MRR, a hundred for recall and MAP; unless told otherwise, none."""
    ranking = [f"other{n}" for n in range(150)]
    ranking.insert(rank - 1, "d")
    assert [value(m.name, {"d": 1}, ranking) for m in DEFAULT] == pytest.approx(right)
    assert value("MRR", {"d": 1}, ranking) == pytest.approx(1 / rank)


@pytest.mark.parametrize("name", [*NAMES.split(), "P@1000"])
def test_a_metric_by_its_name(name: str) -> None:
    """However it is written, it is shown as the field writes it."""
    for written in (name, name.lower(), name.upper(), f" {name} "):
        assert Metric.parse(written).name == name
    k = name.partition("@")[2]
    assert Metric.parse(name).depth == (int(k) if k else WHOLE)


@pytest.mark.parametrize(
    "name", ["", "nDCG", "Recall", "P", "F1@10", "nDCG@0", "nDCG@-1", "nDCG@ten", "nDCG@1.5", "@10"]
)
def test_a_metric_that_is_none(name: str) -> None:
    """The message has the value and those that there are."""
    with pytest.raises(UsageError, match=r"nDCG@k, Recall@k, MRR.*Success@k") as caught:
        Metric.parse(name)
    assert repr(name) in str(caught.value)
