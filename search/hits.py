"""From ranked passages to hits: what is stored of them, and their snippets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ..index.errors import IndexDamaged
from ..index.store.snapshot import Snapshot, StoredPassage
from .grouping import Shown
from .hit import Hit
from .likeness import Likeness, WordEncoder
from .ranking import Ranked, Ranking
from .scale import WEAK
from .snippets import Snippet, snippets_of


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


def snippets_for(
    stored: Mapping[int, StoredPassage],
    chosen: Sequence[Shown],
    ranking: Ranking | None = None,
    encoder: object = None,
) -> list[Snippet]:
    """The snippets of what is shown, for the query of `ranking` where there is one.

    The encoder says which words are alike, where it is a `WordEncoder`.
    """
    passages = [
        (of.passage.text, {of.title, *of.passage.heading.split(" > ")})
        for of in (stored[one.passage] for one in _every(chosen))
    ]
    if ranking is None:
        return snippets_of(passages, {}, ())
    weights, query = ranking.lexical.weights, ranking.query
    words = encoder if isinstance(encoder, WordEncoder) else None
    likeness = Likeness(query.text, weights, words) if words else None
    return snippets_of(passages, weights, query.whole, likeness)


def hits_of(
    stored: Mapping[int, StoredPassage],
    chosen: Sequence[Shown],
    snippets: Sequence[Snippet],
    measured: bool = False,
) -> list[Hit]:
    """What is shown, as hits; `snippets` are of all in it, in the order of `snippets_for`.

    `stored` has what is stored of all of them. A hit can be weak where the index is `measured`.
    """
    found = {one.passage: of for one, of in zip(_every(chosen), snippets, strict=True)}

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


def _every(chosen: Sequence[Shown]) -> list[Ranked]:
    return [one for shown in chosen for one in (shown.best, *shown.more)]
