"""A collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.

Thakur et al.: BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval
Models, NeurIPS 2021 Datasets and Benchmarks.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...index.errors import UsageError
from ...index.types import Document
from .lines import bad_line, numbered_lines
from .metrics import Qrels

CORPUS = "corpus.jsonl"


def read_corpus(collection: Path) -> Iterator[Document]:
    """The documents of `corpus.jsonl`, their ids as they stand there.

    UsageError where the file is missing or a line is no record.
    """
    path = _existing(collection, CORPUS)
    for number, record in _records(path):
        yield Document(
            id=_text_of(record, "_id", path, number),
            title=_text_of(record, "title", path, number) if record.get("title") else "",
            text=_text_of(record, "text", path, number),
        )


def read_queries(collection: Path) -> dict[str, str]:
    """Query id -> text, of all queries in `queries.jsonl`, judged or not.

    UsageError where the file is missing or a line is no record.
    """
    path = _existing(collection, "queries.jsonl")
    return {
        _text_of(record, "_id", path, number): _text_of(record, "text", path, number)
        for number, record in _records(path)
    }


def read_qrels(collection: Path, split: str) -> Qrels:
    """Query id -> document id -> relevance, of the judgments in `qrels/SPLIT.tsv`.

    A first line that names the columns is passed over. UsageError where there is no such split, a
    line is no judgment, or there are none.
    """
    _existing(collection, "qrels")
    path = collection / "qrels" / f"{split}.tsv"
    if not path.is_file():
        splits = ", ".join(sorted(file.stem for file in path.parent.glob("*.tsv"))) or "none"
        raise UsageError(f"{collection} has no split {split!r}: there are {splits}; choose --split")
    qrels: Qrels = {}
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        try:
            query, document, relevance = fields[0], fields[1], int(fields[2])
        except (IndexError, ValueError) as error:
            if number == 1 and len(fields) == 3:
                continue
            expected = "query-id, corpus-id, whole number, with tabs between"
            raise bad_line(path, number, line, expected) from error
        qrels.setdefault(query, {})[document] = relevance
    if not qrels:
        raise UsageError(f"{path} holds no judgments: there is nothing to evaluate")
    return qrels


def _existing(collection: Path, name: str) -> Path:
    path = collection / name
    if not path.exists():
        raise UsageError(
            f"{collection} is no BEIR collection, {name} is missing:"
            " it takes corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"
        )
    return path


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{path}, line {number}: not a JSON object: {line[:80]!r}")
        yield number, record


def _text_of(record: dict[str, Any], name: str, path: Path, number: int) -> str:
    value = record.get(name)
    if isinstance(value, str):
        return value
    if name == "_id" and isinstance(value, int):
        return str(value)
    raise UsageError(f"{path}, line {number}: {name!r} is {value!r}, where text is needed")
