"""The one entry of the read side: Searcher."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, get_args, runtime_checkable

from ..index.errors import DocumentMissing, IndexDamaged, IndexMismatch, UsageError
from ..index.store.connections import Connections
from ..index.store.snapshot import Snapshot, StoredPassage
from ..index.types import Document, Filter
from . import query as syntax
from .commit import Commit
from .grouping import Group, Shown, shown
from .hit import Answer, Hit
from .hits import best_of_documents, documents_of, hits_of, snippets_for, stored_of
from .query import Query
from .ranking import Ranked, Ranking
from .scale import Mode, scale
from .times import Times

if TYPE_CHECKING:
    from ..index.encoder import CrossEncoder
    from ..index.vectors import Segment
    from .dense import Ids, Vectors
    from .kept import KeptFilters, KeptTerms
    from .rerank import PairScorer, Remembered

T = TypeVar("T")

# How many documents an unknown id is compared with, and how long it may be: 0.1 s.
HINTED = 10_000
HINTED_LENGTH = 200

_SURROGATE = re.compile("[\ud800-\udfff]")


class QueryEncoder(Protocol):
    """What a search asks of an encoder; `clsearch.Encoder` is one."""

    @property
    def fingerprint(self) -> str:
        """A hash over everything that changes the vectors."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of unit length, [n, d]."""


@runtime_checkable
class Warmed(Protocol):
    """An encoder that can get ready for many queries; `clsearch.Encoder` can."""

    def warm(self) -> None:
        """Do what makes later queries faster."""


class Searcher:
    """An index, open for reading. It takes no lock, and each call sees one commit of the index.

    Threads may share it: every call has a database connection to itself, and segments never change.
    The encoder is loaded once, by the first query that needs a vector, a reranker by the first that
    names it. A context manager, for those who do not keep it as long as the process.
    """

    def __init__(self, path: Path, encoder: QueryEncoder | None) -> None:
        """Of the index at `path`; `open` is the way in."""
        self.path = path
        self._connections = Connections(path)
        self._given = encoder
        self._encoder: QueryEncoder | None = None
        self._segments: dict[str, Segment] = {}
        self._rerankers: dict[str, CrossEncoder] = {}
        self._kept: KeptTerms | None = None
        self._filters: KeptFilters | None = None
        self._loading = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, path: str | Path, encoder: QueryEncoder | None = None) -> Searcher:
        """The index in the folder `path`; `encoder` is for one that was made with your own.

        IndexMissing where there is none, IndexMismatch where another version of clsearch made it,
        IndexDamaged where its database is.
        """
        Snapshot.open(path).close()
        return cls(Path(path), encoder)

    def warm(self) -> None:
        """Get ready for many queries, as a server does before the first of them.

        The encoder and the segments are loaded, and what the terms that are asked for give to
        passages is kept in memory from now on, up to 96 MB. The answers stay the same.

        Errors as of `search`.
        """
        encoder = self._encoder or self._load_encoder()
        if isinstance(encoder, Warmed):
            encoder.warm()
        self._read(self._opened)
        if self._kept is None:
            from .kept import KeptTerms

            self._kept = KeptTerms()

    def close(self) -> None:
        """Let go of segments and models.

        A call that another thread is in ends well or, as all later ones, with UsageError.
        """
        with self._loading:
            self._closed = True
            self._connections.close()
            self._given = self._encoder = None
            self._segments = {}
            self._rerankers = {}
            self._kept = self._filters = None

    def __enter__(self) -> Searcher:
        """Nothing more: the index is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def search(
        self,
        query: str,
        k: int = 10,
        mode: Mode = "hybrid",
        *,
        where: str | None = None,
        rerank: str | PairScorer | None = None,
        min_score: float = 0.0,
        group: Group = "passage",
    ) -> list[Hit]:
        """The `k` passages that answer `query` best, best first; fewer where there are no more.

        `query` may have the marks of `search.query`: "a phrase", -word, title:word. `where` is a
        filter (`search.filters`): if `k` passages pass it, `k` come back. `rerank` names a
        cross-encoder that reads the best again, or is a scorer of your own. Hits whose score is
        below `min_score` are left out. With `group` "document", the `k` best documents come, each
        by its best passage.

        UsageError for a blank query, a `k` below 1, or a filter that cannot be read; IndexMismatch
        where today's encoder is not the one the index was made with, IndexDamaged where a file of
        the index is not as written, ModelError where the reranker cannot be loaded.
        """
        return self.answer(
            query, k, mode, where=where, rerank=rerank, min_score=min_score, group=group
        ).hits

    def answer(
        self,
        query: str,
        k: int = 10,
        mode: Mode = "hybrid",
        *,
        where: str | None = None,
        rerank: str | PairScorer | None = None,
        min_score: float = 0.0,
        group: Group = "passage",
    ) -> Answer:
        """As `search`, with an account of how the hits came about."""
        [answer] = self.answer_many(
            [query], k, mode, where=where, rerank=rerank, min_score=min_score, group=group
        )
        return answer

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        mode: Mode = "hybrid",
        *,
        where: str | None = None,
        rerank: str | PairScorer | None = None,
        min_score: float = 0.0,
        group: Group = "passage",
    ) -> list[list[Hit]]:
        """As `search`, for each of several queries, sooner than one after the other.

        They are answered from one commit: encoded together, and compared with the passages
        together. A reranker, which takes its time, reads for each by itself.
        """
        answers = self.answer_many(
            queries, k, mode, where=where, rerank=rerank, min_score=min_score, group=group
        )
        return [answer.hits for answer in answers]

    def answer_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        mode: Mode = "hybrid",
        *,
        where: str | None = None,
        rerank: str | PairScorer | None = None,
        min_score: float = 0.0,
        group: Group = "passage",
    ) -> list[Answer]:
        """As `search_many`, with an account of each; its times are those of all together."""
        _check_one_of("group", group, get_args(Group))
        if not 0 <= min_score <= 1:
            raise UsageError(f"min_score is {min_score}: scores lie between 0 and 1")

        def answers(asked: list[Query], reranker: Remembered | None) -> list[Answer]:
            def work(ranking: Ranking, encoder: QueryEncoder | None) -> _Found:
                return _found(ranking, encoder, _with(reranker, ranking), k, group, min_score)

            # Snippets are made after the transaction: a writer's commit waits for its end.
            return _answers(self._ask(asked, k, mode, where, work))

        parsed = [syntax.parse(query) for query in queries]
        if rerank is None:
            return answers(parsed, None)
        return [
            answer
            for query in parsed
            for answer in answers([query], self._read_ahead(rerank, query, k, mode, where))
        ]

    def similar(self, document: str, k: int = 10, *, where: str | None = None) -> list[Hit]:
        """The `k` other documents most like the one of this id, each by its best passage.

        The score is made of the mean cosine of that passage to the passages of the document.
        DocumentMissing for an unknown id, UsageError for a `k` below 1 or a filter that cannot be
        read, IndexDamaged where a file of the index is not as written.
        """
        _check_k(k)
        from . import dense

        condition = _filter(where)

        def work(snapshot: Snapshot) -> list[Hit]:
            _document(snapshot, document)
            passages = snapshot.passage_ids(document)
            segments, excluded = self._opened(snapshot), snapshot.tombstones()
            allowed = None if condition is None else self._matching(snapshot, condition)
            score = scale("dense", snapshot.calibration)

            def rank(depth: int) -> list[Ranked]:
                found = dense.similar(segments, passages, depth, excluded, allowed)
                return [Ranked(id, score(cosine), {"dense": cosine}) for id, cosine in found]

            best = best_of_documents(snapshot, rank, k)
            stored = stored_of(snapshot, list(best.values()))
            chosen = [Shown(one, name, []) for name, one in best.items()]
            return hits_of(stored, chosen, snippets_for(stored, chosen))

        return self._read(work)

    def document(self, document: str) -> Document:
        """The document of this id, as it was read: hits' offsets count code points of its `text`.

        DocumentMissing for an unknown id, IndexDamaged where what is stored is not as written.
        """

        return self._read(lambda snapshot: _document(snapshot, document))

    def rank_documents(
        self,
        queries: Sequence[str],
        k: int,
        mode: Mode = "hybrid",
        *,
        where: str | None = None,
        rerank: str | PairScorer | None = None,
    ) -> list[list[str]]:
        """Per query, the ids of the `k` documents with the best passages, best first.

        Queries are plain text here: their marks mean nothing. They are encoded together and
        answered from one commit; with a reranker, which takes its time, each by itself. Errors as
        of `search`.
        """

        def ask(asked: list[Query], reranker: Remembered | None) -> list[list[str]]:
            def work(ranking: Ranking, _: QueryEncoder | None) -> list[str]:
                return list(best_of_documents(ranking.snapshot, _with(reranker, ranking), k))

            return self._ask(asked, k, mode, where, work)

        plain = [syntax.plain(query) for query in queries]
        if rerank is None:
            return ask(plain, None)
        return [
            ids
            for query in plain
            for ids in ask([query], self._read_ahead(rerank, query, k, mode, where))
        ]

    def _ask(
        self,
        queries: Sequence[Query],
        k: int,
        mode: Mode,
        where: str | None,
        work: Callable[[Ranking, QueryEncoder | None], T],
    ) -> list[T]:
        """`work` on the ranking of each query and the encoder of its vector, in one commit."""
        _check_k(k)
        _check_one_of("mode", mode, get_args(Mode))
        for query in queries:
            if not query.text.strip():
                raise UsageError("the query is empty: say what to look for, in your own words")
        condition = _filter(where)
        answers = None
        while answers is None:
            answers = self._ask_once(queries, mode, condition, work)
        return answers

    def _ask_once(
        self,
        queries: Sequence[Query],
        mode: Mode,
        condition: Filter | None,
        work: Callable[[Ranking, QueryEncoder | None], T],
    ) -> list[T] | None:
        """As `_ask`; None where the index has come to be made with another encoder."""
        times = Times()
        vectors: Sequence[Any] = [None] * len(queries)  # each `Vectors` [d], where there are any
        encoder: QueryEncoder | None = None
        if mode != "lexical":
            with times.stage("load"):
                encoder = self._encoder or self._load_encoder()
            # Encoded before the transaction begins, because a writer's commit waits for its end.
            with times.stage("encode"):
                vectors = list(encoder.encode_queries([query.text for query in queries]))

        def answers(snapshot: Snapshot) -> list[T] | None:
            if encoder is not None and snapshot.fingerprint != encoder.fingerprint:
                if self._encoder is encoder:
                    self._encoder = None
                return None
            bare = [place for place, query in enumerate(queries) if not query.marked]
            together = [vectors[place] for place in bare] if encoder else []
            rows = {place: row for row, place in enumerate(bare)} if encoder else {}
            commit = Commit(
                snapshot,
                lambda: self._opened(snapshot),
                None if condition is None else lambda: self._matching(snapshot, condition),
                together,
                times,
                self._kept,
            )
            return [
                work(Ranking(commit, query, vectors[place], mode, rows.get(place)), encoder)
                for place, query in enumerate(queries)
            ]

        return self._read(answers)

    def _load_encoder(self) -> QueryEncoder:
        """The encoder that the index is made with now; IndexMismatch where it gives other vectors.

        It can change while the index is open, by re-encoding. Of threads that ask at once, one
        loads it and the others wait.
        """
        with self._loading:
            self._check_open()
            if self._encoder is None:
                self._encoder = self._current_encoder()
            return self._encoder

    def _current_encoder(self) -> QueryEncoder:
        with self._connections.snapshot() as snapshot:
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
        return encoder

    def _read_ahead(
        self, rerank: str | PairScorer, query: Query, k: int, mode: Mode, where: str | None
    ) -> Remembered:
        """The reranker, once it has read what the query may find.

        It reads outside of any transaction, because a writer's commit waits for the end of one; in
        the transaction that answers, only what a commit has brought in meanwhile is left to read.
        """
        from .rerank import Remembered, candidates

        reranker = Remembered(self._reranker(rerank) if isinstance(rerank, str) else rerank)
        [found] = self._ask([query], k, mode, where, lambda ranking, _: candidates(ranking))
        reranker.scores(query.text, [text for _, text in found])
        return reranker

    def _reranker(self, name: str) -> CrossEncoder:
        model = self._rerankers.get(name)
        if model is None:
            from ..index.encoder import CrossEncoder

            with self._loading:
                self._check_open()
                model = self._rerankers.get(name) or CrossEncoder.load(name)
                self._rerankers[name] = model
        return model

    def _read(self, work: Callable[[Snapshot], T]) -> T:
        """`work` on one commit of the index, on a later one where a merge took a segment's file."""
        missed = -1
        while True:
            self._check_open()
            with self._connections.snapshot() as snapshot:
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
        """The live segments; those opened before are used again, those no longer live let go.

        Threads may be at different commits: each gets the segments of its own.
        """
        rows, known = snapshot.segments, self._segments
        if known.keys() != {row.name for row in rows}:
            from ..index.vectors import Segment

            with self._loading:
                self._check_open()
                known = {
                    row.name: self._segments.get(row.name) or Segment.open(self.path, row)
                    for row in rows
                }
                self._segments = known
        return [known[row.name] for row in rows]

    def _matching(self, snapshot: Snapshot, condition: Filter) -> Ids:
        """What a filter lets through; that of the last ones is kept for the next query."""
        if self._filters is None:
            from .kept import KeptFilters

            self._filters = KeptFilters()
        return self._filters.matching(snapshot, condition)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the searcher of {str(self.path)!r} is closed: open another")


class _Found(NamedTuple):
    """What one query finds, read from the index: all but its snippets."""

    ranking: Ranking
    encoder: QueryEncoder | None
    stored: dict[int, StoredPassage]
    kept: list[Shown]


def _found(
    ranking: Ranking,
    encoder: QueryEncoder | None,
    rank: Callable[[int], list[Ranked]],
    k: int,
    group: Group,
    min_score: float,
) -> _Found:
    stored: dict[int, StoredPassage] = {}

    def fetch(ranked: Sequence[Ranked]) -> dict[int, StoredPassage]:
        with ranking.times.stage("fetch"):
            missing = [one for one in ranked if one.passage not in stored]
            stored.update(stored_of(ranking.snapshot, missing))
        return stored

    def documents(ranked: Sequence[Ranked]) -> dict[int, str]:
        with ranking.times.stage("fetch"):
            return documents_of(ranking.snapshot, ranked)

    wanted = k if group == "passage" else ranking.snapshot.document_count(k)
    kept = [
        one for one in shown(rank, fetch, documents, wanted, group) if one.best.score >= min_score
    ]
    for one in kept:
        one.more = [other for other in one.more if other.score >= min_score]
    _ = ranking.lexical  # looked up while the index can be read
    return _Found(ranking, encoder, stored, kept)


def _answers(found: Sequence[_Found]) -> list[Answer]:
    """What was found, with snippets."""
    answers = []
    for one in found:
        ranking = one.ranking
        with ranking.times.stage("snippets"):
            chosen = snippets_for(one.stored, one.kept, ranking, one.encoder)
        measured = ranking.snapshot.calibration.passages > 0
        hits = hits_of(one.stored, one.kept, chosen, measured)
        answers.append(Answer(hits, ranking.explain()))
    return answers


def _with(reranker: Remembered | None, ranking: Ranking) -> Callable[[int], list[Ranked]]:
    """What gives the best passages to a depth: the ranking, or a reranker of its best."""
    if reranker is None:
        return ranking.best
    from .rerank import reranking

    with ranking.times.stage("rerank"):
        return reranking(reranker, ranking)


def _filter(where: str | None) -> Filter | None:
    if where is None:
        return None
    from . import filters

    return filters.parse(where)


def _check_k(k: int) -> None:
    if k < 1:
        raise UsageError(f"k is {k}: ask for at least 1 hit")


def _check_one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} is {value!r}: there are {', '.join(known)}")


def _document(snapshot: Snapshot, id: str) -> Document:
    """The document of this id; DocumentMissing names those that are near."""
    # A lone surrogate is no text that SQLite could look for.
    found = None if _SURROGATE.search(id) else snapshot.document(id)
    if found is not None:
        return found
    close: list[str] = []
    if len(id) <= HINTED_LENGTH and snapshot.counts().documents <= HINTED:
        close = difflib.get_close_matches(id, snapshot.document_ids())
    hint = f"; there is {', '.join(map(repr, close))}" if close else ""
    raise DocumentMissing(
        f"no document {id!r} in the index {str(snapshot.index)!r}{hint}:"
        " `clsearch search` shows the ids of what it finds"
    )
