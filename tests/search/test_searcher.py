"""What a search ranks, against brute force, FTS5 itself, and arithmetic done apart."""

import json
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clsearch.index import vectors
from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot, StoredPassage
from clsearch.index.vectors import Segment
from clsearch.search import Hit, Mode, Searcher
from clsearch.search.scale import scale

MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
MakeIndex = Callable[..., Path]
Stones = Callable[[int], dict[str, str]]


def every_passage(path: Path) -> dict[int, StoredPassage]:
    """Passage id -> passage, of all that live."""
    with Snapshot.open(path) as snapshot:
        count = snapshot.counts().passages
        stored = snapshot.passages(range(10 * count + 1000))
    assert len(stored) == count
    return stored


def stored_vectors(path: Path) -> dict[int, NDArray[np.float32]]:
    """Passage id -> vector, of all that live."""
    passages = np.array(list(every_passage(path)), np.int64)
    with Snapshot.open(path) as snapshot:
        segments = [Segment.open(path, row) for row in snapshot.segments]
    ids, stored = vectors.vectors(segments, passages)
    assert len(ids) == len(passages)
    return dict(zip(ids.tolist(), stored, strict=True))


def by_brute_force(path: Path, encoder: Any, query: str) -> list[tuple[int, float]]:
    """(passage id, cosine) of every passage, best first, ties by id."""
    [vector] = encoder.encode_queries([query])
    cosines = [(id, float(stored @ vector)) for id, stored in stored_vectors(path).items()]
    return sorted(cosines, key=lambda pair: (-pair[1], pair[0]))


def scaled(path: Path, mode: Mode, raw: float) -> float:
    """The score of a hit with this raw score, in an index as it was calibrated."""
    with Snapshot.open(path) as snapshot:
        return scale(mode, snapshot.calibration)(raw)


def ids(hits: Sequence[Hit]) -> list[int]:
    """Their passages' ids."""
    return [hit.passage.id or 0 for hit in hits]


def test_vectors_are_those_of_the_encoder(
    make_index: MakeIndex, encoder: Any, stones: Stones
) -> None:
    """To float16's rounding: what brute force stands on."""
    path = make_index(stones(20))
    passages = every_passage(path)
    encoded = encoder.encode_passages([one.passage.text for one in passages.values()])
    stored = stored_vectors(path)
    assert len(passages) > 20
    for id, expected in zip(passages, encoded, strict=True):
        assert stored[id] == pytest.approx(expected, abs=1e-3)


def test_dense_is_the_brute_force_ranking(
    make_index: MakeIndex, encoder: Any, stones: Stones
) -> None:
    """Over several segments and tombstones: same passages, same cosines, same order."""
    documents = list(stones(60).items())
    for start in range(0, 60, 20):
        path = make_index(dict(documents[start : start + 20]))
    with Index.open(path, encoder=encoder) as index:
        index.remove([id for id, _ in documents[::7]])
    with Snapshot.open(path) as snapshot:
        assert len(snapshot.segments) > 1
        assert len(snapshot.tombstones()) > 0
    searcher = Searcher.open(path, encoder)
    for query in ("jade", "copper iron", "flint flint garnet"):
        exact = by_brute_force(path, encoder, query)
        hits = searcher.search(query, 25, "dense")
        assert len(set(ids(hits))) == 25
        cosines = [hit.scores["dense"] for hit in hits]
        assert cosines == pytest.approx([s for _, s in exact[:25]], abs=1e-6)
        assert [hit.score for hit in hits] == [scaled(path, "dense", x) for x in cosines]
        # Sums of another order differ in the last bits, so near ties may stand either way.
        for id, (_, score) in zip(ids(hits), exact[:25], strict=True):
            assert id in {other for other, near in exact if abs(near - score) < 1e-6}


def test_lexical_is_what_fts5_ranks(ten: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """BM25 of the ORed words, ties by id, as a share of their weights; no encoder is asked."""
    monkeypatch.setattr(ten, "_load_encoder", lambda: pytest.fail("an encoder was loaded"))
    hits = ten.search("jade, IRON jade!", 30, "lexical")
    with Snapshot.open(ten.path) as snapshot:
        exact = snapshot.match('"jade" OR "iron"', 30)
        passages, found = snapshot.passage_count(), snapshot.frequencies(["jade", "iron"])
    assert len(exact) > 10
    assert [(hit.passage.id, hit.scores) for hit in hits] == [
        (id, {"lexical": score}) for id, score in exact
    ]
    weights = [max(log((passages - n + 0.5) / (n + 0.5)), 1e-6) for n in found.values()]
    for hit, (_, score) in zip(hits, exact, strict=True):
        assert hit.explanation["coverage"] == pytest.approx(score / sum(weights))
        assert hit.score == scaled(ten.path, "lexical", score / sum(weights))


def test_hybrid_is_the_fusion_of_both(make_index: MakeIndex, encoder: Any, stones: Stones) -> None:
    """Of the two top hundreds, cosine and coverage known of every one of them."""
    path = make_index(stones(80))
    searcher = Searcher.open(path, encoder)
    query = "amber basalt"
    dense = {hit.passage.id or 0: hit for hit in searcher.search(query, 100, "dense")}
    lexical = {hit.passage.id or 0: hit for hit in searcher.search(query, 1000, "lexical")}
    best = dict(list(lexical.items())[:100])
    assert len(dense) == len(best) == 100
    assert dense.keys() != best.keys()
    exact = dict(by_brute_force(path, encoder, query))
    coverage = {id: float(str(hit.explanation["coverage"])) for id, hit in lexical.items()}
    trust = min(1.0, max(coverage.values()))
    fused = {
        id: exact[id] / 2 + trust * coverage.get(id, 0.0) / 2 for id in dense.keys() | best.keys()
    }
    expected = sorted(fused, key=lambda id: (-fused[id], id))
    hits = searcher.search(query, 100)
    found = [float(str(hit.explanation["fused"])) for hit in hits]
    assert found == pytest.approx([fused[id] for id in expected[:100]], abs=1e-6)
    assert [hit.score for hit in hits] == [scaled(path, "hybrid", x) for x in found]
    assert ids(hits[:20]) == expected[:20]
    assert ids(searcher.search(query, 7)) == expected[:7]
    for hit in hits:
        id = hit.passage.id or 0
        assert hit.scores["dense"] == pytest.approx(exact[id], abs=1e-6)
        assert hit.scores.get("lexical") == (
            pytest.approx(lexical[id].scores["lexical"]) if id in lexical else None
        )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(query=st.text(st.characters(), min_size=1, max_size=30))
def test_any_query_is_answered(ten: Searcher, query: str) -> None:
    """Or is blank, and refused."""
    for mode in MODES:
        if query.strip():
            ten.search(query, 3, mode)
        else:
            with pytest.raises(UsageError, match="query is empty"):
                ten.search(query, 3, mode)


@pytest.mark.parametrize("mode", MODES)
def test_blank_long_and_odd_queries(ten: Searcher, mode: Mode) -> None:
    """Fifty thousand characters; punctuation alone has no words to look for."""
    for blank in ("", " \t\n", "\u3000"):
        with pytest.raises(UsageError, match="query is empty: say"):
            ten.search(blank, mode=mode)
    assert ten.search("jade " * 10_000, 3, mode)
    assert bool(ten.search("?!", 3, mode)) == (mode != "lexical")


@pytest.mark.parametrize("mode", MODES)
def test_k(ten: Searcher, mode: Mode) -> None:
    """More than there are gives all, each once, ranked from 1; none is a wrong use."""
    hits = ten.search("amber basalt copper dolomite emerald flint", 10_000, mode)
    assert sorted(ids(hits)) == sorted(every_passage(ten.path))
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for k in (0, -1):
        with pytest.raises(UsageError, match=f"k is {k}"):
            ten.search("jade", k, mode)


def test_ties_stand_by_id(make_index: MakeIndex, encoder: Any) -> None:
    """Documents of the same words in another order of sentences are as near, and not the same."""
    texts = ["jade and iron. " + end for end in ("a b c d", "d c b a", "b d a c", "c a d b")]
    path = make_index(dict(zip("dbca", texts, strict=True)))
    for mode in MODES:
        found = ids(Searcher.open(path, encoder).search("jade", 3, mode))
        assert found == sorted(every_passage(path))[:3]


def test_what_says_the_same_is_shown_once(make_index: MakeIndex, encoder: Any) -> None:
    """The first by id, with the others named; evaluation still counts each document."""
    searcher = Searcher.open(make_index(dict.fromkeys("dbca", "jade and iron")), encoder)
    for mode in MODES:
        [hit] = searcher.search("jade", 3, mode)
        assert (hit.document, hit.duplicates) == ("d", ("b", "c", "a"))
        assert searcher.rank_documents(["jade"], 3, mode) == [["d", "b", "c"]]


def test_json_is_that_of_the_design(tmp_path: Path, encoder: Any) -> None:
    """Every key, in its order, and the values of the document."""
    path = tmp_path / "index"
    text = "First words here.\n\nSome jade in a café."
    with Index.open(path, encoder=encoder) as index:
        index.add([{"id": "a.md", "title": "Stones", "text": text, "metadata": {"lang": "en"}}])
    [hit] = Searcher.open(path, encoder).search("jade cafe", 1)
    shown = json.loads(json.dumps(hit.to_json()))
    assert list(shown) == [
        *("rank", "score", "weak", "document", "title", "passage", "sentence", "marks", "scores"),
        *("metadata", "duplicates"),
    ]
    passage = shown["passage"]
    assert list(passage) == ["id", "start", "end", "line", "page", "heading", "text"]
    assert text[passage["start"] : passage["end"]] == passage["text"]
    assert shown["scores"].keys() == {"dense", "lexical"}
    assert (shown["rank"], shown["document"], shown["title"]) == (1, "a.md", "Stones")
    assert shown["metadata"] == {"lang": "en"}
    sentence = shown["sentence"]
    assert text[sentence["start"] : sentence["end"]] == sentence["text"] == "Some jade in a café."
    assert [hit.passage.text[start:end] for start, end in hit.marks] == ["jade", "café"]
    assert [text[start:end] for start, end in shown["marks"]] == ["jade", "café"]


def test_similar(make_index: MakeIndex, stones: Stones) -> None:
    """Mean cosine of all of its passages to the best of each other document; itself left out."""
    path = make_index(stones(30))
    held = stored_vectors(path)
    owner = {id: one.document for id, one in every_passage(path).items()}
    document = max(owner.values(), key=list(owner.values()).count)
    own = [held[id] for id in held if owner[id] == document]
    assert len(own) > 1
    best: dict[str, float] = {}
    for id, vector in held.items():
        score = sum(float(mine @ vector) for mine in own) / len(own)
        if owner[id] != document:
            best[owner[id]] = max(score, best.get(owner[id], -1.0))
    expected = sorted(best, key=lambda name: -best[name])
    hits = Searcher.open(path).similar(document, 12)
    assert [hit.document for hit in hits] == expected[:12]
    found = [hit.scores["dense"] for hit in hits]
    assert found == pytest.approx([best[n] for n in expected[:12]], abs=1e-5)
    assert [hit.score for hit in hits] == [scaled(path, "dense", x) for x in found]
    assert len(Searcher.open(path).similar(document, 1000)) == 29


def test_similar_to_what_is_not_there(ten: Searcher) -> None:
    """Close ids are named."""
    with pytest.raises(UsageError, match=r"'stone/33.txt'.*there is 'stone/3.txt'"):
        ten.similar("stone/33.txt")
    for strange in ("x", "", "\udcff", "a\0b", "x" * 5000):
        with pytest.raises(UsageError, match="no document"):
            ten.similar(strange)
    with pytest.raises(UsageError, match="k is 0"):
        ten.similar("stone/3.txt", 0)


@pytest.mark.parametrize("mode", MODES)
def test_rank_documents(ten: Searcher, mode: Mode) -> None:
    """A document stands where its best passage stands, whatever the depth that takes."""
    queries = ["jade iron", "flint"]
    every = [ten.search(query, 10_000, mode) for query in queries]
    best = [list(dict.fromkeys(hit.document for hit in hits)) for hits in every]
    assert all(len(hits) > len(documents) for hits, documents in zip(every, best, strict=True))
    for k in (1, 4, 100):
        assert ten.rank_documents(queries, k, mode) == [documents[:k] for documents in best]


def test_an_empty_index(make_index: MakeIndex, encoder: Any) -> None:
    """Nothing is found, and nothing is wrong."""
    path = make_index({})
    for mode in MODES:
        assert Searcher.open(path, encoder).search("jade", 3, mode) == []
