"""Many queries at once find what each finds alone."""

from pathlib import Path
from typing import Any

import pytest

from clsearch.index.encoder import Encoder
from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.search import Hit, Searcher, commit

QUERIES = [
    "jade and iron",
    '"basalt copper" garnet',
    "emerald -flint",
    "nowhere",
    "amber",
    "jade and iron",
    "dolomite emerald flint garnet",
]


def shown(hits: list[Hit]) -> list[dict[str, Any]]:
    """All that is said of hits, their scores apart."""
    return [
        {
            **{name: value for name, value in hit.to_json(explain=True).items() if name in KEPT},
            "passage": hit.passage,
            "marks": hit.marks,
            "sentence": hit.sentence,
            "more": [one.passage.id for one in hit.more],
        }
        for hit in hits
    ]


KEPT = ("rank", "weak", "document", "title", "duplicates")


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("group", ["passage", "document"])
@pytest.mark.parametrize("where", [None, "path like '%1%' or path like '%2%'"])
@pytest.mark.parametrize("together", [2, 64])
def test_each_hit_is_that_of_the_query_alone(
    make_index: Any,
    stones: Any,
    encoder: Any,
    monkeypatch: pytest.MonkeyPatch,
    mode: Any,
    group: Any,
    where: str | None,
    together: int,
) -> None:
    """Ids, spans and scores; with marks, filters, and vectors that go through in several lots."""
    monkeypatch.setattr(commit, "TOGETHER", together)
    path = make_index(stones(30))
    with Index.open(path, encoder=encoder) as index:
        index.remove([f"stone/{number}.txt" for number in (1, 12, 20)])
    searcher = Searcher.open(path, encoder)
    found = searcher.search_many(QUERIES, 4, mode, where=where, group=group, min_score=0.01)
    assert len(found) == len(QUERIES)
    assert any(found)
    for query, hits in zip(QUERIES, found, strict=True):
        alone = searcher.search(query, 4, mode, where=where, group=group, min_score=0.01)
        assert shown(hits) == shown(alone), query
        for one, other in zip(hits, alone, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-6)
            assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_they_are_encoded_in_one_call(make_index: Any, encoder: Any) -> None:
    """However many they are, and however many sentences their hits have."""
    texts = {f"{place}": f"Jade {place}. Iron lies here. Some more of it." for place in range(9)}
    searcher = Searcher.open(make_index(texts), encoder)
    encoder.encoded.clear()
    calls: list[int] = []

    class Counting:
        fingerprint = encoder.fingerprint

        def encode_queries(self, texts: Any) -> Any:
            calls.append(len(texts))
            return encoder.encode_queries(texts)

    searcher = Searcher.open(searcher.path, Counting())
    assert len(searcher.search_many(["green stone", "metal"], 3)) == 2
    assert calls == [2]
    assert searcher.search_many([]) == []
    with pytest.raises(UsageError, match="empty"):
        searcher.search_many(["jade", " "])


def test_with_the_embedded_model(tmp_path: Path) -> None:
    """Texts of several lengths are padded to one: the cosines are those without, to 1e-6."""
    texts = [
        "Vitamin D reduces the risk of falls in older people.",
        "The router is reset by holding its button for ten seconds.",
        "Stem cells of the blood age faster under stress.",
        "A night in the fridge makes the bread taste better. Its crust gets thin.",
    ]
    with Index.open(tmp_path / "index", encoder=Encoder.load()) as index:
        index.add({"id": str(place), "text": text} for place, text in enumerate(texts))
    searcher = Searcher.open(tmp_path / "index")
    queries = ["router", "how can I bake a loaf that tastes better", "why do old people fall down"]
    for query, hits in zip(queries, searcher.search_many(queries, 4), strict=True):
        alone = searcher.search(query, 4)
        assert [hit.document for hit in hits] == [hit.document for hit in alone]
        for one, other in zip(hits, alone, strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-6)
            assert one.sentence == other.sentence
