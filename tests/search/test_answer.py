"""Filters, the query's own marks, reranking, grouping and the account of it, end to end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.config import Calibration
from clsearch.index.encoder import CrossEncoder
from clsearch.index.errors import ModelError, UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.store.store import Store
from clsearch.search import Hit, Mode, Searcher

MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
Stones = Callable[[int], dict[str, str]]


@pytest.fixture
def quarry(tmp_path: Path, encoder: Any, stones: Stones) -> Searcher:
    """80 documents of one to several passages, of two languages and eighty years; two removed."""
    path = tmp_path / "index"
    with Index.open(path, encoder=encoder) as index:
        index.add(
            {
                "id": id,
                "text": text,
                "title": f"Stone {number}",
                "metadata": {"year": 1900 + number, "lang": "en" if number % 2 else "de"},
            }
            for number, (id, text) in enumerate(stones(80).items())
        )
        index.remove(["stone/4.txt", "stone/5.txt"])
    return Searcher.open(path, encoder)


def ids(hits: Sequence[Hit]) -> list[int]:
    return [hit.passage.id or 0 for hit in hits]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "where",
    [
        "lang = 'en'",
        "year = 1977",
        "year between 1903 and 1906",
        "not (lang = 'en' and year < 1979)",
        "path like 'stone/1%' and lang != 'de'",
        "lang is null",
    ],
)
def test_a_filter_is_the_search_without_what_it_leaves_out(
    quarry: Searcher, mode: Mode, where: str
) -> None:
    """The order among what passes is that of the whole; nothing of it is missing."""

    def passes(hit: Hit) -> bool:
        year, lang = int(str(hit.metadata["year"])), hit.metadata["lang"]
        return {
            "lang = 'en'": lang == "en",
            "year = 1977": year == 1977,
            "year between 1903 and 1906": 1903 <= year <= 1906,
            "not (lang = 'en' and year < 1979)": not (lang == "en" and year < 1979),
            "path like 'stone/1%' and lang != 'de'": hit.document.startswith("stone/1")
            and lang != "de",
            "lang is null": False,
        }[where]

    query = "amber basalt copper dolomite emerald flint garnet iron jade"
    everything = quarry.search(query, 10_000, mode)
    expected = [hit for hit in everything if passes(hit)]
    found = quarry.search(query, 10_000, mode, where=where)
    assert sorted(ids(found)) == sorted(ids(expected))
    if mode != "hybrid":  # there trust is that of the best passage which passes
        assert ids(found) == ids(expected)
    few = quarry.search(query, 3, mode, where=where)
    assert ids(few) == ids(found)[:3]
    assert len(few) == min(3, len(expected))


def test_the_plan_and_the_count_are_explained(quarry: Searcher) -> None:
    """One passage is scanned, many are searched with a selector."""
    few = quarry.answer("jade", where="year = 1900", mode="dense").explanation["filter"]
    many = quarry.answer("jade", where="lang = 'en'", mode="dense").explanation["filter"]
    assert isinstance(few, dict)
    assert isinstance(many, dict)
    assert few["plan"] == "scan"
    assert many["plan"] == "selector"
    assert many["passages"] == len(quarry.search("jade", 10_000, "dense", where="lang = 'en'"))


def test_a_filter_that_cannot_be_read_is_refused(quarry: Searcher) -> None:
    """Before anything is searched."""
    with pytest.raises(UsageError, match="year >"):
        quarry.search("jade", where="year >")


@pytest.fixture
def notes(tmp_path: Path, encoder: Any) -> Searcher:
    """Four notes of near words."""
    texts = {
        "hard.md": "A hard reset of the router clears everything.",
        "soft.md": "A reset that is not hard keeps the router as it is.",
        "cable.md": "The router needs a cable, a wireless one does not.",
        "cat.md": "The cat sleeps.",
    }
    with Index.open(tmp_path / "notes", encoder=encoder) as index:
        index.add(
            {"id": id, "title": id.removesuffix(".md"), "text": text} for id, text in texts.items()
        )
    return Searcher.open(tmp_path / "notes", encoder)


@pytest.mark.parametrize("mode", MODES)
def test_the_marks_of_a_query_hold_in_every_mode(notes: Searcher, mode: Mode) -> None:
    """A phrase and a field are required, a word behind a minus is not there."""

    def found(query: str) -> set[str]:
        return {hit.document for hit in notes.search(query, 10, mode)}

    assert found('"hard reset" router') == {"hard.md"}
    assert found("title:cable router") == {"cable.md"}
    assert "cable.md" not in found("router -wireless")
    assert {"hard.md", "soft.md"} <= found("router -wireless")
    assert found('router -"hard reset" -wireless') >= {"soft.md"}
    assert "hard.md" not in found('router -"hard reset"')
    assert found('"no such words"') == set()


def test_the_encoder_is_given_no_marks(notes: Searcher, encoder: Any) -> None:
    """The cosine is that of the words without them."""
    [hit] = notes.search('"hard reset" router -wireless', mode="dense")
    [vector] = encoder.encode_queries(["hard reset router"])
    [passage] = encoder.encode_passages([f"hard\n{hit.passage.text}"])
    assert hit.scores["dense"] == pytest.approx(float(vector @ passage), abs=1e-3)


def test_grouped_by_document(quarry: Searcher) -> None:
    """A document stands where its best passage stands, and others of it below."""
    query = "amber garnet iron"
    passages = quarry.search(query, 10_000)
    documents = list(dict.fromkeys(hit.document for hit in passages))
    grouped = quarry.search(query, 5, group="document")
    assert [hit.document for hit in grouped] == documents[:5]
    for hit in grouped:
        own = [other for other in passages[:15] if other.document == hit.document]
        assert hit.passage == own[0].passage
        assert hit.score == own[0].score
        assert [more.passage for more in hit.more] == [one.passage for one in own[1:3]]


@pytest.mark.parametrize("mode", MODES)
def test_min_score_cuts(quarry: Searcher, mode: Mode) -> None:
    """Exactly the hits below."""
    hits = quarry.search("amber garnet iron", 30, mode)
    middle = hits[len(hits) // 2].score
    kept = quarry.search("amber garnet iron", 30, mode, min_score=middle)
    assert ids(kept) == [hit.passage.id for hit in hits if hit.score >= middle]
    assert quarry.search("amber garnet iron", 30, mode, min_score=1.0) == []
    assert all(hit.weak == (hit.score < 0.5) for hit in hits)
    grouped = quarry.search("amber garnet iron", 30, mode, min_score=middle, group="document")
    assert all(more.score >= middle for hit in grouped for more in hit.more)


def test_nothing_is_weak_where_nothing_was_measured(
    quarry: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores of such an index are those of another's unrelated text."""
    assert any(hit.weak for hit in quarry.search("amber", 1000))
    store = Store.open(quarry.path)
    with store.transaction():
        store.save(replace(store.settings, calibration=Calibration()))
    store.close()
    assert not any(hit.weak for hit in quarry.search("amber", 1000))


class LongestFirst:
    """A reranker for which the longest text is the best."""

    bounded = False

    def __init__(self) -> None:
        """Remembers what it was asked."""
        self.asked: list[tuple[str, list[str]]] = []

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Characters, as logits near 0."""
        self.asked.append((query, list(texts)))
        return np.array([len(text) / 100 for text in texts], np.float32)


def test_reranked(quarry: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best thirty in the reranker's order, then the rest; loaded once, by name."""
    scorer, loaded = LongestFirst(), []
    monkeypatch.setattr(CrossEncoder, "load", lambda name: loaded.append(name) or scorer)
    plain = quarry.search("amber garnet iron", 40)
    hits = quarry.search("amber garnet iron", 40, rerank="a/reranker")
    first = sorted(plain[:30], key=lambda hit: (-len(f"{hit.title}\n{hit.passage.text}"), hit.rank))
    assert ids(hits) == ids([*first, *plain[30:]])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(("rerank" in hit.scores) == (place < 30) for place, hit in enumerate(hits))
    assert not any(hit.weak for hit in hits[:30])
    assert scorer.asked[0][0] == "amber garnet iron"
    assert scorer.asked[0][1][0] == f"{plain[0].title}\n{plain[0].passage.text}"
    quarry.search("jade", 3, rerank="a/reranker")
    assert loaded == ["a/reranker"]


def test_documents_reranked(quarry: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `search` has them, each query by itself."""
    monkeypatch.setattr(CrossEncoder, "load", lambda name: LongestFirst())
    queries = ["amber garnet iron", "jade"]
    expected = [
        list(dict.fromkeys(hit.document for hit in quarry.search(query, 60, rerank="a/reranker")))
        for query in queries
    ]
    found = quarry.rank_documents(queries, 10, rerank="a/reranker")
    assert found == [documents[:10] for documents in expected]


def test_a_reranker_that_is_none_is_refused(quarry: Searcher) -> None:
    """The embedded model has no head for pairs."""
    with pytest.raises(ModelError, match="classification head"):
        quarry.search("jade", rerank="embedded")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "Dense"}, "mode is 'Dense': there are hybrid, dense, lexical"),
        ({"group": "Document"}, "group is 'Document': there are passage, document"),
        ({"min_score": 3}, "min_score is 3: scores lie between 0 and 1"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    quarry: Searcher, options: dict[str, Any], said: str
) -> None:
    """Not taken for something else."""
    with pytest.raises(UsageError, match=said):
        quarry.search("jade", **options)


def test_the_text_that_offsets_count_in(quarry: Searcher) -> None:
    """Of every hit, passage and sentence."""
    for hit in quarry.search("jade", 20):
        text = quarry.document(hit.document).text
        shown: dict[str, Any] = hit.to_json()
        for span in (shown["passage"], shown["sentence"]):
            assert text[span["start"] : span["end"]] == span["text"]
    with pytest.raises(UsageError, match=r"no document 'stone/4\.txt'"):
        quarry.document("stone/4.txt")


def test_the_account_of_an_answer(quarry: Searcher) -> None:
    """What was looked for, in what, and how long each stage took."""
    said: Mapping[str, Any] = quarry.answer("jade zeppelin", where="lang = 'en'").explanation
    assert said["terms"]["jade"]
    assert said["terms"]["zeppelin"] == 0
    with Snapshot.open(quarry.path) as snapshot:
        (row,) = snapshot.segments
    assert said["segments"] == [{"kind": "flat-fp16", "passages": row.passages}]
    times = said["times_ms"]
    assert {"encode", "filter", "dense", "lexical", "fusion", "fetch", "snippets"} <= times.keys()
