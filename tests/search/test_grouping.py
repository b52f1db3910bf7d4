"""What is shown: nothing twice, and each document once where asked for."""

from collections.abc import Mapping, Sequence

import pytest

from clsearch.index import analysis
from clsearch.index.store.snapshot import StoredPassage
from clsearch.index.types import Passage
from clsearch.search.grouping import FURTHER, Group, Shown, shown
from clsearch.search.ranking import Ranked

Stored = tuple[str, str, str]  # document, title, text
WORDS = [f"word{number}" for number in range(100)]


class Index:
    """Passages in their order; remembers the depths that it was asked for."""

    def __init__(self, *passages: Stored) -> None:
        self.passages = passages
        self.depths: list[int] = []
        self.read: list[list[int]] = []

    def rank(self, depth: int) -> list[Ranked]:
        self.depths.append(depth)
        return [Ranked(id, 1 - id / 1000, {}) for id in range(len(self.passages))][:depth]

    def fetch(self, ranked: Sequence[Ranked]) -> Mapping[int, StoredPassage]:
        self.read.append([one.passage for one in ranked])
        found = {}
        for one in ranked:
            document, title, text = self.passages[one.passage]
            passage = Passage(0, len(text), text, 1, None, "", one.passage)
            terms = " ".join(term.text for term in analysis.words(text or title))
            found[one.passage] = StoredPassage(passage, document, title, {}, terms)
        return found

    def documents(self, ranked: Sequence[Ranked]) -> Mapping[int, str]:
        return {one.passage: self.passages[one.passage][0] for one in ranked}

    def shown(self, k: int, group: Group = "passage") -> list[Shown]:
        return shown(self.rank, self.fetch, self.documents, k, group)


def ids(chosen: Sequence[Shown]) -> list[int]:
    """The passages that are shown."""
    return [one.best.passage for one in chosen]


def alike(first: str, second: str) -> bool:
    """Whether two texts collapse."""
    return len(Index(("a", "", first), ("b", "", second)).shown(2)) == 1


def unlike(number: int) -> str:
    """A text that shares no shingle with that of another number."""
    return " ".join(f"{word}of{number}" for word in ("a", "b", "c", "d"))


def test_the_threshold_by_hand() -> None:
    """Texts of n terms that differ in the last alone share n-3 of n-1 shingles: 4/5 at n = 11.

    Each has n - 2 shingles and one of its own.
    """
    for n, collapses in ((10, False), (11, True), (12, True)):
        first, second = " ".join(WORDS[:n]), " ".join([*WORDS[: n - 1], "other"])
        own, shared = n - 2, n - 3
        assert (shared / (2 * own - shared) >= 0.8) == collapses
        assert alike(first, second) == collapses


def test_a_word_in_the_middle_changes_three_shingles() -> None:
    """(n-5) / (n+1): 4/5 at n = 29."""
    for n, collapses in ((28, False), (29, True)):
        changed = [*WORDS[: n // 2], "other", *WORDS[n // 2 + 1 : n]]
        assert alike(" ".join(WORDS[:n]), " ".join(changed)) == collapses


def test_what_is_the_same_but_for_its_dress() -> None:
    """Case, marks, accents and the ends of words say nothing new; another order does."""
    assert alike("Reset the routers, please!", "* reset the ROUTER: please")
    assert alike("yes", "Yes.")
    assert not alike("yes", "no")
    assert not alike("a b c d", "d c b a")


def test_what_has_no_words_is_compared_as_it_stands() -> None:
    """Marks alone are the same only where they are the same marks."""
    assert not alike("+++", "***")
    assert alike("+++", "+++\n")


def test_documents_without_text_are_told_apart_by_their_titles() -> None:
    """An empty passage is found by its title."""
    index = Index(("a", "One thing", ""), ("b", "Another", ""), ("c", "One thing", ""))
    chosen = index.shown(3)
    assert ids(chosen) == [0, 1]
    assert [one.duplicates for one in chosen] == [["c"], []]


def test_duplicates_are_named_once_and_never_the_document_itself() -> None:
    """In the order of their rank."""
    same = ("c", "b", "b", "a", "c", "d")
    index = Index(*((document, "", unlike(1)) for document in same), ("d", "", unlike(2)))
    chosen = index.shown(9)
    assert ids(chosen) == [0, 6]
    assert (chosen[0].document, chosen[0].duplicates) == ("c", ["b", "a", "d"])
    assert (chosen[1].document, chosen[1].duplicates) == ("d", [])


def test_depth_doubles_until_there_are_enough() -> None:
    """And no further."""
    index = Index(*[("a", "", unlike(0))] * 9, *((f"{n}", "", unlike(n)) for n in range(1, 50)))
    assert ids(index.shown(3)) == [0, 9, 10]
    assert index.depths == [3, 6, 12]
    index.depths.clear()
    assert ids(index.shown(1)) == [0]
    assert index.depths == [1]


@pytest.mark.parametrize("group", ["passage", "document"])
def test_more_than_there_are(group: Group) -> None:
    """All of them, and the end is noticed."""
    index = Index(("a", "", unlike(1)), ("b", "", unlike(2)), ("c", "", unlike(1)))
    assert ids(index.shown(1000, group)) == [0, 1]
    assert len(index.depths) == 1
    assert Index().shown(10, group) == []


def test_a_document_is_shown_once_by_its_best_passage() -> None:
    """Its next best that differ stand below, FURTHER of them; its score is that of the best."""
    index = Index(
        ("a", "", unlike(1)),
        ("b", "", unlike(2)),
        ("a", "", unlike(3)),
        ("a", "", unlike(1)),  # as its best
        ("a", "", unlike(3)),  # as what stands below it already
        ("b", "", unlike(4)),
        ("a", "", unlike(5)),
        ("a", "", unlike(6)),
    )
    first, second = index.shown(9, "document")
    assert (first.document, first.best.score) == ("a", 1.0)
    assert FURTHER == 2
    assert [one.passage for one in first.more] == [2, 6]
    assert (second.document, [one.passage for one in second.more]) == ("b", [5])
    assert first.duplicates == second.duplicates == []


def test_what_stands_below_does_not_hang_on_how_many_are_asked_for() -> None:
    """As long as they are among the best three for each document asked for."""
    passages = [("a", "", unlike(1)), ("b", "", unlike(2)), ("a", "", unlike(3))]
    for k in (1, 2, 3):
        assert [one.passage for one in Index(*passages).shown(k, "document")[0].more] == [2]


def test_a_long_document_is_not_read_to_find_the_next() -> None:
    """Below the best three for each document asked for, only the best of each other is."""
    index = Index(
        *(("book", "", unlike(n)) for n in range(40)),
        ("note", "", unlike(40)),
        *(("book", "", unlike(n)) for n in range(41, 60)),
        ("note", "", unlike(60)),
        ("other", "", unlike(61)),
    )
    chosen = index.shown(3, "document")
    assert ids(chosen) == [0, 40, 61]
    assert [[one.passage for one in of.more] for of in chosen] == [[1, 2], [], []]
    assert index.depths == [9, 18, 36, 72]
    assert index.read[-1] == [*range(9), 40, 61]
    assert max(map(len, index.read)) == 11


def test_a_document_that_says_the_same_is_a_duplicate() -> None:
    """It is named, and its other passages are not shown as another document's."""
    index = Index(("a", "", unlike(1)), ("b", "", unlike(1)), ("b", "", unlike(2)))
    (only,) = index.shown(5, "document")
    assert (only.document, only.duplicates, only.more) == ("a", ["b"], [])


def test_passages_of_one_document_are_hits_of_their_own() -> None:
    """Where hits are not grouped."""
    index = Index(("a", "", unlike(1)), ("a", "", unlike(2)))
    chosen = index.shown(5)
    assert ids(chosen) == [0, 1]
    assert [one.more for one in chosen] == [[], []]
