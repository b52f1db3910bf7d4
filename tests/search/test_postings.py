"""Postings that are kept give the BM25 that FTS5 gives, and only those of one commit."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import Searcher
from clsearch.search.lexical import Lexical
from clsearch.search.postings import Given, Postings, best, summed
from clsearch.search.query import parse

Make = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def index(make_index: Make) -> Path:
    """40 passages of three stones each, of which each is in a third or fewer; "rock" in each."""
    generator = np.random.default_rng(3)
    stones = [f"stone{letter}" for letter in "abcfghijkl"]
    texts = [
        " ".join(
            ["rock", *generator.choice(stones, 3, replace=False), *["jade"] * (number % 9 == 0)]
        )
        for number in range(40)
    ]
    return make_index({str(number): text for number, text in enumerate(texts)})


def kept() -> Postings:
    """Postings that are kept from the first query on."""
    return Postings(settled=0)


@pytest.mark.parametrize(
    "text",
    [
        "stonea",
        "stonea stoneb jade nowhere",
        "stonea jade -stonec",
        "stone-a e-mail stoneb",
        "jade",
    ],
)
@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_ranking_is_that_of_fts5(index: Path, text: str, k: int) -> None:
    """Ids in their order, and scores."""
    allowed = np.arange(1, 41, 2)
    with Snapshot.open(index) as snapshot:
        query, postings = parse(text), kept()
        for only in (None, allowed):
            expected = Lexical(snapshot, query).search(k, only)
            found = Lexical(snapshot, query, postings).search(k, only)
            assert [id for id, _ in found] == [id for id, _ in expected]
            assert [bm25 for _, bm25 in found] == pytest.approx([bm25 for _, bm25 in expected])
        everything = list(range(60))
        scores = Lexical(snapshot, query, postings).scores(everything)
        assert scores == pytest.approx(Lexical(snapshot, query).scores(everything))
        assert scores


def test_they_are_read_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTS5 is asked for each term, by the first query that has it, and never to rank."""
    asked: list[str] = []
    given = Snapshot.given

    def counted(self: Snapshot, expression: str) -> Any:
        asked.append(expression)
        return given(self, expression)

    monkeypatch.setattr(Snapshot, "given", counted)
    monkeypatch.setattr(Snapshot, "match", None)
    postings = kept()
    with Snapshot.open(index) as snapshot:
        for text in ("stonea stoneb", "stoneb stonea", "stoneb stonec"):
            assert Lexical(snapshot, parse(text), postings).search(3)
    assert sorted(asked) == ['"stonea"', '"stoneb"', '"stonec"']


def test_what_is_in_every_second_passage_is_left_to_fts5(index: Path) -> None:
    """Where only such words are asked for, and where the others find too few."""
    with Snapshot.open(index) as snapshot:
        for text in ("rock", "rock jade"):
            expected = Lexical(snapshot, parse(text)).search(30)
            found = Lexical(snapshot, parse(text), kept()).search(30)
            assert len(found) == 30
            assert [id for id, _ in found] == [id for id, _ in expected]


def test_a_commit_has_its_own(index: Path, encoder: Any) -> None:
    """After a commit, what was kept is neither found nor missed; an older reader sees the old."""
    postings = kept()
    query = parse("jade")
    old = Snapshot.open(index)
    before = Lexical(old, query, postings).search(3)
    with Snapshot.open(index) as snapshot:
        gone = snapshot.passages([before[0][0]])[before[0][0]].document
    old.close()
    with Index.open(index, encoder=encoder) as opened:
        opened.remove([gone])
        opened.add([{"id": "new", "text": "jade jade jade"}])
    with Snapshot.open(index) as snapshot:
        found = Lexical(snapshot, query, postings).search(3)
        assert dict(found) == pytest.approx(dict(Lexical(snapshot, query).search(3)))
        assert found[0][0] > 40
        assert before[0][0] not in dict(found)


def test_a_new_commit_is_left_to_fts5_at_first(index: Path) -> None:
    """While others write, postings are not read for a few queries alone."""
    postings = Postings(settled=2)
    with Snapshot.open(index) as snapshot:
        assert [postings.ready(snapshot, 10) for _ in range(4)] == [False, False, True, True]
        assert not postings.ready(snapshot, 10**9)


def test_memory_is_bounded(index: Path) -> None:
    """What was asked for longest ago goes first; what is too large alone is not kept at all."""
    with Snapshot.open(index) as snapshot:
        sizes = {name: Postings().of(snapshot, f'"stone{name}"').bytes for name in "abc"}
        postings = Postings(settled=0, most_bytes=sizes["a"] + sizes["c"])
        postings.ready(snapshot, 1)
        for name in "abac":
            postings.of(snapshot, f'"stone{name}"')
        assert list(postings._kept) == ['"stonea"', '"stonec"']
        assert postings._bytes == sizes["a"] + sizes["c"]


def test_a_warm_searcher_answers_as_a_cold_one(index: Path, encoder: Any) -> None:
    """By words, by both, with a filter, before and after the postings are kept."""
    cold, warm = Searcher.open(index, encoder), Searcher.open(index, encoder)
    warm.warm()
    for _ in range(20):
        for mode in ("lexical", "hybrid"):
            for text in ("stonea jade", "stoneg stonef"):
                found = warm.search(text, 4, mode, where="path like '%1%'")
                expected = cold.search(text, 4, mode, where="path like '%1%'")
                assert [hit.document for hit in found] == [hit.document for hit in expected]
                scores = [hit.score for hit in found]
                assert scores == pytest.approx([hit.score for hit in expected])


def test_summed_and_best_by_hand() -> None:
    given = [
        Given(np.array([1, 4], np.int32), np.array([1.0, 2.0])),
        Given(np.array([2, 4], np.int32), np.array([3.0, 1.0])),
    ]
    total = summed(given)
    assert total.tolist() == [0, 1, 3, 0, 3]
    assert best(total, 2, None) == [(2, 3.0), (4, 3.0)]
    assert best(total, 9, None) == [(2, 3.0), (4, 3.0), (1, 1.0)]
    assert best(total, 9, np.array([1, 3, 4, 7])) == [(4, 3.0), (1, 1.0)]
