"""From ranked passages to hits: what is stored of them, and their snippets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..index.errors import IndexDamaged
from ..index.store.snapshot import Snapshot, StoredPassage
from .grouping import Shown
from .hit import Hit
from .ranking import Ranked, Ranking
from .scale import WEAK
from .snippets import Snippet, snippets

if TYPE_CHECKING:
    from .dense import Vectors

Encode = Callable[[Sequence[str]], "Vectors"]


def stored_of(snapshot: Snapshot, ranked: Sequence[Ranked]) -> dict[int, StoredPassage]:
    """The passages by id; IndexDamaged where a vector or a word leads to one that is not there."""
    stored = snapshot.passages([one.passage for one in ranked])
    _expect_all(snapshot, ranked, stored)
    return stored


def documents_of(snapshot: Snapshot, ranked: Sequence[Ranked]) -> dict[int, str]:
    """Passage id -> the id of its document; errors as of `stored_of`."""
    documents = snapshot.documents_of([one.passage for one in ranked])
    _expect_all(snapshot, ranked, documents)
    return documents


def _expect_all(snapshot: Snapshot, ranked: Sequence[Ranked], found: Collection[int]) -> None:
    lost = [one.passage for one in ranked if one.passage not in found]
    if lost:
        raise IndexDamaged(
            f"the index {str(snapshot.index)!r} finds passage {lost[0]}, and does not hold it:"
            " run `clsearch check --repair`"
        )


def best_of_documents(
    snapshot: Snapshot, rank: Callable[[int], list[Ranked]], k: int
) -> dict[str, Ranked]:
    """Document id -> its best passage, for the `k` best documents, best first.

    `rank` gives the best passages to a depth, and is asked deeper until `k` documents are among
    them, or no more passages come.
    """
    k = snapshot.document_count(k)
    depth = k
    while True:
        ranked = rank(depth)
        documents = documents_of(snapshot, ranked)
        best: dict[str, Ranked] = {}
        for one in ranked:
            best.setdefault(documents[one.passage], one)
        if len(best) >= k or len(ranked) < depth:
            return dict(list(best.items())[:k])
        depth *= 2


def hits_of(
    stored: Mapping[int, StoredPassage],
    chosen: Sequence[Shown],
    ranking: Ranking | None = None,
    encode: Encode | None = None,
) -> list[Hit]:
    """What is shown, as hits, with snippets for the query of `ranking` where there is one.

    `stored` has what is stored of all of them.
    """
    every = [one for shown in chosen for one in (shown.best, *shown.more)]
    measured = ranking is not None and ranking.snapshot.calibration.passages > 0
    found = dict(
        zip(
            (one.passage for one in every),
            _snippets([stored[one.passage] for one in every], ranking, encode),
            strict=True,
        )
    )

    def hit(rank: int, one: Ranked, duplicates: Sequence[str], more: tuple[Hit, ...]) -> Hit:
        of, snippet = stored[one.passage], found[one.passage]
        return Hit(
            rank=rank,
            score=one.score,
            document=of.document,
            title=of.title,
            passage=of.passage,
            scores=one.scores,
            metadata=of.metadata,
            marks=snippet.marks,
            sentence=snippet.sentence,
            weak=one.score < WEAK and measured and "rerank" not in one.scores,
            duplicates=tuple(duplicates),
            more=more,
            explanation=one.explanation,
        )

    return [
        hit(
            rank,
            shown.best,
            shown.duplicates,
            tuple(hit(place, one, (), ()) for place, one in enumerate(shown.more, start=1)),
        )
        for rank, shown in enumerate(chosen, start=1)
    ]


def _snippets(
    stored: Sequence[StoredPassage], ranking: Ranking | None, encode: Encode | None
) -> list[Snippet]:
    passages = [(of.passage.text, {of.title, *of.passage.heading.split(" > ")}) for of in stored]
    if ranking is None:
        return snippets(passages, {}, (), None)
    vector = ranking.vector
    nearness = None
    if encode is not None and vector is not None:
        nearness = partial(_nearness, encode, vector)
    return snippets(passages, ranking.lexical.weights, ranking.query.whole, nearness)


def _nearness(encode: Encode, vector: Vectors, texts: Sequence[str]) -> Vectors:
    """The cosine of each text to the query's vector, [n]."""
    cosines: Vectors = encode(texts) @ vector
    return cosines
