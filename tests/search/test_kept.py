"""What terms give to passages is kept for one commit, and the answers stay the same to the bit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index.index import Index
from clsearch.index.store.postings import Block
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Filter
from clsearch.search import Searcher, filters, kept
from clsearch.search.kept import BARE_BYTES, KeptFilters, KeptTerms
from clsearch.search.lexical import Lexical
from clsearch.search.query import parse

Make = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def index(make_index: Make, encoder: Any) -> Path:
    """46 passages in several blocks, 6 of 40 removed; stones, of which each is in a third."""
    generator = np.random.default_rng(3)
    stones = [f"stone{letter}" for letter in "abcfghijkl"]
    texts = [
        " ".join(
            ["rock", *generator.choice(stones, 3, replace=False), *["jade"] * (number % 9 == 0)]
        )
        for number in range(40)
    ]
    path = make_index({str(number): text for number, text in enumerate(texts)})
    with Index.open(path, encoder=encoder) as opened:
        opened.remove([str(number) for number in range(3, 40, 7)])
        for number in range(6):
            opened.add([{"id": f"new {number}", "text": f"{texts[number]} wi-fi 京都"}])
    return path


QUERIES = (
    "stonea",
    "stonea stoneb jade nowhere",
    "stonea jade -stonec",
    "stone-a wi-fi stoneb",
    "wifi stoneb wifi",
    "京 stoneg",
    "rock",
    "rock jade",
    "nowhere",
)


@pytest.mark.parametrize("k", [1, 3, 100])
def test_the_ranking_is_the_same(index: Path, k: int) -> None:
    """Ids and scores, the first time and from what is kept, with a filter and without."""
    terms = KeptTerms()
    with Snapshot.open(index) as snapshot:
        for _ in range(2):
            for query in map(parse, QUERIES):
                for only in (None, np.arange(1, 41, 2)):
                    expected = Lexical(snapshot, query).search(k, only)
                    assert Lexical(snapshot, query, terms).search(k, only) == expected
                everything = list(range(60))
                expected_scores = Lexical(snapshot, query).scores(everything)
                assert Lexical(snapshot, query, terms).scores(everything) == expected_scores


def test_they_are_read_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first query that has them."""
    asked: list[str] = []
    read = Snapshot.postings

    def counted(self: Snapshot, terms: Sequence[str]) -> Iterator[Block]:
        asked.extend(terms)
        return read(self, terms)

    monkeypatch.setattr(Snapshot, "postings", counted)
    terms = KeptTerms()
    with Snapshot.open(index) as snapshot:
        for text in ("stonea stoneb", "stoneb stonea", "stoneb stonec"):
            assert Lexical(snapshot, parse(text), terms).search(3)
    assert sorted(asked) == ["stonea", "stoneb", "stonec"]


def test_a_commit_has_its_own(index: Path, encoder: Any) -> None:
    """After a commit, what was kept is neither found nor missed; an older reader sees the old."""
    terms, query = KeptTerms(), parse("jade")
    old = Snapshot.open(index)
    before = Lexical(old, query, terms).search(3)
    with Snapshot.open(index) as snapshot:
        gone = snapshot.passages([before[0][0]])[before[0][0]].document
    with Index.open(index, encoder=encoder) as opened:
        old.close()
        opened.remove([gone])
        opened.add([{"id": "new", "text": "jade jade jade"}])
    with Snapshot.open(index) as snapshot:
        found = Lexical(snapshot, query, terms).search(3)
        assert found == Lexical(snapshot, query).search(3)
        assert found[0][0] > 46
        assert before[0][0] not in dict(found)


def test_memory_is_bounded(index: Path) -> None:
    """What was asked for longest ago goes first; what is too large alone is not kept at all."""
    with Snapshot.open(index) as snapshot:

        def ask(terms: KeptTerms, name: str) -> int:
            Lexical(snapshot, parse(f"stone{name}"), terms).search(1)
            return terms._bytes

        sizes = {name: ask(KeptTerms(), name) for name in "abc"}
        terms = KeptTerms(most_bytes=sizes["a"] + sizes["c"])
        for name in "abac":
            ask(terms, name)
        assert [term for term, _ in terms._kept] == ["stonea", "stonec"]
        assert terms._bytes == sizes["a"] + sizes["c"]
        small = KeptTerms(most_bytes=sizes["a"] - 1)
        assert ask(small, "a") == 0


def test_an_index_of_very_many_ids(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is searched without: all its scores would be added up in one array."""
    monkeypatch.setattr(kept, "MOST_IDS", 40)
    terms = KeptTerms()
    with Snapshot.open(index) as snapshot:
        expected = Lexical(snapshot, parse("stonea jade")).search(9)
        assert Lexical(snapshot, parse("stonea jade"), terms).search(9) == expected
    assert not terms._kept


def test_a_warm_searcher_answers_as_a_cold_one(index: Path, encoder: Any) -> None:
    """By words, by both, with a filter."""
    cold, warm = Searcher.open(index, encoder), Searcher.open(index, encoder)
    warm.warm()
    for _ in range(3):
        for mode in ("lexical", "hybrid"):
            for text in ("stonea jade", "stoneg stonef"):
                found = warm.search(text, 4, mode, where="path like '%1%'")
                assert found == cold.search(text, 4, mode, where="path like '%1%'")


def test_a_filter_is_read_once_in_a_commit(
    index: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And anew after each: what it lets through may be another."""
    asked: list[str] = []
    read = Snapshot.matching

    def counted(self: Snapshot, condition: Filter) -> Any:
        asked.append(condition.sql)
        return read(self, condition)

    monkeypatch.setattr(Snapshot, "matching", counted)
    searcher = Searcher.open(index, encoder)
    only = "path like 'new%'"
    for mode in ("lexical", "hybrid", "dense"):
        assert len(searcher.search("rock", 20, mode, where=only)) == 6
    searcher.similar("1", where=only)
    assert len(asked) == 1
    assert len(searcher.search("rock", 60, where="path like '%'")) == 40
    with Index.open(index, encoder=encoder) as opened:
        opened.remove(["new 1"])
        opened.add([{"id": "new 9", "text": "rock red"}, {"id": "new 10", "text": "blue rock"}])
    assert len(searcher.search("rock", 20, where=only)) == 7
    assert len(asked) == 3


def test_filters_that_are_equal_and_not_the_same(make_index: Make, encoder: Any) -> None:
    """In Python, 1 is True; not so in a document."""
    path = make_index({})
    with Index.open(path, encoder=encoder) as opened:
        opened.add(
            {"id": str(number), "text": "jade", "metadata": {"n": value}}
            for number, value in enumerate([1, True])
        )
    searcher = Searcher.open(path, encoder)
    for where, expected in (("n = 1", ["0"]), ("n = true", ["1"]), ("n = 1", ["0"])):
        assert [hit.document for hit in searcher.search("jade", where=where)] == expected


def test_what_filters_let_through_is_bounded(index: Path) -> None:
    with Snapshot.open(index) as snapshot:
        every, none = filters.parse("path like '%'"), filters.parse("path = 'no such'")
        found = KeptFilters()
        allowed = found.matching(snapshot, every)
        np.testing.assert_array_equal(allowed, snapshot.matching(every))
        with pytest.raises(ValueError, match="read-only"):
            allowed[0] = 7
        assert found._bytes == BARE_BYTES + len(repr(every)) + allowed.nbytes
        small = KeptFilters(most_bytes=found._bytes)
        small.matching(snapshot, every)
        small.matching(snapshot, none)
        assert list(small._kept) == [repr(none)]
        assert small._bytes == BARE_BYTES + len(repr(none))
