"""POST /v1/rerank: the scorer's order, in the shape that Cohere and Jina gave it."""

from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.index import Index
from clsearch.search import Searcher
from serving import serving
from words_encoder import WordsEncoder


class Letters:
    """Scores a text by how many letters it shares with the query."""

    def __init__(self, bounded: bool = True) -> None:
        self.bounded = bounded

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        shared = [len(set(query) & set(text)) / 4 for text in texts]
        return np.array(shared, np.float32) * (1 if self.bounded else 8) - (not self.bounded) * 4


@pytest.fixture
def path(tmp_path: Path, encoder: WordsEncoder) -> Path:
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "a", "text": "Jade."}])
    return tmp_path / "index"


ASKED: dict[str, Any] = {"query": "jade", "documents": ["x", "jade", {"text": "ja"}, "ad"]}


@pytest.mark.parametrize("route", ["/v1/rerank", "/v2/rerank"])
def test_the_best_come_first(path: Path, encoder: WordsEncoder, route: str) -> None:
    """Texts of one score in the order they came in; by the server's model, named or not."""
    with serving(path, encoder, scorer=Letters(), rerank="org/letters") as client:
        for more in ({}, {"model": "org/letters"}):
            answer = client.post(route, json={**ASKED, **more}).json()
            assert answer == {
                "model": "org/letters",
                "results": [
                    {"index": 1, "relevance_score": 1.0},
                    {"index": 2, "relevance_score": 0.5},
                    {"index": 3, "relevance_score": 0.5},
                    {"index": 0, "relevance_score": 0.0},
                ],
            }


def test_as_many_as_are_asked_for_with_their_texts(path: Path, encoder: WordsEncoder) -> None:
    asked = {**ASKED, "top_n": 2, "return_documents": True}
    with serving(path, encoder, scorer=Letters(), rerank="letters") as client:
        results = client.post("/v1/rerank", json=asked).json()["results"]
    assert results == [
        {"index": 1, "relevance_score": 1.0, "document": {"text": "jade"}},
        {"index": 2, "relevance_score": 0.5, "document": {"text": "ja"}},
    ]


def test_a_score_lies_between_0_and_1(path: Path, encoder: WordsEncoder) -> None:
    with serving(path, encoder, scorer=Letters(bounded=False), rerank="letters") as client:
        results = client.post("/v1/rerank", json=ASKED).json()["results"]
    found = {one["index"]: one["relevance_score"] for one in results}
    expected = {1: 1 / (1 + exp(-4)), 2: 0.5, 3: 0.5, 0: 1 / (1 + exp(4))}
    assert found == {index: round(score, 6) for index, score in expected.items()}


def test_many_texts(path: Path, encoder: WordsEncoder) -> None:
    """More than are read at once."""
    texts = ["jade"[: n % 5] for n in range(100)]
    with serving(path, encoder, scorer=Letters(), rerank="letters") as client:
        asked = {"query": "jade", "documents": texts}
        results = client.post("/v1/rerank", json=asked).json()["results"]
    expected = sorted(range(100), key=lambda n: -(n % 5))
    assert [one["index"] for one in results] == expected


def test_a_search_asks_the_same_scorer(path: Path, encoder: WordsEncoder) -> None:
    with Index.open(path, encoder=encoder) as index:
        index.add({"id": text, "text": text} for text in ("jade stone", "edaj stone", "stone"))
    scorer = Letters()
    expected = Searcher.open(path, encoder).search("stone", rerank=scorer)
    with serving(path, encoder, scorer=scorer, rerank="letters") as client:
        plain = client.post("/v1/search", json={"query": "stone"}).json()["hits"]
        reranked = client.post("/v1/search", json={"query": "stone", "rerank": True}).json()["hits"]
    assert reranked == [hit.to_json() for hit in expected]
    assert {"rerank"} <= set(reranked[0]["scores"])
    assert all("rerank" not in hit["scores"] for hit in plain)


@pytest.mark.parametrize(
    ("rerank", "more", "status", "code"),
    [
        (None, {}, 404, "model_not_found"),
        ("letters", {"model": "other"}, 404, "model_not_found"),
        ("letters", {"documents": []}, 400, "usage"),
        ("letters", {"documents": ["a"] * 1001}, 400, "usage"),
        ("letters", {"query": "a" * 8193}, 400, "usage"),
        ("letters", {"top_n": 0}, 422, "invalid"),
        ("letters", {"documents": [7]}, 422, "invalid"),
    ],
)
def test_what_cannot_be_right_is_refused(
    path: Path,
    encoder: WordsEncoder,
    rerank: str | None,
    more: dict[str, Any],
    status: int,
    code: str,
) -> None:
    with serving(path, encoder, scorer=Letters(), rerank=rerank) as client:
        answer = client.post("/v1/rerank", json={**ASKED, **more})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
