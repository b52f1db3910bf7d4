"""The one entry of the read side: Searcher."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from ..index.errors import IndexDamaged, IndexMismatch, UsageError
from ..index.store.snapshot import Snapshot, StoredPassage
from . import fusion, lexical, snippets
from .hit import Hit

if TYPE_CHECKING:
    from ..index.vectors import Segment
    from .dense import Vectors

Mode = Literal["hybrid", "dense", "lexical"]

# How many passages each of the two rankings gives to a fusion, at least.
FUSED = 100

T = TypeVar("T")


class QueryEncoder(Protocol):
    """What a search asks of an encoder; `clsearch.Encoder` is one."""

    @property
    def fingerprint(self) -> str:
        """A hash over everything that changes the vectors."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of unit length, [n, d]."""


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A passage's id, its score, and what is known of "dense" and "lexical"."""

    passage: int
    score: float
    scores: dict[str, float]


class Searcher:
    """An index, open for reading. It takes no lock, and each call sees one commit of the index.

    Threads may share it: every call has a database connection of its own, and segments never
    change. The encoder is loaded by the first query that needs a vector.
    """

    def __init__(self, path: Path, encoder: QueryEncoder | None) -> None:
        """Of the index at `path`; `open` is the way in."""
        self.path = path
        self._given = encoder
        self._encoder: QueryEncoder | None = None
        self._segments: dict[str, Segment] = {}

    @classmethod
    def open(cls, path: str | Path, encoder: QueryEncoder | None = None) -> Searcher:
        """The index in the folder `path`; `encoder` is for one that was made with your own.

        IndexMissing where there is none, IndexMismatch where a newer clsearch made it,
        IndexDamaged where its database is.
        """
        Snapshot.open(path).close()
        return cls(Path(path), encoder)

    def search(self, query: str, k: int = 10, mode: Mode = "hybrid") -> list[Hit]:
        """The `k` passages that answer `query` best, best first; fewer where there are no more.

        UsageError for a blank query or a `k` below 1, IndexMismatch where today's encoder is not
        the one the index was made with, IndexDamaged where a file of the index is not as written.
        """

        def answer(snapshot: Snapshot, words: list[str], vector: Vectors | None) -> list[Hit]:
            return _hits(snapshot, self._rank(snapshot, words, vector, k, mode), words)

        return self._ask([query], k, mode, answer)[0]

    def similar(self, document: str, k: int = 10) -> list[Hit]:
        """The `k` other documents most like the one of this id, each by its best passage.

        The score is the mean cosine of that passage to the passages of the document. UsageError for
        an unknown id or a `k` below 1, IndexDamaged where a file of the index is not as written.
        """
        _check_k(k)
        from . import dense

        def answer(snapshot: Snapshot) -> list[Hit]:
            _check_document(snapshot, document)
            passages = snapshot.passage_ids(document)
            segments, excluded = self._opened(snapshot), snapshot.tombstones()

            def rank(depth: int) -> list[_Ranked]:
                found = dense.similar(segments, passages, depth, excluded)
                return [_Ranked(passage, score, {"dense": score}) for passage, score in found]

            return _hits(snapshot, list(_best_of_documents(snapshot, rank, k).values()), [])

        return self._read(answer)

    def rank_documents(
        self, queries: Sequence[str], k: int, mode: Mode = "hybrid"
    ) -> list[list[str]]:
        """Per query, the ids of the `k` documents with the best passages, best first.

        The queries are encoded together and answered from one commit. Errors as of `search`.
        """

        def answer(snapshot: Snapshot, words: list[str], vector: Vectors | None) -> list[str]:
            def rank(depth: int) -> list[_Ranked]:
                return self._rank(snapshot, words, vector, depth, mode)

            return list(_best_of_documents(snapshot, rank, k))

        return self._ask(queries, k, mode, answer)

    def _ask(
        self,
        queries: Sequence[str],
        k: int,
        mode: Mode,
        answer: Callable[[Snapshot, list[str], Vectors | None], T],
    ) -> list[T]:
        """`answer` of (snapshot, query's terms, query vector [d]) for each query, in one commit.

        The vector is None in lexical mode, which loads no encoder.
        """
        _check_k(k)
        for query in queries:
            if not query.strip():
                raise UsageError("the query is empty: say what to look for, in your own words")
        terms = [lexical.telling(lexical.terms(query)) for query in queries]
        if mode == "lexical":
            return self._read(lambda snapshot: [answer(snapshot, words, None) for words in terms])

        encoder = self._encoder or self._load_encoder()
        while (answers := self._ask_vectors(encoder, queries, terms, answer)) is None:
            encoder = self._load_encoder()
        return answers

    def _ask_vectors(
        self,
        encoder: QueryEncoder,
        queries: Sequence[str],
        terms: Sequence[list[str]],
        answer: Callable[[Snapshot, list[str], Vectors | None], T],
    ) -> list[T] | None:
        """As `_ask`; None where the index has come to be made with another encoder."""
        # Encoded before the transaction begins, because a writer's commit waits for its end.
        vectors = encoder.encode_queries(queries)

        def answers(snapshot: Snapshot) -> list[T] | None:
            if snapshot.fingerprint != encoder.fingerprint:
                return None
            return [answer(snapshot, *asked) for asked in zip(terms, vectors, strict=True)]

        return self._read(answers)

    def _load_encoder(self) -> QueryEncoder:
        """The encoder that the index is made with now; IndexMismatch where it gives other vectors.

        It can change while the index is open, by re-encoding.
        """
        with Snapshot.open(self.path) as snapshot:
            options, fingerprint = snapshot.options, snapshot.fingerprint
        if self._given is None:
            from ..index.encoder import Encoder

            encoder: QueryEncoder = Encoder.load(options.model, options.pooling)
        else:
            encoder = self._given
        if encoder.fingerprint != fingerprint:
            raise IndexMismatch(
                f"the index {str(self.path)!r} was made with the encoder {options.model!r} of"
                f" fingerprint {fingerprint[:12]}, the encoder of today has"
                f" {encoder.fingerprint[:12]}: bring the old model back, or run"
                " `clsearch index --reencode`; lexical search works meanwhile"
            )
        self._encoder = encoder
        return encoder

    def _read(self, work: Callable[[Snapshot], T]) -> T:
        """`work` on one commit of the index, on a later one where a merge took a segment's file."""
        missed = -1
        while True:
            with Snapshot.open(self.path) as snapshot:
                try:
                    return work(snapshot)
                except FileNotFoundError as error:
                    if snapshot.generation == missed:
                        raise IndexDamaged(
                            f"the index {str(self.path)!r} has lost {error.filename!r}:"
                            " run `clsearch check --repair`"
                        ) from error
                    missed = snapshot.generation

    def _opened(self, snapshot: Snapshot) -> list[Segment]:
        """The live segments; those opened before are used again, those no longer live let go."""
        from ..index.vectors import Segment

        known = self._segments
        self._segments = {
            row.name: known.get(row.name) or Segment.open(self.path, row)
            for row in snapshot.segments
        }
        return list(self._segments.values())

    def _rank(
        self, snapshot: Snapshot, words: list[str], vector: Vectors | None, k: int, mode: Mode
    ) -> list[_Ranked]:
        """The `k` best passages; `vector` is not None but in lexical mode."""
        if vector is None:
            by_words = lexical.search(snapshot, words, k)
            return [_Ranked(passage, score, {"lexical": score}) for passage, score in by_words]

        from . import dense

        segments, excluded = self._opened(snapshot), snapshot.tombstones()
        if mode == "dense":
            by_vector = dense.search(segments, vector, k, excluded)
            return [_Ranked(passage, score, {"dense": score}) for passage, score in by_vector]

        depth = max(k, FUSED)
        cosines = dict(dense.search(segments, vector, depth, excluded))
        bm25 = dict(lexical.search(snapshot, words, depth))
        fused = fusion.reciprocal_rank([list(cosines), list(bm25)])[:k]
        cosines |= dense.cosines(segments, vector, [p for p, _ in fused if p not in cosines])
        known = {"dense": cosines, "lexical": bm25}
        return [
            _Ranked(p, score, {name: of[p] for name, of in known.items() if p in of})
            for p, score in fused
        ]


def _best_of_documents(
    snapshot: Snapshot, rank: Callable[[int], list[_Ranked]], k: int
) -> dict[str, _Ranked]:
    """Document id -> its best passage, for the `k` best documents, best first.

    `rank` gives the best passages to a depth, and is asked deeper until `k` documents are among
    them, or no more passages come.
    """
    depth = k
    while True:
        ranked = rank(depth)
        stored = _stored(snapshot, ranked)
        best: dict[str, _Ranked] = {}
        for one in ranked:
            best.setdefault(stored[one.passage].document, one)
        if len(best) >= k or len(ranked) < depth:
            return dict(list(best.items())[:k])
        depth *= 2


def _hits(snapshot: Snapshot, ranked: Sequence[_Ranked], words: list[str]) -> list[Hit]:
    stored = _stored(snapshot, ranked)
    found = [stored[one.passage] for one in ranked]
    marks = snippets.spans(lexical.expression(words), [of.passage.text for of in found])
    return [
        Hit(rank, one.score, of.document, of.title, of.passage, one.scores, of.metadata, spans)
        for rank, (one, of, spans) in enumerate(zip(ranked, found, marks, strict=True), start=1)
    ]


def _stored(snapshot: Snapshot, ranked: Sequence[_Ranked]) -> dict[int, StoredPassage]:
    """The passages by id; IndexDamaged where a vector or a word leads to one that is not there."""
    stored = snapshot.passages([one.passage for one in ranked])
    lost = [one.passage for one in ranked if one.passage not in stored]
    if lost:
        raise IndexDamaged(
            f"the index {str(snapshot.index)!r} finds passage {lost[0]}, and does not hold it:"
            " run `clsearch check --repair`"
        )
    return stored


def _check_k(k: int) -> None:
    if k < 1:
        raise UsageError(f"k is {k}: ask for at least 1 hit")


def _check_document(snapshot: Snapshot, document: str) -> None:
    known = snapshot.document_ids()
    if document not in known:
        close = difflib.get_close_matches(document, known)
        hint = f"; there is {', '.join(map(repr, close))}" if close else ""
        raise UsageError(
            f"no document {document!r} in the index {str(snapshot.index)!r}{hint}:"
            " `clsearch search` shows the ids of what it finds"
        )
