"""A collection: judged queries, and where their documents are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...index.errors import UsageError
from . import beir, pairs, trec
from .corpus import BeirCorpus, Corpus, IndexCorpus
from .metrics import Qrels
from .runs import encoded


@dataclass(frozen=True, slots=True)
class Collection:
    """Queries, judgments and documents.

    `queries` maps the id of every judged query to its text. `judged_as` maps a document's id in the
    index to the one in `qrels`, where they differ. `corpus` is None where there are judgments only,
    to measure run files. `may_find_itself`: whether a document with the id of the query is an
    answer; in BEIR, where queries may be documents of the collection, it is none.
    """

    name: str
    split: str | None
    queries: Mapping[str, str]
    qrels: Qrels
    corpus: Corpus | None
    judged_as: Mapping[str, str] = field(default_factory=dict)
    may_find_itself: bool = True


def of_beir(folder: Path, split: str) -> Collection:
    """A BEIR folder. UsageError where a file or the split is missing, or a query has no text."""
    qrels = beir.read_qrels(folder, split)
    queries = _judged(beir.read_queries(folder), qrels, folder / "queries.jsonl")
    corpus = BeirCorpus(folder)
    if not (folder / beir.CORPUS).is_file():
        next(iter(corpus.documents()), None)  # says what is missing
    return Collection(corpus.name, split, queries, qrels, corpus, may_find_itself=False)


def check_file(file: Path) -> None:
    """UsageError where there is no such file, before an index is looked for."""
    if not file.is_file():
        raise UsageError(
            f"there is no file {str(file)!r}: name a folder in BEIR's layout, or a file with lines"
            " of a query, a tab, and the path of the file that answers it"
        )


def of_pairs(file: Path, index: Path) -> Collection:
    """A file of `query <tab> path` lines about the documents of an index; errors as of both."""
    corpus = IndexCorpus(index)
    qrels = pairs.read_pairs(file, index, corpus.ids())
    return Collection(file.name, None, {query: query for query in qrels}, qrels, corpus)


def of_trec(topics: Path | None, qrels: Path, index: Path | None) -> Collection:
    """TREC topics and judgments about the documents of an index.

    A judged document is the one of its id, as it is or as a run file has it (`my%20notes.md`), or
    the one record of its id (`papers.jsonl#D1` for `D1`). Without topics, or without an index,
    there is nothing to ask: run files only.

    UsageError where a file is not what it should be, a judged query has no topic, or none of the
    relevant documents is in the index.
    """
    judged = trec.read_qrels(qrels)
    queries = {query: query for query in judged}
    if topics is not None:
        known = trec.read_topics(topics)
        # The topics of TREC 1 and 2 are numbered 051, their judgments 51.
        texts = {id.lstrip("0"): text for id, text in known.items()} | known
        queries = _judged(texts, judged, topics)
    name = (topics or qrels).name
    if topics is None or index is None:
        return Collection(name, None, queries, judged, None)
    corpus = IndexCorpus(index)
    judged_as = _judged_as(corpus.ids(), judged)
    relevant = {id for of in judged.values() for id, value in of.items() if value > 0}
    if relevant and not relevant & set(judged_as.values()):
        raise UsageError(
            f"none of the {len(relevant)} relevant documents of {qrels} is in the index"
            f" {str(index)!r}: {min(relevant)!r} is missing, for one; name another with --index"
        )
    return Collection(name, None, queries, judged, corpus, judged_as)


def _judged(queries: Mapping[str, str], qrels: Qrels, path: Path) -> dict[str, str]:
    """The queries that have judgments; UsageError where one of them has no text."""
    textless = [query for query in qrels if not queries.get(query, "").strip()]
    if textless:
        raise UsageError(
            f"{len(textless)} judged queries have no text in {path}:"
            f" {', '.join(textless[:5])}{' …' if len(textless) > 5 else ''}"
        )
    return {query: queries[query] for query in qrels}


def _judged_as(ids: Iterable[str], qrels: Qrels) -> dict[str, str]:
    """Id in the index -> id in `qrels`, of the documents that are judged."""
    judged = {id for of in qrels.values() for id in of}
    ids = set(ids)
    records: dict[str, list[str]] = {}
    for id in ids:
        records.setdefault(id.partition("#")[2], []).append(id)
    by_encoded = {encoded(id): id for id in ids}
    found = {id: id for id in judged & ids}
    for id in judged - ids:
        if id in by_encoded:  # a blank parts the fields of a line, so an id with one is encoded
            found[by_encoded[id]] = id
        elif len(records.get(id, ())) == 1:
            found[records[id][0]] = id
    return found
