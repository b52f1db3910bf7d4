"""Parquet: `documents.parquet` and `passages.parquet`, for dataframes and databases."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from ..types import Document
from . import jsonl
from .origin import Origin
from .records import (
    Incoming,
    Outgoing,
    OutgoingPassage,
    Vector,
    bad,
    left_over,
    out_of_order,
    outline_json,
    read_count,
    read_document,
    read_mtime,
    read_vector,
)

DOCUMENTS = "documents.parquet"
PASSAGES = "passages.parquet"

# A row group is written when there are so many: what is held in memory.
ROWS = 8192
CHARACTERS = 8_000_000
# So many rows of a file of documents are in memory at once.
READ_ROWS = 128

DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("outline", pa.string(), nullable=False),
        pa.field("mtime", pa.float64()),
        pa.field("passages", pa.int64(), nullable=False),
    ]
)


def passage_schema(dimension: int) -> pa.Schema:
    """That of `passages.parquet`. float32, which every reader takes; the values are float16."""
    return pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("document", pa.string(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("line", pa.int64(), nullable=False),
            pa.field("page", pa.int64()),
            pa.field("heading", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("hash", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def write(folder: Path, outgoing: Iterable[Outgoing], origin: Origin) -> None:
    """Both files, documents and passages in the same order; `passages` of a document counts them.

    The schemas say of which encoder the vectors are.
    """
    about = {
        "model": origin.model,
        "pooling": origin.pooling or "",
        "fingerprint": origin.fingerprint,
        "dimension": str(origin.dimension),
    }
    schemas = DOCUMENT_SCHEMA.with_metadata(about), passage_schema(origin.dimension)
    with (
        pq.ParquetWriter(folder / DOCUMENTS, schemas[0], compression="zstd") as documents,
        pq.ParquetWriter(
            folder / PASSAGES,
            schemas[1].with_metadata(about),
            compression="zstd",
            use_dictionary=["document", "heading"],
            # Half the bytes of a float16 in a float32 are alike: split, they take no room.
            use_byte_stream_split=["vector.list.element"],
        ) as passages,
    ):
        for group in _grouped(outgoing):
            rows = [_document_row(one) for one in group]
            documents.write_table(pa.Table.from_pylist(rows, documents.schema))
            below = [(one.document.id, passage) for one in group for passage in one.passages]
            if below:
                passages.write_table(_passage_table(below, passages.schema, origin.dimension))


def _grouped(outgoing: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    group: list[Outgoing] = []
    rows = characters = 0
    for one in outgoing:
        group.append(one)
        rows += max(len(one.passages), 1)
        characters += len(one.document.text)
        if rows >= ROWS or characters >= CHARACTERS:
            yield group
            group, rows, characters = [], 0, 0
    if group:
        yield group


def _document_row(one: Outgoing) -> dict[str, Any]:
    document = one.document
    return {
        "id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": json.dumps(dict(document.metadata), ensure_ascii=False),
        "outline": json.dumps(outline_json(document), ensure_ascii=False),
        "mtime": one.mtime,
        "passages": len(one.passages),
    }


def _passage_table(
    rows: Sequence[tuple[str, OutgoingPassage]], schema: pa.Schema, dimension: int
) -> pa.Table:
    passages = [one.passage for _, one in rows]
    missing = [one.vector is None for _, one in rows]
    none = np.zeros(dimension, np.float32)
    stacked = np.stack([none if one.vector is None else one.vector for _, one in rows])
    columns = {
        "id": [one.id for one in passages],
        "document": [document for document, _ in rows],
        "start": [one.start for one in passages],
        "end": [one.end for one in passages],
        "line": [one.line for one in passages],
        "page": [one.page for one in passages],
        "heading": [one.heading for one in passages],
        "text": [one.text for one in passages],
        "hash": [one.hash for _, one in rows],
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(stacked.ravel()), type=schema.field("vector").type, mask=pa.array(missing)
        ),
    }
    return pa.table(columns, schema)


def read(file: Path, origin: Origin | None, fingerprint: str) -> Iterator[Incoming]:
    """The documents of a file, with those vectors beside it that are of this fingerprint.

    Without an origin, the rows of others; columns of vectors are passed over. Raises `UsageError`
    at the first row that is no document.
    """
    if origin is None:
        yield from _foreign(file)
        return
    use = origin.fingerprint == fingerprint
    beside = file.with_name(PASSAGES)
    passages = _vectors(beside, origin.dimension) if use else iter(())
    for number, row in _rows(file, None):
        where = f"{file}, row {number}"
        document = _document(where, row)
        count = read_count(where, row.get("passages"))
        vectors = {}
        if use:
            own = list(islice(passages, count))
            if len(own) != count or {name for name, _, _ in own} - {document.id}:
                raise out_of_order(beside, document.id, count)
            vectors = {hash: vector for _, hash, vector in own if vector is not None}
        yield Incoming(where, document, read_mtime(where, row.get("mtime")), vectors)
    if next(passages, None) is not None:
        raise left_over(beside)


def _document(where: str, row: dict[str, Any]) -> Document:
    parsed = []
    for name in ("metadata", "outline"):
        try:
            parsed.append(json.loads(row.get(name) or ""))
        except (ValueError, TypeError, RecursionError) as error:
            raise bad(where, name, row.get(name), "JSON") from error
    return read_document(where, row.get("id"), row.get("title"), row.get("text"), *parsed)


def _vectors(file: Path, dimension: int) -> Iterator[tuple[str, str, Vector | None]]:
    """(document, hash, vector) of each passage."""
    expected = pa.list_(pa.float32(), dimension)
    with _named_errors(file), pq.ParquetFile(file) as opened:
        schema = opened.schema_arrow
        found = schema.field("vector").type if "vector" in schema.names else None
        if found != expected:
            raise UsageError(
                f"{file}: the column 'vector' is {found or 'missing'}, where {expected} was "
                "written. Export again, or remove the export.json beside it: then passages are "
                "encoded anew."
            )
        number = 0
        for batch in opened.iter_batches(READ_ROWS, columns=["document", "hash", "vector"]):
            documents, hashes, lists = (column for column in batch.columns)
            names, texts = documents.to_pylist(), hashes.to_pylist()
            for name, hash, vector in zip(names, texts, lists, strict=True):
                number += 1
                where = f"{file}, row {number}"
                if not isinstance(name, str) or not isinstance(hash, str):
                    raise bad(where, "hash", hash, "text")
                values = vector.values
                if values is None:
                    yield name, hash, None
                    continue
                given = values.to_numpy(zero_copy_only=False)
                yield name, hash, read_vector(where, given, dimension)


def _foreign(file: Path) -> Iterator[Incoming]:
    with _named_errors(file), pq.ParquetFile(file) as opened:
        fields = [field for field in opened.schema_arrow if not _is_vector(field.type)]
    for number, row in _rows(file, [field.name for field in fields]):
        yield jsonl.foreign(file, number, f"{file}, row {number}", row)


def _is_vector(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool((listed or pa.types.is_large_list(kind)) and pa.types.is_floating(kind.value_type))


def _rows(file: Path, columns: list[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, its values)."""
    number = 0
    with _named_errors(file), pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(READ_ROWS, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, row


@contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{file} cannot be read as Parquet: {error}; make the file anew, or say what it is "
            "with --format"
        ) from error
