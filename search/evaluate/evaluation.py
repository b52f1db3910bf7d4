"""A collection indexed, its judged queries asked, the answers measured."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...index.errors import UsageError
from ...index.index import Index
from ...index.store.snapshot import Snapshot
from ...index.types import Document, Json
from ..searcher import Mode, Searcher
from . import beir, metrics


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `eval --json` prints; `queries` counts the judged ones, the metrics are their means."""

    collection: str
    split: str
    mode: Mode
    queries: int
    documents: int
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Json]:
        """The metrics to 5 decimals, one more than trec_eval prints."""
        return {
            "collection": self.collection,
            "split": self.split,
            "mode": self.mode,
            "queries": self.queries,
            "documents": self.documents,
            "metrics": {name: round(value, 5) for name, value in self.metrics.items()},
        }


def evaluate(
    collection: str | Path,
    split: str = "test",
    mode: Mode = "hybrid",
    model: str | None = None,
    index: str | Path | None = None,
) -> Evaluation:
    """Index the BEIR folder `collection` and measure how its judged queries are answered.

    A document counts with its best passage. As in BEIR, a document with the id of the query is
    no answer (in some collections queries are documents). `index` is a folder where the index is
    kept and found again; without it a temporary one is used.

    UsageError where a file or the split is missing, a judged query has no text, or `index` holds
    other documents; ModelError and the errors of an index as they come.
    """
    collection = Path(collection)
    qrels = beir.read_qrels(collection, split)
    queries = _judged(beir.read_queries(collection), qrels, collection)
    if index is not None:
        return _evaluate(collection, split, mode, model, Path(index), qrels, queries)
    with tempfile.TemporaryDirectory(prefix="clsearch-eval-") as folder:
        path = Path(folder) / "index"
        return _evaluate(collection, split, mode, model, path, qrels, queries)


def _evaluate(
    collection: Path,
    split: str,
    mode: Mode,
    model: str | None,
    index: Path,
    qrels: beir.Qrels,
    queries: Mapping[str, str],
) -> Evaluation:
    documents = _add(collection, model, index)
    found = Searcher.open(index).rank_documents(list(queries.values()), metrics.DEPTH + 1, mode)
    rankings = {
        query: [document for document in ranking if document != query]
        for query, ranking in zip(queries, found, strict=True)
    }
    measured = metrics.measure(qrels, rankings)
    return Evaluation(collection.resolve().name, split, mode, len(queries), documents, measured)


def _add(collection: Path, model: str | None, index: Path) -> int:
    """Bring the corpus into the index; how many documents that is."""
    ids = set()

    def documents() -> Iterator[Document]:
        for document in beir.read_corpus(collection):
            ids.add(document.id)
            yield document

    with Index.open(index, model) as writer:
        writer.add(documents())
    with Snapshot.open(index) as snapshot:
        held = snapshot.counts().documents
    if held != len(ids):
        raise UsageError(
            f"the index {str(index)!r} holds {held} documents, the collection {len(ids)}:"
            " use an index of this collection alone, or none"
        )
    return len(ids)


def _judged(queries: Mapping[str, str], qrels: beir.Qrels, collection: Path) -> dict[str, str]:
    """The queries that have judgments; UsageError where one of them has no text."""
    textless = [query for query in qrels if not queries.get(query, "").strip()]
    if textless:
        raise UsageError(
            f"{len(textless)} judged queries have no text in {collection / 'queries.jsonl'}:"
            f" {', '.join(textless[:5])}{' …' if len(textless) > 5 else ''}"
        )
    return {query: queries[query] for query in qrels}
