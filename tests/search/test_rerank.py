"""Reranking: the scorer's order, and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search.commit import Commit
from clsearch.search.query import plain
from clsearch.search.ranking import Ranked, Ranking
from clsearch.search.rerank import RERANKED, PairScorer, rerank, reranking
from clsearch.search.times import Times
from words_encoder import WordsEncoder


class Shared:
    """Scores a text by the letters it shares with the query; remembers what it was asked."""

    bounded = True

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


class Letters(Shared):
    """Scores of a given scale."""

    def __init__(self, bounded: bool, scores: Mapping[str, float]) -> None:
        super().__init__()
        self.bounded = bounded
        self.given = scores

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append((query, list(texts)))
        found = [next(s for word, s in self.given.items() if word in text) for text in texts]
        return np.array(found, dtype=np.float32)


def read_again(path: Path, encoder: WordsEncoder, scorer: PairScorer, k: int) -> list[Ranked]:
    """The best of a hybrid search for "rock", in the scorer's order."""
    query = plain("rock")
    [vector] = encoder.encode_queries([query.text])
    with Snapshot.open(path) as snapshot:
        segments = [Segment.open(path, row) for row in snapshot.segments]
        commit = Commit(snapshot, lambda: segments, None, [], Times())
        ranking = Ranking(commit, query, vector, "hybrid")
        return reranking(scorer, ranking)(k)


@pytest.fixture
def named(tmp_path: Path, encoder: WordsEncoder) -> Path:
    """Three documents, two with titles."""
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add(
            [
                {"id": "1", "text": "rock one"},
                {"id": "2", "title": "Title", "text": "rock two"},
                {"id": "3", "title": "rock three", "text": "rock three of them"},
            ]
        )
    return tmp_path / "index"


def test_what_is_read_is_what_the_encoder_read(named: Path, encoder: WordsEncoder) -> None:
    """The passage below its title, where it does not begin with that; the query as it is meant."""
    scorer = Letters(True, {"one": 0.5, "two": 0.75, "three": 0.25})
    ranked = read_again(named, encoder, scorer, 9)
    [(query, texts)] = scorer.asked
    assert query == "rock"
    assert sorted(texts) == sorted(encoder.encoded)
    assert "Title\nrock two" in texts
    assert [(one.passage, one.score) for one in ranked] == [(2, 0.75), (1, 0.5), (3, 0.25)]
    assert [one.scores["rerank"] for one in ranked] == [0.75, 0.5, 0.25]
    assert all({"dense", "lexical"} < set(one.scores) for one in ranked)
    assert all(one.explanation["fused"] for one in ranked)


def test_scores_without_bounds_go_through_the_logistic_function(
    named: Path, encoder: WordsEncoder
) -> None:
    """1 / (1 + e^-x): a half at 0; no logit is too great or too small."""
    scorer = Letters(False, {"one": 0.0, "two": -1e9, "three": 2.0})
    ranked = read_again(named, encoder, scorer, 9)
    assert [one.passage for one in ranked] == [3, 1, 2]
    by_hand = [np.e**2 / (np.e**2 + 1), 0.5, 0.0]
    assert [one.score for one in ranked] == pytest.approx(by_hand)
    assert [one.scores["rerank"] for one in ranked] == [2.0, 0.0, -1e9]
    assert read_again(named, encoder, Letters(False, {"rock": 1e9}), 1)[0].score == 1.0


def test_how_many_are_read_again(tmp_path: Path, encoder: WordsEncoder) -> None:
    """RERANKED, the best of the ranking; the others follow in its order, and score no more."""
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add({"id": f"{n}", "text": "rock" + " pebble" * n} for n in range(50))
    scorer = Letters(True, {"pebble pebble": 0.25, "rock": 0.75})
    lowest = [read_again(tmp_path / "index", encoder, scorer, k) for k in (1, RERANKED, 1000)]
    assert [len(ranked) for ranked in lowest] == [1, RERANKED, 50]
    for _, texts in scorer.asked:
        assert [len(text.split()) for text in texts] == list(range(1, RERANKED + 1))
    assert [one.passage for one in lowest[2]] == list(range(1, 51))
    assert [one.score for one in lowest[2][:RERANKED]] == [0.75] * 2 + [0.25] * (RERANKED - 2)
    for one in lowest[2][RERANKED:]:
        assert one.score <= 0.25
        assert "rerank" not in one.scores
